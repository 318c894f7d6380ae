//! The CEL rules of the CRD, one function each, and the patterns of its schema.
//!
//! Rules that look at an address or a network hold where it cannot be read: the rule of that field says so already, and
//! one mistake makes one message. Every list and string they look at is bounded, so that API servers accept their cost.

use kube::core::Rule;

/// Six octets with colons between them; the lowest bit of the first, which marks a group of cards, is not set.
pub(super) const MAC_PATTERN: &str = "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$";

/// `multinic0` to `multinic9`.
pub(super) const NAME_PATTERN: &str = "^multinic[0-9]$";

const BOTH_READABLE: &str = "has(self.address) && has(self.cidr) && isIP(self.address) && isCIDR(self.cidr)";

pub(super) fn named_as_node() -> Rule {
    Rule::new("self.metadata.name == self.spec.nodeName")
        .message("metadata.name must be the node's name, spec.nodeName")
}

pub(super) fn immutable() -> Rule {
    Rule::new("self == oldSelf")
        .message("the node cannot be changed: delete this object and create one for the other node")
}

pub(super) fn unique_ids() -> Rule {
    Rule::new("self.all(a, self.exists_one(b, b.id == a.id))").message("two interfaces have the same id")
}

pub(super) fn unique_macs() -> Rule {
    Rule::new("self.all(a, self.exists_one(b, b.macAddress.lowerAscii() == a.macAddress.lowerAscii()))")
        .message("two interfaces have the same MAC address")
}

pub(super) fn unique_names() -> Rule {
    let name = |of: &str| format!("(has({of}.name) ? {of}.name : 'multinic' + string({of}.id))");
    Rule::new(format!("self.all(a, self.exists_one(b, {} == {}))", name("b"), name("a")))
        .message("two interfaces have the same name; one without a name is called multinic<id>")
}

pub(super) fn unique_addresses() -> Rule {
    Rule::new(
        "self.all(a, !has(a.address) || !isIP(a.address) || self.exists_one(b, \
         has(b.address) && isIP(b.address) && ip(b.address) == ip(a.address)))",
    )
    .message("two interfaces have the same address")
}

pub(super) fn address_with_cidr() -> Rule {
    Rule::new("has(self.address) == has(self.cidr)").message("address and cidr must be given together")
}

pub(super) fn address_in_cidr() -> Rule {
    Rule::new(format!("!({BOTH_READABLE}) || cidr(self.cidr).containsIP(self.address)"))
        .message("address must be inside cidr")
}

pub(super) fn not_network_address() -> Rule {
    // Point-to-point networks, of two addresses or one, have none (RFC 3021, RFC 6164).
    Rule::new(format!(
        "!({BOTH_READABLE}) || cidr(self.cidr).prefixLength() >= (ip(self.address).family() == 4 ? 31 : 127) || \
         cidr(self.cidr).masked().ip() != ip(self.address)"
    ))
    .message("address must not be the network's own address")
}

pub(super) fn not_broadcast_address() -> Rule {
    // CEL can neither shift nor raise to a power. The host bits of a broadcast address are all ones, so the address
    // plus one is a multiple of the network's size, which is looked up by its prefix length.
    let sizes: Vec<String> = (0..=30).map(|prefix| (1_i64 << (32 - prefix)).to_string()).collect();
    Rule::new(format!(
        "!({BOTH_READABLE}) || ip(self.address).family() != 4 || cidr(self.cidr).prefixLength() > 30 || \
         (int(self.address.split('.')[0]) * 16777216 + int(self.address.split('.')[1]) * 65536 + \
         int(self.address.split('.')[2]) * 256 + int(self.address.split('.')[3]) + 1) % \
         [{}][cidr(self.cidr).prefixLength()] != 0",
        sizes.join(", ")
    ))
    .message("address must not be the network's broadcast address")
}

pub(super) fn mtu_carries_ipv6() -> Rule {
    Rule::new(
        "!has(self.mtu) || self.mtu >= 1280 || !has(self.address) || !isIP(self.address) || ip(self.address).family() == 4",
    )
    .message("mtu must be at least 1280 for an IPv6 address")
}

pub(super) fn mac_not_zero() -> Rule {
    Rule::new("self != '00:00:00:00:00:00'").message("macAddress must be that of a network card")
}

pub(super) fn unicast_address() -> Rule {
    Rule::new("isIP(self) && ip(self).isGlobalUnicast()")
        .message("address must be the IPv4 or IPv6 unicast address of a host, without a prefix")
}

pub(super) fn network() -> Rule {
    Rule::new("isCIDR(self) && cidr(self).prefixLength() > 0")
        .message("cidr must be a network like 192.0.2.0/24 or 2001:db8::/64")
}
