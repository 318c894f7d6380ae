//! Routes of every table but `local`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Errno, MAIN_TABLE, Network};

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

    pub(super) fn is_ipv4(&self) -> bool {
        matches!(self.to, IpNet::V4(_))
    }

    /// What no two routes of the kernel may share.
    fn clashes(&self, other: &Self) -> bool {
        let same = (self.to, self.table, self.metric) == (other.to, other.table, other.metric);
        same && (self.is_ipv4() || (self.link, self.via) == (other.link, other.via))
    }
}

impl Network {
    /// Adds a route.
    ///
    /// # Errors
    /// [`Errno::NoDevice`]; [`Errno::Exists`] where the table has one to this destination with this metric;
    /// [`Errno::Invalid`] for a destination with host bits, a source that is no address of the machine, or a next hop
    /// of the other family; [`Errno::NetDown`] for a link that is down; [`Errno::NetUnreachable`] for a next hop that
    /// no connected network holds.
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

    /// Removes the first route that has this destination and table, and the metric, link and next hop where given.
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
        let at = self
            .routes
            .iter()
            .position(|route| {
                (route.to, route.table) == (to, table)
                    && link.is_none_or(|link| link == route.link)
                    && metric.is_none_or(|metric| metric == route.metric)
                    && (via.is_none() || via == route.via)
            })
            .ok_or(Errno::NoProcess)?;
        self.routes.remove(at);
        Ok(())
    }

    fn checked(&self, mut route: Route) -> Result<Route, Errno> {
        let link = self.link(route.link)?;
        let ipv4 = route.is_ipv4();
        if route.to.addr() != route.to.network() {
            return Err(Errno::Invalid);
        }
        if !link.up {
            return Err(Errno::NetDown);
        }
        if let Some(via) = route.via {
            if via.is_ipv4() != ipv4 {
                return Err(Errno::Invalid);
            }
            if !self.is_on_link(route.link, via) {
                return Err(Errno::NetUnreachable);
            }
        }
        if let Some(source) = route.source {
            let own = self.links.values().flat_map(|link| &link.addresses).any(|address| address.ip == source);
            if !own || source.is_ipv4() != ipv4 {
                return Err(Errno::Invalid);
            }
        }
        if !ipv4 && route.metric == 0 {
            route.metric = IPV6_METRIC;
        }
        Ok(route)
    }

    /// Whether the main table reaches an address through this link without a further hop.
    fn is_on_link(&self, link: u32, ip: IpAddr) -> bool {
        let direct = |route: &Route| route.table == MAIN_TABLE && route.link == link && route.via.is_none();
        self.routes.iter().any(|route| direct(route) && route.to.contains(&ip))
    }
}
