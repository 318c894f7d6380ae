//! The commands that give a real node the links of a scenario. Pure.
//!
//! A link is one end of a virtual cable, so that it has a carrier and a kernel that can run containers can make it. The
//! far end stays on the node under a name of ours, and is not shown to scenarios.

use std::io;

use ipnet::IpNet;

use crate::cluster::embedded::node::host::{Address, Link, Mac, Route};
use crate::cluster::embedded::node::machine::MachineError;
use crate::cluster::embedded::node::wiring::{self, Wiring};
use crate::scenario::node::NodeSpec;

/// What the far ends are called.
const FAR: &str = "slipway";

/// Whether a link is a far end.
pub(super) fn is_far_end(name: &str) -> bool {
    name.strip_prefix(FAR).is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A command with its arguments.
pub(super) type Command = Vec<String>;

/// The commands that make a node's links, in their order.
///
/// # Errors
/// A value is no MAC address, address or network.
pub(super) fn commands(spec: &NodeSpec) -> Result<Vec<Command>, MachineError> {
    let mut writer = Writer::default();
    wiring::build(&mut writer, spec)?;
    Ok(writer.commands)
}

/// The command that puts a file on a node, which the shell takes its content for as an argument.
pub(super) fn write_file(path: &str, content: &str) -> Command {
    const SCRIPT: &str = r#"mkdir -p "${1%/*}/" && printf %s "$2" > "$1" && chmod 0644 "$1""#;
    ["sh", "-c", SCRIPT, "sh", path, content].map(str::to_owned).to_vec()
}

/// Writes down what is to be done, by the names of the links.
#[derive(Default)]
struct Writer {
    commands: Vec<Command>,
    links: Vec<String>,
}

impl Writer {
    fn write(&mut self, words: &[&str]) {
        self.commands.push(words.iter().map(|&word| word.to_owned()).collect());
    }

    fn name(&self, link: u32) -> io::Result<String> {
        let name = usize::try_from(link).ok().and_then(|link| self.links.get(link));
        name.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// How `ip` is told which family it is about.
fn family(v6: bool) -> &'static str {
    if v6 { "-6" } else { "-4" }
}

impl Wiring for Writer {
    fn add_link(&mut self, name: &str, mac: Mac, mtu: u32) -> io::Result<u32> {
        let number = self.links.len();
        let (mac, mtu, far) =
            (mac.map(|byte| format!("{byte:02x}")).join(":"), mtu.to_string(), format!("{FAR}{number}"));
        let near = ["ip", "link", "add", "name", name, "address", &mac, "mtu", &mtu];
        self.write(&[&near[..], &["type", "veth", "peer", "name", &far, "mtu", &mtu]].concat());
        self.write(&["ip", "link", "set", "dev", &far, "up"]);
        self.links.push(name.to_owned());
        u32::try_from(number).map_err(io::Error::other)
    }

    fn set_up(&mut self, link: u32) -> io::Result<()> {
        let name = self.name(link)?;
        self.write(&["ip", "link", "set", "dev", &name, "up"]);
        Ok(())
    }

    fn add_address(&mut self, link: u32, address: Address) -> io::Result<()> {
        let (name, text) = (self.name(link)?, format!("{}/{}", address.ip, address.prefix));
        self.write(&["ip", "address", "add", &text, "dev", &name]);
        Ok(())
    }

    fn replace_route(&mut self, route: Route) -> io::Result<()> {
        let (name, to) = (self.name(route.link)?, route.to.to_string());
        let (table, metric) = (route.table.to_string(), route.metric.to_string());
        let (via, source) = (route.via.map(|ip| ip.to_string()), route.source.map(|ip| ip.to_string()));
        let v6 = matches!(route.to, IpNet::V6(_));
        let mut words = vec!["ip", family(v6), "route", "replace", &to];
        words.extend(via.iter().flat_map(|via| ["via", via]));
        words.extend(["dev", &name, "table", &table]);
        words.extend((route.metric != 0).then_some(["metric", &metric]).into_iter().flatten());
        words.extend(source.iter().flat_map(|source| ["src", source]));
        self.write(&words);
        Ok(())
    }

    fn add_rule(&mut self, from: IpNet, table: u32, priority: Option<u32>) -> io::Result<()> {
        let (v6, from, table) = (matches!(from, IpNet::V6(_)), from.to_string(), table.to_string());
        let priority = priority.map(|priority| priority.to_string());
        let mut words = vec!["ip", family(v6), "rule", "add", "from", &from, "table", &table];
        words.extend(priority.iter().flat_map(|priority| ["priority", priority]));
        self.write(&words);
        Ok(())
    }

    fn set_setting(&mut self, link: u32, key: &str, value: &str) -> io::Result<()> {
        // Only what is known, so that no name leads to another file.
        if Link::booted_settings().all(|(known, _)| known != key) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let path = format!("/proc/sys/net/ipv4/conf/{}/{key}", self.name(link)?);
        self.write(&["sh", "-c", r#"printf %s "$2" > "$1""#, "sh", &path, value]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::scenario::node::{LinkSpec, RouteSpec, RuleSpec};

    fn spec(link: LinkSpec) -> NodeSpec {
        NodeSpec { name: "a".to_owned(), links: vec![link], ..NodeSpec::default() }
    }

    #[test]
    fn a_link_of_a_scenario_becomes_what_ip_is_told() {
        let text = str::to_owned;
        let link = LinkSpec {
            name: text("ens4"),
            mac: text("FA:16:3E:F3:B0:3F"),
            up: true,
            mtu: 1400,
            addresses: vec![text("11.11.11.33/24")],
            routes: vec![
                RouteSpec { to: text("default"), via: Some(text("11.11.11.1")), table: 100, metric: 7, src: None },
                RouteSpec { to: text("fd01::/64"), via: Some(text("fd00::1")), table: 254, ..RouteSpec::default() },
            ],
            rules: vec![RuleSpec { from: text("11.11.11.33/32"), table: 100, priority: 50 }],
            sysctls: BTreeMap::from([(text("rp_filter"), text("0"))]),
        };
        let lines: Vec<String> = commands(&spec(link)).unwrap().iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            lines,
            [
                "ip link add name ens4 address fa:16:3e:f3:b0:3f mtu 1400 type veth peer name slipway0 mtu 1400",
                "ip link set dev slipway0 up",
                "ip link set dev ens4 up",
                "ip address add 11.11.11.33/24 dev ens4",
                "ip -4 route replace 0.0.0.0/0 via 11.11.11.1 dev ens4 table 100 metric 7",
                "ip -6 route replace fd01::/64 via fd00::1 dev ens4 table 254",
                "ip -4 rule add from 11.11.11.33/32 table 100 priority 50",
                "sh -c printf %s \"$2\" > \"$1\" sh /proc/sys/net/ipv4/conf/ens4/rp_filter 0",
            ]
        );
        assert!(is_far_end("slipway0") && !is_far_end("slipway") && !is_far_end("slipway0a") && !is_far_end("ens4"));
    }

    #[test]
    fn what_cannot_be_a_link_is_refused_before_a_node_is_asked() {
        let mac = "fa:16:3e:f3:b0:3f".to_owned();
        let malformed = LinkSpec { mac: "no".to_owned(), ..LinkSpec::default() };
        let escaping =
            LinkSpec { mac, sysctls: BTreeMap::from([("../../x".into(), "1".into())]), ..LinkSpec::default() };
        for link in [malformed, escaping] {
            assert!(commands(&spec(link)).is_err());
        }
    }
}
