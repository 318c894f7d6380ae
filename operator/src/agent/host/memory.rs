//! A host in memory, for tests: with the kernel's habits that the agent has to cope with, a log of what was done to it,
//! and one fault wherever a test wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::{
    Address, Dir, FileContent, FileRef, Host, HostError, HostErrorKind, HostResult, Link, Mac, Route, Rule, Sysctl,
    TABLE_MAIN,
};

/// A host in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryHost {
    state: Mutex<MemoryState>,
    control: Mutex<Control>,
}

/// Everything that can be seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryState {
    pub(crate) links: BTreeMap<u32, Link>,
    pub(crate) addresses: BTreeSet<Address>,
    pub(crate) routes: BTreeSet<Route>,
    pub(crate) rules: BTreeSet<Rule>,
    pub(crate) sysctls: BTreeMap<(u32, Sysctl), String>,
    pub(crate) files: BTreeMap<FileRef, FileContent>,
    pub(crate) dirs: BTreeSet<Dir>,
}

#[derive(Debug, Default)]
struct Control {
    /// Operations so far, reads included.
    count: usize,
    /// The operation that fails.
    fail_at: Option<usize>,
    /// The operation from which on all fail, as for an agent that is killed.
    dead_from: Option<usize>,
    /// What was changed.
    log: Vec<String>,
    /// Renaming a link that is up is refused, as kernels before 6.2 do.
    old_kernel: bool,
    /// Sysctls cannot be written, as in a container without privilege.
    read_only_sysctls: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error<T>(kind: HostErrorKind, operation: &str) -> HostResult<T> {
    Err(HostError::new(kind, operation, format!("{kind:?}")))
}

impl MemoryHost {
    /// A host with the directories of every format and these links: name, MAC, up.
    pub(crate) fn with_links(links: &[(&str, &str, bool)]) -> Self {
        let host = Self::default();
        host.edit(|state| {
            state.dirs = Dir::ALL.into();
            for (index, (name, mac, up)) in (2..).zip(links) {
                let link = Link {
                    index,
                    name: (*name).to_owned(),
                    mac: Mac::parse(mac),
                    up: *up,
                    mtu: 1500,
                    kind: None,
                    master: None,
                    loopback: false,
                    alt_names: Vec::new(),
                };
                state.links.insert(index, link);
                for (key, value) in [(Sysctl::RpFilter, "1"), (Sysctl::ArpIgnore, "0"), (Sysctl::ArpAnnounce, "0")] {
                    state.sysctls.insert((index, key), value.to_owned());
                }
            }
        });
        host
    }

    /// Everything there is.
    pub(crate) fn state(&self) -> MemoryState {
        lock(&self.state).clone()
    }

    /// Changes things behind the agent's back.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut MemoryState)) {
        change(&mut lock(&self.state));
    }

    /// Lets the nth operation from now fail, reads included; 0 is the next one.
    pub(crate) fn fail_at(&self, operation: Option<usize>) {
        let mut control = lock(&self.control);
        control.count = 0;
        control.fail_at = operation;
    }

    /// Lets every operation fail from the nth from now, as for an agent that is killed there; none for a new agent.
    pub(crate) fn dead_from(&self, operation: Option<usize>) {
        let mut control = lock(&self.control);
        control.count = 0;
        control.dead_from = operation;
    }

    /// How many operations there were since [`Self::fail_at`].
    pub(crate) fn operations(&self) -> usize {
        lock(&self.control).count
    }

    /// What was changed since the last time this was asked.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.control).log)
    }

    /// See [`Control::old_kernel`].
    pub(crate) fn old_kernel(&self) {
        lock(&self.control).old_kernel = true;
    }

    /// See [`Control::read_only_sysctls`].
    pub(crate) fn read_only_sysctls(&self) {
        lock(&self.control).read_only_sysctls = true;
    }

    fn begin(&self, operation: &str, changes: bool) -> HostResult<MutexGuard<'_, MemoryState>> {
        let mut control = lock(&self.control);
        let count = control.count;
        control.count += 1;
        if control.fail_at == Some(count) || control.dead_from.is_some_and(|from| count >= from) {
            return Err(HostError::new(HostErrorKind::Other, operation, "injected"));
        }
        if changes {
            control.log.push(operation.to_owned());
        }
        Ok(lock(&self.state))
    }
}

