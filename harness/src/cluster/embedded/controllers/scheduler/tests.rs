//! Where Pods go, as a table.

use std::sync::Arc;

use serde_json::{Value, from_value, json};

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};

use super::super::informer::Key;
use super::decide::{Choice, choose};
use super::load::Loads;

/// A node with the Pods of these specs.
struct Candidate {
    node: Arc<Node>,
    pods: Vec<Pod>,
}

fn candidate(name: &str, extra: &Value, pods: &[Value]) -> Candidate {
    let mut node =
        json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {}, "status": {}});
    merge(&mut node, extra);
    let pod = |spec: &Value| {
        let mut spec = spec.clone();
        spec["nodeName"] = name.into();
        from_value(json!({"spec": spec})).expect("a pod")
    };
    Candidate { node: Arc::new(from_value(node).expect("a node")), pods: pods.iter().map(pod).collect() }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn chosen(spec: &Value, candidates: &[Candidate]) -> Choice {
    let mut with_containers = json!({"containers": []});
    merge(&mut with_containers, spec);
    let pod = from_value(json!({"metadata": {"name": "p"}, "spec": with_containers})).expect("a pod");
    let mut loads = Loads::default();
    for (number, pod) in candidates.iter().flat_map(|candidate| &candidate.pods).enumerate() {
        loads.changed(&Key { namespace: "n".to_owned(), name: number.to_string() }, None, Some(pod));
    }
    let nodes: Vec<Arc<Node>> = candidates.iter().map(|candidate| Arc::clone(&candidate.node)).collect();
    choose(&pod, &nodes, &loads, claim)
}

/// The claims that there are.
fn claim(name: &str) -> Option<Arc<PersistentVolumeClaim>> {
    let phase = if name == "bound" { "Bound" } else { "Pending" };
    let deleted = (name == "going").then_some("2030-01-01T00:00:00Z");
    let claim = json!({"metadata": {"name": name, "deletionTimestamp": deleted}, "status": {"phase": phase}});
    (name != "missing").then(|| Arc::new(from_value(claim).expect("a claim")))
}

fn affinity(operator: &str, values: &[&str]) -> Value {
    let term = json!({"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]});
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}})
}

#[test]
fn a_pod_goes_where_it_may() {
    let tainted = json!({"spec": {"taints": [{"key": "role", "value": "infra", "effect": "NoSchedule"}]}});
    let cordoned = json!({"spec": {"unschedulable": true}});
    let ssd = json!({"metadata": {"labels": {"disk": "ssd", "size": "9"}}});
    let nodes = [
        candidate("a-tainted", &tainted, &[]),
        candidate("b-cordoned", &cordoned, &[]),
        candidate("c-ssd", &ssd, &[json!({"containers": []})]),
        candidate("d-plain", &json!({}), &[]),
    ];
    let toleration =
        |spec: Value| json!({"tolerations": [spec], "nodeSelector": {"kubernetes.io/hostname": "a-tainted"}});
    let cases = [
        (json!({}), Some("d-plain")),
        (json!({"nodeSelector": {"disk": "ssd"}}), Some("c-ssd")),
        (json!({"nodeSelector": {"disk": "hdd"}}), None),
        (toleration(json!({"key": "role", "operator": "Exists"})), Some("a-tainted")),
        (toleration(json!({"key": "role", "value": "infra", "effect": "NoSchedule"})), Some("a-tainted")),
        (toleration(json!({"key": "role", "value": "web"})), None),
        (toleration(json!({"operator": "Exists"})), Some("a-tainted")),
        (toleration(json!({"key": "role", "operator": "Exists", "effect": "NoExecute"})), None),
        (affinity("In", &["ssd", "nvme"]), Some("c-ssd")),
        (affinity("Exists", &[]), Some("c-ssd")),
        (affinity("NotIn", &["ssd"]), Some("d-plain")),
        (affinity("DoesNotExist", &[]), Some("d-plain")),
        (json!({"nodeSelector": {"kubernetes.io/hostname": "b-cordoned"}}), None),
    ];
    for (spec, expected) in cases {
        let choice = chosen(&spec, &nodes);
        match (expected, choice) {
            (Some(expected), choice) => assert_eq!(choice, Choice::Node(expected.to_owned()), "{spec}"),
            (None, Choice::Nowhere(_)) => {}
            (None, choice @ Choice::Node(_)) => panic!("{spec} went to {choice:?}"),
        }
    }
}

#[test]
fn a_pod_that_goes_nowhere_says_why_for_every_node() {
    let tainted = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let cordoned = json!({"spec": {"unschedulable": true}});
    let small = json!({"status": {"allocatable": {"cpu": "1", "pods": "110"}}});
    let nodes = [candidate("a", &tainted, &[]), candidate("b", &cordoned, &[]), candidate("c", &small, &[])];
    let greedy = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]});
    let message = "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), \
                   1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/3 nodes are available: \
                   1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.";
    assert_eq!(chosen(&greedy, &nodes), Choice::Nowhere(message.to_owned()));
    assert_eq!(chosen(&greedy, &[]), Choice::Nowhere("no nodes available to schedule pods".to_owned()));
}

#[test]
fn a_port_of_the_host_is_given_once() {
    let spec = json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    let other = json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 81}]}]});
    let nodes = [candidate("a", &json!({}), std::slice::from_ref(&spec))];
    assert!(matches!(chosen(&spec, &nodes), Choice::Nowhere(_)));
    assert_eq!(chosen(&other, &nodes), Choice::Node("a".to_owned()));
}

#[test]
fn a_pod_waits_for_its_claims() {
    let nodes = [candidate("a", &json!({}), &[])];
    let unhelpful =
        "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let cases = [
        ("bound", None),
        ("unbound", Some("pod has unbound immediate PersistentVolumeClaims")),
        ("missing", Some("persistentvolumeclaim \"missing\" not found")),
        ("going", Some("persistentvolumeclaim \"going\" is being deleted")),
    ];
    for (name, reason) in cases {
        let spec = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]});
        let expected = match reason {
            None => Choice::Node("a".to_owned()),
            Some(reason) => Choice::Nowhere(format!("0/1 nodes are available: {reason}. {unhelpful}")),
        };
        assert_eq!(chosen(&spec, &nodes), expected, "{name}");
    }
}
