//! The agent's view of a host whose network is a namespace of this machine's kernel: what it asks of the network goes through
//! its own code for real hosts, on the namespace's thread, and its files are the container's.

use slipway_operator::agent::host::linux::LinuxHost;
use slipway_operator::agent::host::{
    Address, Dir, FileContent, FileRef, Host, HostError, HostErrorKind, HostResult, Link, Route, Rule, Sysctl,
};

use super::files;
use super::host::{CHANGE_TIME, refused, sysctls_are_writable};
use crate::cluster::embedded::node::host::Errno;
use crate::cluster::embedded::node::netns::Namespace;
use crate::cluster::embedded::node::program::Process;

/// Where the namespace's thread finds the sysctls of its links.
const SYSCTLS: &str = "/proc/sys/net/ipv4/conf";

/// No directory, and so nothing below it: files are the container's.
const NO_FILES: &str = "/dev/null";

/// A host with real links, as a container sees it.
pub(super) struct KernelHost<'a> {
    process: &'a Process,
    namespace: &'a Namespace,
}

/// A refusal, by the container's limits or by the kernel.
enum Refusal {
    Container(Errno),
    Host(HostError),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Container(errno)
    }
}

impl<'a> KernelHost<'a> {
    /// The host of a container's process that is in this namespace.
    pub(super) fn new(process: &'a Process, namespace: &'a Namespace) -> Self {
        Self { process, namespace }
    }

    /// Asks the kernel.
    fn ask<T, F>(&self, question: impl FnOnce(LinuxHost) -> F + Send + 'static) -> HostResult<T>
    where
        T: Send + 'static,
        F: Future<Output = HostResult<T>> + 'static,
    {
        let broken = |error: std::io::Error| HostError::new(HostErrorKind::Other, "ask the kernel", error.to_string());
        let answer = self
            .namespace
            .ask(move |_| async move { question(LinuxHost::connect(NO_FILES, SYSCTLS).map_err(broken)?).await });
        answer.map_err(broken)?
    }

    /// A request that changes something, as long as the container may.
    async fn change<F>(&self, operation: String, change: impl FnOnce(LinuxHost) -> F + Send + 'static) -> HostResult<()>
    where
        F: Future<Output = HostResult<()>> + 'static,
    {
        tokio::time::sleep(CHANGE_TIME).await;
        let answer = self.process.network.change(|| self.ask(change).map_err(Refusal::Host));
        answer.map_err(|refusal| match refusal {
            Refusal::Container(errno) => refused(operation, errno),
            Refusal::Host(error) => error,
        })
    }
}

impl Host for KernelHost<'_> {
    async fn links(&self) -> HostResult<Vec<Link>> {
        self.ask(|host| async move { host.links().await })
    }

    async fn addresses(&self) -> HostResult<Vec<Address>> {
        self.ask(|host| async move { host.addresses().await })
    }

    async fn routes(&self) -> HostResult<Vec<Route>> {
        self.ask(|host| async move { host.routes().await })
    }

    async fn rules(&self) -> HostResult<Vec<Rule>> {
        self.ask(|host| async move { host.rules().await })
    }

    async fn set_name(&self, link: u32, name: &str) -> HostResult<()> {
        let name = name.to_owned();
        let operation = format!("rename link {link} to {name}");
        self.change(operation, move |host| async move { host.set_name(link, &name).await }).await
    }

    async fn set_mtu(&self, link: u32, mtu: u32) -> HostResult<()> {
        let operation = format!("set the MTU of link {link} to {mtu}");
        self.change(operation, move |host| async move { host.set_mtu(link, mtu).await }).await
    }

    async fn set_up(&self, link: u32, up: bool) -> HostResult<()> {
        let operation = format!("bring link {link} {}", if up { "up" } else { "down" });
        self.change(operation, move |host| async move { host.set_up(link, up).await }).await
    }

    async fn add_address(&self, address: &Address) -> HostResult<()> {
        let address = address.clone();
        let operation = format!("add address {} to link {}", address.net, address.link);
        self.change(operation, move |host| async move { host.add_address(&address).await }).await
    }

    async fn del_address(&self, address: &Address) -> HostResult<()> {
        let address = address.clone();
        let operation = format!("remove address {} from link {}", address.net, address.link);
        self.change(operation, move |host| async move { host.del_address(&address).await }).await
    }

    async fn add_route(&self, route: &Route) -> HostResult<()> {
        let route = route.clone();
        let operation = format!("add the route to {} to table {}", route.to, route.table);
        self.change(operation, move |host| async move { host.add_route(&route).await }).await
    }

    async fn del_route(&self, route: &Route) -> HostResult<()> {
        let route = route.clone();
        let operation = format!("remove the route to {} from table {}", route.to, route.table);
        self.change(operation, move |host| async move { host.del_route(&route).await }).await
    }

    async fn add_rule(&self, rule: &Rule) -> HostResult<()> {
        let rule = rule.clone();
        let operation = format!("add the rule from {} to table {}", rule.from, rule.table);
        self.change(operation, move |host| async move { host.add_rule(&rule).await }).await
    }

    async fn del_rule(&self, rule: &Rule) -> HostResult<()> {
        let rule = rule.clone();
        let operation = format!("remove the rule from {} to table {}", rule.from, rule.table);
        self.change(operation, move |host| async move { host.del_rule(&rule).await }).await
    }

    async fn sysctl(&self, link: &str, key: Sysctl) -> HostResult<String> {
        let link = link.to_owned();
        self.ask(move |host| async move { host.sysctl(&link, key).await })
    }

    async fn set_sysctl(&self, link: &str, key: Sysctl, value: &str) -> HostResult<()> {
        let operation = format!("set {} of {link} to {value}", key.key());
        if !sysctls_are_writable(self.process) {
            return Err(refused(operation, Errno::ReadOnly));
        }
        let (link, value) = (link.to_owned(), value.to_owned());
        self.change(operation, move |host| async move { host.set_sysctl(&link, key, &value).await }).await
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
