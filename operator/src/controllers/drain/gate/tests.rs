//! What the gate says, in every situation and whatever the API server does.

use std::collections::BTreeSet;

use kube::core::admission::AdmissionReview;
use serde_json::Value;

use super::super::configured::Standing;
use super::super::mock::{Exchange, against, ok, refuses, silence};
use super::*;
use crate::api::drain::{ISOLATED_AT, OUTCOME, RELEASED_AT, SERVING};

const UPDATER: &str = "system:serviceaccount:kube-system:vpa-updater";
const POD: &str = "/api/v1/namespaces/shop/pods/web-1";
const NAMESPACE: &str = "/api/v1/namespaces/shop";

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A selected Pod that runs.
fn pod(changes: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "one", "resourceVersion": "7",
            "annotations": { "vpa-managed": "true" },
        },
        "spec": { "containers": [{ "name": "web" }] },
        "status": { "phase": "Running", "containerStatuses": [
            { "name": "web", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} } },
        ] },
    });
    merge(&mut pod, changes);
    pod
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn annotated(annotations: &Value) -> Value {
    pod(&json!({ "metadata": { "annotations": annotations } }))
}

fn requested(at: &str) -> Value {
    json!({ REQUESTED_AT: at, REQUESTED_BY: UPDATER })
}

fn eviction(user: &str, changes: &Value) -> AdmissionRequest<DynamicObject> {
    let mut request = json!({
        "uid": "u1",
        "kind": { "group": "policy", "version": "v1", "kind": "Eviction" },
        "resource": { "group": "", "version": "v1", "resource": "pods" },
        "subResource": "eviction",
        "name": "web-1",
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": { "username": user, "groups": ["system:serviceaccounts"] },
        "object": { "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "web-1", "namespace": "shop" } },
    });
    merge(&mut request, changes);
    review(&request)
}

fn review(request: &Value) -> AdmissionRequest<DynamicObject> {
    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request });
    serde_json::from_value::<AdmissionReview<DynamicObject>>(review).unwrap().try_into().unwrap()
}

fn configuration(values: &[(&str, &str)]) -> Configuration {
    Configuration::parse(&values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).unwrap()
}

/// What the gate works with; `None` for a configuration that is not known yet.
fn common(client: Client, standing: impl Into<Option<Standing>>) -> Common {
    let metrics = crate::kit::metrics::Metrics::new();
    let (sender, configured) = Configured::channel();
    sender.send_replace(standing.into());
    // Whoever follows the configuration does so as long as the operator runs.
    std::mem::forget(sender);
    Common { client, clock: Clock::starting_at(now()), configured, measures: Measures::new(&metrics), namespace: None }
}

fn chosen(values: &[(&str, &str)]) -> Standing {
    Standing { configuration: Arc::new(configuration(values)), is_chosen: true, trouble: None }
}

/// Asks about an eviction by the autoscaler.
async fn asked(exchanges: Vec<Exchange>, standing: impl Into<Option<Standing>>) -> (AdmissionResponse, Vec<Value>) {
    against(exchanges, async |client| Evictions(common(client, standing)).review(eviction(UPDATER, &json!({}))).await)
        .await
}

fn verdict(response: &AdmissionResponse) -> &str {
    response.audit_annotations.get("verdict").unwrap()
}

#[test]
fn who_asks_and_how_decides_first() {
    let options = |options: Value| json!({ "object": { "deleteOptions": options } });
    for (what, user, changes, expected) in [
        ("the autoscaler", UPDATER, json!({}), None),
        ("another one", "system:serviceaccount:vpa:my-vpa-updater", json!({}), None),
        ("an administrator", "kubernetes-admin", json!({}), Some(Pass::OtherEvictor)),
        (
            "another service account",
            "system:serviceaccount:kube-system:descheduler",
            json!({}),
            Some(Pass::OtherEvictor),
        ),
        ("without grace", UPDATER, options(json!({ "gracePeriodSeconds": 0 })), Some(Pass::Forced)),
        ("with less grace", UPDATER, options(json!({ "gracePeriodSeconds": 1 })), None),
        ("an Eviction that is none", UPDATER, json!({ "object": { "deleteOptions": 7 } }), None),
    ] {
        let asked = Asked::of(&eviction(user, &changes));
        assert_eq!(decide::untouched(&asked, &configuration(&[])), expected, "{what}");
    }
    for (changes, dry_run) in [
        (json!({}), false),
        (json!({ "dryRun": true }), true),
        (options(json!({ "dryRun": ["All"] })), true),
        (options(json!({ "dryRun": [] })), false),
    ] {
        assert_eq!(Asked::of(&eviction(UPDATER, &changes)).dry_run, dry_run, "{changes}");
    }
}

