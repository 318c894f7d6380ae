//! What a Deployment needs next, as tables.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::ResourceExt;
use serde_json::{Value, from_value, json};

use super::decide::{Plan, decide};

const NOW: i64 = 10_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn deployment(spec: &Value, status: &Value) -> Deployment {
    let template =
        json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "v9"}]}});
    let mut all = json!({
        "replicas": 10, "selector": {"matchLabels": {"app": "x"}}, "template": template,
        "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let meta = json!({"name": "d", "namespace": "n", "uid": "d", "generation": 2});
    from_value(json!({"metadata": meta, "spec": all, "status": status})).expect("a deployment")
}

/// A ReplicaSet of an image: how many Pods it is to have, and how many of them are available.
fn set(image: &str, revision: i64, replicas: i32, available: i32) -> Arc<ReplicaSet> {
    let labels = json!({"app": "x", "pod-template-hash": image});
    let spec = json!({"containers": [{"name": "c", "image": image}]});
    Arc::new(
        from_value(json!({
            "metadata": {
                "name": format!("d-{image}"), "namespace": "n", "uid": image, "labels": labels, "generation": 1,
                "creationTimestamp": format!("1970-01-01T00:00:{revision:02}Z"),
                "annotations": {
                    "deployment.kubernetes.io/revision": revision.to_string(),
                    "deployment.kubernetes.io/desired-replicas": "10",
                    "deployment.kubernetes.io/max-replicas": "13",
                },
            },
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
            "status": {
                "replicas": replicas, "readyReplicas": available, "availableReplicas": available,
                "observedGeneration": 1, "terminatingReplicas": 0,
            },
        }))
        .expect("a set"),
    )
}

fn decided(spec: &Value, sets: &[Arc<ReplicaSet>]) -> Plan {
    decide(&deployment(spec, &json!({})), sets, |_| false, at(NOW))
}

/// The sizes of the sets that change, by name.
fn sizes(plan: &Plan) -> Vec<(String, i32)> {
    let size = |set: &ReplicaSet| (set.name_any(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(-1));
    plan.create.iter().chain(&plan.update).map(size).collect()
}

fn condition(plan: &Plan, kind: &str) -> Option<(String, String)> {
    let conditions = plan.deployment.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone().unwrap_or_default()))
}

#[test]
fn a_new_template_gets_a_set_of_its_own_with_as_many_pods_as_there_may_be_more() {
    let plan = decided(&json!({}), &[set("v1", 4, 10, 10)]);
    let new = plan.create.as_ref().expect("a set");
    assert_eq!(new.spec.as_ref().and_then(|spec| spec.replicas), Some(3));
    assert_eq!(new.annotations()["deployment.kubernetes.io/revision"], "5");
    let hash = &new.labels()["pod-template-hash"];
    assert_eq!(new.name_any(), format!("d-{hash}"));
    let spec = serde_json::to_value(&new.spec).expect("JSON");
    assert_eq!(spec["selector"]["matchLabels"], json!({"app": "x", "pod-template-hash": hash}));
    assert_eq!(spec["template"]["metadata"]["labels"]["pod-template-hash"], json!(hash));
    assert_eq!(plan.deployment.annotations()["deployment.kubernetes.io/revision"], "5");
    // The old ones go as soon as enough are available without them.
    assert_eq!(sizes(&plan)[1..], [("d-v1".to_owned(), 8)]);
}

#[test]
fn a_rollout_goes_on_as_far_as_surge_and_unavailability_let_it() {
    type Case = (&'static str, Vec<Arc<ReplicaSet>>, Vec<(&'static str, i32)>);
    let cases: [Case; 7] = [
        ("more new ones", vec![set("v1", 1, 8, 8), set("v9", 2, 3, 0)], vec![("d-v9", 5)]),
        ("full", vec![set("v1", 1, 8, 8), set("v9", 2, 5, 0)], vec![]),
        ("fewer old ones", vec![set("v1", 1, 8, 8), set("v9", 2, 5, 3)], vec![("d-v1", 5)]),
        ("broken old ones first", vec![set("v0", 1, 4, 0), set("v1", 2, 4, 4), set("v9", 3, 5, 4)], vec![("d-v0", 0)]),
        ("all available", vec![set("v1", 1, 2, 2), set("v9", 2, 10, 10)], vec![("d-v1", 0)]),
        ("back from broken ones", vec![set("v9", 1, 8, 8), set("v1", 2, 5, 0)], vec![("d-v1", 0)]),
        ("done", vec![set("v1", 1, 0, 0), set("v9", 2, 10, 10)], vec![]),
    ];
    for (what, sets, expected) in cases {
        let plan = decided(&json!({}), &sets);
        let sized: Vec<(String, i32)> = expected.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
        let changed: Vec<(String, i32)> = sizes(&plan)
            .into_iter()
            .filter(|(name, size)| {
                sets.iter()
                    .any(|set| set.name_any() == *name && set.spec.as_ref().and_then(|s| s.replicas) != Some(*size))
            })
            .collect();
        assert_eq!(changed, sized, "{what}");
    }
}

