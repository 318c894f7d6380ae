//! What the agent may ask of its host: links, addresses, routes, rules, sysctls and a few directories of files.
//!
//! Everything the agent learns or changes goes through [`Host`], so that it runs unchanged on a real kernel
//! (`linux`), on a simulated node and in memory. Implementations keep the kernel's semantics: for example, taking a
//! link down removes the routes through it and its IPv6 addresses, and deleting a primary IPv4 address may take
//! secondary ones with it. The agent looks again after every change and does not rely on any of that.

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(test)]
pub(crate) mod memory;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The main routing table.
pub const TABLE_MAIN: u32 = 254;

/// The table of the kernel's own local and broadcast routes; [`Host::routes`] leaves it out.
pub const TABLE_LOCAL: u32 = 255;

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads six hexadecimal octets, separated by colons or dashes, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next()?;
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            *octet = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A network link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it; stays the same when the link is renamed.
    pub index: u32,
    /// The device name.
    pub name: String,
    /// The MAC address; none for links without one.
    pub mac: Option<Mac>,
    /// Administratively up.
    pub up: bool,
    /// Bytes.
    pub mtu: u32,
    /// The kind of a virtual link (`vlan`, `bond`, `macvlan`, `veth`, …); none for a physical one.
    pub kind: Option<String>,
    /// The bond, bridge or team it belongs to.
    pub master: Option<u32>,
    /// The loopback link.
    pub loopback: bool,
    /// Alternative names, in the kernel's order.
    pub alt_names: Vec<String>,
}

/// An address of a link, of any scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// [`Link::index`].
    pub link: u32,
    /// The address with its prefix length, host bits kept.
    pub net: IpNet,
    /// The kernel made, or is to make, no route to the network in the main table.
    pub no_prefix_route: bool,
    /// Has global scope.
    pub global: bool,
    /// Added for good; false for addresses with a lifetime (DHCP, router advertisements).
    pub permanent: bool,
}

/// A unicast route with at most one next hop through a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// [`Link::index`] of the outgoing link.
    pub link: u32,
    /// The destination, masked; prefix length 0 for the default route.
    pub to: IpNet,
    /// The next hop; none when the destination is on the link.
    pub via: Option<IpAddr>,
    /// The routing table.
    pub table: u32,
    /// The priority; lower wins.
    pub metric: u32,
    /// The preferred source address.
    pub src: Option<IpAddr>,
    /// Made by the kernel itself, together with an address or a link's state.
    pub kernel: bool,
}

/// A policy rule that looks up a table for packets from a source network, and has no other condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The source network, masked.
    pub from: IpNet,
    /// The table looked up.
    pub table: u32,
    /// Lower is asked first.
    pub priority: u32,
}

/// A directory the agent may use. There are no others, so no path can leave them.
///
/// The order counts: of an interface's files the first is written first and removed last, and that must be the one with
/// the record of what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dir {
    /// netplan's.
    Netplan,
    /// The ifcfg files'.
    NetworkScripts,
    /// systemd's `.link` files'.
    SystemdNetwork,
    /// NetworkManager's keyfiles'.
    SystemConnections,
}

impl Dir {
    /// Every directory.
    pub const ALL: [Self; 4] = [Self::Netplan, Self::NetworkScripts, Self::SystemdNetwork, Self::SystemConnections];

    /// The absolute path on the host.
    pub fn path(self) -> &'static str {
        match self {
            Self::Netplan => "/etc/netplan",
            Self::NetworkScripts => "/etc/sysconfig/network-scripts",
            Self::SystemConnections => "/etc/NetworkManager/system-connections",
            Self::SystemdNetwork => "/etc/systemd/network",
        }
    }
}

/// A file directly inside one of the agent's directories.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileRef {
    dir: Dir,
    name: String,
}

impl FileRef {
    /// Names a file; none when the name is not a plain file name.
    pub fn new(dir: Dir, name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
        plain.then_some(Self { dir, name })
    }

    /// The directory.
    pub fn dir(&self) -> Dir {
        self.dir
    }

    /// The name in the directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The absolute path on the host.
    pub fn path(&self) -> String {
        format!("{}/{}", self.dir.path(), self.name)
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// What a file holds, and who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// The content.
    pub bytes: Vec<u8>,
    /// The permission bits.
    pub mode: u32,
}

/// A per-link IPv4 sysctl the agent sets, `net.ipv4.conf.<link>.<key>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sysctl {
    /// `rp_filter`.
    #[serde(rename = "rp_filter")]
    RpFilter,
    /// `arp_ignore`.
    #[serde(rename = "arp_ignore")]
    ArpIgnore,
    /// `arp_announce`.
    #[serde(rename = "arp_announce")]
    ArpAnnounce,
}

impl Sysctl {
    /// Every sysctl.
    pub const ALL: [Self; 3] = [Self::RpFilter, Self::ArpIgnore, Self::ArpAnnounce];

    /// The last part of its name.
    pub fn key(self) -> &'static str {
        match self {
            Self::RpFilter => "rp_filter",
            Self::ArpIgnore => "arp_ignore",
            Self::ArpAnnounce => "arp_announce",
        }
    }
}

