//! The agent as a whole, on a host in memory.

mod faults;
mod formats;
mod properties;

use std::fmt::Write;

use ipnet::IpNet;

use super::host::memory::{MemoryHost, MemoryState};
use super::host::{Address, Dir, FileContent, FileRef, Link, Route, Rule, Sysctl, TABLE_MAIN};
use super::{Outcome, Request, SpecSource, Stop, run};
use crate::api::agent::{
    AgentAction, AgentExit, AgentInterface, AgentSettings, AgentSpec, InterfaceOutcome, InterfaceResult, OsKind, Reason,
};

const MAC_1: &str = "fa:16:3e:f3:b0:3f";
const MAC_2: &str = "fa:16:3e:1e:b2:5f";
const MAC_3: &str = "fa:16:3e:96:27:ff";

/// Three interfaces as the field has them: the third at its own index, all in one network.
fn sample(os: OsKind) -> AgentSpec {
    let interface = |id: u8, mac: &str, address: &str| AgentInterface {
        id,
        name: format!("multinic{id}"),
        mac: mac.into(),
        address: address.parse().ok(),
        cidr: "11.11.11.0/24".parse().ok(),
        mtu: Some(1450),
    };
    AgentSpec {
        node_name: "node-1".into(),
        config_uid: "uid-1".into(),
        generation: 1,
        os,
        interfaces: vec![
            interface(1, MAC_1, "11.11.11.33"),
            interface(2, MAC_2, "11.11.11.26"),
            interface(3, MAC_3, "11.11.11.27"),
        ],
        settings: AgentSettings::default(),
    }
}

