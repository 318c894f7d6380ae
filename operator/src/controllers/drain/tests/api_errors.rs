//! What becomes of a look at a Pod when the API server does not do as it is asked: conflicts, objects that are gone,
//! missing rights, time-outs.

use std::time::Duration;

use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::reflector;

use crate::api::drain::{CONNECTION_SOURCES, ISOLATED_AT, LABELS, OUTCOME, RELEASED_AT, REQUESTED_AT};
use crate::controllers::drain::configured::Configured;
use crate::controllers::drain::measures::Measures;
use crate::controllers::drain::memory::Memory;
use crate::controllers::drain::mock::{Exchange, against, ok, refuses, says};
use crate::controllers::drain::{CONTROLLER, Ctx, Error, reconcile};
use crate::kit::clock::Clock;
use crate::kit::controller::Failure;
use crate::kit::error::chain;
use crate::kit::metrics::Metrics;
use crate::kit::report::Reporter;

use super::*;

const POD: &str = "/api/v1/namespaces/shop/pods/web-1";
const EVENTS: &str = "POST /api/v1/namespaces/shop/events?";
const SERVICES: &str = "GET /api/v1/namespaces/shop/services?";
const BUDGETS: &str = "GET /apis/policy/v1/namespaces/shop/poddisruptionbudgets?";
const NAMESPACE: &str = "GET /api/v1/namespaces/shop";
const SET: &str = "GET /apis/apps/v1/namespaces/shop/statefulsets/web";
const CLAIMS: &str = "GET /api/v1/namespaces/shop/persistentvolumeclaims?";
const ATTACHMENTS: &str = "GET /apis/storage.k8s.io/v1/volumeattachments?";
const MAY_LEAVE: &str = "POST /api/v1/namespaces/shop/pods/web-1/eviction?dryRun=All";

