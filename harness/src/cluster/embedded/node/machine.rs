//! One node's machine: its root directory, its network and what it says about itself.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use tempfile::TempDir;
use thiserror::Error;
use tokio::sync::watch;

use super::files::{Changes, Files};
use super::host::{Address, Errno, LOOPBACK, Network, Route, RouteOrigin, parse_mac};
use super::os::{self, Os};
use crate::cluster::Node;
use crate::scenario::node::{LinkSpec, NodeSpec, RouteSpec, RuleSpec};

/// Why a node cannot be built as it is described.
#[derive(Debug, Error)]
pub enum MachineError {
    /// There is no such preset.
    #[error("node {node}: unknown operating system {os:?}")]
    UnknownOs {
        /// The node's name.
        node: String,
        /// What was asked for.
        os: String,
    },
    /// A value that is no MAC address, address, network or next hop.
    #[error("node {node}: link {link}: {value:?} is no {what}")]
    Malformed {
        /// The node's name.
        node: String,
        /// The link's name.
        link: String,
        /// What it should be.
        what: &'static str,
        /// What was written.
        value: String,
    },
    /// The kernel refuses a link, address, route, rule or setting.
    #[error("node {node}: link {link}: {what}")]
    Refused {
        /// The node's name.
        node: String,
        /// The link's name.
        link: String,
        /// What was tried.
        what: String,
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
    /// The root directory or a file in it cannot be made.
    #[error("node {node}: cannot make {path}")]
    File {
        /// The node's name.
        node: String,
        /// The path on the node.
        path: String,
        /// The file system's answer.
        #[source]
        source: io::Error,
    },
}

/// A simulated machine. Its root directory goes when it is dropped.
#[derive(Debug)]
pub struct Machine {
    spec: NodeSpec,
    os: Os,
    root: TempDir,
    files: Files,
    network: Arc<Mutex<Network>>,
    changes: Changes,
}

/// Directories that the kernel shows on every node, and that Pods mount. What is in them lives in the [`Network`].
const KERNEL_DIRECTORIES: [&str; 1] = ["/proc/sys/net/ipv4/conf"];

impl Machine {
    /// Builds a machine.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub fn new(spec: NodeSpec) -> Result<Self, MachineError> {
        let short = spec.os.as_deref().unwrap_or(os::DEFAULT);
        let os =
            os::find(short).ok_or_else(|| MachineError::UnknownOs { node: spec.name.clone(), os: short.to_owned() })?;
        let failed = |path: &str, source| MachineError::File { node: spec.name.clone(), path: path.to_owned(), source };
        let root = tempfile::Builder::new().prefix("slipway-node-").tempdir().map_err(|e| failed("/", e))?;
        let changes = Changes::new();
        let files = Files::node(root.path().to_owned(), changes.clone());
        let release = os.release(spec.os_image.as_deref().unwrap_or(os.image));
        let given = spec.files.iter().map(|(path, content)| (path.as_str(), content.as_str()));
        for (path, content) in [("/etc/os-release", release.as_str())].into_iter().chain(given) {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            files.create_dir_all(above).map_err(|e| failed(path, e))?;
            files.write(path, content.as_bytes(), 0o644).map_err(|e| failed(path, e))?;
        }
        for path in KERNEL_DIRECTORIES {
            files.create_dir_all(path).map_err(|e| failed(path, e))?;
        }
        let network = Arc::new(Mutex::new(build_network(&spec, os.renames_live_links())?));
        Ok(Self { spec, os, root, files, network, changes })
    }

    /// What it was built from.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// Its operating system.
    pub fn os(&self) -> Os {
        self.os
    }

    /// Its file tree as root sees it.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Its network.
    pub fn network(&self) -> &Arc<Mutex<Network>> {
        &self.network
    }

    /// Counts what changes in its files and network.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Where its file tree stands.
    pub fn root(&self) -> &std::path::Path {
        self.root.path()
    }
}

impl Node for Machine {
    fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files.read(path)
    }

    fn file_mode(&self, path: &str) -> io::Result<u32> {
        self.files.mode(path)
    }

    fn list_dir(&self, path: &str) -> io::Result<Vec<String>> {
        self.files.list(path)
    }

    fn links(&self) -> Vec<LinkSpec> {
        describe(&self.network.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.listen()
    }
}

fn build_network(spec: &NodeSpec, live_rename: bool) -> Result<Network, MachineError> {
    let mut network = Network::new(live_rename);
    for link in &spec.links {
        build_link(&mut network, &spec.name, link)?;
    }
    Ok(network)
}

fn build_link(network: &mut Network, node: &str, link: &LinkSpec) -> Result<(), MachineError> {
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
fn describe(network: &Network) -> Vec<LinkSpec> {
    let described = |index: u32| {
        let link = network.link(index).ok()?;
        let routes: Vec<&Route> = network.routes().iter().filter(|route| route.link == index).collect();
        let rules = network.rules().iter().filter_map(|rule| {
            let from = rule.from?;
            let by_table = rule.table != super::host::MAIN_TABLE && routes.iter().any(|r| r.table == rule.table);
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
