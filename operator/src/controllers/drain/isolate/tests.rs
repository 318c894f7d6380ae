//! How Pods leave their Services, and what becomes of it when the API server does not do as it is asked.

use super::super::mock::{against, ok, refuses};
use super::*;

const POD: &str = "/api/v1/namespaces/shop/pods/web-1";

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A Pod of a `ReplicaSet`.
fn pod(changes: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "one", "resourceVersion": "7",
            "labels": { "app": "web", "tier": "front", "pod-template-hash": "5f" },
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true },
            ],
        },
        "spec": { "containers": [{ "name": "web" }] },
    });
    kube_merge(&mut pod, changes);
    serde_json::from_value(pod).unwrap()
}

fn kube_merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                kube_merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn gated() -> Value {
    json!({ "spec": { "readinessGates": [{ "conditionType": SERVING }] } })
}

fn owned_by(kind: &str) -> Value {
    json!({ "metadata": { "ownerReferences": [
        { "apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": "r", "controller": true },
    ] } })
}

fn services(selectors: &[Value]) -> Vec<Service> {
    let service =
        |selector: &Value| serde_json::from_value(json!({ "metadata": {}, "spec": { "selector": selector } })).unwrap();
    selectors.iter().map(service).collect()
}

fn labels(names: &[&str]) -> Way {
    Way::Labels(names.iter().map(ToString::to_string).collect())
}

#[test]
fn a_pod_leaves_by_its_gate_or_by_as_few_labels_as_there_need_to_be() {
    let web = json!({ "app": "web" });
    let front = json!({ "tier": "front" });
    let both = json!({ "app": "web", "tier": "front" });
    for (what, changes, selectors, expected) in [
        ("the gate goes before labels", gated(), vec![web.clone()], Way::Gate),
        ("and is set whoever selects the Pod", gated(), vec![], Way::Gate),
        ("nobody selects it", json!({}), vec![], Way::Unserved),
        ("others are selected", json!({}), vec![json!({ "app": "api" }), json!({ "zone": "a" })], Way::Unserved),
        ("a Service has its endpoints from elsewhere", json!({}), vec![json!({}), Value::Null], Way::Unserved),
        ("by one label", json!({}), vec![web.clone()], labels(&["app"])),
        ("the label that most select by", json!({}), vec![front.clone(), both.clone()], labels(&["tier"])),
        ("one of two", json!({}), vec![both.clone()], labels(&["app"])),
        ("two that share nothing", json!({}), vec![web.clone(), front], labels(&["app", "tier"])),
        (
            "another gate",
            json!({ "spec": { "readinessGates": [{ "conditionType": "lb" }] } }),
            vec![both],
            labels(&["app"]),
        ),
        ("a StatefulSet's keeps its name", owned_by("StatefulSet"), vec![web.clone()], Way::None),
        ("nobody would replace it", json!({ "metadata": { "ownerReferences": [] } }), vec![web], Way::None),
    ] {
        assert_eq!(way(&pod(&changes), &services(&selectors)), expected, "{what}");
    }
}

#[test]
fn a_gate_is_told_only_what_it_does_not_say_already() {
    let says = |status: &str| {
        let mut changes = gated();
        changes["status"] =
            json!({ "conditions": [{ "type": "Ready", "status": "True" }, { "type": SERVING, "status": status }] });
        changes
    };
    for (what, changes, serves, expected) in [
        ("no gate", json!({}), true, None),
        ("a new Pod", gated(), true, Some("True")),
        ("a new Pod that drains", gated(), false, Some("False")),
        ("it serves", says("True"), true, None),
        ("it is to stop serving", says("True"), false, Some("False")),
        ("it has stopped", says("False"), false, None),
        ("it is to serve again", says("False"), true, Some("True")),
    ] {
        let condition = condition(&pod(&changes), serves, now());
        assert_eq!(condition.as_ref().map(|it| it.status.as_str()), expected, "{what}");
        assert!(condition.is_none_or(|it| it.last_transition_time == Some(Time(now()))), "{what}");
    }
}

#[test]
fn an_orphan_is_one_by_our_doing() {
    let taken = json!({ "metadata": { "annotations": { LABELS: "{}" }, "ownerReferences": [] } });
    assert!(is_orphan(&pod(&taken)));
    assert!(!is_orphan(&pod(&json!({ "metadata": { "ownerReferences": [] } }))), "it never had an owner");
    assert!(!is_orphan(&pod(&json!({ "metadata": { "annotations": { LABELS: "{}" } } }))), "it is still owned");
}

