//! What the agent must do on a real kernel.

use std::net::{IpAddr, UdpSocket};

use rtnetlink::LinkBridge;
use slipway_operator::agent::host::{Address, Dir, FileRef, Host, Mac, Route, Sysctl};
use slipway_operator::agent::{Outcome, Request, SpecSource, Stop, run};
use slipway_operator::api::agent::{
    AgentAction, AgentExit, AgentInterface, AgentSettings, AgentSpec, InterfaceOutcome, OsKind, Reason,
};

use super::faulty::Faulty;
use super::namespace::{Case, Node, Snapshot};

const MAC_1: &str = "02:16:3e:f3:b0:3f";
const MAC_2: &str = "02:16:3e:1e:b2:5f";

/// Every case by the name it is reported under.
pub(crate) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("interfaces_get_name_mtu_address_route_rule_and_sysctls", |node| Box::pin(configured(node))),
        ("a_packet_from_the_address_finds_its_way", |node| Box::pin(routed(node))),
        ("a_second_run_changes_nothing", |node| Box::pin(second_run(node))),
        ("a_new_address_replaces_the_old_one", |node| Box::pin(new_address(node))),
        ("secondary_addresses_of_others_survive", |node| Box::pin(secondary(node))),
        ("ipv6_works_as_ipv4_does", |node| Box::pin(ipv6(node))),
        ("two_links_exchange_their_names", |node| Box::pin(exchange(node))),
        ("cleanup_leaves_the_node_as_it_was_found", |node| Box::pin(cleanup(node))),
        ("a_link_in_use_is_refused", |node| Box::pin(busy(node))),
        ("a_bridge_that_shares_the_mac_is_not_taken_for_the_link", |node| Box::pin(bridge(node))),
        ("a_lost_original_name_is_found_among_the_alternative_ones", |node| Box::pin(alternative_name(node))),
        ("a_route_that_the_kernel_refuses_puts_the_interface_back", |node| Box::pin(refused_by_the_kernel(node))),
        ("any_operation_may_fail_and_the_interface_is_as_before", |node| Box::pin(any_fault(node))),
        ("a_long_address_and_prefix_of_one_host_works", |node| Box::pin(one_host(node))),
    ]
}

fn interface(id: u8, mac: &str, address: &str, cidr: &str) -> AgentInterface {
    AgentInterface {
        id,
        name: format!("multinic{id}"),
        mac: mac.into(),
        address: address.parse().ok(),
        cidr: cidr.parse().ok(),
        mtu: Some(1450),
    }
}

fn sample(os: OsKind) -> AgentSpec {
    AgentSpec {
        node_name: "node-1".into(),
        config_uid: "uid-1".into(),
        generation: 1,
        os,
        interfaces: vec![
            interface(1, MAC_1, "11.11.11.33", "11.11.11.0/24"),
            interface(2, MAC_2, "11.11.11.26", "11.11.11.0/24"),
        ],
        settings: AgentSettings::default(),
    }
}

async fn links(node: &Node) {
    node.veth("ens4", MAC_1).await.unwrap();
    node.veth("ens5", MAC_2).await.unwrap();
}

async fn go<H: Host>(host: &H, action: AgentAction, spec: &AgentSpec) -> Outcome {
    let request = Request { action, node: None, source: SpecSource::Given(Box::new(spec.clone())) };
    run(&request, host, &Stop::never()).await
}

async fn apply(node: &Node, spec: &AgentSpec) -> Snapshot {
    let outcome = go(&node.host, AgentAction::Apply, spec).await;
    assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
    node.snapshot().await
}

