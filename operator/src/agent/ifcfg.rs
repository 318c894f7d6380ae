//! ifcfg files with their route and rule files: RHEL-likes up to 8. Pure.

use ipnet::IpNet;

use super::files::Rendered;
use super::host::Dir;
use super::record::Record;
use super::spec::{Wanted, host_net};

/// What the names of an interface's files begin with.
pub(super) const PREFIXES: [&str; 5] = ["ifcfg-", "route-", "rule-", "route6-", "rule6-"];

/// The `ifcfg-` file, and with policy routing a route and a rule file of the address's family.
pub(super) fn render(wanted: &Wanted, record: &Record) -> Vec<Rendered> {
    let name = wanted.name();
    let file = |prefix: &str, text: String| Rendered {
        dir: Dir::NetworkScripts,
        name: format!("{prefix}{name}"),
        text,
        mode: 0o644,
    };
    let mut files = vec![file("ifcfg-", interface(wanted, record))];
    if let (Some(address), Some(routing)) = (wanted.address, wanted.routing) {
        let (route, rule, source) = match address {
            IpNet::V4(v4) => ("route-", "rule-", format!(" src {}", v4.addr())),
            IpNet::V6(_) => ("route6-", "rule6-", String::new()),
        };
        let (to, from) = (address.trunc(), host_net(address.addr()));
        let (table, metric, priority) = (routing.table, routing.metric, routing.priority);
        let notice = Record::notice();
        files.push(file(route, format!("{notice}{to} dev {name}{source} table {table} metric {metric}\n")));
        files.push(file(rule, format!("{notice}from {from} table {table} priority {priority}\n")));
    }
    files
}

fn interface(wanted: &Wanted, record: &Record) -> String {
    let name = wanted.name();
    let mut text = record.header();
    let mut set = |key: &str, value: &str| {
        text.push_str(key);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    };
    set("DEVICE", &name);
    set("NAME", &name);
    set("TYPE", "Ethernet");
    set("ONBOOT", "yes");
    set("BOOTPROTO", "none");
    match wanted.address {
        None => {}
        Some(IpNet::V4(v4)) => {
            set("IPADDR", &v4.addr().to_string());
            set("PREFIX", &v4.prefix_len().to_string());
        }
        Some(IpNet::V6(v6)) => {
            set("IPV6INIT", "yes");
            set("IPV6_AUTOCONF", "no");
            set("IPV6ADDR", &v6.to_string());
        }
    }
    if let Some(mtu) = wanted.mtu {
        set("MTU", &mtu.to_string());
    }
    set("HWADDR", &wanted.mac.to_string());
    text
}
