//! Reads the written files with parsers that know nothing of the agent, and compares them with the spec.

use configparser::ini::Ini;
use serde::Deserialize;

use super::super::*;
use crate::agent::host::Mac;

/// What a set of files says about an interface.
#[derive(Debug, Default, PartialEq)]
struct Said {
    name: String,
    mac: String,
    address: Option<String>,
    mtu: Option<u32>,
    route: Option<(String, u32, u32)>,
    rule: Option<(String, u32, u32)>,
}

/// Every interface's files must say what the spec does, and there must be no others.
pub(super) fn assert_files_say(state: &MemoryState, spec: &AgentSpec) {
    let mut expected_files = 0;
    for interface in &spec.interfaces {
        let net = interface.address.zip(interface.cidr).map(|(a, cidr)| IpNet::new(a, cidr.prefix_len()).unwrap());
        let table = spec.settings.routing_table_base + u32::from(interface.id);
        let metric = spec.settings.route_metric + u32::from(interface.id);
        let expected = Said {
            name: interface.name.clone(),
            mac: Mac::parse(&interface.mac).unwrap().to_string(),
            address: net.map(|net| net.to_string()),
            mtu: interface.mtu,
            route: net.map(|net| (net.trunc().to_string(), table, metric)),
            rule: net.map(|net| (IpNet::from(net.addr()).to_string(), table, 10_000 + table)),
        };
        let (said, files) = match spec.os {
            OsKind::Netplan => (netplan(state, &interface.name), 1),
            OsKind::Ifcfg => (ifcfg(state, &interface.name), if net.is_some() { 3 } else { 1 }),
            OsKind::NetworkManager => (keyfile(state, &interface.name), 2),
        };
        assert_eq!(said, expected);
        expected_files += files;
    }
    assert_eq!(state.files.len(), expected_files);
}

fn text(state: &MemoryState, dir: Dir, name: &str) -> Option<String> {
    let content = state.files.get(&FileRef::new(dir, name).unwrap())?;
    Some(String::from_utf8(content.bytes.clone()).unwrap())
}

#[derive(Deserialize)]
struct Netplan {
    network: Network,
}

#[derive(Deserialize)]
struct Network {
    version: u32,
    ethernets: std::collections::BTreeMap<String, Ethernet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Ethernet {
    #[serde(rename = "match")]
    matches: Match,
    set_name: String,
    dhcp4: bool,
    #[serde(default)]
    addresses: Vec<String>,
    mtu: Option<u32>,
    #[serde(default)]
    routes: Vec<NetplanRoute>,
    #[serde(default)]
    routing_policy: Vec<Policy>,
}

#[derive(Deserialize)]
struct Match {
    macaddress: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetplanRoute {
    to: String,
    table: u32,
    metric: u32,
    scope: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    from: String,
    table: u32,
    priority: u32,
}

fn netplan(state: &MemoryState, name: &str) -> Said {
    let digit = &name["multinic".len()..];
    let text = text(state, Dir::Netplan, &format!("9{digit}-{name}.yaml")).unwrap();
    let Netplan { network } = serde_yaml::from_str(&text).unwrap();
    assert_eq!((network.version, network.ethernets.len()), (2, 1));
    let (key, ethernet) = network.ethernets.into_iter().next().unwrap();
    assert!(!ethernet.dhcp4 && key == ethernet.set_name && ethernet.routes.iter().all(|route| route.scope == "link"));
    Said {
        name: key,
        mac: ethernet.matches.macaddress,
        address: ethernet.addresses.into_iter().next(),
        mtu: ethernet.mtu,
        route: ethernet.routes.into_iter().next().map(|route| (route.to, route.table, route.metric)),
        rule: ethernet.routing_policy.into_iter().next().map(|rule| (rule.from, rule.table, rule.priority)),
    }
}

fn ini(text: String) -> Ini {
    let mut ini = Ini::new_cs();
    ini.read(text).unwrap();
    ini
}

fn ifcfg(state: &MemoryState, name: &str) -> Said {
    let read = |prefix: &str| text(state, Dir::NetworkScripts, &format!("{prefix}{name}"));
    let ini = ini(read("ifcfg-").unwrap());
    let get = |key: &str| ini.get("default", key);
    assert_eq!(get("DEVICE"), get("NAME"));
    assert_eq!((get("ONBOOT").as_deref(), get("BOOTPROTO").as_deref()), (Some("yes"), Some("none")));
    let v4 = get("IPADDR").map(|address| format!("{address}/{}", get("PREFIX").unwrap()));
    let six = if get("IPV6ADDR").is_some() { "6" } else { "" };
    let words = |kind: &str| -> Option<Vec<String>> {
        let text = read(&format!("{kind}{six}-"))?;
        let line = text.lines().find(|line| !line.starts_with('#'))?;
        Some(line.split(' ').map(str::to_owned).collect())
    };
    let after = |words: &[String], key: &str| words.iter().skip_while(|word| *word != key).nth(1).unwrap().clone();
    let number = |words: &[String], key: &str| after(words, key).parse().unwrap();
    Said {
        name: get("NAME").unwrap(),
        mac: get("HWADDR").unwrap(),
        address: v4.or(get("IPV6ADDR")),
        mtu: get("MTU").map(|mtu| mtu.parse().unwrap()),
        route: words("route").map(|words| (words[0].clone(), number(&words, "table"), number(&words, "metric"))),
        rule: words("rule").map(|words| (after(&words, "from"), number(&words, "table"), number(&words, "priority"))),
    }
}

fn keyfile(state: &MemoryState, name: &str) -> Said {
    let digit = &name["multinic".len()..];
    let link = ini(text(state, Dir::SystemdNetwork, &format!("9{digit}-{name}.link")).unwrap());
    assert_eq!(link.get("Link", "Name").as_deref(), Some(name));
    let ini = ini(text(state, Dir::SystemConnections, &format!("9{digit}-{name}.nmconnection")).unwrap());
    let get = |section: &str, key: &str| ini.get(section, key);
    assert_eq!(get("connection", "id"), get("connection", "interface-name"));
    assert_eq!(get("ethernet", "mac-address"), link.get("Match", "MACAddress"));
    let manual: Vec<&str> =
        ["ipv4", "ipv6"].into_iter().filter(|section| get(section, "method").as_deref() == Some("manual")).collect();
    assert!(manual.len() <= 1);
    let section = manual.first().copied().unwrap_or("ipv4");
    let table = || get(section, "route-table").unwrap().parse().unwrap();
    let route = get(section, "route1").map(|route| {
        let parts: Vec<_> = route.split(',').collect();
        assert_eq!(parts[1], "");
        (parts[0].to_owned(), table(), parts[2].parse().unwrap())
    });
    let rule = get(section, "routing-rule1").map(|rule| {
        let words: Vec<_> = rule.split(' ').collect();
        assert_eq!((words[0], words[2], words[4]), ("priority", "from", "table"));
        (words[3].to_owned(), words[5].parse().unwrap(), words[1].parse().unwrap())
    });
    Said {
        name: get("connection", "id").unwrap(),
        mac: get("ethernet", "mac-address").unwrap(),
        address: get(section, "address1"),
        mtu: get("ethernet", "mtu").map(|mtu| mtu.parse().unwrap()),
        route,
        rule,
    }
}
