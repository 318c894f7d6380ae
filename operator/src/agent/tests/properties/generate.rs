//! Specs and hosts at random.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::*;
use crate::agent::host::Mac;
use crate::api::multinic::{InterfaceSpec, MultiNicNodeConfigSpec, validate};

/// A spare network card.
#[derive(Clone, Debug)]
pub(super) struct Nic {
    mac: Mac,
    up: bool,
    mtu: u32,
    /// Somebody gave it an address already, although it is down.
    address: Option<IpNet>,
}

/// From one to ten cards.
pub(super) fn nics() -> impl Strategy<Value = Vec<Nic>> {
    let mac = any::<[u8; 6]>().prop_map(|mut octets| {
        octets[0] &= 0xfe;
        octets[5] |= 1;
        Mac(octets)
    });
    let mtu = prop::sample::select(vec![1280, 1450, 1500, 9000]);
    let address = prop::option::weighted(0.2, Just(net("172.31.255.1/24")));
    let nic = (mac, any::<bool>(), mtu, address).prop_map(|(mac, up, mtu, address)| Nic {
        mac,
        up: up && address.is_none(),
        mtu,
        address,
    });
    prop::collection::vec(nic, 1..=10).prop_filter("two cards have one MAC", |nics| {
        nics.iter().map(|nic| nic.mac).collect::<BTreeSet<_>>().len() == nics.len()
    })
}

/// A node with these cards beside its own.
pub(super) fn host_of(nics: &[Nic], old_kernel: bool) -> MemoryHost {
    let macs: Vec<String> = nics.iter().map(|nic| nic.mac.to_string()).collect();
    let names: Vec<String> = (0..nics.len()).map(|at| format!("ens{}", at + 4)).collect();
    let mut links = vec![("ens3", "fa:16:3e:00:00:00", true)];
    links.extend(names.iter().zip(&macs).zip(nics).map(|((name, mac), nic)| (name.as_str(), mac.as_str(), nic.up)));
    let host = MemoryHost::with_links(&links);
    host.edit(|state| {
        state.addresses.insert(address(2, "192.168.0.10/24"));
        state.rules.insert(Rule { from: net("10.0.0.0/8"), table: 105, priority: 7 });
        for (index, nic) in (3..).zip(nics) {
            state.links.get_mut(&index).unwrap().mtu = nic.mtu;
            state.addresses.extend(nic.address.map(|net| Address {
                link: index,
                net,
                no_prefix_route: false,
                global: true,
                permanent: true,
            }));
        }
    });
    if old_kernel {
        host.old_kernel();
    }
    host
}

/// Specs that the resource's rules accept, about cards of the node.
pub(super) fn accepted(nics: &[Nic]) -> impl Strategy<Value = AgentSpec> + use<> {
    let macs: Vec<Mac> = nics.iter().map(|nic| nic.mac).collect();
    let digits = || Just((0..=9).collect::<Vec<u8>>()).prop_shuffle();
    let count = 1..=macs.len();
    let raw = (count, Just(macs).prop_shuffle(), digits(), digits(), any::<bool>());
    let each = prop::collection::vec((addressing(), mtu(), any::<bool>()), 10);
    (raw, each, any::<i64>().prop_map(|generation| generation >> 8), settings(), os()).prop_filter_map(
        "the rules refuse it",
        |((count, macs, ids, names, named), each, generation, settings, os)| {
            let interfaces = (0..count).map(|at| {
                let ((address, cidr), mtu, upper) = each[at].clone();
                let mac = macs[at].to_string();
                InterfaceSpec {
                    id: i32::from(ids[at]),
                    mac_address: if upper { mac.to_uppercase() } else { mac },
                    name: named.then(|| format!("multinic{}", names[at])),
                    address,
                    cidr,
                    mtu,
                    port_id: None,
                }
            });
            let spec = MultiNicNodeConfigSpec {
                node_name: "node-1".into(),
                instance_id: None,
                interfaces: interfaces.collect(),
            };
            let valid = validate("node-1", &spec).ok()?;
            Some(AgentSpec {
                node_name: valid.node,
                config_uid: "uid-1".into(),
                generation,
                os,
                interfaces: valid.interfaces.iter().map(AgentInterface::from).collect(),
                settings,
            })
        },
    )
}

fn settings() -> impl Strategy<Value = AgentSettings> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(noprefixroute, arp_sysctls, rp_filter_loose)| {
        AgentSettings { noprefixroute, arp_sysctls, rp_filter_loose, ..AgentSettings::default() }
    })
}

fn os() -> impl Strategy<Value = OsKind> {
    prop::sample::select(OsKind::ALL.to_vec())
}

fn mtu() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![Just(None), prop::sample::select(vec![68, 69, 1279, 1280, 1281, 1450, 1500, 8999, 9000]).prop_map(Some)]
}

/// An address with its network, at all prefix lengths, or neither. Few networks, so that interfaces share them.
fn addressing() -> impl Strategy<Value = (Option<String>, Option<String>)> {
    let v4 = (prop::sample::select(vec![[11, 11, 11], [10, 0, 0], [192, 0, 2]]), any::<u8>(), 1..=32_u8)
        .prop_map(|([a, b, c], d, prefix)| (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix));
    let v6 = (any::<u16>(), 1..=128_u8)
        .prop_map(|(low, prefix)| (IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low)), prefix));
    let some = prop_oneof![3 => v4, 2 => v6].prop_flat_map(|(address, prefix)| {
        let network = IpNet::new(address, prefix).unwrap();
        let cidr = prop_oneof![Just(network.to_string()), Just(network.trunc().to_string())];
        (Just(Some(address.to_string())), cidr.prop_map(Some))
    });
    prop_oneof![4 => some, 1 => Just((None, None))]
}