/// A node with its own interface and three spare ones.
fn node() -> MemoryHost {
    let host = MemoryHost::with_links(&[
        ("ens3", "fa:16:3e:00:00:01", true),
        ("ens4", MAC_1, false),
        ("ens5", MAC_2, false),
        ("ens6", MAC_3, false),
    ]);
    host.edit(|state| {
        state.addresses.insert(address(2, "192.168.0.10/24"));
        state.routes.insert(Route { via: "192.168.0.1".parse().ok(), ..route(2, "0.0.0.0/0", TABLE_MAIN) });
        state.rules.insert(Rule { from: net("10.1.0.0/16"), table: 50, priority: 100 });
        state.files.insert(
            FileRef::new(Dir::Netplan, "50-cloud-init.yaml").unwrap(),
            FileContent { bytes: b"network: {}\n".to_vec(), mode: 0o600 },
        );
    });
    host
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn address(link: u32, text: &str) -> Address {
    Address { link, net: net(text), no_prefix_route: false, global: true, permanent: true }
}

fn route(link: u32, to: &str, table: u32) -> Route {
    Route { link, to: net(to), via: None, table, metric: 0, src: None, kernel: false }
}

async fn go(host: &MemoryHost, action: AgentAction, spec: &AgentSpec) -> Outcome {
    let request = Request { action, node: None, source: SpecSource::Given(Box::new(spec.clone())) };
    run(&request, host, &Stop::never()).await
}

async fn apply(host: &MemoryHost, spec: &AgentSpec) -> Outcome {
    go(host, AgentAction::Apply, spec).await
}

fn said(results: &[InterfaceResult]) -> Vec<String> {
    let said = |result: &InterfaceResult| {
        let InterfaceResult { id, name, status, changed, reason, message } = result;
        let changed = if *changed { "changed" } else { "unchanged" };
        format!("{id} {name} {status:?} {changed} {reason}: {message}").trim_end_matches(": ").to_owned()
    };
    results.iter().map(said).collect()
}

/// A link as a line: name, MTU, up or down, addresses, routes, rules of its tables.
fn link_line(state: &MemoryState, index: u32) -> String {
    let Link { name, mtu, up, .. } = &state.links[&index];
    let up = if *up { "up" } else { "down" };
    let mut line = format!("{name} {mtu} {up}");
    for address in state.addresses.iter().filter(|address| address.link == index) {
        let _ = write!(line, " {}{}", address.net, if address.no_prefix_route { "!" } else { "" });
    }
    for route in state.routes.iter().filter(|route| route.link == index) {
        let src = route.src.map_or_else(String::new, |src| format!(" src {src}"));
        let _ = write!(line, " [{} table {} metric {}{src}]", route.to, route.table, route.metric);
        for rule in state.rules.iter().filter(|rule| rule.table == route.table) {
            let _ = write!(line, " [{}: from {}]", rule.priority, rule.from);
        }
    }
    line
}

fn file_names(state: &MemoryState) -> Vec<String> {
    state.files.iter().map(|(file, content)| format!("{file} {:o}", content.mode)).collect()
}

#[tokio::test]
async fn three_interfaces_get_their_names_addresses_routes_and_rules() {
    let host = node();
    let outcome = apply(&host, &sample(OsKind::Netplan)).await;
    assert_eq!(outcome.exit, AgentExit::Done);
    assert_eq!(
        said(&outcome.summary.interfaces),
        [
            "1 multinic1 Configured changed Applied",
            "2 multinic2 Configured changed Applied",
            "3 multinic3 Configured changed Applied",
        ]
    );
    let state = host.state();
    assert_eq!(
        link_line(&state, 3),
        "multinic1 1450 up 11.11.11.33/24! [11.11.11.0/24 table 101 metric 101 src 11.11.11.33] [10101: from 11.11.11.33/32]"
    );
    assert_eq!(
        link_line(&state, 5),
        "multinic3 1450 up 11.11.11.27/24! [11.11.11.0/24 table 103 metric 103 src 11.11.11.27] [10103: from 11.11.11.27/32]"
    );
    assert_eq!(
        [Sysctl::RpFilter, Sysctl::ArpIgnore, Sysctl::ArpAnnounce].map(|key| state.sysctls[&(3, key)].as_str()),
        ["2", "1", "2"]
    );
    assert_eq!(
        file_names(&state),
        [
            "/etc/netplan/50-cloud-init.yaml 600",
            "/etc/netplan/91-multinic1.yaml 600",
            "/etc/netplan/92-multinic2.yaml 600",
            "/etc/netplan/93-multinic3.yaml 600",
        ]
    );
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_says_so() {
    for os in OsKind::ALL {
        let host = node();
        apply(&host, &sample(os)).await;
        let (before, _) = (host.state(), host.take_log());
        let outcome = apply(&host, &AgentSpec { generation: 2, ..sample(os) }).await;
        assert_eq!(outcome.exit, AgentExit::Done);
        assert!(said(&outcome.summary.interfaces).iter().all(|line| line.ends_with("Configured unchanged UpToDate")));
        assert_eq!(host.take_log(), [""; 0]);
        assert_eq!(host.state(), before);
    }
}

#[tokio::test]
async fn cleanup_leaves_the_node_as_it_was_found() {
    for os in OsKind::ALL {
        for up in [false, true] {
            let host = node();
            host.edit(|state| {
                for index in 3..=5 {
                    state.links.get_mut(&index).unwrap().up = up;
                }
            });
            let found = host.state();
            apply(&host, &sample(os)).await;
            assert_ne!(host.state(), found);
            // The spec of a cleanup has neither the interfaces nor the format they were written in.
            let spec = AgentSpec { interfaces: vec![], ..sample(OsKind::Netplan) };
            let outcome = go(&host, AgentAction::Cleanup, &spec).await;
            assert_eq!(outcome.exit, AgentExit::Done);
            assert_eq!(
                said(&outcome.summary.removed),
                [1, 2, 3].map(|id| format!("{id} multinic{id} Removed changed CleanedUp"))
            );
            assert_eq!(host.state(), found);
        }
    }
}

#[tokio::test]
async fn cleanup_of_a_node_that_has_nothing_of_ours_does_nothing() {
    let host = node();
    host.edit(|state| {
        let file = FileRef::new(Dir::Netplan, "99-multinic-foo.yaml").unwrap();
        state.files.insert(file, FileContent { bytes: b"network: {}\n".to_vec(), mode: 0o600 });
    });
    let outcome = go(&host, AgentAction::Cleanup, &AgentSpec { interfaces: vec![], ..sample(OsKind::Netplan) }).await;
    assert_eq!((outcome.exit, outcome.summary.removed.len()), (AgentExit::Done, 0));
    assert_eq!(host.take_log(), [""; 0]);
}

#[tokio::test]
async fn a_mac_that_no_link_has_fails_alone() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    spec.interfaces[1].mac = "fa:16:3e:00:00:99".into();
    let outcome = apply(&host, &spec).await;
    assert_eq!(outcome.exit, AgentExit::Interfaces);
    assert_eq!(
        said(&outcome.summary.interfaces),
        [
            "1 multinic1 Configured changed Applied",
            "2 multinic2 Failed unchanged LinkNotFound: no link has the MAC address fa:16:3e:00:00:99",
            "3 multinic3 Configured changed Applied",
        ]
    );
}

#[tokio::test]
async fn a_link_that_the_node_uses_is_not_taken_away_from_it() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    spec.interfaces[1].mac = "fa:16:3e:00:00:01".into();
    let before = link_line(&host.state(), 2);
    let outcome = apply(&host, &spec).await;
    assert_eq!(
        said(&outcome.summary.interfaces)[1],
        "2 multinic2 Failed unchanged InterfaceBusy: ens3 is in use: it is up with address 192.168.0.10/24"
    );
    assert_eq!(link_line(&host.state(), 2), before);
    spec.settings.allow_busy = true;
    assert_eq!(apply(&host, &spec).await.exit, AgentExit::Done);
    assert!(link_line(&host.state(), 2).starts_with("multinic2 1450 up 11.11.11.26/24! 192.168.0.10/24 "));
}

