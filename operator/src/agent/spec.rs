//! From the spec as it was sent to interfaces that can be carried out. Pure.
//!
//! An interface that makes no sense fails alone; a spec that makes no sense as a whole is bad input.

use std::net::IpAddr;

use ipnet::IpNet;

use super::host::{Mac, TABLE_LOCAL};
use super::record::Applied;
use crate::api::agent::{AgentInterface, AgentSettings, AgentSpec, MAX_INTERFACES, Reason};

/// Smallest MTU: every IPv4 host must take this much.
const MTU_MIN: u32 = 68;
/// Largest MTU: jumbo frames.
const MTU_MAX: u32 = 9000;
/// Smallest MTU with which the kernel keeps IPv6 on a link.
const MTU_MIN_IPV6: u32 = 1280;
/// Rules of interface N have this priority plus its table: before the main table (32766), and the same after a reboot.
const RULE_PRIORITY_BASE: u32 = 10_000;
/// The lowest table of the kernel's own three (253 to 255).
const TABLE_DEFAULT: u32 = 253;
/// Keeps every number made from a base far from overflow, and rule priorities before the main table's.
const BASE_MAX: u32 = 20_000;

/// An interface that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its id in the spec.
    pub(super) id: u8,
    /// The number in its name, which its files carry too.
    pub(super) number: u8,
    /// The link it is.
    pub(super) mac: Mac,
    /// Its address with the prefix of its network.
    pub(super) address: Option<IpNet>,
    /// Its MTU.
    pub(super) mtu: Option<u32>,
    /// Routing table, metric and rule priority; none without an address or without policy routing.
    pub(super) routing: Option<Routing>,
}

/// Where an interface's packets are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Routing {
    /// Its own table.
    pub(super) table: u32,
    /// The metric of its route there.
    pub(super) metric: u32,
    /// The priority of the rule that leads there.
    pub(super) priority: u32,
}

impl Wanted {
    /// Its name.
    pub(super) fn name(&self) -> String {
        name_of(self.number)
    }

    /// The address and table a record of this interface names.
    pub(super) fn applied(&self) -> Option<Applied> {
        Some(Applied { address: self.address?, table: self.routing.map(|routing| routing.table) })
    }
}

/// Why an interface cannot be carried out, or could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The kind.
    pub(super) reason: Reason,
    /// The details.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The name of the interface with a number.
pub(super) fn name_of(number: u8) -> String {
    format!("multinic{number}")
}

/// The number in a name of ours.
pub(super) fn number_of(name: &str) -> Option<u8> {
    match name.strip_prefix("multinic")?.as_bytes() {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        _ => None,
    }
}

/// The network with only one address in it.
pub(super) fn host_net(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// Checks the spec as a whole.
pub(super) fn check(spec: &AgentSpec, node: Option<&str>) -> Result<(), Failure> {
    let bad = |message: String| Err(Failure::new(Reason::InvalidInput, message));
    if let Some(node) = node.filter(|node| *node != spec.node_name) {
        return bad(format!("the spec is for node {:?}, this is {node:?}", spec.node_name));
    }
    if spec.interfaces.len() > MAX_INTERFACES {
        return bad(format!("{} interfaces; at most {MAX_INTERFACES} are possible", spec.interfaces.len()));
    }
    let AgentSettings { routing_table_base: base, route_metric: metric, .. } = spec.settings;
    if base == 0 || base > BASE_MAX || (base <= TABLE_LOCAL && base + 9 >= TABLE_DEFAULT) {
        return bad(format!(
            "routing table base {base}: tables {base} to {base}+9 must be between 1 and {BASE_MAX}, and not the kernel's own 253 to 255"
        ));
    }
    if metric > BASE_MAX {
        return bad(format!("route metric {metric}: it can be at most {BASE_MAX}"));
    }
    Ok(())
}

/// What each interface of the spec comes to, in its order.
pub(super) fn interfaces(spec: &AgentSpec) -> Vec<Result<Wanted, Failure>> {
    let each: Vec<_> = spec.interfaces.iter().map(|interface| wanted(interface, &spec.settings)).collect();
    spec.interfaces
        .iter()
        .zip(&each)
        .enumerate()
        .map(|(index, (interface, result))| {
            let others =
                || spec.interfaces.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, o)| o);
            match others().find_map(|other| shared(interface, other)) {
                Some(what) => Err(Failure::new(Reason::Conflict, format!("another interface has the same {what}"))),
                None => result.clone(),
            }
        })
        .collect()
}

