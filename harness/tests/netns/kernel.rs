//! The simulated link table against this machine's kernel: the same requests, one after the other, must get the same
//! answers and leave the same behind.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use slipway::cluster::embedded::node::files::Changes;
use slipway::cluster::embedded::node::host::{self, Errno, Network, RouteOrigin};
use slipway::cluster::embedded::node::machine::Machine;
use slipway::cluster::embedded::node::netns::Namespace;
use slipway::cluster::embedded::node::network::NodeNetwork;
use slipway::scenario::node::{Isolation, LinkSpec, NodeSpec};
use slipway_operator::agent::host::linux::LinuxHost;
use slipway_operator::agent::host::{Address, Host, HostResult, Route, Rule, Sysctl};

use super::surroundings::{Case, Outcome};

/// How many sequences are tried; each makes a namespace.
const SEQUENCES: u32 = 64;

pub(crate) fn trials() -> Vec<Case> {
    vec![
        Case::new("the_simulated_link_table_answers_as_the_kernel_does", answers),
        Case::new("a_change_by_anybody_is_heard_of", heard),
    ]
}

/// Something that the agent may ask of a host.
#[derive(Clone, Debug)]
enum Request {
    Name(u32, &'static str),
    Mtu(u32, u32),
    Up(u32, bool),
    AddAddress(Address),
    DelAddress(Address),
    AddRoute(Route),
    DelRoute(Route),
    AddRule(Rule),
    DelRule(Rule),
    Sysctl(&'static str, Sysctl, &'static str),
}

fn link() -> impl Strategy<Value = u32> {
    select(vec![2, 2, 2, 3, 3, 9])
}

fn address() -> impl Strategy<Value = Address> {
    let nets = [
        "10.0.0.1/24",
        "10.0.0.2/24",
        "10.0.0.1/25",
        "10.0.1.1/24",
        "10.0.2.1/32",
        "fd00::1/64",
        "fd00::2/64",
        "fd01::1/128",
    ];
    (link(), select(nets.to_vec()), any::<bool>()).prop_map(|(link, net, no_prefix_route)| Address {
        link,
        net: net.parse().unwrap(),
        no_prefix_route,
        global: true,
        permanent: true,
    })
}

fn route() -> impl Strategy<Value = Route> {
    let v4 = (
        select(vec!["10.9.0.0/24", "10.0.0.0/24", "0.0.0.0/0"]),
        select(vec![None, None, Some("10.0.0.7"), Some("10.0.1.7")]),
        select(vec![None, None, Some("10.0.0.1"), Some("10.0.1.1")]),
    );
    let v6 = (
        select(vec!["fd09::/64", "fd00::/64", "::/0"]),
        select(vec![None, None, Some("fd00::7")]),
        // The kernel takes an IPv6 address as a source when it has found the time to look for duplicates.
        select(vec![None]),
    );
    let ip = |text: Option<&str>| text.map(|text| text.parse::<IpAddr>().unwrap());
    (link(), prop_oneof![v4, v6], select(vec![254, 101, 4000]), select(vec![0, 101])).prop_map(
        move |(link, (to, via, src), table, metric)| Route {
            link,
            to: to.parse::<IpNet>().unwrap(),
            via: ip(via),
            table,
            metric,
            src: ip(src),
            kernel: false,
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let from = select(vec!["10.0.0.1/32", "10.0.0.0/24", "fd00::1/128"]);
    (from, select(vec![101, 4000]), select(vec![100, 10_101])).prop_map(|(from, table, priority)| Rule {
        from: from.parse().unwrap(),
        table,
        priority,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let names =
        vec!["eth1", "eth2", "multinic1", "lo", "", ".", "a/b", "a b", "a:b", "sixteen-letters-", "fifteen-letters"];
    let sysctl = (select(vec!["eth1", "eth2", "multinic1"]), select(Sysctl::ALL.to_vec()), select(vec!["0", "1", "2"]));
    prop_oneof![
        1 => (link(), select(names)).prop_map(|(link, name)| Request::Name(link, name)),
        2 => (link(), select(vec![67, 68, 1279, 1280, 1450, 9000, 65_535, 65_536]))
            .prop_map(|(link, mtu)| Request::Mtu(link, mtu)),
        3 => (link(), any::<bool>()).prop_map(|(link, up)| Request::Up(link, up)),
        5 => address().prop_map(Request::AddAddress),
        3 => address().prop_map(Request::DelAddress),
        6 => route().prop_map(Request::AddRoute),
        3 => route().prop_map(Request::DelRoute),
        2 => rule().prop_map(Request::AddRule),
        1 => rule().prop_map(Request::DelRule),
        1 => sysctl.prop_map(|(link, key, value)| Request::Sysctl(link, key, value)),
    ]
}

/// Requests one after the other, some of them on links that are in use already.
fn requests() -> impl Strategy<Value = Vec<Request>> {
    let address = |net: &str| Address {
        link: 2,
        net: net.parse().unwrap(),
        no_prefix_route: false,
        global: true,
        permanent: true,
    };
    let up = [Request::Up(2, true), Request::Up(3, true)];
    let addresses = [Request::AddAddress(address("10.0.0.1/24")), Request::AddAddress(address("fd00::1/64"))];
    let begun = select(vec![vec![], up.to_vec(), [&up[..], &addresses].concat()]);
    (begun, prop::collection::vec(request(), 1..40)).prop_map(|(begun, more)| [begun, more].concat())
}

/// The simulated table's answer: none, or the number of its refusal.
fn of_the_table(network: &mut Network, request: &Request) -> Option<i32> {
    let route = |route: &Route| host::Route {
        to: route.to,
        via: route.via,
        link: route.link,
        table: route.table,
        metric: route.metric,
        source: route.src,
        origin: RouteOrigin::Static,
    };
    let answer = match request {
        Request::Name(link, name) => network.rename(*link, name),
        Request::Mtu(link, mtu) => network.set_mtu(*link, *mtu),
        Request::Up(link, true) => network.set_up(*link),
        Request::Up(link, false) => network.set_down(*link),
        Request::AddAddress(new) => {
            let (ip, prefix) = (new.net.addr(), new.net.prefix_len());
            network.add_address(new.link, host::Address { ip, prefix, no_prefix_route: new.no_prefix_route })
        }
        Request::DelAddress(old) => network.remove_address(old.link, old.net.addr(), old.net.prefix_len()),
        Request::AddRoute(new) => network.add_route(route(new)),
        Request::DelRoute(old) => network.remove_route(old.to, old.table, Some(old.link), Some(old.metric), old.via),
        Request::AddRule(rule) => network.add_rule(rule.from, rule.table, Some(rule.priority)),
        Request::DelRule(rule) => network.remove_rule(rule.from, rule.table, Some(rule.priority)),
        Request::Sysctl(name, key, value) => match network.link_by_name(name).map(|link| link.index) {
            Some(index) => network.set_setting(index, key.key(), value),
            None => Err(Errno::NoEntry),
        },
    };
    answer.err().map(Errno::code)
}

/// The kernel's answer, through the agent's own code.
fn of_the_kernel(namespace: &Namespace, request: &Request) -> Option<i32> {
    let request = request.clone();
    let answer: HostResult<()> = namespace
        .ask(move |_| async move {
            let host = LinuxHost::connect("/dev/null", "/proc/sys/net/ipv4/conf").unwrap();
            match request {
                Request::Name(link, name) => host.set_name(link, name).await,
                Request::Mtu(link, mtu) => host.set_mtu(link, mtu).await,
                Request::Up(link, up) => host.set_up(link, up).await,
                Request::AddAddress(address) => host.add_address(&address).await,
                Request::DelAddress(address) => host.del_address(&address).await,
                Request::AddRoute(route) => host.add_route(&route).await,
                Request::DelRoute(route) => host.del_route(&route).await,
                Request::AddRule(rule) => host.add_rule(&rule).await,
                Request::DelRule(rule) => host.del_rule(&rule).await,
                Request::Sysctl(link, key, value) => host.set_sysctl(link, key, value).await,
            }
        })
        .unwrap();
    let number = |detail: String| detail.rsplit_once("os error ")?.1.trim_end_matches(')').parse().ok();
    answer.err().map(|error| number(error.detail).unwrap_or(-1))
}

/// Everything in a network, in an order of its own.
fn shown(network: &Network) -> Vec<String> {
    let mut lines = Vec::new();
    for link in network.links().filter(|link| link.index != host::LOOPBACK) {
        lines.push(format!("link {} {} {} {} {}", link.index, link.name, link.mac_text(), link.up, link.mtu));
        lines.extend(link.settings().map(|(key, value)| format!("setting of {} {key}={value}", link.index)));
        let addresses = &link.addresses;
        lines.extend(
            addresses.iter().map(|a| format!("address of {} {}/{} {}", link.index, a.ip, a.prefix, a.no_prefix_route)),
        );
    }
    lines.extend(network.routes().iter().map(|route| format!("{route:?}")));
    lines.extend(network.rules().iter().filter(|rule| rule.from.is_some()).map(|rule| format!("{rule:?}")));
    lines.sort();
    lines
}

fn node(name: &str) -> NodeSpec {
    let link = |name: &str, mac: &str| LinkSpec {
        name: name.to_owned(),
        mac: mac.to_owned(),
        mtu: 1500,
        ..LinkSpec::default()
    };
    let links = vec![link("eth1", "02:00:00:00:00:01"), link("eth2", "02:00:00:00:00:02")];
    NodeSpec { name: name.to_owned(), os: Some("ubuntu-24.04".to_owned()), links, ..NodeSpec::default() }
}

fn answers() -> Outcome {
    let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&requests(), |requests| one_sequence(&requests)).map_err(|error| error.to_string().into())
}

fn one_sequence(requests: &[Request]) -> Result<(), TestCaseError> {
    let machine = |isolation| Machine::new(node("parity"), isolation).unwrap();
    let (simulated, real) = (machine(Isolation::Simulated), machine(Isolation::Netns));
    let (NodeNetwork::Simulated(table), NodeNetwork::Namespace(namespace)) = (simulated.network(), real.network())
    else {
        return Err(TestCaseError::fail("these are not what they were made as"));
    };
    let mut table = table.lock().unwrap();
    for (number, request) in requests.iter().enumerate() {
        let so_far = &requests[..=number];
        let answers = (of_the_table(&mut table, request), of_the_kernel(namespace, request));
        prop_assert_eq!(answers.0, answers.1, "the table's answer and the kernel's to the last of {:#?}", so_far);
        prop_assert_eq!(shown(&table), shown(&namespace.look()), "after {:#?}", so_far);
    }
    Ok(())
}

fn heard() -> Outcome {
    let changes = Changes::new();
    let mut listener = changes.listen();
    let namespace = Namespace::new("heard", changes)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        listener.borrow_and_update();
        let rule = Rule { from: "10.0.0.1/32".parse()?, table: 101, priority: 100 };
        assert_eq!(of_the_kernel(&namespace, &Request::AddRule(rule)), None);
        tokio::time::timeout(std::time::Duration::from_secs(30), listener.changed()).await??;
        Ok(())
    })
}
