//! What a DaemonSet needs next, as tables.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde_json::{Value, from_value, json};

use super::decide::{Decision, decide};
use super::nodes::{self, Place};

fn set(spec: &Value, pod_spec: &Value) -> DaemonSet {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    let mut all = json!({
        "selector": {"matchLabels": {"app": "x"}}, "updateStrategy": strategy,
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod_spec},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let meta = json!({"name": "d", "namespace": "n", "uid": "d", "generation": 1});
    from_value(json!({"metadata": meta, "spec": all})).expect("a set")
}

fn node(name: &str, more: &Value) -> Arc<Node> {
    let labels = more.get("labels").cloned().unwrap_or_else(|| json!({}));
    Arc::new(from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": more})).expect("a node"))
}

/// A Pod for a node: `o` an old one and `n` a new one, capital where it is ready; `x` failed, `-` being deleted.
fn pod(node: usize, number: usize, state: char) -> Arc<Pod> {
    let name = format!("{state}{node}{number}");
    let hash = if state.eq_ignore_ascii_case(&'n') { "new" } else { "old" };
    let ready = if state.is_ascii_uppercase() { "True" } else { "False" };
    let deleted = (state == '-').then_some("1970-01-01T00:00:00Z");
    let meta = json!({
        "name": name, "uid": name, "labels": {"controller-revision-hash": hash}, "deletionTimestamp": deleted,
        "creationTimestamp": format!("1970-01-01T00:00:0{number}Z"),
    });
    let status = json!({
        "phase": if state == 'x' { "Failed" } else { "Running" },
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:00Z"}],
    });
    let spec = json!({"nodeName": format!("n{node}"), "containers": []});
    Arc::new(from_value(json!({"metadata": meta, "spec": spec, "status": status})).expect("a pod"))
}

/// What is decided for as many nodes as there are words, each with the Pods of its letters.
fn decided(spec: &Value, sites: &[&str]) -> Decision {
    let set = set(spec, &json!({"containers": []}));
    let nodes: Vec<Arc<Node>> = (0..sites.len()).map(|number| node(&format!("n{number}"), &json!({}))).collect();
    let of = |(node, letters): (usize, &&str)| -> Vec<Arc<Pod>> {
        letters.chars().enumerate().map(|(number, state)| pod(node, number, state)).collect()
    };
    let pods: Vec<Arc<Pod>> = sites.iter().enumerate().flat_map(of).collect();
    let at = Timestamp::from_second(100).expect("in range");
    decide(&set, &nodes::template(&set, "new"), "new", &nodes, &pods, at)
}

fn plan(decision: &Decision) -> String {
    let made = decision.create.iter().map(|node| format!("+{node}"));
    let gone = decision.delete.iter().map(|pod| format!("-{}", pod.name_any()));
    let ended = decision.ended.iter().map(|(_, pod)| format!("!{}", pod.name_any()));
    made.chain(gone).chain(ended).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_node_has_one_pod_and_out_of_date_ones_are_replaced_as_many_as_may_be_missing() {
    let two = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}});
    let half = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}}});
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    let none = json!({});
    let cases: [(&Value, &[&str], &str); 11] = [
        (&none, &["", "N", "n"], "+n0"),
        (&none, &["NN", "N"], "-N01"),
        (&none, &["x", "N"], "!x00"),
        (&none, &["-", "O"], ""),
        (&none, &["O", "O", "O"], "-O00"),
        (&none, &["n", "O", "O"], ""),
        (&none, &["O", "o", "O"], "-o10"),
        (&two, &["O", "O", "O"], "-O00 -O10"),
        (&half, &["O", "O", "O", "O", "O"], "-O00 -O10 -O20"),
        (&on_delete, &["O", "O"], ""),
        (&none, &["N", "N"], ""),
    ];
    for (spec, sites, expected) in cases {
        assert_eq!(plan(&decided(spec, sites)), expected, "{spec} {sites:?}");
    }
}

#[test]
fn a_surging_update_makes_the_new_pod_before_the_old_one_goes() {
    let spec =
        json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}});
    let cases: [(&[&str], &str); 8] = [
        (&["O", "O"], "+n0"),
        (&["On", "O"], ""),
        // The new one serves, or the old one does not any more.
        (&["ON", "O"], "-O00"),
        (&["on", "O"], "-o00"),
        (&["N", "O"], "+n1"),
        (&["o", "O"], "+n0 +n1"),
        (&["N", "Onn"], "-n12"),
        (&["N", "-"], "+n1"),
    ];
    for (sites, expected) in cases {
        assert_eq!(plan(&decided(&spec, sites)), expected, "{sites:?}");
    }
}

#[test]
fn the_status_counts_nodes_not_pods() {
    let status = serde_json::to_value(decided(&json!({}), &["N", "O", "n", ""]).status).expect("JSON");
    let expected = json!({
        "currentNumberScheduled": 3, "desiredNumberScheduled": 4, "numberAvailable": 2, "numberMisscheduled": 0,
        "numberReady": 2, "numberUnavailable": 2, "observedGeneration": 1, "updatedNumberScheduled": 2,
    });
    assert_eq!(status, expected);
}

#[test]
fn a_daemon_belongs_on_nodes_that_it_selects_and_puts_up_with() {
    let taint = |key: &str, effect: &str| json!({"taints": [{"key": key, "effect": effect}]});
    let cases = [
        (json!({}), json!({}), Place::Wanted),
        (json!({}), json!({"unschedulable": true}), Place::Wanted),
        (json!({}), taint("node.kubernetes.io/unschedulable", "NoSchedule"), Place::Wanted),
        (json!({}), taint("node.kubernetes.io/not-ready", "NoExecute"), Place::Wanted),
        (json!({}), taint("mine", "NoSchedule"), Place::Stays),
        (json!({}), taint("mine", "NoExecute"), Place::Unwanted),
        (json!({}), taint("node.kubernetes.io/network-unavailable", "NoSchedule"), Place::Stays),
        (json!({"hostNetwork": true}), taint("node.kubernetes.io/network-unavailable", "NoSchedule"), Place::Wanted),
        (json!({"tolerations": [{"operator": "Exists"}]}), taint("mine", "NoExecute"), Place::Wanted),
        (json!({"nodeSelector": {"disk": "ssd"}}), json!({"labels": {"disk": "ssd"}}), Place::Wanted),
        (json!({"nodeSelector": {"disk": "ssd"}}), json!({}), Place::Unwanted),
        (json!({"nodeName": "other"}), json!({}), Place::Unwanted),
    ];
    for (mut spec, about, expected) in cases {
        spec["containers"] = json!([]);
        let template = nodes::template(&set(&json!({}), &spec), "h");
        assert_eq!(nodes::place(&template.spec.expect("a spec"), &node("n", &about)), expected, "{spec} {about}");
    }
}

#[test]
fn the_pod_for_a_node_can_go_nowhere_else() {
    let set = set(&json!({}), &json!({"containers": []}));
    let pod = nodes::pod(&set, &nodes::template(&set, "h"), "n7");
    assert_eq!(nodes::target(&pod), Some("n7"));
    assert_eq!(pod.labels()["controller-revision-hash"], "h");
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("d-"));
}
