//! Reads a namespace into the form of the simulated link table, so that scenarios compare the two alike.
//!
//! It reads for itself and not with the agent's eyes: what the agent overlooks must not be overlooked here. Left out is
//! what that table leaves out: the `local` table, multicast, link-local IPv6.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, Prop};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};

use super::super::host::{Address, LOCAL_TABLE, Link, Network, Route, RouteOrigin, Rule};
use super::namespace::IPV4_SETTINGS;

/// The kernel's answer as an error of the system.
pub(super) fn refused(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

/// What is in the namespace of a netlink socket, on its thread.
pub(super) async fn network(netlink: &Handle) -> io::Result<Network> {
    let links: Vec<LinkMessage> = netlink.link().get().execute().try_collect().await.map_err(refused)?;
    let addresses: Vec<AddressMessage> = netlink.address().get().execute().try_collect().await.map_err(refused)?;
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    let families = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
    for (version, family) in [IpVersion::V4, IpVersion::V6].into_iter().zip(families) {
        let of_family: Vec<RouteMessage> =
            netlink.route().get(family).execute().try_collect().await.map_err(refused)?;
        routes.extend(of_family.iter().filter_map(route));
        let of_family: Vec<RuleMessage> = netlink.rule().get(version).execute().try_collect().await.map_err(refused)?;
        rules.extend(of_family.iter().map(rule));
    }
    let links = links.into_iter().map(|message| {
        let index = message.header.index;
        let own = addresses.iter().filter(|address| address.header.index == index);
        link(message, own.filter_map(address).collect())
    });
    Ok(Network::found(links, routes, rules))
}

fn link(message: LinkMessage, addresses: Vec<Address>) -> Link {
    let mut link = Link::found(message.header.index, message.header.flags.contains(LinkFlags::Up), addresses);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(octets) => link.mac = octets.try_into().unwrap_or_default(),
            LinkAttribute::PropList(properties) => {
                let names = properties.into_iter().filter_map(|property| match property {
                    Prop::AltIfName(name) => Some(name),
                    _ => None,
                });
                link.alternative_names.extend(names);
            }
            _ => {}
        }
    }
    let read = |key: &'static str| {
        let text = fs::read_to_string(format!("{IPV4_SETTINGS}/{}/{key}", link.name)).ok()?;
        Some((key, text.trim().to_owned()))
    };
    let settings: BTreeMap<_, _> = Link::booted_settings().filter_map(|(key, _)| read(key)).collect();
    link.with_settings(settings)
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut peer, mut flags) = (None, None, AddressFlags::empty());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let ip = local.or(peer)?;
    let no_prefix_route = flags.contains(AddressFlags::Noprefixroute);
    let link_local = ip.is_ipv6() && message.header.scope == AddressScope::Link;
    (!link_local).then_some(Address { ip, prefix: message.header.prefix_len, no_prefix_route })
}

fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let everywhere = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let (mut to, mut via, mut link, mut source) = (everywhere, None, None, None);
    let (mut table, mut metric) = (u32::from(header.table), 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            _ => {}
        }
    }
    let kernel = header.protocol == RouteProtocol::Kernel;
    let origin = if kernel { RouteOrigin::Kernel } else { RouteOrigin::Static };
    let link_local = kernel && matches!(to, IpAddr::V6(to) if to.is_unicast_link_local());
    let to = IpNet::new(to, header.destination_prefix_length).ok()?;
    let shown = header.kind == RouteType::Unicast && table != LOCAL_TABLE && !link_local;
    shown.then_some(Route { to, via, link: link?, table, metric, source, origin })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn rule(message: &RuleMessage) -> Rule {
    let (mut from, mut table, mut priority) = (None, u32::from(message.header.table), 0);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => from = IpNet::new(*address, message.header.src_len).ok(),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Priority(number) => priority = *number,
            _ => {}
        }
    }
    Rule { priority, from, table }
}