impl Snapshot {
    /// A link as a line: name, MTU, state, global addresses, its routes outside the main table, the rules to them.
    fn line(&self, mac: &str) -> String {
        let mac = Mac::parse(mac);
        let link = self.links.iter().find(|link| link.mac == mac && link.kind.as_deref() == Some("veth")).unwrap();
        let mut parts = vec![link.name.clone(), link.mtu.to_string(), if link.up { "up" } else { "down" }.to_owned()];
        parts.extend(
            self.addresses
                .iter()
                .filter(|address| address.link == link.index)
                .map(|address| format!("{}{}", address.net, if address.no_prefix_route { "!" } else { "" })),
        );
        for route in self.routes.iter().filter(|route| route.link == link.index && !route.kernel) {
            let src = route.src.map_or_else(String::new, |src| format!(" src {src}"));
            parts.push(format!("[{} table {} metric {}{src}]", route.to, route.table, route.metric));
            parts.extend(
                (self.rules.iter().filter(|rule| rule.table == route.table))
                    .map(|rule| format!("[{}: from {}]", rule.priority, rule.from)),
            );
        }
        parts.join(" ")
    }
}

async fn configured(node: Node) {
    links(&node).await;
    let snapshot = apply(&node, &sample(OsKind::Netplan)).await;
    assert_eq!(
        snapshot.line(MAC_1),
        "multinic1 1450 up 11.11.11.33/24! [11.11.11.0/24 table 101 metric 101 src 11.11.11.33] [10101: from 11.11.11.33/32]"
    );
    assert_eq!(
        snapshot.line(MAC_2),
        "multinic2 1450 up 11.11.11.26/24! [11.11.11.0/24 table 102 metric 102 src 11.11.11.26] [10102: from 11.11.11.26/32]"
    );
    for (key, value) in [(Sysctl::RpFilter, "2"), (Sysctl::ArpIgnore, "1"), (Sysctl::ArpAnnounce, "2")] {
        assert_eq!(node.host.sysctl("multinic1", key).await.unwrap(), value);
    }
    let text = std::fs::read_to_string(node.root.path().join("etc/netplan/91-multinic1.yaml")).unwrap();
    assert!(text.contains("\"found\":{\"name\":\"ens4\",\"up\":false,\"mtu\":1500,"), "{text}");
}

async fn routed(node: Node) {
    links(&node).await;
    // Only one of them, so that the other network is nobody's.
    let mut spec = sample(OsKind::Netplan);
    spec.interfaces.pop();
    apply(&node, &spec).await;
    let from: IpAddr = "11.11.11.33".parse().unwrap();
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.connect("11.11.11.99:9").unwrap();
    // The main table has no route: who does not ask for the address does not get the interface.
    let other = UdpSocket::bind("0.0.0.0:0").unwrap();
    assert!(other.connect("11.11.11.99:9").is_err());
}

async fn second_run(node: Node) {
    links(&node).await;
    for os in OsKind::ALL {
        let before = apply(&node, &sample(os)).await;
        let outcome = go(&node.host, AgentAction::Apply, &AgentSpec { generation: 2, ..sample(os) }).await;
        assert!(
            outcome.summary.interfaces.iter().all(|result| !result.changed && result.reason == Reason::UpToDate),
            "{}",
            outcome.message
        );
        assert_eq!(node.snapshot().await, before);
        assert_eq!(go(&node.host, AgentAction::Verify, &sample(os)).await.exit, AgentExit::Done);
    }
}

async fn new_address(node: Node) {
    links(&node).await;
    let mut spec = sample(OsKind::NetworkManager);
    apply(&node, &spec).await;
    spec.interfaces[0] = interface(1, MAC_1, "10.20.0.5", "10.20.0.0/16");
    let snapshot = apply(&node, &spec).await;
    assert_eq!(
        snapshot.line(MAC_1),
        "multinic1 1450 up 10.20.0.5/16! [10.20.0.0/16 table 101 metric 101 src 10.20.0.5] [10101: from 10.20.0.5/32]"
    );
    assert_eq!(snapshot.rules.len(), 2);
}