#[tokio::test]
async fn a_vlan_or_bond_that_shares_the_mac_is_not_taken_for_the_link() {
    let host = node();
    host.edit(|state| {
        let child = Link { index: 9, name: "ens4.7".into(), kind: Some("vlan".into()), ..state.links[&3].clone() };
        state.links.insert(9, child);
    });
    assert_eq!(apply(&host, &sample(OsKind::Netplan)).await.exit, AgentExit::Done);
    assert_eq!(host.state().links[&9].name, "ens4.7");
    host.edit(|state| {
        let twin = Link { index: 10, name: "ens9".into(), kind: None, ..state.links[&3].clone() };
        state.links.insert(10, twin);
    });
    let outcome = apply(&host, &sample(OsKind::Netplan)).await;
    assert_eq!(
        said(&outcome.summary.interfaces)[0],
        "1 multinic1 Failed unchanged LinkAmbiguous: several links have the MAC address fa:16:3e:f3:b0:3f: multinic1, ens9"
    );
}

#[tokio::test]
async fn a_port_of_a_bond_is_refused_even_when_it_is_down() {
    let host = node();
    host.edit(|state| state.links.get_mut(&3).unwrap().master = Some(2));
    let outcome = apply(&host, &sample(OsKind::Netplan)).await;
    assert_eq!(
        said(&outcome.summary.interfaces)[0],
        "1 multinic1 Failed unchanged InterfaceBusy: ens4 is in use: it belongs to ens3"
    );
}

#[tokio::test]
async fn a_new_address_replaces_the_old_one_with_its_route_and_rule() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    apply(&host, &spec).await;
    // Somebody's virtual address lives on the interface, too; it is not ours to remove.
    host.edit(|state| {
        state.addresses.insert(address(3, "11.11.11.200/32"));
    });
    host.take_log();
    spec.interfaces[0].address = "10.20.0.5".parse().ok();
    spec.interfaces[0].cidr = "10.20.0.0/16".parse().ok();
    let outcome = apply(&host, &spec).await;
    assert_eq!(
        said(&outcome.summary.interfaces),
        [
            "1 multinic1 Configured changed Applied",
            "2 multinic2 Configured unchanged UpToDate",
            "3 multinic3 Configured unchanged UpToDate",
        ]
    );
    assert_eq!(
        link_line(&host.state(), 3),
        "multinic1 1450 up 10.20.0.5/16! 11.11.11.200/32 [10.20.0.0/16 table 101 metric 101 src 10.20.0.5] [10101: from 10.20.0.5/32]"
    );
    // The record names the old address until it is gone.
    let log = host.take_log();
    assert_eq!(log.first(), log.last());
    assert_eq!(log.first().map(String::as_str), Some("write /etc/netplan/91-multinic1.yaml"));
}

