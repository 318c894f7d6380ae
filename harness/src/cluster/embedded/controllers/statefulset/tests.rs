//! What a StatefulSet does next, as tables.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, from_value, json};

use super::decide::{Decision, Revisions, Step, decide};
use super::identity;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn set(spec: &Value) -> StatefulSet {
    let mut all = json!({
        "replicas": 3, "serviceName": "svc", "selector": {"matchLabels": {"app": "x"}}, "template": {},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let meta = json!({"name": "s", "namespace": "n", "uid": "s", "generation": 1});
    from_value(json!({"metadata": meta, "spec": all})).expect("a set")
}

/// `0` and `1` are ready Pods of the old and the new revision, `?` and `!` such that are not ready, `-` and `+` such
/// that are being deleted, `x` one that has failed, and a space none.
fn pods(states: &str) -> Vec<Arc<Pod>> {
    let pod = |(ordinal, state): (usize, char)| {
        let revision = if "0?-".contains(state) { "old" } else { "new" };
        let ready = if "01-+".contains(state) { "True" } else { "False" };
        let deleted = "-+".contains(state).then_some("1970-01-01T00:00:00Z");
        let name = format!("s-{ordinal}");
        let labels = json!({"controller-revision-hash": revision, "statefulset.kubernetes.io/pod-name": name});
        Arc::new(
            from_value(json!({
                "metadata": {"name": name, "uid": name, "labels": labels, "deletionTimestamp": deleted},
                "status": {
                    "phase": if state == 'x' { "Failed" } else { "Running" },
                    "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:10Z"}],
                },
            }))
            .expect("a pod"),
        )
    };
    states.chars().enumerate().filter(|(_, state)| *state != ' ').map(pod).collect()
}

fn decided(spec: &Value, states: &str) -> Decision {
    decide(&set(spec), &Revisions { current: "old", update: "new", collisions: 0 }, &pods(states), at(20))
}

/// `+2` makes the member 2, `+2*` from the current revision, `-2` deletes it.
fn steps(decision: &Decision) -> Vec<String> {
    let text = |step: &Step| match step {
        Step::Create { ordinal, current } => Some(format!("+{ordinal}{}", if *current { "*" } else { "" })),
        Step::Delete { ordinal, .. } => Some(format!("-{ordinal}")),
        Step::Mend { .. } => None,
    };
    decision.steps.iter().filter_map(text).collect()
}

#[test]
fn members_are_made_and_replaced_in_their_order() {
    let cases: [(&str, &[&str]); 14] = [
        ("", &["+0"]),
        ("!", &[]),
        ("1", &["+1"]),
        ("1+", &[]),
        ("11", &["+2"]),
        ("1 1", &["+1"]),
        ("1x1", &["-1"]),
        ("111", &[]),
        ("11111", &["-4"]),
        ("1111!", &["-4"]),
        ("111!1", &["-4"]),
        ("111!!", &[]),
        ("000", &["-2"]),
        ("00!", &[]),
    ];
    for (states, expected) in cases {
        assert_eq!(steps(&decided(&json!({}), states)), expected, "{states}");
    }
}

#[test]
fn members_of_a_parallel_set_do_not_wait_for_each_other() {
    let cases: [(&str, &[&str]); 5] =
        [("", &["+0", "+1", "+2"]), ("! 1", &["+1"]), ("111!1", &["-4", "-3"]), ("000", &["-2"]), ("?00", &["-0"])];
    for (states, expected) in cases {
        let decision = decided(&json!({"podManagementPolicy": "Parallel"}), states);
        assert_eq!(steps(&decision), expected, "{states}");
    }
}