impl MemoryState {
    fn link(&mut self, index: u32) -> HostResult<&mut Link> {
        self.links.get_mut(&index).ok_or_else(|| HostError::new(HostErrorKind::NotFound, "link", "no such device"))
    }

    fn flush(&mut self, index: u32) {
        self.routes.retain(|route| route.link != index);
        self.addresses.retain(|address| address.link != index || matches!(address.net, IpNet::V4(_)));
    }

    /// The route to its network that comes with an address.
    fn prefix_route(address: &Address) -> Option<Route> {
        let own = !address.no_prefix_route && address.net.prefix_len() < address.net.max_prefix_len();
        own.then(|| Route {
            link: address.link,
            to: address.net.trunc(),
            via: None,
            table: TABLE_MAIN,
            metric: 0,
            src: Some(address.net.addr()).filter(IpAddr::is_ipv4),
            kernel: true,
        })
    }

    fn index_of(&self, name: &str) -> HostResult<u32> {
        match self.links.values().find(|link| link.name == name) {
            Some(link) => Ok(link.index),
            None => error(HostErrorKind::NotFound, "sysctl"),
        }
    }
}

impl Host for MemoryHost {
    async fn links(&self) -> HostResult<Vec<Link>> {
        Ok(self.begin("links", false)?.links.values().cloned().collect())
    }

    async fn addresses(&self) -> HostResult<Vec<Address>> {
        Ok(self.begin("addresses", false)?.addresses.iter().cloned().collect())
    }

    async fn routes(&self) -> HostResult<Vec<Route>> {
        Ok(self.begin("routes", false)?.routes.iter().cloned().collect())
    }

    async fn rules(&self) -> HostResult<Vec<Rule>> {
        Ok(self.begin("rules", false)?.rules.iter().cloned().collect())
    }

    async fn set_name(&self, link: u32, name: &str) -> HostResult<()> {
        let old_kernel = lock(&self.control).old_kernel;
        let operation = format!("name {link} {name}");
        let mut state = self.begin(&operation, true)?;
        if name.is_empty() || name.len() > 15 {
            return error(HostErrorKind::Invalid, &operation);
        }
        if state.links.values().any(|other| other.index != link && other.name == name) {
            return error(HostErrorKind::Exists, &operation);
        }
        let link = state.link(link)?;
        if link.up && old_kernel {
            return error(HostErrorKind::Busy, &operation);
        }
        name.clone_into(&mut link.name);
        Ok(())
    }

    async fn set_mtu(&self, link: u32, mtu: u32) -> HostResult<()> {
        let mut state = self.begin(&format!("mtu {link} {mtu}"), true)?;
        state.link(link)?.mtu = mtu;
        if mtu < 1280 {
            state.addresses.retain(|address| address.link != link || matches!(address.net, IpNet::V4(_)));
        }
        Ok(())
    }

    async fn set_up(&self, link: u32, up: bool) -> HostResult<()> {
        let mut state = self.begin(&format!("up {link} {up}"), true)?;
        let was = std::mem::replace(&mut state.link(link)?.up, up);
        if was && !up {
            state.flush(link);
        }
        if !was && up {
            let routes: Vec<_> = state
                .addresses
                .iter()
                .filter(|address| address.link == link)
                .filter_map(MemoryState::prefix_route)
                .collect();
            state.routes.extend(routes);
        }
        Ok(())
    }

    async fn add_address(&self, address: &Address) -> HostResult<()> {
        let operation = format!("add address {} {}", address.link, address.net);
        let mut state = self.begin(&operation, true)?;
        let link = state.link(address.link)?.clone();
        if matches!(address.net, IpNet::V6(_)) && link.mtu < 1280 {
            return error(HostErrorKind::Invalid, &operation);
        }
        if state.addresses.iter().any(|other| other.link == address.link && other.net == address.net) {
            return error(HostErrorKind::Exists, &operation);
        }
        if link.up {
            state.routes.extend(MemoryState::prefix_route(address));
        }
        state.addresses.insert(address.clone());
        Ok(())
    }

