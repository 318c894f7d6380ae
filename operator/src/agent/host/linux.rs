//! The running kernel: links, addresses, routes and rules through netlink, sysctls through `/proc/sys`, files below a
//! root directory. Touches the network namespace of the thread it was made on, and nothing else.

mod files;
mod messages;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::{Handle, IpVersion, LinkUnspec, RouteMessageBuilder};
use tokio::task::JoinHandle;

use super::{
    Address, Dir, FileContent, FileRef, Host, HostError, HostErrorKind, HostResult, Link, Route, Rule, Sysctl,
};

/// The kernel answers at once; who waits longer than this waits for nothing.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The running kernel.
#[derive(Debug)]
pub struct LinuxHost {
    netlink: Handle,
    connection: JoinHandle<()>,
    root: PathBuf,
    sysctls: PathBuf,
}

impl LinuxHost {
    /// Connects to the kernel. Must be called inside a tokio runtime with I/O.
    ///
    /// Configuration files are below `root`, which is `/` but in tests; `sysctls` is the directory of per-link IPv4
    /// sysctls, usually `/proc/sys/net/ipv4/conf`.
    ///
    /// # Errors
    /// When no netlink socket can be had.
    pub fn connect(root: impl Into<PathBuf>, sysctls: impl Into<PathBuf>) -> io::Result<Self> {
        let (connection, netlink, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        Ok(Self { netlink, connection, root: root.into(), sysctls: sysctls.into() })
    }

    fn sysctl_path(&self, link: &str, key: Sysctl) -> PathBuf {
        self.sysctls.join(link).join(key.key())
    }
}

impl Drop for LinuxHost {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Waits for the kernel's answer.
async fn answer<T>(operation: String, request: impl Future<Output = Result<T, rtnetlink::Error>>) -> HostResult<T> {
    match tokio::time::timeout(ANSWER_TIME, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(operation, error)),
        Err(_) => Err(HostError::new(HostErrorKind::Timeout, operation, "the kernel does not answer")),
    }
}

fn refused(operation: String, error: rtnetlink::Error) -> HostError {
    match error {
        rtnetlink::Error::NetlinkError(message) => files::error(operation, &message.to_io()),
        other => HostError::new(HostErrorKind::Other, operation, other.to_string()),
    }
}

/// The kernel's word for an address that cannot be used is also that for one that is not there to be removed.
fn gone(error: HostError) -> HostError {
    let kind = if error.kind == HostErrorKind::Invalid { HostErrorKind::NotFound } else { error.kind };
    HostError { kind, ..error }
}

impl Host for LinuxHost {
    async fn links(&self) -> HostResult<Vec<Link>> {
        let messages: Vec<LinkMessage> =
            answer("list links".to_owned(), self.netlink.link().get().execute().try_collect()).await?;
        Ok(messages.into_iter().filter_map(messages::link).collect())
    }

    async fn addresses(&self) -> HostResult<Vec<Address>> {
        let messages: Vec<AddressMessage> =
            answer("list addresses".to_owned(), self.netlink.address().get().execute().try_collect()).await?;
        Ok(messages.iter().filter_map(messages::address).collect())
    }

    async fn routes(&self) -> HostResult<Vec<Route>> {
        let mut routes = Vec::new();
        let families = [
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        ];
        for family in families {
            let messages: Vec<RouteMessage> =
                answer("list routes".to_owned(), self.netlink.route().get(family).execute().try_collect()).await?;
            routes.extend(messages.iter().filter_map(messages::route));
        }
        Ok(routes)
    }

    async fn rules(&self) -> HostResult<Vec<Rule>> {
        let mut rules = Vec::new();
        for family in [IpVersion::V4, IpVersion::V6] {
            let messages: Vec<RuleMessage> =
                answer("list rules".to_owned(), self.netlink.rule().get(family).execute().try_collect()).await?;
            rules.extend(messages.iter().filter_map(messages::rule));
        }
        Ok(rules)
    }

