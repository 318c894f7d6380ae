//! Routes of every table but `local`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Address, Errno, IPV6_MIN_MTU, MAIN_TABLE, Network};

/// The metric of an IPv6 route that names none.
const IPV6_METRIC: u32 = 1024;

/// The metric of an IPv6 connected route.
const IPV6_CONNECTED_METRIC: u32 = 256;

/// Who made a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrigin {
    /// The kernel, for an address.
    Kernel,
    /// Somebody, through netlink.
    Static,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination; a prefix of length 0 is the default route.
    pub to: IpNet,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The index of the link it leaves by.
    pub link: u32,
    /// The table it is in.
    pub table: u32,
    /// Lower is preferred.
    pub metric: u32,
    /// The preferred source address.
    pub source: Option<IpAddr>,
    /// Who made it.
    pub origin: RouteOrigin,
}

impl Route {
    pub(super) fn connected(link: u32, to: IpNet, source: IpAddr) -> Self {
        let (metric, source) = if source.is_ipv4() { (0, Some(source)) } else { (IPV6_CONNECTED_METRIC, None) };
        Self { to, via: None, link, table: MAIN_TABLE, metric, source, origin: RouteOrigin::Kernel }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.origin == RouteOrigin::Kernel
    }

    /// Whether it is the connected route of this address' network.
    pub(super) fn is_connected_by(&self, address: &Address) -> bool {
        self.is_connected() && Some(self.to) == address.network()
    }

    pub(super) fn is_ipv4(&self) -> bool {
        matches!(self.to, IpNet::V4(_))
    }

    /// What no route that is added may share with another.
    fn clashes(&self, other: &Self) -> bool {
        (self.to, self.table, self.metric) == (other.to, other.table, other.metric)
    }
}

impl Network {
    /// Adds a route.
    ///
    /// # Errors
    /// [`Errno::NoDevice`], also for IPv6 on a link whose MTU is below 1280; [`Errno::Exists`] where the table has one to
    /// this destination with this metric; [`Errno::Invalid`] for an IPv4 destination with host bits, a source that is no
    /// address of the machine, or a next hop of the other family; [`Errno::NetDown`] for a link that is down;
    /// [`Errno::NetUnreachable`] (IPv4) and [`Errno::HostUnreachable`] (IPv6) for a next hop that no connected network
    /// holds.
    pub fn add_route(&mut self, route: Route) -> Result<(), Errno> {
        let route = self.checked(route)?;
        if self.routes.iter().any(|other| other.clashes(&route)) {
            return Err(Errno::Exists);
        }
        self.routes.push(route);
        Ok(())
    }

    /// Adds a route, in place of the one with the same destination, table and metric (`ip route replace`).
    ///
    /// # Errors
    /// As [`Network::add_route`], never [`Errno::Exists`].
    pub fn replace_route(&mut self, route: Route) -> Result<(), Errno> {
        let route = self.checked(route)?;
        let same = |other: &&mut Route| (other.to, other.table, other.metric) == (route.to, route.table, route.metric);
        match self.routes.iter_mut().find(same) {
            Some(present) => *present = route,
            None => self.routes.push(route),
        }
        Ok(())
    }

    /// Removes the most preferred route that has this destination and table, and the metric, link and next hop where
    /// given; the metric 0 stands for any.
    ///
    /// # Errors
    /// [`Errno::NoProcess`] where there is none.
    pub fn remove_route(
        &mut self,
        to: IpNet,
        table: u32,
        link: Option<u32>,
        metric: Option<u32>,
        via: Option<IpAddr>,
    ) -> Result<(), Errno> {
        let matches = |route: &Route| {
            (route.to, route.table) == (to, table)
                && link.is_none_or(|link| link == route.link)
                && metric.is_none_or(|metric| metric == 0 || metric == route.metric)
                && (via.is_none() || via == route.via)
        };
        let found = self.routes.iter().enumerate().filter(|(_, route)| matches(route));
        let (at, _) = found.min_by_key(|(_, route)| route.metric).ok_or(Errno::NoProcess)?;
        self.routes.remove(at);
        Ok(())
    }

    fn checked(&self, route: Route) -> Result<Route, Errno> {
        let route = if route.is_ipv4() { self.checked_ipv4(route) } else { self.checked_ipv6(route) }?;
        let family = |ip: IpAddr| ip.is_ipv4() == route.is_ipv4();
        let own = |source| self.links.values().flat_map(|link| &link.addresses).any(|address| address.ip == source);
        if route.source.is_some_and(|source| !own(source) || !family(source)) {
            return Err(Errno::Invalid);
        }
        Ok(route)
    }

    /// The next hop is looked for first: without it the kernel does not come to the link.
    fn checked_ipv4(&self, route: Route) -> Result<Route, Errno> {
        if route.to.addr() != route.to.network() || route.via.is_some_and(|via| via.is_ipv6()) {
            return Err(Errno::Invalid);
        }
        match route.via {
            Some(via) if !self.is_on_link(&route, via) => Err(Errno::NetUnreachable),
            None if !self.link(route.link)?.up => Err(Errno::NetDown),
            _ => Ok(route),
        }
    }

    /// The link is looked for first, and must have IPv6; bits of hosts are ignored.
    fn checked_ipv6(&self, mut route: Route) -> Result<Route, Errno> {
        let link = self.link(route.link)?;
        if link.mtu < IPV6_MIN_MTU {
            return Err(Errno::NoDevice);
        }
        if let Some(via) = route.via {
            if via.is_ipv4() {
                return Err(Errno::Invalid);
            }
            if !self.is_on_link(&route, via) {
                return Err(Errno::HostUnreachable);
            }
        }
        if !link.up {
            return Err(Errno::NetDown);
        }
        if route.metric == 0 {
            route.metric = IPV6_METRIC;
        }
        route.to = route.to.trunc();
        Ok(route)
    }

    /// Whether a route's own table, or else the main one, reaches its next hop through its link without a further hop.
    fn is_on_link(&self, route: &Route, ip: IpAddr) -> bool {
        let reaches = |table: u32| {
            let there = self.routes.iter().filter(|r| r.table == table && r.link == route.link && r.to.contains(&ip));
            if route.is_ipv4() {
                // Routes with a hop of their own are passed over.
                return there.into_iter().any(|r| r.via.is_none());
            }
            let best = there.max_by_key(|r| (r.to.prefix_len(), std::cmp::Reverse(r.metric)));
            best.is_some_and(|r| r.via.is_none())
        };
        reaches(route.table) || reaches(MAIN_TABLE)
    }
}
