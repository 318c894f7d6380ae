//! How a node keeps its network configuration, from the `osImage` that its kubelet reports. Pure.
//!
//! A node whose image is not known for sure gets no agent: files in the wrong place are worse than none.

use crate::api::agent::OsKind;

/// Distributions that read netplan files.
const NETPLAN: [&str; 2] = ["ubuntu", "debian"];

/// Distributions that follow Red Hat Enterprise Linux and its version numbers.
const RHEL_LIKE: [&str; 10] = [
    "red hat enterprise linux",
    "rhel",
    "centos",
    "rocky",
    "almalinux",
    "oracle linux",
    "scientific linux",
    "eurolinux",
    "miracle linux",
    "cloudlinux",
];

/// Images made of a distribution's packages, with version numbers and a way of configuration of their own.
const NOT_WHAT_THEY_SOUND_LIKE: [&str; 2] = ["coreos", "atomic host"];

/// The first RHEL-like release without network scripts.
const FIRST_WITH_KEYFILES: u32 = 9;

/// How a node with this `osImage` keeps its network configuration; `None` where that is not known.
pub(super) fn detect(os_image: &str) -> Option<OsKind> {
    let image = os_image.to_lowercase();
    if NOT_WHAT_THEY_SOUND_LIKE.iter().any(|name| image.contains(name)) {
        return None;
    }
    if NETPLAN.iter().any(|name| begins_with_word(&image, name)) {
        return Some(OsKind::Netplan);
    }
    if RHEL_LIKE.iter().any(|name| begins_with_word(&image, name)) {
        return major_version(&image)
            .map(|major| if major >= FIRST_WITH_KEYFILES { OsKind::NetworkManager } else { OsKind::Ifcfg });
    }
    None
}

/// Whether the image is called `name`, and not only something that begins with the same letters.
fn begins_with_word(image: &str, name: &str) -> bool {
    image.trim_start().strip_prefix(name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
}

/// The first number of the image's name: `8` of `Rocky Linux 8.10 (Green Obsidian)`.
fn major_version(image: &str) -> Option<u32> {
    let digits = image.find(|c: char| c.is_ascii_digit())?;
    let rest = &image[digits..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_as_found_in_the_wild_are_told_apart() {
        use OsKind::{Ifcfg, Netplan, NetworkManager};
        for (image, kind) in [
            ("Ubuntu 18.04.6 LTS", Some(Netplan)),
            ("Ubuntu 22.04.3 LTS", Some(Netplan)),
            ("Ubuntu 24.04 LTS", Some(Netplan)),
            ("Ubuntu Noble Numbat (development branch)", Some(Netplan)),
            ("Debian GNU/Linux 11 (bullseye)", Some(Netplan)),
            ("Debian GNU/Linux trixie/sid", Some(Netplan)),
            ("CentOS Linux 7 (Core)", Some(Ifcfg)),
            ("CentOS Linux 8", Some(Ifcfg)),
            ("CentOS Stream 8", Some(Ifcfg)),
            ("CentOS Stream 9", Some(NetworkManager)),
            ("CentOS Stream 10 (Coughlan)", Some(NetworkManager)),
            ("Red Hat Enterprise Linux Server 7.9 (Maipo)", Some(Ifcfg)),
            ("Red Hat Enterprise Linux 8.9 (Ootpa)", Some(Ifcfg)),
            ("Red Hat Enterprise Linux 9.4 (Plow)", Some(NetworkManager)),
            ("Red Hat Enterprise Linux 10.0 (Coughlan)", Some(NetworkManager)),
            ("Rocky Linux 8.10 (Green Obsidian)", Some(Ifcfg)),
            ("Rocky Linux 9.3 (Blue Onyx)", Some(NetworkManager)),
            ("AlmaLinux 8.9 (Midnight Oncilla)", Some(Ifcfg)),
            ("AlmaLinux 9.5 (Teal Serval)", Some(NetworkManager)),
            ("Oracle Linux Server 7.9", Some(Ifcfg)),
            ("Oracle Linux Server 8.8", Some(Ifcfg)),
            ("Oracle Linux Server 9.2", Some(NetworkManager)),
            ("Scientific Linux 7.9 (Nitrogen)", Some(Ifcfg)),
            ("EuroLinux 9.1 (Dublin)", Some(NetworkManager)),
            ("MIRACLE LINUX 8.8 (Peony)", Some(Ifcfg)),
            ("CloudLinux 8.9 (Anatoly Levchenko)", Some(Ifcfg)),
            // Of a known family, but which release it is remains open.
            ("CentOS Stream", None),
            ("Rocky Linux", None),
            // Not configured with what their names suggest.
            ("Red Hat Enterprise Linux CoreOS 414.92.202402130420-0 (Plow)", None),
            ("Fedora CoreOS 39.20240128.3.0", None),
            ("CentOS Atomic Host 7", None),
            // Others.
            ("Fedora Linux 39 (Server Edition)", None),
            ("Amazon Linux 2", None),
            ("Amazon Linux 2023.3.20240219", None),
            ("SUSE Linux Enterprise Server 15 SP5", None),
            ("openSUSE Leap 15.5", None),
            ("Flatcar Container Linux by Kinvolk 3815.2.0 (Oklo)", None),
            ("Talos (v1.6.4)", None),
            ("Bottlerocket OS 1.19.1 (aws-k8s-1.28)", None),
            ("Container-Optimized OS from Google", None),
            ("VMware Photon OS/Linux", None),
            ("Alpine Linux v3.18", None),
            ("Arch Linux", None),
            ("openEuler 22.03 (LTS-SP3)", None),
            ("Anolis OS 8.8", None),
            ("K3s dev", None),
            ("Windows Server 2022 Datacenter", None),
            ("Rockylike 9", None),
            ("", None),
        ] {
            assert_eq!(detect(image), kind, "{image}");
        }
    }
}