#[test]
fn going_back_makes_the_old_set_the_newest_revision_and_remembers_the_former() {
    let plan = decided(&json!({}), &[set("v9", 1, 0, 0), set("v1", 2, 10, 10)]);
    let back = plan.update.iter().find(|set| set.name_any() == "d-v9").expect("changed");
    assert_eq!(back.annotations()["deployment.kubernetes.io/revision"], "3");
    assert_eq!(back.annotations()["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(plan.deployment.annotations()["deployment.kubernetes.io/revision"], "3");
    assert!(plan.create.is_none());
}

#[test]
fn recreating_waits_until_the_last_old_pod_is_gone() {
    let spec = json!({"strategy": {"type": "Recreate"}});
    let plan = decided(&spec, &[set("v1", 1, 10, 10)]);
    assert_eq!((sizes(&plan), plan.create.is_some()), (vec![("d-v1".to_owned(), 0)], false));
    let stopped = [set("v1", 1, 0, 0)];
    let plan = decide(&deployment(&spec, &json!({})), &stopped, |_| true, at(NOW));
    assert!(plan.create.is_none(), "its pods still end");
    let plan = decided(&spec, &stopped);
    assert_eq!(plan.create.and_then(|set| set.spec?.replicas), Some(10));
}

#[test]
fn a_paused_deployment_changes_its_size_but_not_its_template() {
    let plan = decided(&json!({"paused": true, "replicas": 4}), &[set("v1", 1, 10, 10)]);
    assert_eq!((sizes(&plan), plan.create.is_some()), (vec![("d-v1".to_owned(), 4)], false));
    assert_eq!(condition(&plan, "Progressing"), Some(("Unknown".to_owned(), "DeploymentPaused".to_owned())));
    assert_eq!(plan.events, ["Scaled down replica set d-v1 from 10 to 4"]);
}

#[test]
fn a_change_of_size_in_the_middle_of_a_rollout_keeps_its_proportions() {
    let sets = [set("v1", 1, 8, 8), set("v9", 2, 5, 2)];
    for (replicas, old, new) in [(20, 14, 9), (5, 5, 3), (0, 0, 0)] {
        let plan = decided(&json!({"replicas": replicas}), &sets);
        let mut sizes = sizes(&plan);
        sizes.sort();
        assert_eq!(sizes, [("d-v1".to_owned(), old), ("d-v9".to_owned(), new)], "{replicas}");
    }
}

#[test]
fn a_rollout_that_does_not_get_on_has_failed_when_its_time_is_over() {
    let progressing = |since: i64| {
        let since = at(since).to_string();
        let condition = json!({
            "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "",
            "lastUpdateTime": since, "lastTransitionTime": since,
        });
        json!({"replicas": 13, "updatedReplicas": 5, "readyReplicas": 8, "availableReplicas": 8, "conditions": [condition]})
    };
    let sets = [set("v1", 1, 8, 8), set("v9", 2, 5, 0)];
    let status = |since| decide(&deployment(&json!({}), &progressing(since)), &sets, |_| false, at(NOW));
    let waiting = status(NOW - 500);
    assert_eq!(condition(&waiting, "Progressing"), Some(("True".to_owned(), "ReplicaSetUpdated".to_owned())));
    assert_eq!(waiting.again.map(|again| again.as_secs()), Some(101));
    let failed = status(NOW - 601);
    assert_eq!(condition(&failed, "Progressing"), Some(("False".to_owned(), "ProgressDeadlineExceeded".to_owned())));
    assert_eq!(failed.again, None);
}

#[test]
fn only_so_many_old_sets_are_kept_to_go_back_to() {
    let sets = [set("v1", 1, 0, 0), set("v2", 2, 0, 0), set("v3", 3, 0, 0), set("v9", 4, 10, 10)];
    let done = json!({"replicas": 10, "updatedReplicas": 10, "availableReplicas": 10, "observedGeneration": 2});
    for (limit, gone) in [(10, vec![]), (1, vec!["d-v1", "d-v2"]), (0, vec!["d-v1", "d-v2", "d-v3"])] {
        let plan = decide(&deployment(&json!({"revisionHistoryLimit": limit}), &done), &sets, |_| false, at(NOW));
        let names: Vec<String> = plan.delete.iter().map(kube::ResourceExt::name_any).collect();
        assert_eq!(names, gone, "{limit}");
    }
}
