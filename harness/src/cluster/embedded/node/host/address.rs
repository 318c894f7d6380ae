//! Addresses, and the connected routes that come and go with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Errno, IPV6_MIN_MTU, Network, Route};

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
        if link.up {
            self.connect(index, &address);
        }
        Ok(())
    }

    /// Adds an address, or changes the flags of the one that is there (`ip addr replace`).
    ///
    /// # Errors
    /// As [`Network::add_address`], never [`Errno::Exists`].
    pub fn replace_address(&mut self, index: u32, address: Address) -> Result<(), Errno> {
        let link = self.link_mut(index)?;
        let Some(present) = link.addresses.iter_mut().find(|other| other.is(&address)) else {
            return self.add_address(index, address);
        };
        let address = Address { prefix: present.prefix, ..address };
        if *present == address {
            return Ok(());
        }
        present.no_prefix_route = address.no_prefix_route;
        let up = link.up;
        if address.no_prefix_route {
            self.disconnect(index, &address);
        } else if up {
            self.connect(index, &address);
        }
        Ok(())
    }

    /// Takes an address from a link, with its connected route and, for IPv4, every route that prefers it as source.
    /// Secondary addresses of the same network go with it unless the link promotes them.
    ///
    /// # Errors
    /// [`Errno::NoDevice`], [`Errno::AddressNotAvailable`] for an address that the link has not.
    pub fn remove_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        let link = self.link_mut(index)?;
        let wanted = Address::new(ip, prefix);
        let at = link
            .addresses
            .iter()
            .position(|other| other.ip == ip && other.prefix == prefix)
            .ok_or(Errno::AddressNotAvailable)?;
        let was_primary = is_primary(&link.addresses, at);
        link.addresses.remove(at);
        if was_primary && ip.is_ipv4() && !link.promotes_secondaries() {
            let secondary = |other: &Address| other.prefix == prefix && other.network() == wanted.network();
            link.addresses.retain(|other| !secondary(other));
        }
        self.disconnect(index, &wanted);
        self.drop_routes_from_lost_sources();
        Ok(())
    }

    pub(super) fn connect_all(&mut self, index: u32) {
        let addresses = self.links.get(&index).map(|link| link.addresses.clone()).unwrap_or_default();
        for address in &addresses {
            self.connect(index, address);
        }
    }

    /// Makes the connected route of an address, unless its network has one from an earlier address.
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

    /// Takes the connected route of an address away; another address of the same network gets it instead.
    fn disconnect(&mut self, index: u32, address: &Address) {
        let Some(network) = address.network() else { return };
        self.routes.retain(|route| !(route.link == index && route.is_connected() && route.to == network));
        if self.links.get(&index).is_some_and(|link| link.up) {
            self.connect_all(index);
        }
    }

    fn drop_routes_from_lost_sources(&mut self) {
        let present = |ip: IpAddr| self.links.values().flat_map(|link| &link.addresses).any(|a| a.ip == ip);
        let lost = |route: &Route| route.source.is_some_and(|source| !present(source));
        let (gone, mut kept): (Vec<Route>, Vec<Route>) =
            std::mem::take(&mut self.routes).into_iter().partition(|route| route.is_ipv4() && lost(route));
        drop(gone);
        for route in &mut kept {
            if lost(route) {
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
