//! What `ip` shows on Linux 6.18 in a network namespace, asked of the simulated kernel.

use super::*;

/// A namespace with one link, up, with 1500 bytes.
fn one_link() -> (Network, u32) {
    let mut network = Network::new(true);
    let index = network.add_link("eth1", [2, 0, 0, 0, 0, 1], 1500).expect("a link");
    network.set_up(index).expect("up");
    (network, index)
}

fn address(text: &str) -> Address {
    let net: ipnet::IpNet = text.parse().expect("an address with prefix");
    Address::new(net.addr(), net.prefix_len())
}

fn route(link: u32, to: &str, table: u32) -> Route {
    let to = to.parse().expect("a network");
    Route { to, via: None, link, table, metric: 0, source: None, origin: RouteOrigin::Static }
}

fn shown(network: &Network) -> Vec<String> {
    network.routes().iter().map(|route| format!("{} {} {}", route.to, route.table, route.metric)).collect()
}

fn addresses(network: &Network, index: u32) -> Vec<String> {
    let link = network.link(index).expect("the link");
    link.addresses.iter().map(|address| format!("{}/{}", address.ip, address.prefix)).collect()
}

#[test]
fn a_rename_is_refused_for_what_the_kernel_refuses() {
    let (mut network, index) = one_link();
    network.add_link("eth2", [2, 0, 0, 0, 0, 2], 1500).expect("a link");
    let cases = [
        ("eth2", Err(Errno::Exists)),
        ("lo", Err(Errno::Exists)),
        ("", Ok(())),
        (".", Err(Errno::Invalid)),
        ("a/b", Err(Errno::Invalid)),
        ("a b", Err(Errno::Invalid)),
        ("a:b", Err(Errno::Invalid)),
        ("sixteen-letters-", Err(Errno::Range)),
        ("fifteen-letters", Ok(())),
        ("fifteen-letters", Ok(())),
    ];
    for (name, expected) in cases {
        assert_eq!(network.rename(index, name), expected, "{name:?}");
    }
    assert_eq!(network.rename(99, "x"), Err(Errno::NoDevice));
}

#[test]
fn a_link_that_is_up_is_busy_on_an_old_kernel() {
    let mut network = Network::new(false);
    let index = network.add_link("eth1", [2, 0, 0, 0, 0, 1], 1500).expect("a link");
    network.set_up(index).expect("up");
    assert_eq!(network.rename(index, "multinic0"), Err(Errno::Busy));
    network.set_down(index).expect("down");
    assert_eq!(network.rename(index, "multinic0"), Ok(()));
}

#[test]
fn an_mtu_outside_what_the_device_takes_is_invalid() {
    let (mut network, index) = one_link();
    for (mtu, expected) in [(67, Err(Errno::Invalid)), (68, Ok(())), (65_535, Ok(())), (65_536, Err(Errno::Invalid))] {
        assert_eq!(network.set_mtu(index, mtu), expected, "{mtu}");
    }
}

#[test]
fn addresses_are_told_apart_by_prefix_in_ipv4_only() {
    let (mut network, index) = one_link();
    let cases = [
        ("10.0.0.1/24", Ok(())),
        ("10.0.0.1/24", Err(Errno::Exists)),
        ("10.0.0.1/25", Ok(())),
        ("fd00::1/64", Ok(())),
        ("fd00::1/64", Err(Errno::Exists)),
        ("fd00::1/80", Err(Errno::Exists)),
    ];
    for (text, expected) in cases {
        assert_eq!(network.add_address(index, address(text)), expected, "{text}");
    }
    let absent = "10.0.0.9".parse().expect("an address");
    assert_eq!(network.remove_address(index, absent, 24), Err(Errno::AddressNotAvailable));
}

#[test]
fn connected_routes_come_and_go_with_the_address_and_the_link() {
    let (mut network, index) = one_link();
    for text in ["10.0.0.1/24", "10.0.0.2/24", "10.0.6.2/32", "fd00::1/64"] {
        network.add_address(index, address(text)).expect("added");
    }
    let quiet = Address { no_prefix_route: true, ..address("10.0.5.2/24") };
    network.add_address(index, quiet).expect("added");
    assert_eq!(shown(&network), ["10.0.0.0/24 254 0", "fd00::/64 254 256"]);

    network.add_route(route(index, "10.9.0.0/24", 101)).expect("added");
    network.set_down(index).expect("down");
    assert_eq!(shown(&network), Vec::<String>::new(), "a link that is down has no routes");
    assert_eq!(addresses(&network, index), ["10.0.0.1/24", "10.0.0.2/24", "10.0.6.2/32", "10.0.5.2/24"]);

    network.set_up(index).expect("up");
    assert_eq!(shown(&network), ["10.0.0.0/24 254 0"], "connected routes come back, others do not");
}

#[test]
fn a_small_mtu_ends_ipv6() {
    let (mut network, index) = one_link();
    network.add_address(index, address("fd00::1/64")).expect("added");
    network.set_mtu(index, 1279).expect("set");
    assert_eq!(addresses(&network, index), Vec::<String>::new());
    assert_eq!(network.add_address(index, address("fd00::1/64")), Err(Errno::Invalid));
    network.set_mtu(index, 1280).expect("set");
    assert_eq!(network.add_address(index, address("fd00::1/64")), Ok(()));
}

