//! What `ip` says of a node, in the form of the simulated link table, so that scenarios compare the two alike. Pure.
//!
//! Left out is what that table leaves out: the `local` table, multicast, link-local IPv6; and the far ends of our links.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::wire::{Command, is_far_end};
use crate::cluster::embedded::node::host::{
    Address, LOCAL_TABLE, Link, MAIN_TABLE, Network, Route, RouteOrigin, Rule, parse_mac,
};

/// The `default` table, which has a name.
const DEFAULT_TABLE: u32 = 253;

/// What a node is asked: for its addresses, for the routes and then the rules of both families, and for the settings of its
/// links. `ip` is not called by a shell, which may have a smaller one of its own.
pub(super) fn questions() -> [Command; 6] {
    const SETTINGS: &str = "cd /proc/sys/net/ipv4/conf && { grep -s -H '' */* || true; }";
    let ip = |words: &str| words.split(' ').map(str::to_owned).collect();
    [
        ip("ip -j address"),
        ip("ip -j -4 route show table all"),
        ip("ip -j -6 route show table all"),
        ip("ip -j -4 rule"),
        ip("ip -j -6 rule"),
        ["sh", "-c", SETTINGS].map(str::to_owned).to_vec(),
    ]
}

/// What it says makes no sense.
#[derive(Debug, Error)]
#[error("`ip` says of the node's {what} what cannot be understood")]
pub(super) struct Unclear {
    what: &'static str,
    #[source]
    source: serde_json::Error,
}

#[derive(Deserialize)]
struct SaidLink {
    ifindex: u32,
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    mtu: u32,
    #[serde(default)]
    address: String,
    #[serde(default)]
    addr_info: Vec<SaidAddress>,
}

#[derive(Deserialize)]
struct SaidAddress {
    local: Option<IpAddr>,
    prefixlen: u8,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    noprefixroute: bool,
}

#[derive(Deserialize)]
struct SaidRoute {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    dst: String,
    gateway: Option<IpAddr>,
    dev: Option<String>,
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    protocol: String,
    prefsrc: Option<IpAddr>,
    #[serde(default)]
    metric: u32,
}

#[derive(Deserialize)]
struct SaidRule {
    priority: u32,
    src: String,
    srclen: Option<u8>,
    #[serde(default)]
    table: Option<String>,
}

/// Reads the answers to [`questions`].
///
/// # Errors
/// [`Unclear`].
pub(super) fn network(answers: &[String; 6]) -> Result<Network, Unclear> {
    let [addresses, routes_4, routes_6, rules_4, rules_6, settings] = answers;
    let links: Vec<SaidLink> = parsed("addresses", addresses)?;
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    let index = |name: &str| links.iter().find(|link| link.ifname == name).map(|link| link.ifindex);
    let everywhere = (IpNet::V4(ipnet::Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default()));
    for (everywhere, said) in [(everywhere.0, routes_4), (everywhere.1, routes_6)] {
        let said: Vec<SaidRoute> = parsed("routes", said)?;
        routes.extend(said.into_iter().filter_map(|said| route(said, everywhere, index)));
    }
    for said in [rules_4, rules_6] {
        let said: Vec<SaidRule> = parsed("rules", said)?;
        rules.extend(said.iter().filter_map(rule));
    }
    let mut known: BTreeMap<&str, BTreeMap<&'static str, String>> = BTreeMap::new();
    for (link, key, value) in settings.lines().filter_map(setting) {
        known.entry(link).or_default().insert(key, value);
    }
    let shown = links.iter().filter(|link| !is_far_end(&link.ifname));
    let links = shown.map(|said| link(said, known.remove(said.ifname.as_str()).unwrap_or_default()));
    let links: Vec<Link> = links.collect();
    Ok(Network::found(links, routes, rules))
}

/// What `ip -j` says, which may be nothing where there is nothing to say.
fn parsed<T: DeserializeOwned>(what: &'static str, said: &str) -> Result<Vec<T>, Unclear> {
    match said.trim() {
        "" => Ok(Vec::new()),
        said => serde_json::from_str(said).map_err(|source| Unclear { what, source }),
    }
}

fn link(said: &SaidLink, settings: BTreeMap<&'static str, String>) -> Link {
    let addresses = said.addr_info.iter().filter_map(address).collect();
    let mut link = Link::found(said.ifindex, said.flags.iter().any(|flag| flag == "UP"), addresses);
    link.name.clone_from(&said.ifname);
    link.mtu = said.mtu;
    link.mac = parse_mac(&said.address).unwrap_or_default();
    link.with_settings(settings)
}

fn address(said: &SaidAddress) -> Option<Address> {
    let ip = said.local?;
    let link_local = ip.is_ipv6() && said.scope == "link";
    (!link_local).then_some(Address { ip, prefix: said.prefixlen, no_prefix_route: said.noprefixroute })
}

fn route(said: SaidRoute, everywhere: IpNet, index: impl Fn(&str) -> Option<u32>) -> Option<Route> {
    let to = if said.dst == "default" { everywhere } else { network_of(&said.dst)? };
    let origin = if said.protocol == "kernel" { RouteOrigin::Kernel } else { RouteOrigin::Static };
    let table = table(said.table.as_deref())?;
    let link_local = origin == RouteOrigin::Kernel && matches!(to, IpNet::V6(to) if to.addr().is_unicast_link_local());
    let unicast = said.kind.as_deref().is_none_or(|kind| kind == "unicast");
    let link = index(&said.dev?)?;
    let shown = unicast && table != LOCAL_TABLE && !link_local;
    shown.then_some(Route { to, via: said.gateway, link, table, metric: said.metric, source: said.prefsrc, origin })
}

