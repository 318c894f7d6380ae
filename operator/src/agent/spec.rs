//! From the spec as it was sent to interfaces that can be carried out. Pure.
//!
//! An interface that makes no sense fails alone; a spec that makes no sense as a whole is bad input.

use std::net::IpAddr;

use ipnet::IpNet;

use super::host::{Mac, TABLE_LOCAL};
use super::record::Applied;
use crate::api::agent::{AgentInterface, AgentSettings, AgentSpec, MAX_INTERFACES, Reason};
use crate::api::names::{Addressing, InterfaceId, InterfaceName, MacAddress, Mtu, ParseError};

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

/// What can be carried out is what the custom resource's own rules accept.
fn wanted(interface: &AgentInterface, settings: &AgentSettings) -> Result<Wanted, Failure> {
    let invalid = |message: String| Failure::new(Reason::InvalidSpec, message);
    let wrong = |error: ParseError| invalid(error.to_string());
    let AgentInterface { id, name, mac, address, cidr, mtu } = interface;
    let id = InterfaceId::try_from(i32::from(*id)).map_err(wrong)?.number();
    let name: InterfaceName = name.parse().map_err(wrong)?;
    let number = number_of(&name.to_string()).ok_or_else(|| wrong(ParseError::Name(name.to_string())))?;
    let mac = Mac(mac.parse::<MacAddress>().map_err(wrong)?.octets());
    let mtu = mtu.map(|mtu| Mtu::try_from(i32::try_from(mtu).unwrap_or(i32::MAX))).transpose().map_err(wrong)?;
    let mtu = mtu.map(Mtu::bytes);
    let address = match (address, cidr) {
        (None, None) => None,
        (Some(address), Some(cidr)) => Some(address_in(*address, *cidr)?),
        _ => return Err(invalid("address and CIDR must be given together".to_owned())),
    };
    if let (Some(IpNet::V6(_)), Some(mtu)) = (address, mtu.filter(|mtu| *mtu < Mtu::MIN_IPV6)) {
        return Err(invalid(format!("IPv6 needs an MTU of at least {}, not {mtu}", Mtu::MIN_IPV6)));
    }
    let routing = address.filter(|_| settings.policy_routing).map(|_| {
        let table = settings.routing_table_base + u32::from(id);
        Routing { table, metric: settings.route_metric + u32::from(id), priority: RULE_PRIORITY_BASE + table }
    });
    Ok(Wanted { id, number, mac, address, mtu, routing })
}

/// The address with the network's prefix, if an interface can have it.
fn address_in(address: IpAddr, cidr: IpNet) -> Result<IpNet, Failure> {
    let invalid = |message: String| Failure::new(Reason::InvalidSpec, message);
    let addressing =
        Addressing::parse(&address.to_string(), &cidr.to_string()).map_err(|error| invalid(error.to_string()))?;
    IpNet::new(addressing.address(), addressing.network().prefix_len()).map_err(|error| invalid(error.to_string()))
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
            (AgentInterface { id: 10, ..interface() }, "id 10 is not from 0 to 9"),
            (
                AgentInterface { name: "multinic10".into(), ..interface() },
                "name \"multinic10\" is not multinic0 to multinic9",
            ),
            (
                AgentInterface { mac: "fa:16:3e:f3:b0".into(), ..interface() },
                "MAC address \"fa:16:3e:f3:b0\" is not six pairs of hexadecimal digits with colons between them",
            ),
            (AgentInterface { mtu: Some(67), ..interface() }, "MTU 67 is not from 68 to 9000"),
            (AgentInterface { mtu: Some(u32::MAX), ..interface() }, "MTU 2147483647 is not from 68 to 9000"),
            (AgentInterface { cidr: None, ..interface() }, "address and CIDR must be given together"),
            (AgentInterface { address: None, ..interface() }, "address and CIDR must be given together"),
            (at("11.11.12.33", "11.11.11.33/24"), "address 11.11.12.33 is outside 11.11.11.33/24"),
            (at("fd00::1", "11.11.11.0/24"), "address fd00::1 is outside 11.11.11.0/24"),
            (at("11.11.11.33", "0.0.0.0/0"), "CIDR \"0.0.0.0/0\" is every address there is"),
            (
                at("11.11.11.0", "11.11.11.0/24"),
                "address 11.11.11.0 is the network or broadcast address of 11.11.11.0/24",
            ),
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
            ("11.11.11.1", "11.11.11.0/24", Some(9000)),
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
            (AgentInterface { mac: "FA:16:3e:f3:b0:3f".into(), ..other() }, "MAC fa:16:3e:f3:b0:3f"),
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