/// What went wrong, as far as it matters to what the agent does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostErrorKind {
    /// The thing is not there (`ENOENT`, `ENODEV`, `ESRCH`, `EADDRNOTAVAIL` on removal).
    NotFound,
    /// The thing, or its name, is there already (`EEXIST`).
    Exists,
    /// The thing cannot change in its present state (`EBUSY`).
    Busy,
    /// Not allowed (`EPERM`, `EACCES`), or the file system is read-only (`EROFS`).
    Denied,
    /// The host does not accept the value (`EINVAL`, `ERANGE`, `EADDRNOTAVAIL`, …).
    Invalid,
    /// No answer in time.
    Timeout,
    /// Anything else.
    Other,
}

/// An operation on the host failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {detail}")]
pub struct HostError {
    /// What went wrong.
    pub kind: HostErrorKind,
    /// The operation and the object, like `set mtu of eth1`.
    pub operation: String,
    /// The host's own words, like `Device or resource busy (os error 16)`.
    pub detail: String,
}

impl HostError {
    /// An error.
    pub fn new(kind: HostErrorKind, operation: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, operation: operation.into(), detail: detail.into() }
    }
}

/// The result of an operation on the host.
pub type HostResult<T> = Result<T, HostError>;

/// A node's network and configuration files.
///
/// Links are named by index, since names change. Removing what is not there is a [`HostErrorKind::NotFound`] error,
/// adding what is there an [`HostErrorKind::Exists`] error.
pub trait Host: Sync {
    /// Every link.
    fn links(&self) -> impl Future<Output = HostResult<Vec<Link>>> + Send;
    /// Every address.
    fn addresses(&self) -> impl Future<Output = HostResult<Vec<Address>>> + Send;
    /// Every unicast route through one link, of both families and all tables but [`TABLE_LOCAL`].
    fn routes(&self) -> impl Future<Output = HostResult<Vec<Route>>> + Send;
    /// Every rule that a [`Rule`] can describe, of both families.
    fn rules(&self) -> impl Future<Output = HostResult<Vec<Rule>>> + Send;

    /// Renames a link. [`HostErrorKind::Busy`] where the kernel wants it down for that.
    fn set_name(&self, link: u32, name: &str) -> impl Future<Output = HostResult<()>> + Send;
    /// Sets a link's MTU.
    fn set_mtu(&self, link: u32, mtu: u32) -> impl Future<Output = HostResult<()>> + Send;
    /// Brings a link up or down.
    fn set_up(&self, link: u32, up: bool) -> impl Future<Output = HostResult<()>> + Send;

    /// Adds an address.
    fn add_address(&self, address: &Address) -> impl Future<Output = HostResult<()>> + Send;
    /// Removes an address.
    fn del_address(&self, address: &Address) -> impl Future<Output = HostResult<()>> + Send;
    /// Adds a route.
    fn add_route(&self, route: &Route) -> impl Future<Output = HostResult<()>> + Send;
    /// Removes a route.
    fn del_route(&self, route: &Route) -> impl Future<Output = HostResult<()>> + Send;
    /// Adds a rule.
    fn add_rule(&self, rule: &Rule) -> impl Future<Output = HostResult<()>> + Send;
    /// Removes a rule.
    fn del_rule(&self, rule: &Rule) -> impl Future<Output = HostResult<()>> + Send;

    /// Reads a link's sysctl, without the line end. The link goes by its present name.
    fn sysctl(&self, link: &str, key: Sysctl) -> impl Future<Output = HostResult<String>> + Send;
    /// Sets a link's sysctl.
    fn set_sysctl(&self, link: &str, key: Sysctl, value: &str) -> impl Future<Output = HostResult<()>> + Send;

    /// The names of the regular files in a directory, sorted. [`HostErrorKind::NotFound`] without the directory.
    fn list_files(&self, dir: Dir) -> impl Future<Output = HostResult<Vec<String>>> + Send;
    /// Reads a file.
    fn read_file(&self, file: &FileRef) -> impl Future<Output = HostResult<FileContent>> + Send;
    /// Writes a file so that it is there whole, with its mode and safe on disk, or as it was before.
    fn write_file(&self, file: &FileRef, content: &FileContent) -> impl Future<Output = HostResult<()>> + Send;
    /// Removes a file.
    fn remove_file(&self, file: &FileRef) -> impl Future<Output = HostResult<()>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_in_every_usual_spelling_and_nothing_else_is() {
        for (text, octets) in [
            ("fa:16:3e:f3:b0:3f", Some([0xfa, 0x16, 0x3e, 0xf3, 0xb0, 0x3f])),
            ("FA:16:3E:F3:B0:3F", Some([0xfa, 0x16, 0x3e, 0xf3, 0xb0, 0x3f])),
            ("fa-16-3e-F3-b0-3f", Some([0xfa, 0x16, 0x3e, 0xf3, 0xb0, 0x3f])),
            ("fa:16:3e:f3:b0", None),
            ("fa:16:3e:f3:b0:3f:00", None),
            ("fa:16-3e:f3:b0:3f", None),
            ("fa:16:3e:f3:b0:+f", None),
            ("fa:16:3e:f3:b0:3ﬀ", None),
            ("", None),
        ] {
            assert_eq!(Mac::parse(text).map(|mac| mac.0), octets, "{text}");
        }
    }

    #[test]
    fn a_file_reference_cannot_leave_its_directory() {
        for name in ["", ".", "..", "../shadow", "a/b", "/etc/passwd", "a\0b"] {
            assert_eq!(FileRef::new(Dir::Netplan, name), None, "{name:?}");
        }
        let file = FileRef::new(Dir::Netplan, "91-multinic1.yaml").unwrap();
        assert_eq!(file.path(), "/etc/netplan/91-multinic1.yaml");
    }
}
