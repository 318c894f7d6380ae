//! Operating systems by short name: what the Node says, what `/etc/os-release` says, which kernel runs.

/// An operating system as nodes in the wild report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Os {
    /// The short name.
    pub short: &'static str,
    /// `status.nodeInfo.osImage`, which is `PRETTY_NAME` of its `os-release`.
    pub image: &'static str,
    /// `ID`.
    pub id: &'static str,
    /// `ID_LIKE`, empty where there is none.
    pub like: &'static str,
    /// `VERSION_ID`.
    pub version: &'static str,
    /// `status.nodeInfo.kernelVersion`.
    pub kernel: &'static str,
}

/// What a node runs that names no operating system.
pub const DEFAULT: &str = "ubuntu-22.04";

const ALL: [Os; 26] = [
    os("ubuntu-20.04", "Ubuntu 20.04.6 LTS", "ubuntu", "debian", "20.04", "5.4.0-216-generic"),
    os("ubuntu-22.04", "Ubuntu 22.04.5 LTS", "ubuntu", "debian", "22.04", "5.15.0-141-generic"),
    os("ubuntu-24.04", "Ubuntu 24.04.2 LTS", "ubuntu", "debian", "24.04", "6.8.0-60-generic"),
    os("debian-11", "Debian GNU/Linux 11 (bullseye)", "debian", "", "11", "5.10.0-34-amd64"),
    os("debian-12", "Debian GNU/Linux 12 (bookworm)", "debian", "", "12", "6.1.0-35-amd64"),
    os("debian-13", "Debian GNU/Linux 13 (trixie)", "debian", "", "13", "6.12.33+deb13-amd64"),
    os(
        "rhel-7",
        "Red Hat Enterprise Linux Server 7.9 (Maipo)",
        "rhel",
        "fedora",
        "7.9",
        "3.10.0-1160.119.1.el7.x86_64",
    ),
    os("rhel-8", "Red Hat Enterprise Linux 8.10 (Ootpa)", "rhel", "fedora", "8.10", "4.18.0-553.53.1.el8_10.x86_64"),
    os("rhel-9", "Red Hat Enterprise Linux 9.6 (Plow)", "rhel", "fedora", "9.6", "5.14.0-570.17.1.el9_6.x86_64"),
    os("rhel-10", "Red Hat Enterprise Linux 10.0 (Coughlan)", "rhel", "fedora", "10.0", "6.12.0-55.12.1.el10_0.x86_64"),
    os("centos-7", "CentOS Linux 7 (Core)", "centos", "rhel fedora", "7", "3.10.0-1160.119.1.el7.x86_64"),
    os("centos-stream-8", "CentOS Stream 8", "centos", "rhel fedora", "8", "4.18.0-553.6.1.el8.x86_64"),
    os("centos-stream-9", "CentOS Stream 9", "centos", "rhel fedora", "9", "5.14.0-585.el9.x86_64"),
    os(
        "rocky-8",
        "Rocky Linux 8.10 (Green Obsidian)",
        "rocky",
        "rhel centos fedora",
        "8.10",
        "4.18.0-553.53.1.el8_10.x86_64",
    ),
    os("rocky-9", "Rocky Linux 9.5 (Blue Onyx)", "rocky", "rhel centos fedora", "9.5", "5.14.0-503.40.1.el9_5.x86_64"),
    os(
        "almalinux-8",
        "AlmaLinux 8.10 (Cerulean Leopard)",
        "almalinux",
        "rhel centos fedora",
        "8.10",
        "4.18.0-553.53.1.el8_10.x86_64",
    ),
    os(
        "almalinux-9",
        "AlmaLinux 9.6 (Sage Margay)",
        "almalinux",
        "rhel centos fedora",
        "9.6",
        "5.14.0-570.17.1.el9_6.x86_64",
    ),
    os("oracle-8", "Oracle Linux Server 8.10", "ol", "fedora", "8.10", "5.15.0-308.179.6.el8uek.x86_64"),
    os("oracle-9", "Oracle Linux Server 9.6", "ol", "fedora", "9.6", "5.15.0-308.179.6.el9uek.x86_64"),
    os("amazon-2023", "Amazon Linux 2023.7.20250512", "amzn", "fedora", "2023", "6.1.134-152.225.amzn2023.x86_64"),
    os("fedora-41", "Fedora Linux 41 (Server Edition)", "fedora", "", "41", "6.14.6-200.fc41.x86_64"),
    os(
        "opensuse-leap-15",
        "openSUSE Leap 15.6",
        "opensuse-leap",
        "suse opensuse",
        "15.6",
        "6.4.0-150600.23.50-default",
    ),
    os("sles-15", "SUSE Linux Enterprise Server 15 SP6", "sles", "suse", "15.6", "6.4.0-150600.23.50-default"),
    os(
        "flatcar",
        "Flatcar Container Linux by Kinvolk 4152.2.3 (Oklo)",
        "flatcar",
        "coreos",
        "4152.2.3",
        "6.6.88-flatcar",
    ),
    os("talos", "Talos (v1.10.2)", "talos", "", "v1.10.2", "6.12.28-talos"),
    os("bottlerocket", "Bottlerocket OS 1.39.1 (aws-k8s-1.32)", "bottlerocket", "", "1.39.1", "6.1.134"),
];

const fn os(
    short: &'static str,
    image: &'static str,
    id: &'static str,
    like: &'static str,
    version: &'static str,
    kernel: &'static str,
) -> Os {
    Os { short, image, id, like, version, kernel }
}

/// The operating system with a short name.
pub fn find(short: &str) -> Option<Os> {
    ALL.into_iter().find(|os| os.short == short)
}

/// Every short name, sorted as they are listed.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|os| os.short)
}

impl Os {
    /// `/etc/os-release`, with another `PRETTY_NAME` where the node has its own `osImage`.
    pub fn release(&self, image: &str) -> String {
        let name = image.split(|c: char| c.is_ascii_digit()).next().unwrap_or(image).trim_end();
        let like = if self.like.is_empty() { String::new() } else { format!("ID_LIKE=\"{}\"\n", self.like) };
        format!(
            "NAME=\"{name}\"\nID=\"{id}\"\n{like}VERSION_ID=\"{version}\"\nPRETTY_NAME=\"{image}\"\n",
            id = self.id,
            version = self.version,
        )
    }

    /// Whether the kernel renames links that are up: Linux does so from 6.2 on.
    pub fn renames_live_links(&self) -> bool {
        let mut parts = self.kernel.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next(), parts.next()) >= (Some(6), Some(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_up_can_be_renamed_only_where_the_kernel_is_new_enough() {
        let cases = [("ubuntu-22.04", false), ("ubuntu-24.04", true), ("debian-12", false), ("rhel-10", true)];
        for (short, expected) in cases {
            let os = find(short).expect("a known name");
            assert_eq!(os.renames_live_links(), expected, "{short} with {}", os.kernel);
        }
    }

    #[test]
    fn the_os_release_of_every_system_quotes_its_values_and_names_what_the_node_reports() {
        for os in ALL {
            let release = os.release(os.image);
            assert!(release.contains(&format!("PRETTY_NAME=\"{}\"\n", os.image)), "{release}");
            assert!(release.lines().all(|line| line.split_once('=').is_some_and(|(_, v)| v.starts_with('"'))));
        }
    }
}