/// What two interfaces must not share, and do.
fn shared(a: &AgentInterface, b: &AgentInterface) -> Option<String> {
    if a.id == b.id {
        return Some(format!("id {}", a.id));
    }
    if a.name == b.name {
        return Some(format!("name {}", a.name));
    }
    if let (Some(mac), Some(other)) = (Mac::parse(&a.mac), Mac::parse(&b.mac))
        && mac == other
    {
        return Some(format!("MAC {mac}"));
    }
    let address = a.address.filter(|address| b.address == Some(*address))?;
    Some(format!("address {address}"))
}

fn wanted(interface: &AgentInterface, settings: &AgentSettings) -> Result<Wanted, Failure> {
    let invalid = |message: String| Failure::new(Reason::InvalidSpec, message);
    let AgentInterface { id, name, mac, address, cidr, mtu } = interface;
    if *id > 9 {
        return Err(invalid(format!("id {id} is not one of 0 to 9")));
    }
    let number = number_of(name).ok_or_else(|| invalid("the name is not one of multinic0 to multinic9".to_owned()))?;
    let mac = Mac::parse(mac).ok_or_else(|| invalid("the MAC address is not six hexadecimal octets".to_owned()))?;
    if let Some(mtu) = mtu.filter(|mtu| !(MTU_MIN..=MTU_MAX).contains(mtu)) {
        return Err(invalid(format!("MTU {mtu} is not one of {MTU_MIN} to {MTU_MAX}")));
    }
    let address = match (address, cidr) {
        (None, None) => None,
        (Some(_), None) => return Err(invalid("an address without a CIDR".to_owned())),
        (None, Some(_)) => return Err(invalid("a CIDR without an address".to_owned())),
        (Some(address), Some(cidr)) => Some(address_in(*address, *cidr).map_err(invalid)?),
    };
    if let (Some(IpNet::V6(_)), Some(mtu)) = (address, mtu.filter(|mtu| *mtu < MTU_MIN_IPV6)) {
        return Err(invalid(format!("IPv6 needs an MTU of at least {MTU_MIN_IPV6}, not {mtu}")));
    }
    let routing = address.filter(|_| settings.policy_routing).map(|_| {
        let table = settings.routing_table_base + u32::from(*id);
        Routing { table, metric: settings.route_metric + u32::from(*id), priority: RULE_PRIORITY_BASE + table }
    });
    Ok(Wanted { id: *id, number, mac, address, mtu: *mtu, routing })
}

