//! The agent's view of a host, on what a container of a simulated node may see and do: the node's link table through its
//! capabilities, the node's files through its mounts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use slipway_operator::agent::host::{
    Address, Dir, FileContent, FileRef, Host, HostError, HostErrorKind, HostResult, Link, Mac, Route, Rule, Sysctl,
};
use slipway_operator::api::agent::SYSCTL_MOUNT_PATH;

use super::files;
use crate::cluster::embedded::node::host::{self as network, Errno, LOOPBACK, Network, RouteOrigin};
use crate::cluster::embedded::node::program::Process;

/// How long a change takes, about what it takes on a virtual machine: scenarios can then come between two of them.
pub(super) const CHANGE_TIME: Duration = Duration::from_millis(2);

/// A host with a simulated link table, as a container sees it.
pub(super) struct ContainerHost<'a> {
    process: &'a Process,
    network: &'a Arc<Mutex<Network>>,
}

impl<'a> ContainerHost<'a> {
    /// The host of a container's process that is in this network.
    pub(super) fn new(process: &'a Process, network: &'a Arc<Mutex<Network>>) -> Self {
        Self { process, network }
    }

    fn look<T>(&self, look: impl FnOnce(&Network) -> T) -> T {
        look(&self.network.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A netlink request that changes something.
    async fn change(
        &self,
        operation: String,
        change: impl FnOnce(&mut Network) -> Result<(), Errno> + Send,
    ) -> HostResult<()> {
        tokio::time::sleep(CHANGE_TIME).await;
        let change = || change(&mut self.network.lock().unwrap_or_else(PoisonError::into_inner));
        self.process.network.change(change).map_err(|errno| refused(operation, errno))
    }
}

/// Whether a container may write the sysctls of links: those that are privileged, or have them mounted.
pub(super) fn sysctls_are_writable(process: &Process) -> bool {
    process.network.sysctls_are_writable() || process.files.is_dir(SYSCTL_MOUNT_PATH)
}

/// The kernel's answer, as far as it matters to the agent.
pub(super) fn refused(operation: String, errno: Errno) -> HostError {
    let kind = match errno {
        Errno::NoEntry | Errno::NoProcess | Errno::NoDevice | Errno::NoDeviceOrAddress => HostErrorKind::NotFound,
        Errno::Exists => HostErrorKind::Exists,
        Errno::Busy => HostErrorKind::Busy,
        Errno::Perm | Errno::ReadOnly => HostErrorKind::Denied,
        Errno::Invalid | Errno::Range | Errno::AddressNotAvailable | Errno::NetDown | Errno::NetUnreachable => {
            HostErrorKind::Invalid
        }
        Errno::HostUnreachable => HostErrorKind::Other,
    };
    HostError::new(kind, operation, format!("{errno} (os error {})", errno.code()))
}

fn route_of(route: &Route) -> network::Route {
    network::Route {
        to: route.to,
        via: route.via,
        link: route.link,
        table: route.table,
        metric: route.metric,
        source: route.src,
        origin: RouteOrigin::Static,
    }
}

impl Host for ContainerHost<'_> {
    async fn links(&self) -> HostResult<Vec<Link>> {
        let link = |link: &network::Link| Link {
            index: link.index,
            name: link.name.clone(),
            mac: (link.index != LOOPBACK).then_some(Mac(link.mac)),
            up: link.up,
            mtu: link.mtu,
            kind: None,
            master: None,
            loopback: link.index == LOOPBACK,
            alt_names: link.alternative_names.clone(),
        };
        Ok(self.look(|network| network.links().map(link).collect()))
    }

    async fn addresses(&self) -> HostResult<Vec<Address>> {
        let addresses = |link: &network::Link| {
            let (index, host) = (link.index, link.index == LOOPBACK);
            let address = move |address: &network::Address| {
                Some(Address {
                    link: index,
                    net: IpNet::new(address.ip, address.prefix).ok()?,
                    no_prefix_route: address.no_prefix_route,
                    global: !host,
                    permanent: true,
                })
            };
            link.addresses.iter().filter_map(address).collect::<Vec<_>>()
        };
        Ok(self.look(|network| network.links().flat_map(addresses).collect()))
    }

    async fn routes(&self) -> HostResult<Vec<Route>> {
        let route = |route: &network::Route| Route {
            link: route.link,
            to: route.to,
            via: route.via,
            table: route.table,
            metric: route.metric,
            src: route.source,
            kernel: route.origin == RouteOrigin::Kernel,
        };
        Ok(self.look(|network| network.routes().iter().map(route).collect()))
    }

    async fn rules(&self) -> HostResult<Vec<Rule>> {
        let rule = |rule: &network::Rule| Some(Rule { from: rule.from?, table: rule.table, priority: rule.priority });
        Ok(self.look(|network| network.rules().iter().filter_map(rule).collect()))
    }

    async fn set_name(&self, link: u32, name: &str) -> HostResult<()> {
        self.change(format!("rename link {link} to {name}"), |network| network.rename(link, name)).await
    }

    async fn set_mtu(&self, link: u32, mtu: u32) -> HostResult<()> {
        self.change(format!("set the MTU of link {link} to {mtu}"), |network| network.set_mtu(link, mtu)).await
    }

    async fn set_up(&self, link: u32, up: bool) -> HostResult<()> {
        let word = if up { "up" } else { "down" };
        self.change(
            format!("bring link {link} {word}"),
            |network| {
                if up { network.set_up(link) } else { network.set_down(link) }
            },
        )
        .await
    }

    async fn add_address(&self, address: &Address) -> HostResult<()> {
        let new = network::Address {
            ip: address.net.addr(),
            prefix: address.net.prefix_len(),
            no_prefix_route: address.no_prefix_route,
        };
        let operation = format!("add address {} to link {}", address.net, address.link);
        self.change(operation, |network| network.add_address(address.link, new)).await
    }

    async fn del_address(&self, address: &Address) -> HostResult<()> {
        let operation = format!("remove address {} from link {}", address.net, address.link);
        self.change(operation, |network| {
            let removed = network.remove_address(address.link, address.net.addr(), address.net.prefix_len());
            // The kernel's word for an address that cannot be used is also that for one that is not there.
            removed.map_err(|errno| if errno == Errno::AddressNotAvailable { Errno::NoEntry } else { errno })
        })
        .await
    }

    async fn add_route(&self, route: &Route) -> HostResult<()> {
        let operation = format!("add the route to {} to table {}", route.to, route.table);
        self.change(operation, |network| network.add_route(route_of(route))).await
    }

    async fn del_route(&self, route: &Route) -> HostResult<()> {
        let operation = format!("remove the route to {} from table {}", route.to, route.table);
        self.change(operation, |network| {
            network.remove_route(route.to, route.table, Some(route.link), Some(route.metric), route.via)
        })
        .await
    }

    async fn add_rule(&self, rule: &Rule) -> HostResult<()> {
        let operation = format!("add the rule from {} to table {}", rule.from, rule.table);
        self.change(operation, |network| network.add_rule(rule.from, rule.table, Some(rule.priority))).await
    }

    async fn del_rule(&self, rule: &Rule) -> HostResult<()> {
        let operation = format!("remove the rule from {} to table {}", rule.from, rule.table);
        self.change(operation, |network| network.remove_rule(rule.from, rule.table, Some(rule.priority))).await
    }

    async fn sysctl(&self, link: &str, key: Sysctl) -> HostResult<String> {
        let value = self.look(|network| {
            let link = network.link_by_name(link)?;
            link.setting(key.key()).map(str::to_owned)
        });
        value.ok_or_else(|| refused(format!("read {} of {link}", key.key()), Errno::NoEntry))
    }

    async fn set_sysctl(&self, link: &str, key: Sysctl, value: &str) -> HostResult<()> {
        let operation = format!("set {} of {link} to {value}", key.key());
        if !sysctls_are_writable(self.process) {
            return Err(refused(operation, Errno::ReadOnly));
        }
        self.change(operation, |network| {
            let index = network.link_by_name(link).ok_or(Errno::NoEntry)?.index;
            network.set_setting(index, key.key(), value)
        })
        .await
    }

    async fn list_files(&self, dir: Dir) -> HostResult<Vec<String>> {
        files::list(self.process, dir)
    }

    async fn read_file(&self, file: &FileRef) -> HostResult<FileContent> {
        files::read(self.process, file)
    }

    async fn write_file(&self, file: &FileRef, content: &FileContent) -> HostResult<()> {
        files::write(self.process, file, content).await
    }

    async fn remove_file(&self, file: &FileRef) -> HostResult<()> {
        files::remove(self.process, file).await
    }
}
