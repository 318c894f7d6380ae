//! The Node object of a simulated node. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::machine::Machine;
use crate::scenario::node::NodeSpec;

/// What kubelets of this release call themselves.
pub(in crate::cluster::embedded) const VERSION: &str = "v1.36.1";

/// What a node has for Pods.
const CAPACITY: [(&str, &str); 4] = [("cpu", "8"), ("memory", "32Gi"), ("ephemeral-storage", "100Gi"), ("pods", "110")];

/// The node's own address: the first of a link that is up, else one of a network that links of scenarios do not use.
pub(in crate::cluster::embedded) fn address(spec: &NodeSpec, number: u32) -> String {
    let up = spec.links.iter().filter(|link| link.up).flat_map(|link| &link.addresses);
    let own = up.filter_map(|address| address.parse::<IpNet>().ok()).map(|net| net.addr()).find(IpAddr::is_ipv4);
    own.map_or_else(|| format!("172.18.{}.{}", number / 250 % 256, number % 250 + 2), |ip| ip.to_string())
}

/// The Node object of a machine that is ready.
pub(in crate::cluster::embedded) fn node(machine: &Machine, address: &str, now: Timestamp) -> Value {
    let spec = machine.spec();
    let name = &spec.name;
    let uuid = spec.system_uuid.clone().unwrap_or_else(|| uuid_of(name));
    let mut labels = BTreeMap::from([
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
    ]);
    labels.extend(spec.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let taints: Vec<Value> = spec.taints.iter().map(taint).collect();
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |(kind, status, reason, message): (&str, &str, &str, &str)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": time, "lastTransitionTime": time,
        })
    };
    let conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let capacity: BTreeMap<&str, &str> = CAPACITY.into_iter().collect();
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": conditions.map(condition),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": uuid_of(&format!("{name}/boot")),
                "containerRuntimeVersion": "slipway://1",
                "kernelVersion": machine.os().kernel,
                "kubeProxyVersion": "",
                "kubeletVersion": VERSION,
                "machineID": uuid.replace('-', "").to_lowercase(),
                "operatingSystem": "linux",
                "osImage": spec.os_image.as_deref().unwrap_or(machine.os().image),
                "systemUUID": uuid,
            },
        },
    });
    if !taints.is_empty() {
        node["spec"]["taints"] = taints.into();
    }
    if spec.unschedulable {
        node["spec"]["unschedulable"] = true.into();
    }
    node
}

fn taint(taint: &crate::scenario::node::TaintSpec) -> Value {
    let mut written = json!({"key": taint.key, "effect": taint.effect});
    if !taint.value.is_empty() {
        written["value"] = taint.value.as_str().into();
    }
    written
}

/// A uuid that is always the same for a name (FNV-1a, marked as version 8: made as we please).
fn uuid_of(name: &str) -> String {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = name.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    let hash = hash & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{hash:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::node::Isolation;

    #[test]
    fn a_node_keeps_its_uuid_from_run_to_run_and_shares_it_with_no_other() {
        assert_eq!(uuid_of("n1"), uuid_of("n1"));
        assert_ne!(uuid_of("n1"), uuid_of("n2"));
        let uuid = uuid_of("n1");
        assert_eq!((uuid.len(), uuid.get(14..15)), (36, Some("8")), "{uuid}");
    }

    #[test]
    fn a_node_says_what_controllers_ask_of_it() {
        let spec = NodeSpec {
            name: "n1".to_owned(),
            os: Some("rocky-9".to_owned()),
            system_uuid: Some("ABCD".to_owned()),
            labels: BTreeMap::from([("role".to_owned(), "edge".to_owned())]),
            unschedulable: true,
            ..NodeSpec::default()
        };
        let machine = Machine::new(spec, Isolation::Simulated).expect("a machine");
        let node = node(&machine, "172.18.0.2", Timestamp::from_second(0).expect("in range"));
        assert_eq!(node["status"]["nodeInfo"]["osImage"], "Rocky Linux 9.5 (Blue Onyx)");
        assert_eq!(node["status"]["nodeInfo"]["systemUUID"], "ABCD");
        assert_eq!(node["metadata"]["labels"]["role"], "edge");
        assert_eq!(node["spec"], json!({"unschedulable": true}));
    }
}
