//! What a ReplicaSet needs next, as tables.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, from_value, json};

use super::decide::{decide, status};

const NOW: i64 = 10_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn set(spec: &Value) -> ReplicaSet {
    let mut all = json!({"replicas": 2, "selector": {}, "template": {"metadata": {"labels": {"app": "x"}}}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    from_value(json!({"metadata": {"name": "r", "uid": "r", "generation": 3}, "spec": all})).expect("a set")
}

fn pod(name: &str, more: &Value) -> Arc<Pod> {
    let ready = |since: &Value| json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
    let conditions = more.get("ready").map(ready);
    let made = more.get("made").cloned().unwrap_or_else(|| json!("1970-01-01T00:00:00Z"));
    Arc::new(
        from_value(json!({
            "metadata": {
                "name": name, "uid": name, "labels": {"app": "x"}, "creationTimestamp": made,
                "annotations": more.get("cost").map(|cost| json!({"controller.kubernetes.io/pod-deletion-cost": cost})),
            },
            "spec": {"nodeName": more.get("node"), "containers": []},
            "status": {
                "phase": more.get("phase").cloned().unwrap_or_else(|| json!("Running")),
                "conditions": conditions,
                "containerStatuses": [{
                    "name": "c", "image": "", "imageID": "", "ready": true,
                    "restartCount": more.get("restarts").cloned().unwrap_or_else(|| json!(0)),
                }],
            },
        }))
        .expect("a pod"),
    )
}

#[test]
fn a_set_makes_what_is_missing_and_gives_up_what_is_too_much() {
    for (replicas, present, create, delete) in
        [(2, 0, 2, 0), (2, 2, 0, 0), (0, 3, 0, 3), (600, 0, 500, 0), (1, 3, 0, 2)]
    {
        let pods: Vec<_> = (0..present).map(|number| pod(&format!("p{number}"), &json!({}))).collect();
        let decision = decide(&set(&json!({"replicas": replicas})), &pods, Vec::new, at(NOW));
        assert_eq!((decision.create, decision.delete.len()), (create, delete), "{replicas} of {present}");
    }
}

#[test]
fn a_pod_that_would_be_missed_least_goes_first() {
    let day = "1970-01-01T00:00:10Z";
    let fresh = "1970-01-01T02:46:30Z";
    let cases = [
        ("unassigned before assigned", json!({}), json!({"node": "n"})),
        ("pending before running", json!({"node": "n", "phase": "Pending"}), json!({"node": "n"})),
        ("unready before ready", json!({"node": "n", "cost": "9"}), json!({"node": "n", "ready": day})),
        ("cheap before dear", json!({"node": "n", "ready": day, "cost": "-1"}), json!({"node": "n", "ready": day})),
        ("crowded before lonely", json!({"node": "crowd", "ready": day}), json!({"node": "n", "ready": fresh})),
        ("newly ready before long ready", json!({"node": "n", "ready": fresh}), json!({"node": "n", "ready": day})),
        ("often restarted first", json!({"node": "n", "restarts": 3}), json!({"node": "n", "restarts": 1})),
        ("newer before older", json!({"node": "n", "made": fresh}), json!({"node": "n", "made": day})),
    ];
    for (what, goes, stays) in cases {
        let pods = [pod("a-stays", &stays), pod("goes", &goes)];
        let related = || vec![pod("other", &json!({"node": "crowd"})), pods[0].clone(), pods[1].clone()];
        let decision = decide(&set(&json!({"replicas": 1})), &pods, related, at(NOW));
        let deleted: Vec<String> = decision.delete.iter().map(|pod| pod.name_any()).collect();
        assert_eq!(deleted, ["goes"], "{what}");
    }
}

#[test]
fn a_pod_counts_as_available_once_it_has_been_ready_for_long_enough() {
    let pods = [pod("p", &json!({"ready": "1970-01-01T02:46:30Z"}))]; // 10 s ago
    for (min_ready, available, again) in [(0, Some(1), None), (10, Some(1), None), (25, None, Some(15))] {
        let set = set(&json!({"replicas": 1, "minReadySeconds": min_ready}));
        let decision = decide(&set, &pods, Vec::new, at(NOW));
        assert_eq!(decision.again.map(|again| again.as_secs()), again, "{min_ready}");
        let status = status(&set, &pods, 0, None, at(NOW));
        assert_eq!((status.ready_replicas, status.available_replicas), (Some(1), available), "{min_ready}");
    }
}

#[test]
fn a_set_that_cannot_make_pods_says_so_until_it_can() {
    let mut failing = set(&json!({}));
    failing.status = Some(status(&failing, &[], 1, Some("no room".to_owned()), at(NOW)));
    let said = serde_json::to_value(&failing.status).expect("JSON");
    assert_eq!((&said["observedGeneration"], &said["terminatingReplicas"]), (&json!(3), &json!(1)));
    let condition = &said["conditions"][0];
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("ReplicaFailure"), &json!("FailedCreate")));
    assert_eq!(condition["message"], "no room");
    assert_eq!(status(&failing, &[], 0, None, at(NOW)).conditions, None);
}
