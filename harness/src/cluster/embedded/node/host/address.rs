//! Addresses, and the connected routes that come and go with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Errno, IPV6_MIN_MTU, MAIN_TABLE, Network, Route};

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// `noprefixroute`: its network gets no connected route.
    pub no_prefix_route: bool,
}

impl Address {
    /// An address that gets its connected route.
    pub fn new(ip: IpAddr, prefix: u8) -> Self {
        Self { ip, prefix, no_prefix_route: false }
    }

    pub(super) fn loopback_v4() -> Self {
        Self::new(Ipv4Addr::LOCALHOST.into(), 8)
    }

    pub(super) fn loopback_v6() -> Self {
        Self::new(Ipv6Addr::LOCALHOST.into(), 128)
    }

    /// The network it is in; none where the prefix is too long for the family.
    pub fn network(&self) -> Option<IpNet> {
        IpNet::new(self.ip, self.prefix).ok().map(|net| net.trunc())
    }

    /// What the kernel takes for the same address: IPv4 compares the prefix too, IPv6 does not.
    fn is(&self, other: &Self) -> bool {
        self.ip == other.ip && (self.ip.is_ipv6() || self.prefix == other.prefix)
    }
}

impl Network {
    /// Gives a link an address; where the link is up, its network gets a connected route in the main table.
    ///
    /// # Errors
    /// [`Errno::NoDevice`], [`Errno::Exists`] for an address that the link has, [`Errno::Invalid`] for a prefix that
    /// is too long or for IPv6 on a link whose MTU is below 1280.
    pub fn add_address(&mut self, index: u32, address: Address) -> Result<(), Errno> {
        address.network().ok_or(Errno::Invalid)?;
        let link = self.link_mut(index)?;
        if address.ip.is_ipv6() && link.mtu < IPV6_MIN_MTU {
            return Err(Errno::Invalid);
        }
        if link.addresses.iter().any(|other| other.is(&address)) {
            return Err(Errno::Exists);
        }
        link.addresses.push(address);
        let first = is_primary(&link.addresses, link.addresses.len() - 1);
        if link.up && (first || address.ip.is_ipv6()) {
            self.connect(index, &address);
        }
        Ok(())
    }

    /// Takes an address from a link, with its connected route and, for IPv4, every route of the main table that prefers it
    /// as source. Secondary addresses of the same network go with it unless the link promotes them; with the last IPv4
    /// address go all IPv4 routes through the link.
    ///
    /// # Errors
    /// [`Errno::NoDevice`], [`Errno::AddressNotAvailable`] for an address that the link has not,
    /// [`Errno::NoDeviceOrAddress`] for IPv6 on a link whose MTU is below 1280.
    pub fn remove_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        let link = self.link_mut(index)?;
        if ip.is_ipv6() && link.mtu < IPV6_MIN_MTU {
            return Err(Errno::NoDeviceOrAddress);
        }
        let wanted = Address::new(ip, prefix);
        let at = link
            .addresses
            .iter()
            .position(|other| other.ip == ip && other.prefix == prefix)
            .ok_or(Errno::AddressNotAvailable)?;
        let was_primary = is_primary(&link.addresses, at);
        let removed = link.addresses.remove(at);
        let (promotes, up) = (link.promotes_secondaries(), link.up);
        let secondary = |other: &Address| other.prefix == prefix && other.network() == wanted.network();
        if ip.is_ipv4() && was_primary {
            if !promotes {
                link.addresses.retain(|other| !secondary(other));
            }
            let next = link.addresses.iter().find(|other| secondary(other)).copied();
            if !removed.no_prefix_route {
                self.routes.retain(|route| !(route.link == index && route.is_connected_by(&removed)));
            }
            if let Some(next) = next.filter(|_| up) {
                self.connect(index, &next);
            }
        } else if ip.is_ipv6() && !removed.no_prefix_route && !link.addresses.iter().any(secondary) {
            self.disconnect_ipv6(index, &removed);
        }
        // A link without any IPv4 address has no IPv4.
        if self.link(index)?.addresses.iter().all(|address| address.ip.is_ipv6()) {
            self.routes.retain(|route| route.link != index || !route.is_ipv4());
        }
        self.drop_routes_from_lost_sources();
        Ok(())
    }

    pub(super) fn connect_all(&mut self, index: u32) {
        let addresses = self.links.get(&index).map(|link| link.addresses.clone()).unwrap_or_default();
        for (at, address) in addresses.iter().enumerate() {
            if address.ip.is_ipv6() || is_primary(&addresses, at) {
                self.connect(index, address);
            }
        }
    }

    /// Makes the connected route of an address, unless its network has one from an earlier address. In IPv4 only the
    /// first address of a network may ask for it.
    fn connect(&mut self, index: u32, address: &Address) {
        let host_only = u32::from(address.prefix) == if address.ip.is_ipv4() { 32 } else { 128 };
        let Some(network) = address.network() else { return };
        if address.no_prefix_route || address.ip.is_loopback() || (host_only && address.ip.is_ipv4()) {
            return;
        }
        let route = Route::connected(index, network, address.ip);
        let there = |other: &Route| other.link == index && other.is_connected() && other.to == network;
        if !self.routes.iter().any(there) {
            self.routes.push(route);
        }
    }

    /// Takes away the route to the network of an address that nobody shares: the most preferred one on the link, as the
    /// kernel does, whoever made it.
    fn disconnect_ipv6(&mut self, index: u32, address: &Address) {
        let Some(network) = address.network() else { return };
        let on_link = |route: &Route| route.link == index && route.table == MAIN_TABLE && route.via.is_none();
        let found = self.routes.iter().enumerate().filter(|(_, route)| on_link(route) && route.to == network);
        if let Some((at, _)) = found.min_by_key(|(_, route)| route.metric) {
            self.routes.remove(at);
        }
    }

    fn drop_routes_from_lost_sources(&mut self) {
        let present = |ip: IpAddr| self.links.values().flat_map(|link| &link.addresses).any(|a| a.ip == ip);
        // Of IPv4 the kernel looks at the main table only.
        let gone = |route: &Route| route.is_ipv4() && route.table == MAIN_TABLE;
        let lost = |route: &Route| route.source.is_some_and(|source| !present(source));
        let (gone, mut kept): (Vec<Route>, Vec<Route>) =
            std::mem::take(&mut self.routes).into_iter().partition(|route| gone(route) && lost(route));
        drop(gone);
        for route in &mut kept {
            if !route.is_ipv4() && lost(route) {
                route.source = None;
            }
        }
        self.routes = kept;
    }
}

/// Whether no earlier address of the link is in the same network.
fn is_primary(addresses: &[Address], at: usize) -> bool {
    let Some(address) = addresses.get(at) else { return false };
    let same = |other: &Address| other.prefix == address.prefix && other.network() == address.network();
    !addresses.iter().take(at).any(same)
}