async fn secondary(node: Node) {
    links(&node).await;
    let mut spec = sample(OsKind::Netplan);
    apply(&node, &spec).await;
    let link = node.link(MAC_1).await;
    let address = "11.11.11.200/24".parse().unwrap();
    let virtual_address =
        Address { link: link.index, net: address, no_prefix_route: true, global: true, permanent: true };
    node.host.add_address(&virtual_address).await.unwrap();
    // The kernel takes it away with the primary address, and the agent brings it back.
    spec.interfaces[0].address = "11.11.11.34".parse().ok();
    let snapshot = apply(&node, &spec).await;
    assert!(snapshot.addresses.contains(&virtual_address), "{:?}", snapshot.addresses);
    assert!(snapshot.line(MAC_1).contains(" 11.11.11.34/24! "), "{}", snapshot.line(MAC_1));
}

async fn ipv6(node: Node) {
    links(&node).await;
    let mut spec = sample(OsKind::NetworkManager);
    spec.interfaces[0] = interface(1, MAC_1, "fd00:11::33", "fd00:11::/64");
    let found = node.snapshot().await;
    let snapshot = apply(&node, &spec).await;
    assert_eq!(
        snapshot.line(MAC_1),
        "multinic1 1450 up fd00:11::33/64! [fd00:11::/64 table 101 metric 101] [10101: from fd00:11::33/128]"
    );
    let outcome = go(&node.host, AgentAction::Apply, &spec).await;
    assert!(outcome.summary.interfaces.iter().all(|result| !result.changed), "{}", outcome.message);
    go(&node.host, AgentAction::Cleanup, &spec).await;
    assert_eq!(node.snapshot().await, found);
}

async fn exchange(node: Node) {
    links(&node).await;
    let mut spec = sample(OsKind::Ifcfg);
    apply(&node, &spec).await;
    (spec.interfaces[0].mac, spec.interfaces[1].mac) = (MAC_2.into(), MAC_1.into());
    let snapshot = apply(&node, &spec).await;
    assert!(snapshot.line(MAC_1).starts_with("multinic2 1450 up 11.11.11.26/24! "), "{}", snapshot.line(MAC_1));
    assert!(snapshot.line(MAC_2).starts_with("multinic1 1450 up 11.11.11.33/24! "), "{}", snapshot.line(MAC_2));
}

async fn cleanup(node: Node) {
    links(&node).await;
    node.up("ens5").await.unwrap();
    let found = node.snapshot().await;
    for os in OsKind::ALL {
        apply(&node, &sample(os)).await;
        let nothing = AgentSpec { interfaces: vec![], ..sample(OsKind::Netplan) };
        let outcome = go(&node.host, AgentAction::Cleanup, &nothing).await;
        assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
        assert_eq!(outcome.summary.removed.len(), 2);
        assert_eq!(node.snapshot().await, found);
    }
}

async fn busy(node: Node) {
    links(&node).await;
    node.up("ens4").await.unwrap();
    let link = node.link(MAC_1).await;
    let net = "192.168.7.1/24".parse().unwrap();
    let address = Address { link: link.index, net, no_prefix_route: false, global: true, permanent: true };
    node.host.add_address(&address).await.unwrap();
    let outcome = go(&node.host, AgentAction::Apply, &sample(OsKind::Netplan)).await;
    assert_eq!(outcome.exit, AgentExit::Interfaces);
    assert_eq!(outcome.summary.interfaces[0].reason, Reason::InterfaceBusy);
    assert_eq!(outcome.summary.interfaces[1].status, InterfaceOutcome::Configured);
    assert_eq!(node.link(MAC_1).await, link);
}

async fn bridge(node: Node) {
    links(&node).await;
    let octets = Mac::parse(MAC_1).unwrap().0.to_vec();
    node.netlink.link().add(LinkBridge::new("br0").address(octets).build()).execute().await.unwrap();
    let snapshot = apply(&node, &sample(OsKind::Netplan)).await;
    assert!(snapshot.line(MAC_1).starts_with("multinic1 "));
    assert!(snapshot.links.iter().any(|link| link.name == "br0" && link.mac == Mac::parse(MAC_1)));
}

