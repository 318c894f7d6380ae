//! A host that fails once: the nth operation, and none other.

use std::sync::atomic::{AtomicUsize, Ordering};

use slipway_operator::agent::Host;
use slipway_operator::agent::host::{
    Address, Dir, FileContent, FileRef, HostError, HostErrorKind, HostResult, Link, Route, Rule, Sysctl,
};

/// A host that fails once.
pub(crate) struct Faulty<'a, H> {
    inner: &'a H,
    count: AtomicUsize,
    fail_at: usize,
}

impl<'a, H: Host> Faulty<'a, H> {
    pub(crate) fn new(inner: &'a H, fail_at: usize) -> Self {
        Self { inner, count: AtomicUsize::new(0), fail_at }
    }

    /// How many operations there were.
    pub(crate) fn operations(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn count(&self) -> HostResult<&'a H> {
        if self.count.fetch_add(1, Ordering::Relaxed) == self.fail_at {
            return Err(HostError::new(HostErrorKind::Other, "operation", "injected"));
        }
        Ok(self.inner)
    }
}

impl<H: Host> Host for Faulty<'_, H> {
    async fn links(&self) -> HostResult<Vec<Link>> {
        self.count()?.links().await
    }
    async fn addresses(&self) -> HostResult<Vec<Address>> {
        self.count()?.addresses().await
    }
    async fn routes(&self) -> HostResult<Vec<Route>> {
        self.count()?.routes().await
    }
    async fn rules(&self) -> HostResult<Vec<Rule>> {
        self.count()?.rules().await
    }
    async fn set_name(&self, link: u32, name: &str) -> HostResult<()> {
        self.count()?.set_name(link, name).await
    }
    async fn set_mtu(&self, link: u32, mtu: u32) -> HostResult<()> {
        self.count()?.set_mtu(link, mtu).await
    }
    async fn set_up(&self, link: u32, up: bool) -> HostResult<()> {
        self.count()?.set_up(link, up).await
    }
    async fn add_address(&self, address: &Address) -> HostResult<()> {
        self.count()?.add_address(address).await
    }
    async fn del_address(&self, address: &Address) -> HostResult<()> {
        self.count()?.del_address(address).await
    }
    async fn add_route(&self, route: &Route) -> HostResult<()> {
        self.count()?.add_route(route).await
    }
    async fn del_route(&self, route: &Route) -> HostResult<()> {
        self.count()?.del_route(route).await
    }
    async fn add_rule(&self, rule: &Rule) -> HostResult<()> {
        self.count()?.add_rule(rule).await
    }
    async fn del_rule(&self, rule: &Rule) -> HostResult<()> {
        self.count()?.del_rule(rule).await
    }
    async fn sysctl(&self, link: &str, key: Sysctl) -> HostResult<String> {
        self.count()?.sysctl(link, key).await
    }
    async fn set_sysctl(&self, link: &str, key: Sysctl, value: &str) -> HostResult<()> {
        self.count()?.set_sysctl(link, key, value).await
    }
    async fn list_files(&self, dir: Dir) -> HostResult<Vec<String>> {
        self.count()?.list_files(dir).await
    }
    async fn read_file(&self, file: &FileRef) -> HostResult<FileContent> {
        self.count()?.read_file(file).await
    }
    async fn write_file(&self, file: &FileRef, content: &FileContent) -> HostResult<()> {
        self.count()?.write_file(file, content).await
    }
    async fn remove_file(&self, file: &FileRef) -> HostResult<()> {
        self.count()?.remove_file(file).await
    }
}
