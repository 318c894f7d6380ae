//! What the controllers and the agent decide: the pure steps of a reconcile, without a cluster.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway_benches::pod;
use slipway_operator::agent::host::{Link, Mac};
use slipway_operator::api::agent::AgentSpec;
use slipway_operator::api::hello::Hello;
use slipway_operator::api::multinic::MultiNicNodeConfig;
use slipway_operator::controllers::drain::pod::Pod;
use slipway_operator::controllers::drain::{Asked, Decider};
use slipway_operator::controllers::{hello, multinic};

fn read<T: DeserializeOwned>(value: Value) -> T {
    match serde_json::from_value(value) {
        Ok(read) => read,
        Err(error) => unreachable!("a bench's own object can be read: {error}"),
    }
}

fn hello(bench: &mut Criterion) {
    let object: Hello = read(json!({
        "apiVersion": "demo.example.com/v1alpha1", "kind": "Hello",
        "metadata": { "name": "one", "namespace": "default", "uid": "u", "generation": 2 },
        "spec": { "foo": "hi" },
    }));
    bench.bench_function("hello: plan and status", |bencher| {
        bencher.iter(|| hello::decide(black_box(&object), Timestamp::UNIX_EPOCH));
    });
}

fn mac(number: usize) -> String {
    format!("fa:16:3e:00:00:{number:02x}")
}

fn multinic(bench: &mut Criterion) {
    let node: Node = read(json!({
        "metadata": { "name": "worker-1", "uid": "n" },
        "status": { "nodeInfo": {
            "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "linux",
            "osImage": "Ubuntu 22.04.3 LTS", "systemUUID": "b1f6cb9e-0001-4000-8000-000000000001",
        } },
    }));
    let mut group = bench.benchmark_group("multinic: plan and status");
    for interfaces in [1, 10] {
        let each: Vec<Value> = (0..interfaces)
            .map(|id| {
                json!({
                    "id": id, "macAddress": mac(id), "address": format!("10.20.{id}.5"),
                    "cidr": format!("10.20.{id}.0/24"), "mtu": 1450,
                })
            })
            .collect();
        let config: MultiNicNodeConfig = read(json!({
            "apiVersion": "multinic.io/v1alpha1", "kind": "MultiNicNodeConfig",
            "metadata": { "name": "worker-1", "namespace": "default", "uid": "u", "generation": 1 },
            "spec": { "nodeName": "worker-1", "interfaces": each },
        }));
        let settings = multinic::Settings::default();
        group.bench_function(BenchmarkId::new("interfaces", interfaces), |bencher| {
            bencher.iter(|| multinic::decide(black_box(&config), Some(&node), &[], &settings, Timestamp::UNIX_EPOCH));
        });
    }
    group.finish();
}

fn drain(bench: &mut Criterion) {
    let Ok(decider) = Decider::parse(&BTreeMap::new()) else { unreachable!("the defaults are good") };
    let labels = BTreeMap::new();
    let of = |annotations: Value| -> Pod {
        let mut pod = pod("web");
        pod["metadata"]["namespace"] = "shop".into();
        pod["metadata"]["annotations"] = annotations;
        // One that has not begun to run is left alone.
        pod["status"] = json!({ "phase": "Running" });
        read(pod)
    };
    let mut group = bench.benchmark_group("drain: intent and plan");
    for (what, pod, expected) in [
        ("a Pod that nobody manages", of(json!({ "vpa-managed": "false" })), Asked::Nothing),
        ("a Pod that is managed", of(json!({ "vpa-managed": "true" })), Asked::Something),
    ] {
        assert_eq!(decider.decide(&pod, &labels, Timestamp::UNIX_EPOCH), expected, "{what}");
        group.bench_function(what, |bencher| {
            bencher.iter(|| decider.decide(black_box(&pod), &labels, Timestamp::UNIX_EPOCH));
        });
    }
    group.finish();
}

fn agent(bench: &mut Criterion) {
    let interfaces: Vec<Value> = (0..10)
        .map(|id| {
            json!({
                "id": id, "name": format!("multinic{id}"), "mac": mac(id),
                "address": format!("10.20.{id}.5"), "cidr": format!("10.20.{id}.0/24"), "mtu": 1450,
            })
        })
        .collect();
    let spec: AgentSpec = read(json!({ "nodeName": "worker-1", "os": "Netplan", "interfaces": interfaces }));
    let link = |number: usize| Link {
        index: u32::try_from(number).unwrap_or_default() + 2,
        name: format!("ens{number}"),
        mac: Mac::parse(&mac(number)),
        up: false,
        mtu: 1500,
        kind: None,
        master: None,
        loopback: false,
        alt_names: Vec::new(),
    };
    // A machine has more cards than are asked for.
    let links: Vec<Link> = (0..32).map(link).collect();
    assert_eq!(slipway_operator::agent::groups(&spec, &links), 10);
    bench.bench_function("agent: plan of 10 interfaces", |bencher| {
        bencher.iter(|| slipway_operator::agent::groups(black_box(&spec), black_box(&links)));
    });
}

criterion_group!(benches, hello, multinic, drain, agent);
criterion_main!(benches);