    async fn del_address(&self, address: &Address) -> HostResult<()> {
        let operation = format!("del address {} {}", address.link, address.net);
        let mut state = self.begin(&operation, true)?;
        if !state.addresses.remove(address) {
            return error(HostErrorKind::NotFound, &operation);
        }
        let (link, ip) = (address.link, address.net.addr());
        if let Some(route) = MemoryState::prefix_route(address) {
            state.routes.remove(&route);
        }
        // Routes that prefer an address go with it, and so do secondary addresses with their primary one: here, those
        // of the same network that come after it.
        state.routes.retain(|route| route.link != link || route.src != Some(ip));
        state.addresses.retain(|other| {
            let secondary = other.link == link && other.net.trunc() == address.net.trunc() && other.net > address.net;
            !(secondary && matches!(other.net, IpNet::V4(_)))
        });
        Ok(())
    }

    async fn add_route(&self, route: &Route) -> HostResult<()> {
        let operation = format!("add route {} {} table {}", route.link, route.to, route.table);
        let mut state = self.begin(&operation, true)?;
        if !state.link(route.link)?.up {
            return error(HostErrorKind::Invalid, &operation);
        }
        let same = |other: &Route| (other.to, other.table, other.metric) == (route.to, route.table, route.metric);
        if state.routes.iter().any(|other| same(other) && (route.to.addr().is_ipv4() || other.link == route.link)) {
            return error(HostErrorKind::Exists, &operation);
        }
        if let Some(src) = route.src
            && !state.addresses.iter().any(|address| address.net.addr() == src)
        {
            return error(HostErrorKind::Invalid, &operation);
        }
        state.routes.insert(route.clone());
        Ok(())
    }

    async fn del_route(&self, route: &Route) -> HostResult<()> {
        let operation = format!("del route {} {} table {}", route.link, route.to, route.table);
        let mut state = self.begin(&operation, true)?;
        if state.routes.remove(route) { Ok(()) } else { error(HostErrorKind::NotFound, &operation) }
    }

    async fn add_rule(&self, rule: &Rule) -> HostResult<()> {
        let operation = format!("add rule {} table {}", rule.from, rule.table);
        let mut state = self.begin(&operation, true)?;
        if state.rules.insert(rule.clone()) { Ok(()) } else { error(HostErrorKind::Exists, &operation) }
    }

    async fn del_rule(&self, rule: &Rule) -> HostResult<()> {
        let operation = format!("del rule {} table {}", rule.from, rule.table);
        let mut state = self.begin(&operation, true)?;
        if state.rules.remove(rule) { Ok(()) } else { error(HostErrorKind::NotFound, &operation) }
    }

    async fn sysctl(&self, link: &str, key: Sysctl) -> HostResult<String> {
        let state = self.begin("sysctl", false)?;
        let index = state.index_of(link)?;
        state.sysctls.get(&(index, key)).cloned().ok_or_else(|| HostError::new(HostErrorKind::NotFound, "sysctl", ""))
    }

    async fn set_sysctl(&self, link: &str, key: Sysctl, value: &str) -> HostResult<()> {
        let operation = format!("set {}={value} of {link}", key.key());
        if lock(&self.control).read_only_sysctls {
            return error(HostErrorKind::Denied, &operation);
        }
        let mut state = self.begin(&operation, true)?;
        let index = state.index_of(link)?;
        state.sysctls.insert((index, key), value.to_owned());
        Ok(())
    }

    async fn list_files(&self, dir: Dir) -> HostResult<Vec<String>> {
        let state = self.begin("list", false)?;
        if !state.dirs.contains(&dir) {
            return error(HostErrorKind::NotFound, "list");
        }
        Ok(state.files.keys().filter(|file| file.dir() == dir).map(|file| file.name().to_owned()).collect())
    }

    async fn read_file(&self, file: &FileRef) -> HostResult<FileContent> {
        let state = self.begin("read", false)?;
        state.files.get(file).cloned().ok_or_else(|| HostError::new(HostErrorKind::NotFound, "read", ""))
    }

    async fn write_file(&self, file: &FileRef, content: &FileContent) -> HostResult<()> {
        let operation = format!("write {file}");
        let mut state = self.begin(&operation, true)?;
        if !state.dirs.contains(&file.dir()) {
            return error(HostErrorKind::NotFound, &operation);
        }
        state.files.insert(file.clone(), content.clone());
        Ok(())
    }

    async fn remove_file(&self, file: &FileRef) -> HostResult<()> {
        let operation = format!("remove {file}");
        let mut state = self.begin(&operation, true)?;
        match state.files.remove(file) {
            Some(_) => Ok(()),
            None => error(HostErrorKind::NotFound, &operation),
        }
    }
}
