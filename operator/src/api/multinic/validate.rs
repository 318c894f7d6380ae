//! Whether a spec can be carried out: the decision of the CRD's schema and CEL rules, in Rust.
//!
//! The API server makes this decision first. It is made again here for objects that were stored before a rule was, and
//! to parse once: what comes out is made of newtypes, and nobody looks at the strings again. Pure.

use std::collections::BTreeMap;

use crate::api::names::{Addressing, InterfaceId, InterfaceName, MacAddress, Mtu, ParseError};

use super::{InterfaceSpec, MultiNicNodeConfigSpec};

/// The most interfaces a node can have.
const INTERFACES_MAX: usize = 10;
/// The longest name an object can have.
const NODE_NAME_BYTES_MAX: usize = 253;
/// The bounds of the two texts nothing else is known about.
const INSTANCE_ID_CHARS_MAX: usize = 128;
const PORT_ID_CHARS_MAX: usize = 253;

/// A spec that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInterfaces {
    /// The node.
    pub node: String,
    /// Its interfaces, in the order of the spec: from one to ten, each with its own id, MAC, name and address.
    pub interfaces: Vec<Interface>,
}

/// An interface that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Which of the ten.
    pub id: InterfaceId,
    /// The explicit name, or the one its id gives.
    pub name: InterfaceName,
    /// The card.
    pub mac: MacAddress,
    /// Address and network, if it has any.
    pub addressing: Option<Addressing>,
    /// The MTU, if it is not to stay as it is.
    pub mtu: Option<Mtu>,
}

/// Why a spec cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The object has another name than its node.
    #[error("metadata.name {name:?} is not spec.nodeName {node:?}")]
    NotNamedAsNode {
        /// The object's name.
        name: String,
        /// The node's.
        node: String,
    },
    /// There is no such name.
    #[error("spec.nodeName is empty or longer than 253 bytes")]
    NodeName,
    /// A text is longer than it can be.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// None, or more than ten.
    #[error("there are {0} interfaces; there must be from 1 to 10")]
    Count(usize),
    /// An interface's own value.
    #[error("interface {id}: {error}")]
    Interface {
        /// The interface's id.
        id: i32,
        /// What is wrong with it.
        #[source]
        error: ParseError,
    },
    /// One of the two is missing.
    #[error("interface {0}: address and cidr must be given together")]
    AddressWithoutCidr(i32),
    /// The kernel turns IPv6 off on such a link.
    #[error("interface {id}: MTU {mtu} is too small for an IPv6 address, which needs 1280")]
    MtuForIpv6 {
        /// The interface's id.
        id: i32,
        /// Its MTU.
        mtu: u32,
    },
    /// Two interfaces have the same value.
    #[error("interfaces {first} and {second} have the same {what}")]
    Duplicate {
        /// Which value.
        what: &'static str,
        /// The id of one.
        first: i32,
        /// The id of the other.
        second: i32,
    },
}

/// Reads a spec, or says everything that is wrong with it.
///
/// # Errors
/// All violations, in the order of the spec.
pub fn validate(name: &str, spec: &MultiNicNodeConfigSpec) -> Result<NodeInterfaces, Vec<Violation>> {
    let mut violations = Vec::new();
    let node = spec.node_name.clone();
    if node.is_empty() || node.len() > NODE_NAME_BYTES_MAX {
        violations.push(Violation::NodeName);
    }
    if name != node {
        violations.push(Violation::NotNamedAsNode { name: name.to_owned(), node: node.clone() });
    }
    if longer(spec.instance_id.as_deref(), INSTANCE_ID_CHARS_MAX) {
        violations.push(Violation::TooLong("spec.instanceId"));
    }
    if spec.interfaces.is_empty() || spec.interfaces.len() > INTERFACES_MAX {
        violations.push(Violation::Count(spec.interfaces.len()));
    }
    let mut interfaces = Vec::new();
    for raw in &spec.interfaces {
        match interface(raw) {
            Ok(interface) => interfaces.push(interface),
            Err(violation) => violations.push(violation),
        }
    }
    violations.extend(duplicates(&interfaces));
    if violations.is_empty() { Ok(NodeInterfaces { node, interfaces }) } else { Err(violations) }
}

fn longer(text: Option<&str>, chars_max: usize) -> bool {
    text.is_some_and(|text| text.chars().count() > chars_max)
}

fn interface(raw: &InterfaceSpec) -> Result<Interface, Violation> {
    let wrong = |error| Violation::Interface { id: raw.id, error };
    let id = InterfaceId::try_from(raw.id).map_err(wrong)?;
    let name = match &raw.name {
        Some(name) => name.parse().map_err(wrong)?,
        None => InterfaceName::from(id),
    };
    let mac = raw.mac_address.parse().map_err(wrong)?;
    if longer(raw.port_id.as_deref(), PORT_ID_CHARS_MAX) {
        return Err(Violation::TooLong("portId"));
    }
    let addressing = match (&raw.address, &raw.cidr) {
        (Some(address), Some(cidr)) => Some(Addressing::parse(address, cidr).map_err(wrong)?),
        (None, None) => None,
        _ => return Err(Violation::AddressWithoutCidr(raw.id)),
    };
    let mtu = raw.mtu.map(Mtu::try_from).transpose().map_err(wrong)?;
    if let (Some(mtu), Some(addressing)) = (mtu, addressing)
        && addressing.address().is_ipv6()
        && mtu.bytes() < Mtu::MIN_IPV6
    {
        return Err(Violation::MtuForIpv6 { id: raw.id, mtu: mtu.bytes() });
    }
    Ok(Interface { id, name, mac, addressing, mtu })
}

fn duplicates(interfaces: &[Interface]) -> Vec<Violation> {
    let mut found = Vec::new();
    duplicates_of("id", interfaces, |interface| Some(interface.id), &mut found);
    duplicates_of("MAC address", interfaces, |interface| Some(interface.mac), &mut found);
    duplicates_of("name", interfaces, |interface| Some(interface.name), &mut found);
    duplicates_of("address", interfaces, |interface| Some(interface.addressing?.address()), &mut found);
    found
}

fn duplicates_of<V: Ord>(
    what: &'static str,
    interfaces: &[Interface],
    value: impl Fn(&Interface) -> Option<V>,
    found: &mut Vec<Violation>,
) {
    let mut seen = BTreeMap::new();
    for interface in interfaces {
        let id = i32::from(interface.id.number());
        let Some(value) = value(interface) else { continue };
        if let Some(first) = seen.insert(value, id) {
            found.push(Violation::Duplicate { what, first, second: id });
        }
    }
}