/// Everything that can go wrong with a read.
const READ_ERRORS: [(u16, &str); 4] =
    [(403, "Forbidden"), (500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout")];

/// Everything that can go wrong with a write.
const WRITE_ERRORS: [(u16, &str); 6] = [
    (409, "Conflict"),
    (404, "NotFound"),
    (403, "Forbidden"),
    (422, "Invalid"),
    (500, "InternalError"),
    (504, "Timeout"),
];

fn ctx(client: Client, standing: Standing) -> Ctx {
    let (sender, configured) = Configured::channel();
    sender.send_replace(Some(standing));
    let clock = Clock::starting_at(after(1));
    let (namespaces, _) = reflector::store();
    let (pods, _) = reflector::store();
    Ctx {
        reporter: Reporter::new(client.clone(), CONTROLLER, clock),
        client,
        clock,
        configured,
        measures: Measures::new(&Metrics::new()),
        namespaces,
        pods,
        memory: Memory::default(),
    }
}

/// One look at a Pod against exactly these exchanges. Gives what it came to, and the bodies it sent.
async fn look(
    changes: &Value,
    values: &[(&str, &str)],
    exchanges: Vec<Exchange>,
) -> (Result<Action, Error>, Vec<Value>) {
    let (pod, standing) = (Arc::new(pod(changes)), standing(values));
    against(exchanges, async |client| reconcile(pod, Arc::new(ctx(client, standing))).await).await
}

fn patch() -> String {
    format!("PATCH {POD}?")
}

/// A write that goes well; what it answers is not looked at.
fn written(call: &str) -> Exchange {
    ok(call, &json!(pod(&json!({}))))
}

fn event() -> Exchange {
    says(EVENTS, 201, json!({ "metadata": {}, "involvedObject": {} }).to_string())
}

fn list(call: &str, items: &[Value]) -> Exchange {
    ok(call, &json!({ "metadata": {}, "items": items }))
}

/// Its eviction was asked for, and its connections can be counted by asking it.
fn asked() -> Value {
    all(&[held(), annotated(&json!({ CONNECTION_SOURCES: "[{http: {port: 8080}}]" }))])
}

/// A budget of this Pod that has one disruption left.
fn budget() -> Value {
    json!({
        "metadata": { "name": "web", "uid": "b" }, "spec": { "selector": { "matchLabels": { "app": "web" } } },
        "status": { "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2 },
    })
}

/// Everything that is read before a Pod of a set with volumes leaves its Services.
fn reads_of_a_set() -> Vec<Exchange> {
    let set = json!({
        "metadata": { "name": "web", "uid": "set" },
        "spec": {
            "replicas": 1, "serviceName": "web", "selector": {}, "template": {},
            "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
        },
    });
    vec![
        ok(SET, &set),
        list(CLAIMS, &[]),
        list(ATTACHMENTS, &[]),
        list(SERVICES, &[]),
        list(BUDGETS, &[budget()]),
        ok(MAY_LEAVE, &json!({ "kind": "Status", "status": "Success" })),
    ]
}

struct Writing {
    step: &'static str,
    changes: Value,
    reads: Vec<Exchange>,
    call: String,
}

/// Each step there is, up to its write.
fn writings() -> Vec<Writing> {
    let writing = |step, changes, call: String| Writing { step, changes, reads: Vec::new(), call };
    let ended = || json!({ "status": { "phase": "Succeeded" } });
    let long_ago = json!({ REQUESTED_AT: after(-400).to_string() });
    let may_go = json!({
        ISOLATED_AT: now().to_string(), RELEASED_AT: now().to_string(), OUTCOME: "idle", LABELS: "{\"app\":\"web\"}",
    });
    let refused = json!({ "metadata": { "annotations": { "vpa-managed": "false" }, "finalizers": null } });
    vec![
        writing("guard", json!({ "metadata": { "finalizers": null } }), patch()),
        writing("unguard", annotated(&json!({ "vpa-managed": "false" })), patch()),
        writing("serve", gated(), format!("PATCH {POD}/status?")),
        writing("release", all(&[evicted(), ended()]), patch()),
        writing("pass", all(&[held(), annotated(&long_ago)]), patch()),
        writing("put back", all(&[held(), refused]), patch()),
        writing("evict", all(&[held(), annotated(&may_go)]), format!("POST {POD}/eviction")),
        Writing { reads: vec![list(SERVICES, &[]), list(BUDGETS, &[])], ..writing("take out", asked(), patch()) },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_tried_again_unless_the_pod_is_gone_and_tells_nobody_of_success() {
    for (code, reason) in WRITE_ERRORS {
        for Writing { step, changes, mut reads, call } in writings() {
            reads.push(refuses(call, code, reason));
            // No Event is among the exchanges: nothing has been done that could be told of.
            let (result, _) = look(&changes, &[], reads).await;
            match (step, code) {
                (_, 404) | ("evict", 409) => assert_eq!(result.unwrap(), Action::await_change(), "{step}: {reason}"),
                _ => {
                    let error = result.unwrap_err();
                    assert_eq!((error.category(), error.is_conflict()), ("apply", code == 409), "{step}: {reason}");
                    assert!(chain(&error).to_string().ends_with(&format!("it is {reason}")), "{}", chain(&error));
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_a_budget_refuses_is_asked_for_again() {
    for Writing { changes, call, .. } in writings().into_iter().filter(|it| it.step == "evict") {
        let (result, _) = look(&changes, &[], vec![refuses(call, 429, "TooManyRequests")]).await;
        assert_eq!(result.unwrap(), Action::requeue(Duration::from_secs(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_stops_the_look_before_anything_is_written() {
    let of_set = all(&[owned_by("apps/v1", "StatefulSet"), asked()]);
    for failing in 0..reads_of_a_set().len() {
        for (code, reason) in READ_ERRORS {
            let mut exchanges = reads_of_a_set();
            exchanges.truncate(failing + 1);
            let call = exchanges[failing].call.clone();
            exchanges[failing] = refuses(call.clone(), code, reason);
            let error = look(&of_set, &[], exchanges).await.0.unwrap_err();
            assert_eq!((error.category(), error.is_conflict()), ("observe", false), "{call}: {reason}");
            assert!(chain(&error).to_string().ends_with(&format!("it is {reason}")), "{}", chain(&error));
        }
    }
    let mut whole = reads_of_a_set();
    whole.push(written(&patch()));
    look(&of_set, &[], whole).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_does_not_allow_for_it_is_waited_for() {
    let mut exchanges = vec![list(SERVICES, &[]), list(BUDGETS, &[budget()])];
    exchanges.extend([refuses(MAY_LEAVE, 429, "TooManyRequests"), event()]);
    let (result, bodies) = look(&asked(), &[], exchanges).await;
    assert_eq!(result.unwrap(), Action::requeue(Duration::from_secs(5)));
    assert_eq!(bodies[3]["reason"], "WaitingForBudget");
    assert!(bodies[3]["message"].as_str().unwrap().ends_with("it is TooManyRequests"), "{}", bodies[3]);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_gone_has_no_order_to_keep() {
    let leaving = all(&[owned_by("apps/v1", "StatefulSet"), asked(), evicted()]);
    let connections = says(format!("GET {POD}:8080/proxy/"), 200, "0");
    let gone = vec![refuses(SET, 404, "NotFound"), connections, written(&patch()), event()];
    let (result, bodies) = look(&leaving, &[], gone).await;
    result.unwrap();
    assert_eq!(bodies[2]["metadata"]["finalizers"], json!([]));
    assert_eq!(bodies[3]["reason"], "Drained");
}

#[tokio::test(start_paused = true)]
async fn whatever_cannot_be_read_a_deadline_is_kept() {
    // Nothing is read at all.
    let late = annotated(&json!({ "drain.slipway.dev/drain-timeout-seconds": "1" }));
    let leaving = all(&[owned_by("apps/v1", "StatefulSet"), evicted(), late]);
    let (result, bodies) = look(&leaving, &[], vec![written(&patch()), event()]).await;
    result.unwrap();
    assert_eq!(bodies[0]["metadata"], json!({ "resourceVersion": "7", "finalizers": [] }));
    assert_eq!((&bodies[1]["reason"], &bodies[1]["type"]), (&json!("DrainTimedOut"), &json!("Warning")));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_be_read_holds_nobody() {
    let by_label = &[("namespaceSelector", r#"{"include": [{"matchLabels": {"drain": "yes"}}]}"#)][..];
    let namespace = json!({ "metadata": { "name": "shop", "labels": { "drain": "yes" } } });
    let new = json!({ "metadata": { "finalizers": null } });
    look(&new, by_label, vec![ok(NAMESPACE, &namespace), written(&patch())]).await.0.unwrap();
    for (code, reason) in READ_ERRORS {
        let (result, _) = look(&new, by_label, vec![refuses(NAMESPACE, code, reason)]).await;
        assert_eq!(result.unwrap_err().category(), "observe", "{reason}: nothing is held that may be excluded");
        let (result, bodies) =
            look(&evicted(), by_label, vec![refuses(NAMESPACE, code, reason), written(&patch())]).await;
        result.unwrap();
        assert_eq!(bodies[1]["metadata"]["finalizers"], json!([]), "{reason}: and who leaves may go");
    }
    let (result, _) = look(&new, by_label, vec![refuses(NAMESPACE, 404, "NotFound")]).await;
    assert_eq!(result.unwrap(), Action::await_change());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_written_changes_nothing() {
    for (code, reason) in WRITE_ERRORS {
        let ended = all(&[evicted(), json!({ "status": { "phase": "Failed" } })]);
        let (result, _) = look(&ended, &[], vec![written(&patch()), refuses(EVENTS, code, reason)]).await;
        assert_eq!(result.unwrap(), Action::await_change(), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_cannot_be_counted_are_told_of_and_waited_for() {
    for (code, reason) in READ_ERRORS {
        let proxy = refuses(format!("GET {POD}:8080/proxy/"), code, reason);
        let (result, bodies) = look(&all(&[asked(), evicted()]), &[], vec![proxy, event(), event()]).await;
        assert_eq!(result.unwrap(), Action::requeue(Duration::from_secs(5)), "{reason}");
        assert_eq!((&bodies[1]["reason"], &bodies[2]["reason"]), (&json!("ConnectionsUnreadable"), &json!("Draining")));
        assert!(bodies[1]["message"].as_str().unwrap().contains(reason), "{}", bodies[1]);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_there_is_a_configuration() {
    let (result, _) = against(Vec::new(), async |client| {
        let ctx = ctx(client, standing(&[]));
        let (_, configured) = Configured::channel();
        reconcile(Arc::new(pod(&evicted())), Arc::new(Ctx { configured, ..ctx })).await
    })
    .await;
    assert_eq!(result.unwrap(), Action::await_change());
}