#[test]
fn routes_are_refused_for_what_the_kernel_refuses() {
    let (mut network, index) = one_link();
    network.add_address(index, address("10.0.0.1/24")).expect("added");
    let with = |change: fn(&mut Route)| {
        let mut route = route(index, "10.8.0.0/24", 101);
        change(&mut route);
        route
    };
    let cases = [
        ("another link", with(|r| r.link = 99), Err(Errno::NoDevice)),
        ("host bits", with(|r| r.to = "10.8.0.1/24".parse().expect("a network")), Err(Errno::Invalid)),
        ("no own source", with(|r| r.source = "10.7.7.7".parse().ok()), Err(Errno::Invalid)),
        ("a hop that is not connected", with(|r| r.via = "192.168.1.1".parse().ok()), Err(Errno::NetUnreachable)),
        ("a connected hop", with(|r| r.via = "10.0.0.7".parse().ok()), Ok(())),
        ("the same again", with(|r| r.via = "10.0.0.7".parse().ok()), Err(Errno::Exists)),
        ("another metric", with(|r| r.metric = 6), Ok(())),
    ];
    for (what, route, expected) in cases {
        assert_eq!(network.add_route(route), expected, "{what}");
    }
    let absent = "10.44.0.0/24".parse().expect("a network");
    assert_eq!(network.remove_route(absent, 254, None, None, None), Err(Errno::NoProcess));
    network.set_down(index).expect("down");
    assert_eq!(network.add_route(route(index, "10.8.0.0/24", 101)), Err(Errno::NetDown));
}

#[test]
fn removing_an_address_takes_the_routes_that_prefer_it_along() {
    let (mut network, index) = one_link();
    network.add_address(index, address("10.0.0.1/24")).expect("added");
    let preferring = Route { source: "10.0.0.1".parse().ok(), ..route(index, "10.9.0.0/24", 101) };
    network.add_route(preferring).expect("added");
    network.remove_address(index, "10.0.0.1".parse().expect("an address"), 24).expect("removed");
    assert_eq!(shown(&network), Vec::<String>::new());
}

#[test]
fn with_its_last_address_a_link_loses_its_routes_and_other_links_only_those_of_the_main_table_that_prefer_it() {
    let (mut network, index) = one_link();
    let other = network.add_link("eth2", [2, 0, 0, 0, 0, 2], 1500).expect("a link");
    network.set_up(other).expect("up");
    network.add_address(index, address("10.0.0.1/24")).expect("added");
    let source = "10.0.0.1".parse().ok();
    for (link, table) in [(index, 101), (other, 102), (other, 254)] {
        network.add_route(Route { source, ..route(link, "10.9.0.0/24", table) }).expect("added");
    }
    network.remove_address(index, "10.0.0.1".parse().expect("an address"), 24).expect("removed");
    assert_eq!(shown(&network), ["10.9.0.0/24 102 0"]);
}

#[test]
fn secondary_addresses_go_with_the_primary_one_unless_they_are_promoted() {
    for (promote, left) in [("0", vec![]), ("1", vec!["10.0.0.2/24"])] {
        let (mut network, index) = one_link();
        network.set_setting(index, "promote_secondaries", promote).expect("set");
        for text in ["10.0.0.1/24", "10.0.0.2/24"] {
            network.add_address(index, address(text)).expect("added");
        }
        network.remove_address(index, "10.0.0.1".parse().expect("an address"), 24).expect("removed");
        assert_eq!(addresses(&network, index), left, "promote_secondaries={promote}");
        assert_eq!(network.routes().len(), left.len(), "the connected route follows the address that is left");
    }
}

#[test]
fn equal_rules_are_refused_only_where_they_name_their_priority() {
    let mut network = Network::new(true);
    let from: ipnet::IpNet = "10.0.0.1/32".parse().expect("a network");
    assert_eq!(network.add_rule(from, 101, None), Ok(()));
    assert_eq!(network.add_rule(from, 101, None), Ok(()));
    assert_eq!(network.add_rule(from, 101, Some(100)), Ok(()));
    assert_eq!(network.add_rule(from, 101, Some(100)), Err(Errno::Exists));
    let priorities: Vec<u32> = network.rules().iter().map(|rule| rule.priority).collect();
    assert_eq!(priorities, [0, 100, 32_764, 32_765, 32_766, 32_767]);
    assert_eq!(network.remove_rule(from, 101, Some(100)), Ok(()));
    assert_eq!(network.remove_rule(from, 101, Some(100)), Err(Errno::NoEntry));
}

#[test]
fn settings_stay_with_a_link_that_is_renamed() {
    let (mut network, index) = one_link();
    network.set_setting(index, "rp_filter", "1").expect("set");
    network.rename(index, "multinic0").expect("renamed");
    let link = network.link_by_name("multinic0").expect("the link");
    assert_eq!(link.setting("rp_filter"), Some("1"));
    assert_eq!(network.set_setting(index, "no_such_thing", "1"), Err(Errno::NoEntry));
    assert_eq!(network.set_setting(index, "rp_filter", "much"), Err(Errno::Invalid));
}