/// Specs that nobody has checked.
pub(super) fn nonsense(nics: &[Nic]) -> impl Strategy<Value = AgentSpec> + use<> {
    let macs: Vec<String> = nics.iter().map(|nic| nic.mac.to_string()).collect();
    let mac =
        prop_oneof![3 => prop::sample::select(macs), 1 => any::<String>(), 1 => Just("fa:16:3e:00:00:00".to_owned())];
    let name = prop_oneof![3 => "multinic[0-9]", 1 => any::<String>()];
    let prefix = any::<(bool, u8)>().prop_map(|(some, prefix)| some.then_some(prefix));
    let interface = (0..=11_u8, name, mac, any::<Option<IpAddr>>(), prefix, any::<Option<u16>>()).prop_map(
        |(id, name, mac, address, prefix, mtu)| {
            let cidr = address.zip(prefix).and_then(|(address, prefix)| IpNet::new(address, prefix).ok());
            AgentInterface { id, name, mac, address, cidr, mtu: mtu.map(u32::from) }
        },
    );
    let settings =
        (any::<bool>(), any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(odd, base, metric, routing)| {
            AgentSettings {
                routing_table_base: if odd { base } else { 100 },
                route_metric: if odd { metric } else { 100 },
                policy_routing: routing,
                ..AgentSettings::default()
            }
        });
    (prop::collection::vec(interface, 0..14), any::<String>(), settings, os()).prop_map(
        |(interfaces, node_name, settings, os)| AgentSpec {
            config_uid: node_name.clone(),
            node_name,
            generation: i64::MIN,
            os,
            interfaces,
            settings,
        },
    )
}

/// Specs as somebody might write them: at the edges of every rule, on both sides.
pub(super) fn raw() -> impl Strategy<Value = MultiNicNodeConfigSpec> {
    let id = prop_oneof![20 => 0..=9_i32, 1 => Just(10), 1 => Just(-1)];
    let mac = prop_oneof![
        20 => any::<[u8; 5]>().prop_map(|[a, b, c, d, e]| format!("02:{a:02X}:{b:02x}:{c:02X}:{d:02x}:{e:02x}")),
        1 => prop::sample::select(vec![
            "00:00:00:00:00:00", "01:00:5e:00:00:01", "fa-16-3e-f3-b0-3f", "fa:16:3e:f3:b0", "fa163ef3b03f", "",
        ]).prop_map(str::to_owned),
    ];
    let name = prop_oneof![
        10 => Just(None),
        3 => "multinic[0-9]".prop_map(Some),
        1 => prop::sample::select(vec!["multinic10", "multinic", "eth0", "Multinic1", ""]).prop_map(|n| Some(n.to_owned())),
    ];
    let mtu = prop_oneof![8 => mtu(), 1 => prop::sample::select(vec![-1, 0, 67, 9001, i32::MAX]).prop_map(Some)];
    let odd = prop::sample::select(vec![
        (Some("11.11.11.33"), None),
        (None, Some("11.11.11.0/24")),
        (Some("11.11.11.0"), Some("11.11.11.0/24")),
        (Some("11.11.11.255"), Some("11.11.11.0/24")),
        (Some("11.11.12.1"), Some("11.11.11.0/24")),
        (Some("11.11.11.33"), Some("0.0.0.0/0")),
        (Some("127.0.0.1"), Some("127.0.0.0/8")),
        (Some("fe80::1"), Some("fe80::/64")),
        (Some("fd00::1"), Some("11.11.11.0/24")),
        (Some("0.0.0.1"), Some("0.0.0.0/8")),
        (Some("240.0.0.1"), Some("240.0.0.0/8")),
        (Some("::1"), Some("::/1")),
        (Some("224.0.0.1"), Some("224.0.0.0/4")),
    ])
    .prop_map(|(address, cidr)| (address.map(str::to_owned), cidr.map(str::to_owned)));
    let addressing = prop_oneof![10 => addressing(), 1 => odd];
    let interface = (id, mac, name, addressing, mtu).prop_map(|(id, mac_address, name, (address, cidr), mtu)| {
        InterfaceSpec { id, mac_address, name, address, cidr, mtu, port_id: None }
    });
    prop::collection::vec(interface, 1..=3).prop_map(|interfaces| MultiNicNodeConfigSpec {
        node_name: "node-1".into(),
        instance_id: None,
        interfaces,
    })
}

/// What would be sent to the agent if nobody had checked the spec; none when it cannot even be written down.
pub(super) fn as_sent(raw: &MultiNicNodeConfigSpec) -> Option<AgentSpec> {
    let interface = |raw: &InterfaceSpec| {
        Some(AgentInterface {
            id: u8::try_from(raw.id).ok()?,
            name: raw.name.clone().unwrap_or_else(|| format!("multinic{}", raw.id)),
            mac: raw.mac_address.clone(),
            address: raw.address.as_ref().map(|address| address.parse()).transpose().ok()?,
            cidr: raw.cidr.as_ref().map(|cidr| cidr.parse()).transpose().ok()?,
            mtu: raw.mtu.map(u32::try_from).transpose().ok()?,
        })
    };
    Some(AgentSpec {
        node_name: raw.node_name.clone(),
        config_uid: String::new(),
        generation: 1,
        os: OsKind::Netplan,
        interfaces: raw.interfaces.iter().map(interface).collect::<Option<_>>()?,
        settings: AgentSettings::default(),
    })
}