#[test]
fn the_pod_decides_next() {
    let at = |seconds: i64| (now() + jiff::SignedDuration::from_secs(seconds)).to_string();
    let gate_off = [("mechanisms", "finalizer")];
    let excluded = [("namespaceSelector", r#"{"exclude": ["shop"]}"#)];
    let with = |mut annotations: Value, more: &Value| {
        merge(&mut annotations, more);
        annotated(&annotations)
    };
    for (what, pod, values, is_chosen, expected) in [
        ("asked for the first time", pod(&json!({})), &[][..], true, "held"),
        ("asked for again", annotated(&requested(&at(-10))), &[], true, "held"),
        ("out of its Services", with(requested(&at(-10)), &json!({ ISOLATED_AT: at(-9) })), &[], true, "held"),
        ("just before the deadline", annotated(&requested(&at(-299))), &[], true, "held"),
        ("at the deadline", annotated(&requested(&at(-300))), &[], true, "deadline"),
        (
            "a deadline of its own",
            with(
                requested(&at(-10)),
                &json!({ "drain.slipway.dev/drain-timeout-seconds": "5", "drain.slipway.dev/grace-period-seconds": "5" }),
            ),
            &[],
            true,
            "deadline",
        ),
        ("a clock that is behind", annotated(&requested(&at(50))), &[], true, "held"),
        ("a time that cannot be read", annotated(&requested("then")), &[], true, "held"),
        (
            "released",
            with(requested(&at(-10)), &json!({ RELEASED_AT: at(-1), OUTCOME: "idle" })),
            &[],
            true,
            "released",
        ),
        ("not selected", annotated(&json!({ "vpa-managed": "false" })), &[], true, "unselected"),
        ("no longer selected", with(requested(&at(-10)), &json!({ "vpa-managed": "no" })), &[], true, "unselected"),
        ("ended", pod(&json!({ "status": { "phase": "Failed" } })), &[], true, "unselected"),
        ("namespace excluded", pod(&json!({})), &excluded, true, "unselected"),
        ("mechanism off", pod(&json!({})), &gate_off, true, "mechanism-off"),
        ("being deleted", pod(&json!({ "metadata": { "deletionTimestamp": at(0) } })), &[], true, "leaving"),
        (
            "not started",
            pod(&json!({ "status": { "phase": "Pending", "containerStatuses": [] } })),
            &[],
            true,
            "not-started",
        ),
        ("nobody chose", pod(&json!({})), &[], false, "unconfigured"),
        ("nobody chose, but it is held already", annotated(&requested(&at(-10))), &[], false, "held"),
    ] {
        let pod = serde_json::from_value(pod).unwrap();
        let verdict = decide::decide(&pod, &BTreeMap::new(), &configuration(values), is_chosen, 1, now());
        assert_eq!(verdict.word(), expected, "{what}");
        let first = what == "asked for the first time" || what == "a time that cannot be read";
        assert_eq!(verdict.is_news(), first, "{what}");
    }
}

#[test]
fn who_waits_for_its_turn_has_the_time_of_all_before_it() {
    let at = |seconds: i64| (now() + jiff::SignedDuration::from_secs(seconds)).to_string();
    let judge = |annotations: &Value, turns| {
        let pod = serde_json::from_value(annotated(annotations)).unwrap();
        decide::decide(&pod, &BTreeMap::new(), &configuration(&[]), true, turns, now()).word()
    };
    let waiting = requested(&at(-800));
    assert_eq!((judge(&waiting, 1), judge(&waiting, 2), judge(&waiting, 3)), ("deadline", "deadline", "held"));
    let mut begun = waiting;
    merge(&mut begun, &json!({ ISOLATED_AT: at(-299) }));
    assert_eq!(judge(&begun, 1), "held", "its own time begins with its turn");
    merge(&mut begun, &json!({ ISOLATED_AT: at(-300) }));
    assert_eq!(judge(&begun, 9), "deadline");
}

#[tokio::test(start_paused = true)]
async fn a_set_is_looked_up_only_for_pods_that_wait_for_their_turn() {
    const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/web";
    let of_set = |annotations: Value| {
        let owner =
            json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "s", "controller": true });
        pod(&json!({ "metadata": { "annotations": annotations, "ownerReferences": [owner] } }))
    };
    let set = |replicas: i64| {
        let spec = json!({ "replicas": replicas, "selector": {}, "template": {}, "serviceName": "web" });
        ok(format!("GET {SET}"), &json!({ "metadata": { "name": "web" }, "spec": spec }))
    };
    let read = |annotations: &Value| ok(format!("GET {POD}"), &of_set(annotations.clone()));
    let late = requested("2026-01-02T02:55:00Z");
    assert_eq!(verdict(&asked(vec![read(&late), set(3)], chosen(&[])).await.0), "held");
    assert_eq!(verdict(&asked(vec![read(&late), set(1)], chosen(&[])).await.0), "deadline");
    let gone = refuses(format!("GET {SET}"), 404, "NotFound");
    assert_eq!(verdict(&asked(vec![read(&late), gone], chosen(&[])).await.0), "deadline");
    let refused = refuses(format!("GET {SET}"), 403, "Forbidden");
    assert_eq!(verdict(&asked(vec![read(&late), refused], chosen(&[])).await.0), "undecided");
    let mut begun = late;
    merge(&mut begun, &json!({ ISOLATED_AT: "2026-01-02T03:04:00Z" }));
    assert_eq!(verdict(&asked(vec![read(&begun)], chosen(&[])).await.0), "held");
}

