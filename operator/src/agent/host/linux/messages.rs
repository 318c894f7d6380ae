//! Netlink messages to the agent's view of a host, and back. Pure.
//!
//! What that view has no words for (multipath routes, rules with more conditions, …) is left out, and so never changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::super::{Address, Link, Mac, Route, Rule, TABLE_LOCAL};

/// A rule without this condition carries it all the same.
const NO_SUPPRESSION: u32 = u32::MAX;

pub(super) fn link(message: LinkMessage) -> Option<Link> {
    let LinkMessage { header, attributes, .. } = message;
    let mut link = Link {
        index: header.index,
        name: String::new(),
        mac: None,
        up: header.flags.contains(LinkFlags::Up),
        mtu: 0,
        kind: None,
        master: None,
        loopback: header.flags.contains(LinkFlags::Loopback),
        alt_names: Vec::new(),
    };
    for attribute in attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(octets) => link.mac = octets.try_into().ok().map(Mac),
            LinkAttribute::Controller(master) => link.master = Some(master),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            LinkAttribute::PropList(properties) => {
                link.alt_names.extend(properties.into_iter().filter_map(|property| match property {
                    Prop::AltIfName(name) => Some(name),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

pub(super) fn address(message: &AddressMessage) -> Option<Address> {
    // The flags of the header are the first eight of those of the attribute, which newer kernels send as well.
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut local, mut peer) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    Some(Address {
        link: message.header.index,
        net: IpNet::new(local.or(peer)?, message.header.prefix_len).ok()?,
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
        global: matches!(message.header.scope, AddressScope::Universe | AddressScope::Site),
        permanent: flags.contains(AddressFlags::Permanent),
    })
}

pub(super) fn to_address(address: &Address) -> AddressMessage {
    let prefix = address.net.prefix_len();
    let mut message = match address.net.addr() {
        IpAddr::V4(v4) => AddressMessageBuilder::<Ipv4Addr>::new().index(address.link).address(v4, prefix).build(),
        IpAddr::V6(v6) => AddressMessageBuilder::<Ipv6Addr>::new().index(address.link).address(v6, prefix).build(),
    };
    if address.no_prefix_route {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    }
    message
}

pub(super) fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let (everywhere, width) = match header.address_family {
        AddressFamily::Inet => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), header.source_prefix_length),
        AddressFamily::Inet6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), header.source_prefix_length),
        _ => return None,
    };
    if header.kind != RouteType::Unicast || width != 0 || header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let (mut to, mut via, mut link, mut src) = (everywhere, None, None, None);
    let (mut table, mut metric) = (u32::from(header.table), 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Gateway(address) => via = Some(ip(address)?),
            RouteAttribute::PrefSource(address) => src = Some(ip(address)?),
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::MultiPath(_)
            | RouteAttribute::Via(_)
            | RouteAttribute::Encap(_)
            | RouteAttribute::EncapType(_)
            | RouteAttribute::NhId(_) => return None,
            _ => {}
        }
    }
    let kernel = matches!(header.protocol, RouteProtocol::Kernel | RouteProtocol::Ra | RouteProtocol::IcmpRedirect);
    let to = IpNet::new(to, header.destination_prefix_length).ok()?;
    (table != TABLE_LOCAL).then_some(Route { link: link?, to, via, table, metric, src, kernel })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// A route as it is made.
pub(super) fn to_route(route: &Route) -> RouteMessage {
    let on_link = route.via.is_none() && matches!(route.to, IpNet::V4(_));
    let mut message = to_any_route(route);
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = if on_link { RouteScope::Link } else { RouteScope::Universe };
    if let Some(src) = route.src {
        message.attributes.push(RouteAttribute::PrefSource(src.into()));
    }
    message
}

/// A route as it is removed, whoever made it.
pub(super) fn to_any_route(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(&route.to);
    message.header.destination_prefix_length = route.to.prefix_len();
    message.header.protocol = RouteProtocol::Unspec;
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unicast;
    // The header has room for small numbers only; the attribute counts.
    message.attributes = vec![
        RouteAttribute::Destination(route.to.addr().into()),
        RouteAttribute::Table(route.table),
        RouteAttribute::Priority(route.metric),
        RouteAttribute::Oif(route.link),
    ];
    message.attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    message
}

pub(super) fn rule(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    if header.action != RuleAction::ToTable || header.dst_len != 0 || header.tos != 0 || !header.flags.is_empty() {
        return None;
    }
    let (mut from, mut table, mut priority) = (None, u32::from(header.table), 0);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => from = Some(*address),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::Protocol(_) => {}
            RuleAttribute::SuppressPrefixLen(length) if *length == NO_SUPPRESSION => {}
            // Any other condition makes it another kind of rule.
            _ => return None,
        }
    }
    Some(Rule { from: IpNet::new(from?, header.src_len).ok()?, table, priority })
}

pub(super) fn to_rule(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(&rule.from);
    message.header.src_len = rule.from.prefix_len();
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Source(rule.from.addr()),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Priority(rule.priority),
    ];
    message
}

fn family(net: &IpNet) -> AddressFamily {
    match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        let route = |to: &str, via: Option<&str>, table, src: Option<&str>| Route {
            link: 7,
            to: to.parse().unwrap(),
            via: via.map(|via| via.parse().unwrap()),
            table,
            metric: 101,
            src: src.map(|src| src.parse().unwrap()),
            kernel: false,
        };
        vec![
            route("11.11.11.0/24", None, 101, Some("11.11.11.33")),
            route("0.0.0.0/0", Some("192.168.0.1"), 254, None),
            route("fd00::/64", None, 20_009, None),
            route("::/0", Some("fd00::1"), 101, None),
        ]
    }

    #[test]
    fn what_is_sent_to_the_kernel_means_what_is_read_from_it() {
        for wanted in routes() {
            assert_eq!(route(&to_route(&wanted)), Some(wanted));
        }
        for from in ["11.11.11.33/32", "fd00::1/128", "10.0.0.0/8"] {
            let wanted = Rule { from: from.parse().unwrap(), table: 300, priority: 10_300 };
            assert_eq!(rule(&to_rule(&wanted)), Some(wanted));
        }
        for (net, no_prefix_route) in [("11.11.11.33/24", true), ("11.11.11.33/32", false), ("fd00::1/64", true)] {
            let net = net.parse().unwrap();
            let wanted = Address { link: 7, net, no_prefix_route, global: true, permanent: false };
            assert_eq!(address(&to_address(&wanted)), Some(wanted));
        }
    }

    #[test]
    fn routes_and_rules_of_other_kinds_are_not_seen_and_so_not_touched() {
        let mut message = to_route(&routes()[0]);
        message.attributes.push(RouteAttribute::MultiPath(vec![]));
        assert_eq!(route(&message), None);
        let mut message = to_route(&routes()[0]);
        message.header.kind = RouteType::BlackHole;
        assert_eq!(route(&message), None);
        let mut message = to_route(&Route { table: TABLE_LOCAL, ..routes()[0].clone() });
        assert_eq!(route(&message), None);
        message.attributes.clear();
        assert_eq!(route(&message), None);
        let sample = Rule { from: "11.11.11.33/32".parse().unwrap(), table: 101, priority: 1 };
        for condition in
            [RuleAttribute::FwMark(1), RuleAttribute::Iifname("eth0".into()), RuleAttribute::SuppressPrefixLen(0)]
        {
            let mut message = to_rule(&sample);
            message.attributes.push(condition);
            assert_eq!(rule(&message), None);
        }
    }
}
