//! Builds a node's network as a scenario describes it, and describes it in the same form again: the same for simulated
//! networks and real ones.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::host::{Address, LOOPBACK, MAIN_TABLE, Mac, Network, Route, RouteOrigin, parse_mac};
use super::machine::MachineError;
use crate::scenario::node::{LinkSpec, NodeSpec, RouteSpec, RuleSpec};

/// What it takes to build a network; the errors are the kernel's.
pub(in crate::cluster) trait Wiring {
    /// Plugs in a link and returns its index.
    fn add_link(&mut self, name: &str, mac: Mac, mtu: u32) -> io::Result<u32>;
    /// Brings a link up.
    fn set_up(&mut self, link: u32) -> io::Result<()>;
    /// Gives a link an address.
    fn add_address(&mut self, link: u32, address: Address) -> io::Result<()>;
    /// Makes a route, in place of the one with the same destination, table and metric.
    fn replace_route(&mut self, route: Route) -> io::Result<()>;
    /// Makes a rule.
    fn add_rule(&mut self, from: IpNet, table: u32, priority: Option<u32>) -> io::Result<()>;
    /// Changes a setting of `net.ipv4.conf.<link>`.
    fn set_setting(&mut self, link: u32, key: &str, value: &str) -> io::Result<()>;
}

impl Wiring for Network {
    fn add_link(&mut self, name: &str, mac: Mac, mtu: u32) -> io::Result<u32> {
        Ok(Network::add_link(self, name, mac, mtu)?)
    }

    fn set_up(&mut self, link: u32) -> io::Result<()> {
        Ok(Network::set_up(self, link)?)
    }

    fn add_address(&mut self, link: u32, address: Address) -> io::Result<()> {
        Ok(Network::add_address(self, link, address)?)
    }

    fn replace_route(&mut self, route: Route) -> io::Result<()> {
        Ok(Network::replace_route(self, route)?)
    }

    fn add_rule(&mut self, from: IpNet, table: u32, priority: Option<u32>) -> io::Result<()> {
        Ok(Network::add_rule(self, from, table, priority)?)
    }

    fn set_setting(&mut self, link: u32, key: &str, value: &str) -> io::Result<()> {
        Ok(Network::set_setting(self, link, key, value)?)
    }
}

/// Plugs in every link that a node has at first, with all that belongs to it.
pub(in crate::cluster) fn build(network: &mut impl Wiring, spec: &NodeSpec) -> Result<(), MachineError> {
    spec.links.iter().try_for_each(|link| build_link(network, &spec.name, link))
}

fn build_link(network: &mut impl Wiring, node: &str, link: &LinkSpec) -> Result<(), MachineError> {
    let malformed = |what, value: &str| MachineError::Malformed {
        node: node.to_owned(),
        link: link.name.clone(),
        what,
        value: value.to_owned(),
    };
    let refused = |what: String| {
        move |source| MachineError::Refused { node: node.to_owned(), link: link.name.clone(), what, source }
    };
    let mac = parse_mac(&link.mac).ok_or_else(|| malformed("MAC address", &link.mac))?;
    let index = network
        .add_link(&link.name, mac, link.mtu)
        .map_err(refused(format!("cannot be made with MTU {}", link.mtu)))?;
    if link.up {
        network.set_up(index).map_err(refused("cannot be brought up".to_owned()))?;
    }
    for text in &link.addresses {
        let net: IpNet = text.parse().map_err(|_| malformed("address with prefix", text))?;
        let address = Address::new(net.addr(), net.prefix_len());
        network.add_address(index, address).map_err(refused(format!("cannot take the address {text}")))?;
    }
    for route in &link.routes {
        let ip = |text: &String| text.parse::<IpAddr>().map_err(|_| malformed("IP address", text));
        let via = route.via.as_ref().map(ip).transpose()?;
        let source = route.src.as_ref().map(ip).transpose()?;
        let v6 = via.or(source).is_some_and(|ip| ip.is_ipv6());
        let to = match route.to.as_str() {
            "default" if v6 => IpNet::V6(ipnet::Ipv6Net::default()),
            "default" => IpNet::V4(ipnet::Ipv4Net::default()),
            text => text.parse().map_err(|_| malformed("network", text))?,
        };
        let (table, metric) = (route.table, route.metric);
        let route = Route { to, via, link: index, table, metric, source, origin: RouteOrigin::Static };
        // A connected route may be written out; the kernel has made it already.
        network.replace_route(route).map_err(refused(format!("cannot take the route to {to}")))?;
    }
    for rule in &link.rules {
        let from: IpNet = rule.from.parse().map_err(|_| malformed("network", &rule.from))?;
        let priority = (rule.priority != 0).then_some(rule.priority);
        network.add_rule(from, rule.table, priority).map_err(refused(format!("cannot take the rule for {from}")))?;
    }
    for (key, value) in &link.sysctls {
        network.set_setting(index, key, value).map_err(refused(format!("cannot set {key} to {value}")))?;
    }
    Ok(())
}

/// The link table in the form in which scenarios write it: every link but the loopback one.
pub(in crate::cluster) fn describe(network: &Network) -> Vec<LinkSpec> {
    let described = |index: u32| {
        let link = network.link(index).ok()?;
        let routes: Vec<&Route> = network.routes().iter().filter(|route| route.link == index).collect();
        let rules = network.rules().iter().filter_map(|rule| {
            let from = rule.from?;
            let by_table = rule.table != MAIN_TABLE && routes.iter().any(|r| r.table == rule.table);
            let by_source = link.addresses.iter().any(|address| from.contains(&address.ip));
            (by_table || by_source).then(|| RuleSpec {
                from: from.to_string(),
                table: rule.table,
                priority: rule.priority,
            })
        });
        Some(LinkSpec {
            name: link.name.clone(),
            mac: link.mac_text(),
            up: link.up,
            mtu: link.mtu,
            addresses: link.addresses.iter().map(|a| format!("{}/{}", a.ip, a.prefix)).collect(),
            rules: rules.collect(),
            routes: routes.into_iter().map(describe_route).collect(),
            sysctls: link.settings().map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>(),
        })
    };
    network.links().map(|link| link.index).filter(|index| *index != LOOPBACK).filter_map(described).collect()
}

fn describe_route(route: &Route) -> RouteSpec {
    RouteSpec {
        to: if route.to.prefix_len() == 0 { "default".to_owned() } else { route.to.to_string() },
        via: route.via.map(|ip| ip.to_string()),
        table: route.table,
        metric: route.metric,
        src: route.source.map(|ip| ip.to_string()),
    }
}
