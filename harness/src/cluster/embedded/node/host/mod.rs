//! A node's network as its kernel keeps it: links, addresses, routes, policy rules and per-interface settings.
//!
//! It holds state and decides; nothing outside this module is touched. What it guarantees is the kernel's own
//! behaviour, as observed on Linux 6.18 with `ip` in a network namespace: connected routes come and go with addresses
//! and with the link's state, a link that goes down loses its routes and its IPv6 addresses, an MTU below 1280 ends
//! IPv6 on a link, refusals carry the kernel's error. Left out: the `local` table, multicast and link-local IPv6
//! (as with `addr_gen_mode none`), neighbours, traffic.

mod address;
mod errno;
mod link;
mod route;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use address::Address;
pub use errno::Errno;
pub use link::{Link, Mac, parse_mac};
pub use route::{Route, RouteOrigin};
pub use rule::{LOCAL_TABLE, Rule};

/// The main routing table.
pub const MAIN_TABLE: u32 = 254;

/// The index of the loopback link.
pub const LOOPBACK: u32 = 1;

/// IPv6 needs links of at least this MTU (RFC 8200).
const IPV6_MIN_MTU: u32 = 1280;

/// A network namespace: what one node, or one Pod without host network, sees.
#[derive(Clone, Debug)]
pub struct Network {
    links: BTreeMap<u32, Link>,
    next_index: u32,
    routes: Vec<Route>,
    rules: Vec<Rule>,
    live_rename: bool,
}

impl Network {
    /// A namespace with nothing but a loopback link.
    ///
    /// `live_rename` says whether a link that is up can be renamed: Linux allows it from 6.2 on, and answers `EBUSY`
    /// before.
    pub fn new(live_rename: bool) -> Self {
        let mut network = Self {
            links: BTreeMap::new(),
            next_index: LOOPBACK,
            routes: Vec::new(),
            rules: rule::defaults(),
            live_rename,
        };
        network.insert(Link::loopback());
        network
    }

    /// A namespace as it was found, its parts in the kernel's order.
    pub fn found(links: impl IntoIterator<Item = Link>, routes: Vec<Route>, rules: Vec<Rule>) -> Self {
        let links: BTreeMap<u32, Link> = links.into_iter().map(|link| (link.index, link)).collect();
        let next_index = links.last_key_value().map_or(LOOPBACK, |(last, _)| last + 1);
        Self { links, next_index, routes, rules, live_rename: true }
    }

    /// Plugs in a link and gives it the next index.
    ///
    /// # Errors
    /// [`Errno::Exists`] for a name that is taken, [`Errno::Invalid`] for one that is no device name.
    pub fn add_link(&mut self, name: &str, mac: Mac, mtu: u32) -> Result<u32, Errno> {
        self.check_new_name(name)?;
        let mut link = Link::new(name, mac);
        if !link.takes_mtu(mtu) {
            return Err(Errno::Invalid);
        }
        link.mtu = mtu;
        Ok(self.insert(link))
    }

    /// Every link, in the order of their indices.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// A link by index.
    ///
    /// # Errors
    /// [`Errno::NoDevice`].
    pub fn link(&self, index: u32) -> Result<&Link, Errno> {
        self.links.get(&index).ok_or(Errno::NoDevice)
    }

    /// A link by name or alternative name.
    pub fn link_by_name(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.is_called(name))
    }

    /// Every route outside the `local` table, in the order in which they were made.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Every rule, lowest priority value first, with the three that are always there.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn insert(&mut self, mut link: Link) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        link.index = index;
        self.links.insert(index, link);
        index
    }

    fn link_mut(&mut self, index: u32) -> Result<&mut Link, Errno> {
        self.links.get_mut(&index).ok_or(Errno::NoDevice)
    }

    fn check_new_name(&self, name: &str) -> Result<(), Errno> {
        if !link::is_device_name(name) {
            return Err(Errno::Invalid);
        }
        if self.link_by_name(name).is_some() {
            return Err(Errno::Exists);
        }
        Ok(())
    }
}