    async fn set_name(&self, link: u32, name: &str) -> HostResult<()> {
        let rename = || {
            let message = LinkUnspec::new_with_index(link).name(name).build();
            answer(format!("rename link {link} to {name}"), self.netlink.link().change(message).execute())
        };
        let error = match rename().await {
            Err(error) if error.kind == HostErrorKind::Exists => error,
            result => return result,
        };
        let own = self.links().await?.into_iter().find(|other| other.index == link);
        if !own.is_some_and(|own| own.alt_names.iter().any(|alternative| alternative == name)) {
            return Err(error);
        }
        let forget = self.netlink.link().property_del(link).alt_ifname(&[name]).execute();
        answer(format!("remove the alternative name {name} of link {link}"), forget).await?;
        rename().await
    }

    async fn set_mtu(&self, link: u32, mtu: u32) -> HostResult<()> {
        let message = LinkUnspec::new_with_index(link).mtu(mtu).build();
        answer(format!("set the MTU of link {link} to {mtu}"), self.netlink.link().change(message).execute()).await
    }

    async fn set_up(&self, link: u32, up: bool) -> HostResult<()> {
        let message = LinkUnspec::new_with_index(link);
        let (message, word) = if up { (message.up(), "up") } else { (message.down(), "down") };
        answer(format!("bring link {link} {word}"), self.netlink.link().change(message.build()).execute()).await
    }

    async fn add_address(&self, address: &Address) -> HostResult<()> {
        let mut request = self.netlink.address().add(address.link, address.net.addr(), address.net.prefix_len());
        *request.message_mut() = messages::to_address(address);
        answer(format!("add address {} to link {}", address.net, address.link), request.execute()).await
    }

    async fn del_address(&self, address: &Address) -> HostResult<()> {
        let request = self.netlink.address().del(messages::to_address(address));
        let operation = format!("remove address {} from link {}", address.net, address.link);
        answer(operation, request.execute()).await.map_err(gone)
    }

    async fn add_route(&self, route: &Route) -> HostResult<()> {
        let request = self.netlink.route().add(messages::to_route(route));
        answer(format!("add the route to {} to table {}", route.to, route.table), request.execute()).await
    }

    async fn del_route(&self, route: &Route) -> HostResult<()> {
        let request = self.netlink.route().del(messages::to_any_route(route));
        answer(format!("remove the route to {} from table {}", route.to, route.table), request.execute()).await
    }

    async fn add_rule(&self, rule: &Rule) -> HostResult<()> {
        let mut request = self.netlink.rule().add();
        *request.message_mut() = messages::to_rule(rule);
        answer(format!("add the rule from {} to table {}", rule.from, rule.table), request.execute()).await
    }

    async fn del_rule(&self, rule: &Rule) -> HostResult<()> {
        let request = self.netlink.rule().del(messages::to_rule(rule));
        answer(format!("remove the rule from {} to table {}", rule.from, rule.table), request.execute()).await
    }

    async fn sysctl(&self, link: &str, key: Sysctl) -> HostResult<String> {
        files::read_text(format!("read {} of {link}", key.key()), &self.sysctl_path(link, key))
    }

    async fn set_sysctl(&self, link: &str, key: Sysctl, value: &str) -> HostResult<()> {
        files::write_text(format!("set {} of {link} to {value}", key.key()), &self.sysctl_path(link, key), value)
    }

    async fn list_files(&self, dir: Dir) -> HostResult<Vec<String>> {
        files::list(&self.root, dir)
    }

    async fn read_file(&self, file: &FileRef) -> HostResult<FileContent> {
        files::read(&self.root, file)
    }

    async fn write_file(&self, file: &FileRef, content: &FileContent) -> HostResult<()> {
        files::write(&self.root, file, content)
    }

    async fn remove_file(&self, file: &FileRef) -> HostResult<()> {
        files::remove(&self.root, file)
    }
}