#[tokio::test]
async fn an_address_taken_out_of_the_spec_is_taken_off_the_link_and_the_sysctls_are_back() {
    let host = node();
    let mut spec = sample(OsKind::NetworkManager);
    apply(&host, &spec).await;
    (spec.interfaces[0].address, spec.interfaces[0].cidr, spec.interfaces[0].mtu) = (None, None, None);
    assert_eq!(apply(&host, &spec).await.exit, AgentExit::Done);
    let state = host.state();
    assert_eq!(link_line(&state, 3), "multinic1 1500 up");
    assert_eq!(state.sysctls[&(3, Sysctl::ArpIgnore)], "0");
    assert_eq!(state.rules.len(), 3);
}

#[tokio::test]
async fn two_interfaces_can_exchange_their_names() {
    for old_kernel in [false, true] {
        let host = node();
        if old_kernel {
            host.old_kernel();
        }
        let mut spec = sample(OsKind::Netplan);
        apply(&host, &spec).await;
        spec.interfaces[0].mac = MAC_2.into();
        spec.interfaces[1].mac = MAC_1.into();
        let outcome = apply(&host, &spec).await;
        assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
        let state = host.state();
        assert_eq!(
            link_line(&state, 3),
            "multinic2 1450 up 11.11.11.26/24! [11.11.11.0/24 table 102 metric 102 src 11.11.11.26] [10102: from 11.11.11.26/32]"
        );
        assert_eq!(
            link_line(&state, 4),
            "multinic1 1450 up 11.11.11.33/24! [11.11.11.0/24 table 101 metric 101 src 11.11.11.33] [10101: from 11.11.11.33/32]"
        );
        go(&host, AgentAction::Cleanup, &spec).await;
        assert_eq!(host.state(), node().state());
    }
}

#[tokio::test]
async fn names_can_move_along_a_chain() {
    let host = node();
    let mut spec = sample(OsKind::Ifcfg);
    apply(&host, &spec).await;
    for interface in &mut spec.interfaces {
        interface.id += 1;
        interface.name = format!("multinic{}", interface.id);
    }
    let outcome = apply(&host, &spec).await;
    assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
    let state = host.state();
    let names: Vec<_> = (3..=5).map(|index| state.links[&index].name.clone()).collect();
    assert_eq!(names, ["multinic2", "multinic3", "multinic4"]);
    assert!(!file_names(&state).iter().any(|name| name.contains("multinic1")));
    go(&host, AgentAction::Cleanup, &spec).await;
    assert_eq!(host.state(), node().state());
}

#[tokio::test]
async fn a_name_that_somebody_elses_link_has_is_not_taken_from_it() {
    let host = node();
    host.edit(|state| state.links.get_mut(&2).unwrap().name = "multinic1".into());
    let mut spec = sample(OsKind::Netplan);
    let outcome = apply(&host, &spec).await;
    assert_eq!(
        said(&outcome.summary.interfaces)[0],
        "1 multinic1 Failed unchanged NameInUse: another link with MAC address fa:16:3e:00:00:01 is named multinic1"
    );
    // One that waits for a name that is not given up is refused as well.
    let host = node();
    apply(&host, &spec).await;
    spec.interfaces[0].mtu = Some(1);
    spec.interfaces[0].name = "multinic7".into();
    spec.interfaces[1].name = "multinic1".into();
    let outcome = apply(&host, &spec).await;
    assert_eq!(
        said(&outcome.summary.interfaces),
        [
            "1 multinic7 Failed unchanged InvalidSpec: MTU 1 is not from 68 to 9000",
            "2 multinic1 Failed unchanged NameInUse: another link with MAC address fa:16:3e:f3:b0:3f is named multinic1",
            "3 multinic3 Configured unchanged UpToDate",
        ]
    );
}