async fn alternative_name(node: Node) {
    links(&node).await;
    let link = node.link(MAC_1).await;
    node.netlink.link().property_add(link.index).alt_ifname(&["enp0s4"]).execute().await.unwrap();
    apply(&node, &sample(OsKind::Netplan)).await;
    let file = FileRef::new(Dir::Netplan, "91-multinic1.yaml").unwrap();
    let mut content = node.host.read_file(&file).await.unwrap();
    let text = String::from_utf8(content.bytes).unwrap();
    content.bytes = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n").into_bytes();
    node.host.write_file(&file, &content).await.unwrap();
    let outcome = go(&node.host, AgentAction::Cleanup, &sample(OsKind::Netplan)).await;
    assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
    let link = node.link(MAC_1).await;
    assert_eq!((link.name.as_str(), link.up), ("enp0s4", false));
    assert!(node.snapshot().await.addresses.iter().all(|address| address.link != link.index));
}

async fn refused_by_the_kernel(node: Node) {
    links(&node).await;
    let mut spec = sample(OsKind::Netplan);
    apply(&node, &spec).await;
    let link = node.link(MAC_1).await;
    // A veth takes any MTU the spec can have, so let the kernel refuse the route: somebody else has it in our table.
    go(&node.host, AgentAction::Cleanup, &spec).await;
    node.up("ens5").await.unwrap();
    let route = Route {
        link: node.link(MAC_2).await.index,
        to: "11.11.11.0/24".parse().unwrap(),
        via: None,
        table: 101,
        metric: 101,
        src: None,
        kernel: false,
    };
    node.host.add_route(&route).await.unwrap();
    spec.interfaces.pop();
    let found = node.snapshot().await;
    let outcome = go(&node.host, AgentAction::Apply, &spec).await;
    assert_eq!(outcome.summary.interfaces[0].reason, Reason::RouteFailed, "{}", outcome.message);
    assert_eq!(node.snapshot().await, found);
    assert_eq!(node.link(MAC_1).await.index, link.index);
}

async fn any_fault(node: Node) {
    links(&node).await;
    let found = node.snapshot().await;
    let spec = sample(OsKind::NetworkManager);
    let whole = Faulty::new(&node.host, usize::MAX);
    assert_eq!(go(&whole, AgentAction::Apply, &spec).await.exit, AgentExit::Done);
    let operations = whole.operations();
    assert!(operations > 50);
    for operation in 0..operations {
        go(&node.host, AgentAction::Cleanup, &spec).await;
        assert_eq!(node.snapshot().await, found, "before operation {operation}");
        let outcome = go(&Faulty::new(&node.host, operation), AgentAction::Apply, &spec).await;
        let snapshot = node.snapshot().await;
        for (result, mac) in outcome.summary.interfaces.iter().zip([MAC_1, MAC_2]) {
            if result.status == InterfaceOutcome::Failed {
                assert_ne!(result.reason, Reason::RollbackFailed);
                assert_eq!(snapshot.line(mac), found.line(mac), "operation {operation}: {}", outcome.message);
            } else {
                assert!(snapshot.line(mac).starts_with(&result.name));
            }
        }
    }
}

async fn one_host(node: Node) {
    links(&node).await;
    let mut spec = sample(OsKind::Netplan);
    spec.interfaces[0] = interface(1, MAC_1, "11.11.11.33", "11.11.11.33/32");
    spec.interfaces[1] =
        interface(2, MAC_2, "fd00:1111:2222:3333:4444:5555:6666:7777", "fd00:1111:2222:3333:4444:5555:6666:7777/128");
    let snapshot = apply(&node, &spec).await;
    assert!(snapshot.line(MAC_1).starts_with("multinic1 1450 up 11.11.11.33/32! "), "{}", snapshot.line(MAC_1));
    assert!(snapshot.line(MAC_2).contains("/128! "), "{}", snapshot.line(MAC_2));
    let outcome = go(&node.host, AgentAction::Apply, &spec).await;
    assert!(outcome.summary.interfaces.iter().all(|result| !result.changed), "{}", outcome.message);
}
