//! Newtypes for what a spec says in strings and numbers, so that a parsed value cannot be confused with a raw one.
//!
//! Parsing here accepts exactly what the schema and the CEL rules of the CRD accept, and what the agent can carry out.
//! Pure.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A number from 0 to 9: which of a node's ten interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(u8);

impl InterfaceId {
    /// The highest id.
    pub const MAX: u8 = 9;

    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<i32> for InterfaceId {
    type Error = ParseError;

    fn try_from(value: i32) -> Result<Self, ParseError> {
        match u8::try_from(value) {
            Ok(id) if id <= Self::MAX => Ok(Self(id)),
            _ => Err(ParseError::Id(value)),
        }
    }
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The device name of an interface: `multinic0` to `multinic9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(u8);

impl InterfaceName {
    const PREFIX: &'static str = "multinic";
}

/// The name of an interface that has none of its own.
impl From<InterfaceId> for InterfaceName {
    fn from(id: InterfaceId) -> Self {
        Self(id.0)
    }
}

impl FromStr for InterfaceName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.strip_prefix(Self::PREFIX).map(str::as_bytes) {
            Some([digit @ b'0'..=b'9']) => Ok(Self(digit - b'0')),
            _ => Err(ParseError::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

/// The MAC address of one network card: neither a group address nor all zero. Shown in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The lowest bit of the first octet marks an address of many cards.
    const GROUP_BIT: u8 = 1;

    /// The six octets.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let malformed = || ParseError::Mac(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(malformed)?;
            // `from_str_radix` takes a sign too, so the digits are looked at first.
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(malformed());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        if octets[0] & Self::GROUP_BIT != 0 || octets == [0; 6] {
            return Err(ParseError::MacNotOneCard(text.to_owned()));
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

/// The largest packet of an interface, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtu(u32);

impl Mtu {
    /// The least an IPv4 link can have.
    pub const MIN: u32 = 68;
    /// The least a link with an IPv6 address can have: the kernel turns IPv6 off below it.
    pub const MIN_IPV6: u32 = 1280;
    /// Jumbo frames.
    pub const MAX: u32 = 9000;

    /// Bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }
}

impl TryFrom<i32> for Mtu {
    type Error = ParseError;

    fn try_from(value: i32) -> Result<Self, ParseError> {
        match u32::try_from(value) {
            Ok(bytes) if (Self::MIN..=Self::MAX).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(ParseError::Mtu(value)),
        }
    }
}

/// An address and the network it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addressing {
    address: IpAddr,
    network: IpNet,
}

impl Addressing {
    /// Reads an address and its network; the latter may have host bits, as in `11.11.11.33/24`.
    ///
    /// # Errors
    /// When one of them cannot be read, or the address is none that a host in that network can have.
    pub fn parse(address: &str, cidr: &str) -> Result<Self, ParseError> {
        let ip = parse_ip(address)?;
        let network = parse_network(cidr)?;
        if !network.contains(&ip) {
            return Err(ParseError::Outside { address: address.to_owned(), cidr: cidr.to_owned() });
        }
        let reserved = match network {
            // Point-to-point networks have neither a network nor a broadcast address (RFC 3021, RFC 6164).
            IpNet::V4(net) => net.prefix_len() < 31 && (ip == net.network() || ip == net.broadcast()),
            IpNet::V6(net) => net.prefix_len() < 127 && ip == net.network(),
        };
        if reserved {
            return Err(ParseError::Reserved { address: address.to_owned(), cidr: cidr.to_owned() });
        }
        Ok(Self { address: ip, network })
    }

    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The network, without host bits.
    pub fn network(&self) -> IpNet {
        self.network
    }
}

/// An address as the CRD takes it: canonical Go and Kubernetes rules, so no IPv4 inside IPv6, and one host's.
pub(crate) fn parse_ip(text: &str) -> Result<IpAddr, ParseError> {
    let ip: IpAddr = text.parse().map_err(|_| ParseError::Address(text.to_owned()))?;
    let one_host = match ip {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_link_local() || v4.is_broadcast())
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => return Err(ParseError::Address(text.to_owned())),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local()),
    };
    if one_host { Ok(ip) } else { Err(ParseError::AddressNotOneHost(text.to_owned())) }
}

/// A network as the CRD takes it; host bits are dropped.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, ParseError> {
    let malformed = || ParseError::Cidr(text.to_owned());
    let (ip, prefix) = text.split_once('/').ok_or_else(malformed)?;
    // Go refuses `/08` and `/+8`, which Rust's integer parser would take.
    if prefix.is_empty()
        || !prefix.bytes().all(|byte| byte.is_ascii_digit())
        || prefix.starts_with('0') && prefix != "0"
    {
        return Err(malformed());
    }
    let ip: IpAddr = ip.parse().map_err(|_| malformed())?;
    if matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(malformed());
    }
    let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
    if prefix == 0 {
        return Err(ParseError::Everything(text.to_owned()));
    }
    Ok(IpNet::new(ip, prefix).map_err(|_| malformed())?.trunc())
}

/// The identity of a machine: the provider's instance id, and what the firmware shows as system UUID.
///
/// Compared without case, blanks and hyphens. Firmware before SMBIOS 2.6 shows the first three groups in the other
/// byte order, so a UUID is equal to that form of itself too.
#[derive(Clone, Debug, Eq)]
pub struct MachineId(String);

impl MachineId {
    /// Reads an id; `None` where the text holds nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let id: String =
            text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        (!id.is_empty()).then_some(Self(id))
    }

    /// The same UUID as older firmware shows it.
    fn swapped(&self) -> Option<String> {
        let id = &self.0;
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let pair = |at: usize| &id[at * 2..at * 2 + 2];
        let first: String = [3, 2, 1, 0, 5, 4, 7, 6].into_iter().map(pair).collect();
        Some(first + &id[16..])
    }
}

impl PartialEq for MachineId {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.swapped().is_some_and(|swapped| swapped == other.0)
    }
}

/// A value that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not an interface id.
    #[error("id {0} is not from 0 to 9")]
    Id(i32),
    /// Not an interface name.
    #[error("name {0:?} is not multinic0 to multinic9")]
    Name(String),
    /// Not a MAC address.
    #[error("MAC address {0:?} is not six pairs of hexadecimal digits with colons between them")]
    Mac(String),
    /// A MAC address that no single card has.
    #[error("MAC address {0:?} is not that of one network card")]
    MacNotOneCard(String),
    /// Not an MTU.
    #[error("MTU {0} is not from 68 to 9000")]
    Mtu(i32),
    /// Not an IP address.
    #[error("address {0:?} is not an IPv4 or IPv6 address")]
    Address(String),
    /// An IP address that no single host can be reached at.
    #[error("address {0:?} is not a unicast address that a network card can have")]
    AddressNotOneHost(String),
    /// Not a network.
    #[error("CIDR {0:?} is not a network like 192.0.2.0/24 or 2001:db8::/64")]
    Cidr(String),
    /// The network of all addresses.
    #[error("CIDR {0:?} is every address there is")]
    Everything(String),
    /// The address is in another network.
    #[error("address {address} is outside {cidr}")]
    Outside {
        /// The address.
        address: String,
        /// The network.
        cidr: String,
    },
    /// The address is the network's own or its broadcast address.
    #[error("address {address} is the network or broadcast address of {cidr}")]
    Reserved {
        /// The address.
        address: String,
        /// The network.
        cidr: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_read_in_every_case_and_shown_in_one() {
        let mac: MacAddress = "FA:16:3e:F3:b0:3F".parse().unwrap();
        assert_eq!(mac.to_string(), "fa:16:3e:f3:b0:3f");
        for bad in [
            "",
            "fa:16:3e:f3:b0",
            "fa:16:3e:f3:b0:3f:00",
            "fa-16-3e-f3-b0-3f",
            "fa163ef3b03f",
            "fa:16:3e:f3:b0:3g",
            "f:16:3e:f3:b0:3f",
            " fa:16:3e:f3:b0:3f",
            "+a:16:3e:f3:b0:3f",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_addresses_that_a_host_of_the_network_can_have_are_taken() {
        for (address, cidr, ok) in [
            ("11.11.11.33", "11.11.11.0/24", true),
            ("11.11.11.33", "11.11.11.33/24", true),
            ("11.11.11.0", "11.11.11.0/24", false),
            ("11.11.11.255", "11.11.11.0/24", false),
            ("11.11.11.0", "11.11.11.0/31", true),
            ("11.11.11.1", "11.11.11.1/32", true),
            ("11.11.12.1", "11.11.11.0/24", false),
            ("2001:db8::1", "2001:db8::/64", true),
            ("2001:DB8:0::1", "2001:db8::/64", true),
            ("2001:db8::", "2001:db8::/64", false),
            ("2001:db8::", "2001:db8::/127", true),
            ("2001:db8::1", "11.11.11.0/24", false),
            ("::ffff:11.11.11.33", "::ffff:11.11.11.0/120", false),
            ("fe80::1", "fe80::/64", false),
            ("169.254.1.1", "169.254.0.0/16", false),
            ("127.0.0.2", "127.0.0.0/8", false),
            ("224.0.0.5", "224.0.0.0/24", false),
            ("1.2.3.4", "0.0.0.0/0", false),
            ("11.11.11.033", "11.11.11.0/24", false),
            ("11.11.11.33", "11.11.11.0/024", false),
            ("11.11.11.33", "11.11.11.0/33", false),
            ("11.11.11.33", "11.11.11.0", false),
        ] {
            assert_eq!(Addressing::parse(address, cidr).is_ok(), ok, "{address} in {cidr}");
        }
        let host_bits = Addressing::parse("11.11.11.33", "11.11.11.33/24").unwrap();
        assert_eq!(host_bits.network().to_string(), "11.11.11.0/24");
    }

    #[test]
    fn a_machine_is_recognised_in_every_spelling_of_its_uuid() {
        let nova = MachineId::parse("b4975c7c-4b8a-4e8c-9f3e-0123456789ab").unwrap();
        for (other, same) in [
            (" B4975C7C-4B8A-4E8C-9F3E-0123456789AB\n", true),
            ("b4975c7c4b8a4e8c9f3e0123456789ab", true),
            ("7c5c97b4-8a4b-8c4e-9f3e-0123456789ab", true),
            ("b4975c7c-4b8a-4e8c-9f3e-0123456789ac", false),
            ("b4975c7c", false),
        ] {
            assert_eq!(nova == MachineId::parse(other).unwrap(), same, "{other}");
        }
        assert_eq!(MachineId::parse(" - "), None);
        assert_eq!(MachineId::parse("i-0ABC"), MachineId::parse("i-0abc"));
    }

    #[test]
    fn names_and_numbers_end_at_nine() {
        assert_eq!("multinic9".parse::<InterfaceName>().unwrap().to_string(), "multinic9");
        for bad in ["multinic", "multinic10", "multinic-1", "Multinic1", "eth0", "multinic1 "] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
        assert!(
            InterfaceId::try_from(9).is_ok()
                && InterfaceId::try_from(10).is_err()
                && InterfaceId::try_from(-1).is_err()
        );
        for (mtu, ok) in [(67, false), (68, true), (9000, true), (9001, false), (-1, false)] {
            assert_eq!(Mtu::try_from(mtu).is_ok(), ok, "{mtu}");
        }
    }
}