/// The address with the network's prefix, if an interface can have it.
fn address_in(address: IpAddr, cidr: IpNet) -> Result<IpNet, String> {
    if !cidr.contains(&address) {
        return Err(format!("address {address} is outside {}", cidr.trunc()));
    }
    if cidr.prefix_len() == 0 {
        return Err("a CIDR with prefix length 0 is no network of one interface".to_owned());
    }
    let unusable = match address {
        IpAddr::V4(v4) if v4.is_loopback() => Some("a loopback address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("an address of this network"),
        IpAddr::V4(v4) if v4.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.is_unspecified() => Some("the unspecified address"),
        IpAddr::V6(v6) if v6.is_loopback() => Some("the loopback address"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("a multicast address"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4-mapped address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    match unusable {
        Some(what) => Err(format!("{address} is {what}")),
        None => IpNet::new(address, cidr.prefix_len()).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::agent::OsKind;

    fn interface() -> AgentInterface {
        AgentInterface {
            id: 1,
            name: "multinic1".into(),
            mac: "FA:16:3E:F3:B0:3F".into(),
            address: "11.11.11.33".parse().ok(),
            cidr: "11.11.11.0/24".parse().ok(),
            mtu: Some(1450),
        }
    }

    fn spec(interfaces: Vec<AgentInterface>) -> AgentSpec {
        AgentSpec {
            node_name: "node-1".into(),
            config_uid: String::new(),
            generation: 1,
            os: OsKind::Netplan,
            interfaces,
            settings: AgentSettings::default(),
        }
    }

    #[test]
    fn an_interface_gets_table_metric_and_rule_priority_from_its_id_and_files_from_its_name() {
        let wanted = wanted(&AgentInterface { id: 3, ..interface() }, &AgentSettings::default()).unwrap();
        assert_eq!(wanted.number, 1);
        assert_eq!(wanted.address, "11.11.11.33/24".parse().ok());
        assert_eq!(wanted.routing, Some(Routing { table: 103, metric: 103, priority: 10_103 }));
        assert_eq!(wanted.mac.to_string(), "fa:16:3e:f3:b0:3f");
    }

    #[test]
    fn an_interface_that_cannot_be_carried_out_is_refused_with_its_own_message() {
        let at = |address: &str, cidr: &str| AgentInterface {
            address: address.parse().ok(),
            cidr: cidr.parse().ok(),
            ..interface()
        };
        for (interface, message) in [
            (AgentInterface { id: 10, ..interface() }, "id 10 is not one of 0 to 9"),
            (
                AgentInterface { name: "multinic10".into(), ..interface() },
                "the name is not one of multinic0 to multinic9",
            ),
            (AgentInterface { name: "eth0".into(), ..interface() }, "the name is not one of multinic0 to multinic9"),
            (
                AgentInterface { mac: "fa:16:3e:f3:b0".into(), ..interface() },
                "the MAC address is not six hexadecimal octets",
            ),
            (AgentInterface { mtu: Some(67), ..interface() }, "MTU 67 is not one of 68 to 9000"),
            (AgentInterface { mtu: Some(9001), ..interface() }, "MTU 9001 is not one of 68 to 9000"),
            (AgentInterface { cidr: None, ..interface() }, "an address without a CIDR"),
            (AgentInterface { address: None, ..interface() }, "a CIDR without an address"),
            (at("11.11.12.33", "11.11.11.33/24"), "address 11.11.12.33 is outside 11.11.11.0/24"),
            (at("fd00::1", "11.11.11.0/24"), "address fd00::1 is outside 11.11.11.0/24"),
            (at("11.11.11.33", "0.0.0.0/0"), "a CIDR with prefix length 0 is no network of one interface"),
            (at("127.0.0.2", "127.0.0.0/8"), "127.0.0.2 is a loopback address"),
            (at("fe80::1", "fe80::/64"), "fe80::1 is a link-local address"),
            (at("224.0.0.9", "224.0.0.0/8"), "224.0.0.9 is a multicast address"),
            (
                AgentInterface { mtu: Some(1279), ..at("fd00::1", "fd00::/64") },
                "IPv6 needs an MTU of at least 1280, not 1279",
            ),
        ] {
            let failure = wanted(&interface, &AgentSettings::default()).unwrap_err();
            assert_eq!(failure, Failure::new(Reason::InvalidSpec, message));
        }
    }

    #[test]
    fn the_edges_of_what_can_be_carried_out_are_accepted() {
        for (address, cidr, mtu) in [
            ("11.11.11.33", "11.11.11.99/24", Some(68)),
            ("11.11.11.0", "11.11.11.0/24", Some(9000)),
            ("11.11.11.33", "11.11.11.33/32", None),
            ("1.0.0.1", "0.0.0.0/1", None),
            ("fd00::1", "fd00::/64", Some(1280)),
            ("fd00::1", "fd00::1/128", None),
        ] {
            let (address, cidr) = (address.parse().ok(), cidr.parse().ok());
            assert!(wanted(&AgentInterface { address, cidr, mtu, ..interface() }, &AgentSettings::default()).is_ok());
        }
    }

    #[test]
    fn two_interfaces_that_claim_the_same_thing_both_fail_and_a_third_does_not() {
        let other = || AgentInterface {
            id: 2,
            name: "multinic2".into(),
            mac: "fa:16:3e:1e:b2:5f".into(),
            address: "11.11.11.26".parse().ok(),
            ..interface()
        };
        let third = AgentInterface {
            id: 3,
            name: "multinic3".into(),
            mac: "fa:16:3e:96:27:ff".into(),
            address: "11.11.11.27".parse().ok(),
            ..interface()
        };
        for (second, what) in [
            (AgentInterface { id: 1, ..other() }, "id 1"),
            (AgentInterface { name: "multinic1".into(), ..other() }, "name multinic1"),
            (AgentInterface { mac: "fa-16-3e-f3-b0-3f".into(), ..other() }, "MAC fa:16:3e:f3:b0:3f"),
            (AgentInterface { address: interface().address, ..other() }, "address 11.11.11.33"),
        ] {
            let results = interfaces(&spec(vec![interface(), second, third.clone()]));
            let conflict = Failure::new(Reason::Conflict, format!("another interface has the same {what}"));
            assert_eq!(results[0], Err(conflict.clone()));
            assert_eq!(results[1], Err(conflict));
            assert!(results[2].is_ok());
        }
    }

    #[test]
    fn a_spec_for_another_node_or_with_the_kernels_own_tables_is_bad_input() {
        let mut spec = spec(vec![]);
        assert!(check(&spec, None).is_ok());
        assert!(check(&spec, Some("node-1")).is_ok());
        assert_eq!(check(&spec, Some("node-2")).unwrap_err().reason, Reason::InvalidInput);
        for (base, ok) in [
            (0, false),
            (1, true),
            (243, true),
            (244, false),
            (255, false),
            (256, true),
            (20_000, true),
            (20_001, false),
            (u32::MAX, false),
        ] {
            spec.settings.routing_table_base = base;
            assert_eq!(check(&spec, None).is_ok(), ok, "{base}");
        }
    }
}