#[tokio::test]
async fn an_interface_that_left_the_spec_is_undone_and_its_name_is_free_at_once() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    apply(&host, &spec).await;
    spec.interfaces.remove(0);
    spec.interfaces[0].name = "multinic1".into();
    spec.interfaces[0].id = 1;
    let outcome = apply(&host, &spec).await;
    assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
    assert_eq!(said(&outcome.summary.removed), ["1 multinic1 Removed changed Stale"]);
    let state = host.state();
    assert_eq!(link_line(&state, 3), "ens4 1500 down");
    assert!(link_line(&state, 4).starts_with("multinic1 1450 up 11.11.11.26/24! "));
}

#[tokio::test]
async fn an_interface_that_cannot_be_carried_out_keeps_what_it_has() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    apply(&host, &spec).await;
    let before = host.state();
    spec.interfaces[0].mtu = Some(20);
    spec.interfaces[1].mac = "nonsense".into();
    let outcome = apply(&host, &spec).await;
    assert_eq!(outcome.exit, AgentExit::Interfaces);
    assert_eq!(host.state(), before);
}

#[tokio::test]
async fn an_interface_without_an_address_gets_its_name_and_mtu() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    (spec.interfaces[0].address, spec.interfaces[0].cidr) = (None, None);
    assert_eq!(apply(&host, &spec).await.exit, AgentExit::Done);
    assert_eq!(link_line(&host.state(), 3), "multinic1 1450 up");
}

#[tokio::test]
async fn an_ipv6_address_works_like_an_ipv4_one() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    spec.interfaces[0].address = "fd00:11::33".parse().ok();
    spec.interfaces[0].cidr = "fd00:11::/64".parse().ok();
    assert_eq!(apply(&host, &spec).await.exit, AgentExit::Done);
    assert_eq!(
        link_line(&host.state(), 3),
        "multinic1 1450 up fd00:11::33/64! [fd00:11::/64 table 101 metric 101] [10101: from fd00:11::33/128]"
    );
    assert_eq!(host.state().sysctls[&(3, Sysctl::ArpIgnore)], "0");
    go(&host, AgentAction::Cleanup, &spec).await;
    assert_eq!(host.state(), node().state());
}

#[tokio::test]
async fn without_policy_routing_the_network_is_reached_through_the_main_table() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    spec.settings.policy_routing = false;
    assert_eq!(apply(&host, &spec).await.exit, AgentExit::Done);
    assert!(link_line(&host.state(), 3).starts_with("multinic1 1450 up 11.11.11.33/24 [11.11.11.0/24 table 254 "));
    spec.settings.policy_routing = true;
    assert_eq!(apply(&host, &spec).await.exit, AgentExit::Done);
    assert!(link_line(&host.state(), 3).starts_with("multinic1 1450 up 11.11.11.33/24! [11.11.11.0/24 table 101 "));
    spec.settings.policy_routing = false;
    assert_eq!(apply(&host, &spec).await.exit, AgentExit::Done);
    assert_eq!(host.state().rules.len(), 1);
}

#[tokio::test]
async fn sysctls_that_cannot_be_set_are_reported_and_nothing_fails_for_them() {
    let host = node();
    host.read_only_sysctls();
    let outcome = apply(&host, &sample(OsKind::Netplan)).await;
    assert_eq!(outcome.exit, AgentExit::Done);
    let warning = "set rp_filter=2 of multinic1: Denied; set arp_ignore=1 of multinic1: Denied; set arp_announce=2 of multinic1: Denied";
    assert_eq!(said(&outcome.summary.interfaces)[0], format!("1 multinic1 Configured changed Applied: {warning}"));
    let outcome = apply(&host, &sample(OsKind::Netplan)).await;
    assert_eq!(said(&outcome.summary.interfaces)[0], format!("1 multinic1 Configured unchanged UpToDate: {warning}"));
    let outcome = go(&host, AgentAction::Verify, &sample(OsKind::Netplan)).await;
    assert_eq!(outcome.exit, AgentExit::Done);
}