#[test]
fn an_update_stops_at_its_partition_and_takes_as_many_as_may_be_missing() {
    let rolling = |settings: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": settings}});
    let cases: [(Value, &str, &[&str]); 6] = [
        (rolling(json!({"partition": 2})), "000", &["-2"]),
        (rolling(json!({"partition": 2})), "001", &[]),
        (rolling(json!({"partition": 2})), "0", &["+1*"]),
        (rolling(json!({"partition": 0, "maxUnavailable": 2})), "000", &["-2", "-1"]),
        (rolling(json!({"partition": 0, "maxUnavailable": "34%"})), "000", &["-2"]),
        (json!({"updateStrategy": {"type": "OnDelete"}}), "000", &[]),
    ];
    for (spec, states, expected) in cases {
        assert_eq!(steps(&decided(&spec, states)), expected, "{spec} {states}");
    }
}

#[test]
fn an_update_is_over_when_every_member_is_of_the_new_revision_and_ready() {
    let status = |states| decided(&json!({}), states).status;
    let half = status("001");
    assert_eq!((half.current_replicas, half.updated_replicas), (Some(1), Some(1)), "one of the old ones goes now");
    assert_eq!(half.current_revision.as_deref(), Some("old"));
    let done = status("111");
    assert_eq!((done.current_replicas, done.current_revision.as_deref()), (Some(3), Some("new")));
}

#[test]
fn a_member_must_have_been_ready_for_long_enough_before_the_next_is_made() {
    let waiting = decided(&json!({"minReadySeconds": 15}), "1");
    assert_eq!((steps(&waiting), waiting.again.map(|again| again.as_secs())), (vec![], Some(5)));
    assert_eq!((waiting.status.ready_replicas, waiting.status.available_replicas), (Some(1), Some(0)));
}

#[test]
fn ordinals_may_start_elsewhere() {
    let decision = decided(&json!({"ordinals": {"start": 1}, "replicas": 2}), "11");
    assert_eq!(steps(&decision), ["+2"], "0 goes after that");
}

#[test]
fn a_member_is_known_by_its_name_and_keeps_its_claims() {
    let claims = json!([{"metadata": {"name": "data"}, "spec": {}}]);
    let template = from_value(json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [], "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]},
    }))
    .expect("a template");
    let set = set(&json!({"volumeClaimTemplates": claims}));
    let pod = serde_json::to_value(identity::member(&set, &template, "s-abc", 4)).expect("JSON");
    assert_eq!((&pod["metadata"]["name"], &pod["metadata"]["generateName"]), (&json!("s-4"), &json!("s-")));
    assert_eq!(
        pod["metadata"]["labels"],
        json!({
            "app": "x",
            "apps.kubernetes.io/pod-index": "4",
            "controller-revision-hash": "s-abc",
            "statefulset.kubernetes.io/pod-name": "s-4",
        })
    );
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("s-4"), &json!("svc")));
    let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-s-4"}});
    assert_eq!(pod["spec"]["volumes"], json!([claim, {"name": "tmp", "emptyDir": {}}]));
    let claim = &identity::claims(&set, 4)[0];
    assert_eq!((claim.name_any(), claim.labels()["app"].as_str()), ("data-s-4".to_owned(), "x"));
    assert!(identity::is_claim_of(&set, claim));
}

#[test]
fn claims_go_with_what_the_set_says() {
    let pod = pods("1").remove(0);
    let cases = [
        ("Retain", "Retain", false, vec![]),
        ("Delete", "Retain", false, vec!["StatefulSet"]),
        ("Delete", "Retain", true, vec!["StatefulSet"]),
        ("Retain", "Delete", false, vec![]),
        ("Retain", "Delete", true, vec!["Pod"]),
        ("Delete", "Delete", false, vec!["StatefulSet"]),
        ("Delete", "Delete", true, vec!["Pod"]),
    ];
    for (deleted, scaled, surplus, expected) in cases {
        let policy = json!({"whenDeleted": deleted, "whenScaled": scaled});
        let set = set(&json!({"persistentVolumeClaimRetentionPolicy": policy}));
        let owners = identity::owners(&set, surplus.then_some(pod.as_ref()));
        let kinds: Vec<String> = owners.into_iter().map(|owner| owner.kind).collect();
        assert_eq!(kinds, expected, "{deleted} {scaled} {surplus}");
    }
}