#[tokio::test(start_paused = true)]
async fn labels_go_in_the_same_write_that_notes_them() {
    let leaving = pod(&json!({}));
    let patched = ok(format!("PATCH {POD}?"), &json!(leaving));
    let (taken, bodies) =
        against(vec![patched], async |client| take_out(&client, &leaving, &labels(&["app"]), now()).await).await;
    taken.unwrap();
    let expected = json!({ "metadata": {
        "uid": "one", "resourceVersion": "7",
        "labels": { "app": null },
        "annotations": { ISOLATED_AT: "2026-01-02T03:04:05Z", LABELS: "{\"app\":\"web\"}" },
    } });
    assert_eq!(bodies, [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_gate_says_no_before_the_pod_is_noted_as_out() {
    let leaving = pod(&gated());
    let mut written = json!(leaving);
    written["metadata"]["resourceVersion"] = json!("8");
    let exchanges = vec![ok(format!("PATCH {POD}/status?"), &written), ok(format!("PATCH {POD}?"), &written)];
    let (taken, bodies) = against(exchanges, async |client| take_out(&client, &leaving, &Way::Gate, now()).await).await;
    taken.unwrap();
    assert_eq!(bodies[0]["metadata"]["resourceVersion"], "7");
    assert_eq!(bodies[0]["status"]["conditions"][0]["status"], "False");
    assert_eq!(bodies[1]["metadata"]["resourceVersion"], "8", "of the Pod as it was just written");
    assert_eq!(bodies[1]["metadata"]["annotations"], json!({ ISOLATED_AT: "2026-01-02T03:04:05Z" }));
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nothing_to_leave_only_the_time_is_noted() {
    for way in [Way::Unserved, Way::None] {
        let leaving = pod(&json!({}));
        let patched = ok(format!("PATCH {POD}?"), &json!(leaving));
        let (_, bodies) = against(vec![patched], async |client| take_out(&client, &leaving, &way, now()).await).await;
        assert_eq!(bodies[0]["metadata"]["annotations"], json!({ ISOLATED_AT: "2026-01-02T03:04:05Z" }));
        assert_eq!(bodies[0]["metadata"].get("labels"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_put_back_has_its_labels_and_nothing_of_the_drain() {
    let mut changes = gated();
    changes["metadata"] = json!({
        "labels": { "tier": "back" },
        "annotations": { LABELS: "{\"app\":\"web\",\"tier\":\"front\",\"zone\":\"a\"}", ISOLATED_AT: "then" },
    });
    let out = pod(&changes);
    let exchanges = vec![ok(format!("PATCH {POD}?"), &json!(out)), ok(format!("PATCH {POD}/status?"), &json!(out))];
    let (back, bodies) = against(exchanges, async |client| put_back(&client, &out, now()).await).await;
    back.unwrap();
    assert_eq!(bodies[0]["metadata"]["labels"], json!({ "zone": "a" }), "what was set meanwhile stays");
    let annotations = bodies[0]["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.keys().collect::<BTreeSet<_>>().len(), STATE.len() + 1);
    assert!(annotations.values().all(Value::is_null), "{annotations:?}");
    assert_eq!(bodies[1]["status"]["conditions"][0]["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn labels_that_cannot_be_read_any_more_do_not_keep_a_pod_from_coming_back() {
    let out = pod(&json!({ "metadata": { "annotations": { LABELS: "app=web" } } }));
    let (back, bodies) =
        against(vec![ok(format!("PATCH {POD}?"), &json!(out))], async |client| put_back(&client, &out, now()).await)
            .await;
    back.unwrap();
    assert_eq!(bodies[0]["metadata"]["labels"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_an_error_and_nothing_follows_it() {
    for (code, reason) in [(404, "NotFound"), (409, "Conflict"), (403, "Forbidden"), (504, "Timeout")] {
        for gate in [false, true] {
            let call = if gate { format!("PATCH {POD}/status?") } else { format!("PATCH {POD}?") };
            let leaving = pod(&if gate { gated() } else { json!({}) });
            let way = if gate { Way::Gate } else { labels(&["app"]) };
            let refused = vec![refuses(call, code, reason)];
            let (taken, _) = against(refused, async |client| take_out(&client, &leaving, &way, now()).await).await;
            assert!(matches!(taken, Err(kube::Error::Api(status)) if status.code == code), "{reason}");
        }
        let out = pod(&json!({}));
        let refused = vec![refuses(format!("PATCH {POD}?"), code, reason)];
        let (back, _) = against(refused, async |client| put_back(&client, &out, now()).await).await;
        assert!(back.is_err(), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_eviction_is_granted_refused_or_of_somebody_who_is_gone() {
    let leaving = pod(&json!({}));
    let call = |dry: bool| format!("POST {POD}/eviction{}", if dry { "?dryRun=All" } else { "" });
    for (code, reason, expected) in [
        (429, "TooManyRequests", Some(Eviction::Refused("it is TooManyRequests".to_owned()))),
        (404, "NotFound", Some(Eviction::Gone)),
        (409, "Conflict", Some(Eviction::Gone)),
        (403, "Forbidden", None),
        (500, "InternalError", None),
        (504, "Timeout", None),
    ] {
        for dry in [false, true] {
            let refused = vec![refuses(call(dry), code, reason)];
            let (answer, _) =
                against(
                    refused,
                    async |client| {
                        if dry { may_leave(&client, &leaving).await } else { evict(&client, &leaving).await }
                    },
                )
                .await;
            assert_eq!(answer.ok(), expected, "{reason}");
        }
    }
    let granted = vec![ok(call(false), &json!({ "kind": "Status", "status": "Success" }))];
    let (answer, bodies) = against(granted, async |client| evict(&client, &leaving).await).await;
    assert_eq!(answer.unwrap(), Eviction::Granted);
    assert_eq!(bodies[0]["deleteOptions"]["preconditions"]["uid"], "one", "this very Pod");
}