fn rule(said: &SaidRule) -> Option<Rule> {
    let from = match said.src.as_str() {
        "all" => None,
        text => {
            let ip: IpAddr = text.parse().ok()?;
            Some(IpNet::new(ip, said.srclen.unwrap_or_else(|| whole(ip))).ok()?)
        }
    };
    Some(Rule { priority: said.priority, from, table: table(said.table.as_deref())? })
}

/// A table by its number or its name; the main one where none is said.
fn table(said: Option<&str>) -> Option<u32> {
    match said.unwrap_or("main") {
        "main" => Some(MAIN_TABLE),
        "local" => Some(LOCAL_TABLE),
        "default" => Some(DEFAULT_TABLE),
        number => number.parse().ok(),
    }
}

/// A network, or one address without its prefix.
fn network_of(text: &str) -> Option<IpNet> {
    let one = || text.parse::<IpAddr>().ok().and_then(|ip| IpNet::new(ip, whole(ip)).ok());
    text.parse().ok().or_else(one)
}

/// The prefix of a single address.
fn whole(ip: IpAddr) -> u8 {
    let bits = if ip.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
    u8::try_from(bits).unwrap_or(u8::MAX)
}

/// `LINK/KEY:VALUE`, where the key is one that scenarios can see.
fn setting(line: &str) -> Option<(&str, &'static str, String)> {
    let (path, value) = line.split_once(':')?;
    // A link's name may have a colon in it, a key never has a slash.
    let (link, key) = path.rsplit_once('/')?;
    let (key, _) = Link::booted_settings().find(|(known, _)| *known == key)?;
    Some((link, key, value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::embedded::node::wiring::describe;
    use crate::scenario::node::{LinkSpec, RouteSpec, RuleSpec};

    /// As iproute2 6.1 prints it.
    const SAID: [&str; 6] = [
        r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"link_type":"loopback","address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo"}]},{"ifindex":2,"link":"ens4","ifname":"slipway0","flags":["BROADCAST","UP"],"mtu":1500,"link_type":"ether","address":"fe:c8:e4:c6:df:09","addr_info":[]},{"ifindex":3,"link":"slipway0","ifname":"ens4","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1400,"link_type":"ether","address":"fa:16:3e:f3:b0:3f","addr_info":[{"family":"inet","local":"11.11.11.33","prefixlen":24,"scope":"global","label":"ens4"},{"family":"inet6","local":"fd00::5","prefixlen":64,"scope":"global","tentative":true},{"family":"inet6","local":"fe80::f816:3eff:fef3:b03f","prefixlen":64,"scope":"link"}]}]"#,
        r#"[{"dst":"10.0.0.0/8","gateway":"11.11.11.1","dev":"ens4","table":"100","prefsrc":"11.11.11.33","metric":7,"flags":[]},{"dst":"default","gateway":"11.11.11.1","dev":"ens4","flags":[]},{"type":"local","dst":"11.11.11.33","dev":"ens4","table":"local","protocol":"kernel","scope":"host","flags":[]}]"#,
        r#"[{"dst":"fd00::/64","dev":"ens4","protocol":"kernel","metric":256,"flags":[]},{"dst":"fe80::/64","dev":"ens4","protocol":"kernel","metric":256,"flags":[]},{"type":"multicast","dst":"ff00::/8","dev":"ens4","table":"local","flags":[]}]"#,
        r#"[{"priority":0,"src":"all","table":"local"},{"priority":50,"src":"11.11.11.33","table":"100"},{"priority":32766,"src":"all","table":"main"}]"#,
        r#"[{"priority":32765,"src":"fd00::","srclen":64,"table":"100"}]"#,
        "ens4/rp_filter:2\nens4/some_other:1\nall/rp_filter:1\n",
    ];

    #[test]
    fn what_a_real_node_says_of_its_links_is_read_in_the_form_scenarios_are_written_in() {
        let links = describe(&network(&SAID.map(str::to_owned)).unwrap());
        let text = str::to_owned;
        let rule = |from, priority| RuleSpec { from: text(from), table: 100, priority };
        let main = |to, via, metric| RouteSpec { to: text(to), via, table: 254, metric, src: None };
        let expected = LinkSpec {
            name: text("ens4"),
            mac: text("fa:16:3e:f3:b0:3f"),
            up: true,
            mtu: 1400,
            addresses: vec![text("11.11.11.33/24"), text("fd00::5/64")],
            routes: vec![
                RouteSpec {
                    to: text("10.0.0.0/8"),
                    via: Some(text("11.11.11.1")),
                    table: 100,
                    metric: 7,
                    src: Some(text("11.11.11.33")),
                },
                main("default", Some(text("11.11.11.1")), 0),
                main("fd00::/64", None, 256),
            ],
            rules: vec![rule("11.11.11.33/32", 50), rule("fd00::/64", 32765)],
            sysctls: BTreeMap::from([(text("rp_filter"), text("2"))]),
        };
        assert_eq!(links, [expected]);
    }

    #[test]
    fn a_node_that_talks_nonsense_has_no_empty_link_table() {
        for (number, nonsense) in [(0, "ip: not found"), (1, "{"), (4, "[{}]")] {
            let mut said = SAID.map(str::to_owned);
            said[number] = nonsense.to_owned();
            assert!(network(&said).is_err(), "{nonsense}");
        }
    }
}