#[tokio::test]
async fn verify_names_every_difference_and_changes_nothing() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    apply(&host, &spec).await;
    assert_eq!(go(&host, AgentAction::Verify, &spec).await.exit, AgentExit::Done);
    host.edit(|state| {
        state.links.get_mut(&3).unwrap().mtu = 1400;
        state.rules.retain(|rule| rule.table != 101);
    });
    spec.interfaces.pop();
    host.take_log();
    let outcome = go(&host, AgentAction::Verify, &spec).await;
    assert_eq!(outcome.exit, AgentExit::Interfaces);
    assert_eq!(
        said(&outcome.summary.interfaces),
        [
            "1 multinic1 Drifted unchanged Drifted: it is necessary to set the MTU of multinic1 from 1400 to 1450, to add the rule from 11.11.11.33/32 to table 101",
            "2 multinic2 Configured unchanged UpToDate",
        ]
    );
    assert_eq!(said(&outcome.summary.removed), ["3 multinic3 Drifted unchanged Stale: it is not in the spec"]);
    assert_eq!(host.take_log(), [""; 0]);
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_leaves_the_rest_alone_and_says_which() {
    let host = node();
    let before = host.state();
    let (stop, stopped) = Stop::new();
    stop.send(true).unwrap();
    let request = Request {
        action: AgentAction::Apply,
        node: None,
        source: SpecSource::Given(Box::new(sample(OsKind::Netplan))),
    };
    let outcome = run(&request, &host, &stopped).await;
    assert_eq!(outcome.exit, AgentExit::Interfaces);
    assert!(outcome.summary.interfaces.iter().all(|result| result.reason == Reason::Interrupted));
    assert_eq!(host.state(), before);
}

#[tokio::test]
async fn files_of_an_agent_without_records_are_taken_over_and_cleaned_up() {
    let host = node();
    host.edit(|state| {
        let link = state.links.get_mut(&3).unwrap();
        (link.name, link.up, link.alt_names) = ("multinic1".into(), true, vec!["enp0s4".into()]);
        state.addresses.insert(address(3, "11.11.11.99/24"));
        state.rules.insert(Rule { from: net("11.11.11.99/32"), table: 101, priority: 32_765 });
        let text = "network:\n  ethernets:\n    multinic1:\n      match: {macaddress: x}\n        macaddress: fa:16:3e:f3:b0:3f\n      addresses: [11.11.11.99/24]\n";
        let file = FileRef::new(Dir::Netplan, "91-multinic1.yaml").unwrap();
        state.files.insert(file, FileContent { bytes: text.into(), mode: 0o644 });
    });
    let outcome = go(&host, AgentAction::Cleanup, &sample(OsKind::Netplan)).await;
    assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
    let state = host.state();
    assert_eq!(link_line(&state, 3), "enp0s4 1500 down");
    assert_eq!(state.rules.len(), 1);
    assert_eq!(file_names(&state), ["/etc/netplan/50-cloud-init.yaml 600"]);
}

#[tokio::test]
async fn bad_input_and_an_unreadable_host_are_told_apart_and_name_every_interface() {
    let host = node();
    let mut spec = sample(OsKind::Netplan);
    spec.settings.routing_table_base = 250;
    let outcome = apply(&host, &spec).await;
    assert_eq!(outcome.exit, AgentExit::BadInput);
    assert_eq!(outcome.summary.interfaces.len(), 3);
    assert_eq!(outcome.summary.error.unwrap().reason, Reason::InvalidInput);
    host.fail_at(Some(0));
    let outcome = apply(&host, &sample(OsKind::Netplan)).await;
    assert_eq!(outcome.exit, AgentExit::Host);
    assert_eq!(outcome.summary.error.unwrap().reason, Reason::HostUnavailable);
}

#[test]
fn the_agent_can_run_on_any_thread() {
    fn is_send(_: &impl Send) {}
    let host = node();
    let spec = Box::new(sample(OsKind::Netplan));
    let request = Request { action: AgentAction::Apply, node: None, source: SpecSource::Given(spec) };
    is_send(&run(&request, &host, &Stop::never()));
}