#[test]
fn a_container_that_crashes_has_started() {
    let status = |state: Value, last: Value| {
        let status = json!({ "name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last });
        serde_json::from_value::<Pod>(pod(&json!({ "status": { "containerStatuses": [status] } }))).unwrap()
    };
    let ended = json!({ "terminated": { "exitCode": 1 } });
    let judge = |pod: &Pod| decide::decide(pod, &BTreeMap::new(), &configuration(&[]), true, 1, now()).word();
    assert_eq!(judge(&status(json!({ "waiting": {} }), ended.clone())), "held");
    assert_eq!(judge(&status(ended, json!({}))), "held");
    assert_eq!(judge(&status(json!({ "waiting": {} }), json!({}))), "not-started");
}

#[test]
fn every_verdict_has_a_word_of_its_own_that_is_counted() {
    let ignored = super::super::selection::Ignored::Unmanaged;
    let passes = [
        Pass::Forced,
        Pass::OtherEvictor,
        Pass::OtherNamespace,
        Pass::Gone,
        Pass::Leaving,
        Pass::Unselected(ignored),
        Pass::Off,
        Pass::NotStarted,
        Pass::Released(crate::api::drain::Outcome::Idle),
        Pass::Deadline,
        Pass::Unconfigured,
        Pass::Undecided(String::new()),
    ];
    let hold = decide::Hold { first: true, message: String::new(), retry_after: Duration::ZERO };
    let words: BTreeSet<_> =
        passes.map(Verdict::Pass).iter().chain([&Verdict::Hold(hold)]).map(Verdict::word).collect();
    assert_eq!(words, VERDICTS.into());
}

#[tokio::test(start_paused = true)]
async fn a_held_eviction_is_written_down_once_and_answered_like_a_budget_that_is_spent() {
    let exchanges = vec![ok(format!("GET {POD}"), &pod(&json!({}))), ok(format!("PATCH {POD}?"), &pod(&json!({})))];
    let (response, bodies) = asked(exchanges, chosen(&[])).await;
    let expected = json!({ "metadata": {
        "uid": "one", "resourceVersion": "7",
        "annotations": { REQUESTED_AT: "2026-01-02T03:04:05Z", REQUESTED_BY: UPDATER },
    } });
    assert_eq!(bodies[1], expected);
    assert!(!response.allowed);
    assert_eq!((response.result.code, response.result.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(
        response.result.message,
        "Pod shop/web-1 drains before it is evicted: it leaves its Services first, and waits until its connections are \
         gone, until 2026-01-02T03:09:05Z at most"
    );
    assert_eq!(response.result.details.as_ref().map(|details| details.retry_after_seconds), Some(5));

    let again = vec![ok(format!("GET {POD}"), &annotated(&requested("2026-01-02T02:59:07Z")))];
    let (response, _) = asked(again, chosen(&[])).await;
    assert_eq!(verdict(&response), "held", "and nothing was written");
    let retry = response.result.details.as_ref().map(|details| details.retry_after_seconds);
    assert_eq!(retry, Some(2), "the deadline is nearer than the next look");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_told_the_same_and_nothing_is_written() {
    let dry = eviction(UPDATER, &json!({ "dryRun": true }));
    let exchanges = vec![ok(format!("GET {POD}"), &pod(&json!({})))];
    let (response, _) =
        against(exchanges, async |client| Evictions(common(client, chosen(&[]))).review(dry).await).await;
    assert_eq!((response.allowed, verdict(&response)), (false, "held"));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_never_held_costs_no_call() {
    for (user, changes, word) in [
        ("kubernetes-admin", json!({}), "other-evictor"),
        (UPDATER, json!({ "object": { "deleteOptions": { "gracePeriodSeconds": 0 } } }), "forced"),
    ] {
        let request = eviction(user, &changes);
        let (response, _) =
            against(Vec::new(), async |client| Evictions(common(client, chosen(&[]))).review(request).await).await;
        assert_eq!((response.allowed, verdict(&response)), (true, word));
    }
    let elsewhere = async |client| {
        let common = Common { namespace: Some("other".to_owned()), ..common(client, chosen(&[])) };
        Evictions(common).review(eviction(UPDATER, &json!({}))).await
    };
    assert_eq!(verdict(&against(Vec::new(), elsewhere).await.0), "other-namespace");
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_cannot_decide_lets_through_and_says_so() {
    for (code, reason) in [(403, "Forbidden"), (500, "InternalError"), (504, "Timeout"), (429, "TooManyRequests")] {
        let read = || ok(format!("GET {POD}"), &pod(&json!({})));
        for exchanges in [
            vec![refuses(format!("GET {POD}"), code, reason)],
            vec![read(), refuses(format!("PATCH {POD}?"), code, reason)],
        ] {
            let (response, _) = asked(exchanges, chosen(&[])).await;
            assert_eq!((response.allowed, verdict(&response)), (true, "undecided"));
            let warning = format!("the Pod is evicted without being drained: it is {reason}");
            assert_eq!(response.warnings, Some(vec![warning]));
        }
    }
    let response = Evictions(common(silence(), chosen(&[]))).review(eviction(UPDATER, &json!({}))).await;
    assert_eq!((response.allowed, verdict(&response)), (true, "undecided"), "and before the API server gives up");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_goes_meanwhile_is_nobodys_to_hold() {
    let read = || ok(format!("GET {POD}"), &pod(&json!({})));
    let gone = |call: &str| refuses(format!("{call} {POD}"), 404, "NotFound");
    for exchanges in [vec![gone("GET")], vec![read(), gone("PATCH")]] {
        let (response, _) = asked(exchanges, chosen(&[])).await;
        assert_eq!((response.allowed, verdict(&response)), (true, "gone"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_changes_meanwhile_is_looked_at_again_but_not_forever() {
    let read = || ok(format!("GET {POD}"), &pod(&json!({})));
    let conflict = || refuses(format!("PATCH {POD}?"), 409, "Conflict");
    let held = ok(format!("GET {POD}"), &annotated(&requested("2026-01-02T03:04:04Z")));
    let (response, _) = asked(vec![read(), conflict(), held], chosen(&[])).await;
    assert_eq!(verdict(&response), "held", "another replica was asked, too");

    let busy = vec![read(), conflict(), read(), conflict(), read(), conflict()];
    let (response, _) = asked(busy, chosen(&[])).await;
    assert_eq!(verdict(&response), "undecided");
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_looked_up_only_where_their_labels_count() {
    let by_label = || chosen(&[("namespaceSelector", r#"{"include": [{"matchLabels": {"tier": "web"}}]}"#)]);
    let namespace = |tier: &str| {
        ok(
            format!("GET {NAMESPACE}"),
            &json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": { "name": "shop", "labels": { "tier": tier } },
            }),
        )
    };
    let read = || ok(format!("GET {POD}"), &annotated(&requested("2026-01-02T03:04:04Z")));
    assert_eq!(verdict(&asked(vec![namespace("web"), read()], by_label()).await.0), "held");
    assert_eq!(verdict(&asked(vec![namespace("db"), read()], by_label()).await.0), "unselected");
    let refused = vec![refuses(format!("GET {NAMESPACE}"), 403, "Forbidden")];
    assert_eq!(verdict(&asked(refused, by_label()).await.0), "undecided");
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_its_configuration_holds_nothing_new() {
    let read = |annotations: &Value| vec![ok(format!("GET {POD}"), &annotated(annotations))];
    assert_eq!(verdict(&asked(read(&json!({})), None::<Standing>).await.0), "unconfigured");
    assert_eq!(verdict(&asked(read(&requested("2026-01-02T03:04:04Z")), None::<Standing>).await.0), "held");
}

fn birth(pod: &Value) -> AdmissionRequest<DynamicObject> {
    review(&json!({
        "uid": "u1",
        "kind": { "group": "", "version": "v1", "kind": "Pod" },
        "resource": { "group": "", "version": "v1", "resource": "pods" },
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller" },
        "object": pod,
    }))
}

#[tokio::test(start_paused = true)]
async fn new_pods_that_will_drain_get_the_readiness_gate() {
    let gate = json!({ "conditionType": SERVING });
    let new = |changes: &Value| {
        let mut pod = pod(changes);
        pod["metadata"].as_object_mut().unwrap().remove("namespace");
        pod
    };
    let job = json!({ "metadata": { "ownerReferences": [
        { "apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true },
    ] } });
    let whole = json!([{ "op": "add", "path": "/spec/readinessGates", "value": [gate] }]);
    let more = json!([{ "op": "add", "path": "/spec/readinessGates/-", "value": gate }]);
    let other = json!({ "spec": { "readinessGates": [{ "conditionType": "lb" }] } });
    let excluded: &[(&str, &str)] = &[("namespaceSelector", r#"{"exclude": ["shop"]}"#)];
    for (what, pod, values, expected) in [
        ("selected", new(&json!({})), &[][..], Some(&whole)),
        ("with a gate of somebody else's", new(&other), &[], Some(&more)),
        ("with ours already", new(&json!({ "spec": { "readinessGates": [gate] } })), &[], None),
        ("not selected", new(&json!({ "metadata": { "annotations": { "vpa-managed": "false" } } })), &[], None),
        ("in an excluded namespace", new(&json!({})), excluded, None),
        ("of a Job", new(&job), &[], None),
        ("not wanted", new(&json!({})), &[("injectReadinessGate", "false")], None),
        ("not held by the gate", new(&json!({})), &[("mechanisms", "finalizer")], None),
    ] {
        let born = async |client| Births(common(client, chosen(values))).review(birth(&pod)).await;
        let (response, _) = against(Vec::new(), born).await;
        assert!(response.allowed, "{what}");
        let patch = response.patch.map(|patch| serde_json::from_slice::<Value>(&patch).unwrap());
        assert_eq!(patch.as_ref(), expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_new_pod_is_kept_from_being_made() {
    let by_label = || chosen(&[("namespaceSelector", r#"{"include": [{"matchLabels": {"tier": "web"}}]}"#)]);
    let born = async |client, standing: Option<Standing>| {
        Births(common(client, standing)).review(birth(&pod(&json!({})))).await
    };
    let refused = vec![refuses(format!("GET {NAMESPACE}"), 403, "Forbidden")];
    let (forbidden, _) = against(refused, async |client| born(client, Some(by_label())).await).await;
    let silent = born(silence(), Some(by_label())).await;
    let unknown = born(silence(), None).await;
    for response in [forbidden, silent, unknown] {
        assert_eq!((response.allowed, response.patch), (true, None));
    }
}

#[test]
fn both_webhooks_fail_open_and_ask_the_service_of_the_operator() {
    let at = webhooks::Installation {
        namespace: "slipway-system".to_owned(),
        service: "slipway-operator-webhooks".to_owned(),
        port: 443,
        user: "system:serviceaccount:slipway-system:slipway-operator".to_owned(),
        watched: None,
    };
    let evictions = json!(webhooks::evictions(&at))["webhooks"][0].clone();
    let pods = json!(webhooks::pods(&at))["webhooks"][0].clone();
    for (webhook, path, side_effects) in [(&evictions, "/evictions", "NoneOnDryRun"), (&pods, "/pods", "None")] {
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["clientConfig"]["service"]["path"], path);
        assert_eq!(webhook["clientConfig"]["service"]["name"], "slipway-operator-webhooks");
        assert_eq!(webhook["sideEffects"], side_effects);
        let within = webhook["timeoutSeconds"].as_u64().unwrap();
        assert!(DECIDED_WITHIN + CONFIGURED_WITHIN < Duration::from_secs(within), "it would answer too late");
    }
    assert_eq!(evictions["rules"][0]["resources"], json!(["pods/eviction"]));
    assert_eq!(pods["namespaceSelector"]["matchExpressions"][0]["values"], json!(["slipway-system"]));
    let one = webhooks::Installation { watched: Some("shop".to_owned()), ..at };
    for webhook in [&json!(webhooks::evictions(&one)), &json!(webhooks::pods(&one))] {
        assert_eq!(webhook["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"], json!(["shop"]));
    }
}
