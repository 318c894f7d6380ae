//! Links: names, MAC addresses, MTU, up and down, per-interface settings.

use std::collections::BTreeMap;

use super::{Address, Errno, IPV6_MIN_MTU, Network};

/// The longest device name: `IFNAMSIZ` without the closing zero.
const NAME_MAX_BYTES: usize = 15;

/// The smallest MTU that IPv4 allows (RFC 791), and the least that Ethernet drivers take.
const MTU_MIN: u32 = 68;

/// The largest MTU that paravirtual network cards take.
const MTU_MAX: u32 = 65_535;

/// The loopback link's MTU.
const LOOPBACK_MTU: u32 = 65_536;

/// Per-interface settings of `net.ipv4.conf` and what a machine booted by systemd has in them.
const SETTINGS: [(&str, &str); 14] = [
    ("accept_local", "0"),
    ("accept_redirects", "1"),
    ("accept_source_route", "0"),
    ("arp_accept", "0"),
    ("arp_announce", "0"),
    ("arp_filter", "0"),
    ("arp_ignore", "0"),
    ("arp_notify", "0"),
    ("forwarding", "0"),
    ("log_martians", "0"),
    ("promote_secondaries", "1"),
    ("proxy_arp", "0"),
    ("rp_filter", "2"),
    ("src_valid_mark", "0"),
];

/// A hardware address.
pub type Mac = [u8; 6];

/// A network link.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The index, which stays when the name changes.
    pub index: u32,
    /// The device name.
    pub name: String,
    /// Other names it answers to.
    pub alternative_names: Vec<String>,
    /// The hardware address.
    pub mac: Mac,
    /// Administratively up.
    pub up: bool,
    /// Bytes.
    pub mtu: u32,
    /// Addresses, in the order in which the kernel keeps them.
    pub addresses: Vec<Address>,
    settings: BTreeMap<&'static str, String>,
}

impl Link {
    pub(super) fn new(name: &str, mac: Mac) -> Self {
        Self {
            index: 0,
            name: name.to_owned(),
            alternative_names: Vec::new(),
            mac,
            up: false,
            mtu: 1500,
            addresses: Vec::new(),
            settings: SETTINGS.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        }
    }

    /// A link as it was found; the rest is for the finder to fill in.
    pub fn found(index: u32, up: bool, addresses: Vec<Address>) -> Self {
        Self { index, up, addresses, ..Self::new("", [0; 6]) }
    }

    /// The same link with these settings of `net.ipv4.conf.<link>` and no others.
    #[must_use]
    pub fn with_settings(self, settings: BTreeMap<&'static str, String>) -> Self {
        Self { settings, ..self }
    }

    /// The settings of `net.ipv4.conf.<link>` that are known, and what a machine booted by systemd has in them.
    pub fn booted_settings() -> impl Iterator<Item = (&'static str, &'static str)> {
        SETTINGS.into_iter()
    }

    pub(super) fn loopback() -> Self {
        Self {
            up: true,
            mtu: LOOPBACK_MTU,
            addresses: vec![Address::loopback_v4(), Address::loopback_v6()],
            ..Self::new("lo", [0; 6])
        }
    }

    /// The hardware address as it is written: lower case, with colons.
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// A setting of `net.ipv4.conf.<link>`, by the last part of its name.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// Every setting of `net.ipv4.conf.<link>`, by the last part of its name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(key, value)| (*key, value.as_str()))
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alternative_names.iter().any(|other| other == name)
    }

    pub(super) fn takes_mtu(&self, mtu: u32) -> bool {
        let max = if self.mtu == LOOPBACK_MTU { u32::MAX } else { MTU_MAX };
        (MTU_MIN..=max).contains(&mtu)
    }

    pub(super) fn promotes_secondaries(&self) -> bool {
        self.setting("promote_secondaries").is_some_and(|value| value != "0")
    }
}

impl Network {
    /// Renames a link; addresses, routes and settings stay with it.
    ///
    /// # Errors
    /// [`Errno::NoDevice`], [`Errno::Range`] for a name that is too long, [`Errno::Invalid`] for what else is no device
    /// name, [`Errno::Exists`] for a name that another link has, [`Errno::Busy`] for a link that is up on a kernel before 6.2.
    pub fn rename(&mut self, index: u32, name: &str) -> Result<(), Errno> {
        if name.len() > NAME_MAX_BYTES {
            return Err(Errno::Range);
        }
        let link = self.link(index)?;
        // An empty name is none at all.
        if link.name == name || name.is_empty() {
            return Ok(());
        }
        if link.up && !self.live_rename {
            return Err(Errno::Busy);
        }
        self.check_new_name(name)?;
        name.clone_into(&mut self.link_mut(index)?.name);
        Ok(())
    }

    /// Gives a link one more name.
    ///
    /// # Errors
    /// As [`Network::rename`], which this never answers with [`Errno::Busy`].
    pub fn add_alternative_name(&mut self, index: u32, name: &str) -> Result<(), Errno> {
        self.link(index)?;
        if self.link_by_name(name).is_some() {
            return Err(Errno::Exists);
        }
        self.link_mut(index)?.alternative_names.push(name.to_owned());
        Ok(())
    }

    /// Sets the MTU; below 1280 the link loses its IPv6 addresses and routes.
    ///
    /// # Errors
    /// [`Errno::NoDevice`], [`Errno::Invalid`] outside what the device takes.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), Errno> {
        let link = self.link_mut(index)?;
        if !link.takes_mtu(mtu) {
            return Err(Errno::Invalid);
        }
        link.mtu = mtu;
        if mtu < IPV6_MIN_MTU {
            link.addresses.retain(|address| address.ip.is_ipv4());
            self.routes.retain(|route| route.link != index || route.is_ipv4());
        }
        Ok(())
    }

    /// Brings a link up: its addresses get their connected routes.
    ///
    /// # Errors
    /// [`Errno::NoDevice`].
    pub fn set_up(&mut self, index: u32) -> Result<(), Errno> {
        let link = self.link_mut(index)?;
        if !link.up {
            link.up = true;
            self.connect_all(index);
        }
        Ok(())
    }

    /// Takes a link down: every route through it goes, and so do its IPv6 addresses.
    ///
    /// # Errors
    /// [`Errno::NoDevice`].
    pub fn set_down(&mut self, index: u32) -> Result<(), Errno> {
        let link = self.link_mut(index)?;
        if link.up {
            link.up = false;
            link.addresses.retain(|address| address.ip.is_ipv4());
            self.routes.retain(|route| route.link != index);
        }
        Ok(())
    }

    /// Changes a setting of `net.ipv4.conf.<link>`.
    ///
    /// # Errors
    /// [`Errno::NoDevice`], [`Errno::NoEntry`] for a setting that there is not, [`Errno::Invalid`] for what is no
    /// number.
    pub fn set_setting(&mut self, index: u32, key: &str, value: &str) -> Result<(), Errno> {
        let slot = self.link_mut(index)?.settings.get_mut(key).ok_or(Errno::NoEntry)?;
        let number: i32 = value.trim().parse().map_err(|_| Errno::Invalid)?;
        *slot = number.to_string();
        Ok(())
    }
}

/// Whether the kernel takes this as a device name.
pub(super) fn is_device_name(name: &str) -> bool {
    let sized = (1..=NAME_MAX_BYTES).contains(&name.len());
    let forbidden = |c: char| c == '/' || c == ':' || c.is_ascii_whitespace();
    sized && name != "." && name != ".." && !name.contains(forbidden)
}

/// Reads a hardware address with colons or dashes, in either case.
pub fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
