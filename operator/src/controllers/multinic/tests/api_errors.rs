//! What becomes of a reconcile when the API server does not do as it is asked.

use std::collections::VecDeque;
use std::pin::pin;

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::controllers::multinic::job::build;
use crate::controllers::multinic::observe::Observed;
use crate::controllers::multinic::{CONTROLLER, Ctx, Error, Settings, steps};
use crate::kit::clock::Clock;
use crate::kit::controller::Failure;
use crate::kit::report::Reporter;

use super::fixtures::*;

const CONFIG: &str = "/apis/multinic.io/v1alpha1/namespaces/multinic-system/multinicnodeconfigs/worker-1";
const STATUS: &str = "/apis/multinic.io/v1alpha1/namespaces/multinic-system/multinicnodeconfigs/worker-1/status";
const NODE_PATH: &str = "/api/v1/nodes/worker-1";
const JOBS: &str = "/apis/batch/v1/jobs";
const NEW_JOB: &str = "/apis/batch/v1/namespaces/multinic-system/jobs";
const PODS: &str = "/api/v1/pods";
const EVENTS: &str = "/api/v1/namespaces/multinic-system/events";

/// Everything that can go wrong with a write.
const WRITE_ERRORS: [(u16, &str); 6] = [
    (409, "Conflict"),
    (404, "NotFound"),
    (403, "Forbidden"),
    (422, "Invalid"),
    (500, "InternalError"),
    (504, "Timeout"),
];

/// One call that is expected, and its answer.
struct Exchange {
    method: &'static str,
    path: String,
    code: u16,
    answer: Value,
}

fn exchange(method: &'static str, path: &str, code: u16, answer: Value) -> Exchange {
    Exchange { method, path: path.to_owned(), code, answer }
}

fn ok(method: &'static str, path: &str, answer: Value) -> Exchange {
    exchange(method, path, 200, answer)
}

fn error(method: &'static str, path: &str, code: u16, reason: &str) -> Exchange {
    let answer = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": format!("it is {reason}"),
        "reason": reason, "code": code,
    });
    exchange(method, path, code, answer)
}

fn event() -> Exchange {
    exchange("POST", EVENTS, 201, json!({ "metadata": {}, "involvedObject": {} }))
}

/// The four reads of a reconcile.
fn reads(observed: &Observed, jobs: &[Value], pods: &[Value]) -> Vec<Exchange> {
    let node = json!({
        "metadata": { "name": NODE, "uid": "node-uid" },
        "status": { "nodeInfo": {
            "osImage": "Ubuntu 22.04.3 LTS", "systemUUID": MACHINE, "architecture": "amd64", "bootID": "",
            "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "",
            "machineID": "", "operatingSystem": "linux",
        } },
    });
    vec![
        ok("GET", CONFIG, json!(observed.config)),
        ok("GET", NODE_PATH, node),
        ok("GET", JOBS, json!({ "metadata": {}, "items": jobs })),
        ok("GET", PODS, json!({ "metadata": {}, "items": pods })),
    ]
}

/// Runs one reconcile against exactly these exchanges. Gives what it came to, and the bodies it sent.
async fn against(exchanges: Vec<Exchange>) -> (Result<Action, Error>, Vec<Value>) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let ctx = ctx(Client::new(service, "default"));
    let server = tokio::spawn(async move {
        let mut handle = pin!(handle);
        let mut expected = VecDeque::from(exchanges);
        let mut bodies = Vec::new();
        while let Some((request, reply)) = handle.next_request().await {
            let call = format!("{} {}", request.method(), request.uri().path());
            let Some(exchange) = expected.pop_front() else { panic!("unexpected {call}") };
            assert_eq!(call, format!("{} {}", exchange.method, exchange.path));
            let body = request.into_body().collect_bytes().await.unwrap();
            bodies.push(serde_json::from_slice(&body).unwrap_or_default());
            let status = StatusCode::from_u16(exchange.code).unwrap();
            let answer = Body::from(serde_json::to_vec(&exchange.answer).unwrap());
            reply.send_response(Response::builder().status(status).body(answer).unwrap());
        }
        let missing: Vec<_> = expected.iter().map(|it| format!("{} {}", it.method, it.path)).collect();
        assert!(missing.is_empty(), "not called: {missing:?}");
        bodies
    });
    let result = steps(&ctx, "multinic-system", NODE).await;
    drop(ctx);
    (result, server.await.unwrap())
}

fn ctx(client: Client) -> Ctx {
    let clock = Clock::starting_at(now());
    let (store, _) = kube::runtime::reflector::store();
    Ctx {
        reporter: Reporter::new(client.clone(), CONTROLLER, clock),
        client,
        namespace: None,
        settings: Settings::default(),
        clock,
        configs: store,
    }
}

/// The Job that a reconcile of [`observed`] makes, with a uid and how it ended.
fn stored_job(condition: Option<&str>) -> Value {
    let observed = observed();
    let job = build(&observed.config, &observed.plan().create.unwrap(), &Settings::default()).unwrap();
    let mut job = json!(job);
    job["metadata"]["uid"] = json!("job-uid");
    if let Some(type_) = condition {
        job["status"] = json!({ "conditions": [{ "type": type_, "status": "True" }] });
    }
    job
}

fn reported_pod() -> Value {
    json!({
        "metadata": { "name": "p", "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "job-uid" }] },
        "status": { "phase": "Succeeded", "containerStatuses": [{
            "name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 0, "message": text(&all_configured()), "finishedAt": "2026-01-02T03:04:00Z" } },
        }] },
    })
}

fn job_path() -> String {
    format!("{NEW_JOB}/{}", stored_job(None)["metadata"]["name"].as_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_gone_is_left_alone() {
    let (result, _) = against(vec![error("GET", CONFIG, 404, "NotFound")]).await;
    assert_eq!(result.unwrap(), Action::await_change());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_stops_the_reconcile_before_anything_is_written() {
    for failing in 0..4 {
        for (code, reason) in [(403, "Forbidden"), (500, "InternalError"), (504, "Timeout"), (429, "TooManyRequests")] {
            let mut exchanges = reads(&observed(), &[], &[]);
            let path = exchanges[failing].path.clone();
            exchanges[failing] = error("GET", &path, code, reason);
            exchanges.truncate(failing + 1);
            let (result, _) = against(exchanges).await;
            assert_eq!(result.unwrap_err().category(), "observe", "{path}: {reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_is_held_then_gets_its_job_then_its_status() {
    let mut exchanges = reads(&observed(), &[], &[]);
    let mut held = json!(observed().held().config);
    held["metadata"]["resourceVersion"] = json!("8");
    exchanges.extend([
        ok("PATCH", CONFIG, held.clone()),
        exchange("POST", NEW_JOB, 201, stored_job(None)),
        ok("PATCH", STATUS, held),
        event(),
    ]);
    let (result, bodies) = against(exchanges).await;
    result.unwrap();
    assert_eq!(bodies[4]["metadata"], json!({ "resourceVersion": "7", "finalizers": ["multinic.io/cleanup"] }));
    assert_eq!(
        bodies[6]["metadata"]["resourceVersion"], "8",
        "the status is that of the object as it was just written"
    );
    assert_eq!(bodies[6]["status"]["state"], "InProgress");
    assert_eq!(bodies[7]["reason"], "Applying");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_told_apart_from_a_failure() {
    for (code, reason) in WRITE_ERRORS {
        let mut exchanges = reads(&observed(), &[], &[]);
        exchanges.push(error("PATCH", CONFIG, code, reason));
        // Nothing else is written before the configuration is held.
        let error = against(exchanges).await.0.unwrap_err();
        assert_eq!((error.category(), error.is_conflict()), ("apply", code == 409), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_exists_already_is_the_one_that_was_wanted() {
    let mut exchanges = reads(&observed().held(), &[], &[]);
    exchanges.extend([
        error("POST", NEW_JOB, 409, "AlreadyExists"),
        ok("PATCH", STATUS, json!(observed().held().config)),
        event(),
    ]);
    let (result, bodies) = against(exchanges).await;
    result.unwrap();
    assert_eq!(bodies[5]["status"]["state"], "InProgress");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_may_not_be_made_is_told_of_and_tried_again() {
    for (code, reason) in [(403, "Forbidden"), (422, "Invalid"), (400, "BadRequest")] {
        let mut exchanges = reads(&observed().held(), &[], &[]);
        exchanges.extend([
            error("POST", NEW_JOB, code, reason),
            ok("PATCH", STATUS, json!(observed().held().config)),
            event(),
        ]);
        let (result, bodies) = against(exchanges).await;
        assert!(matches!(result, Err(Error::Status(_))), "{reason}: the reconcile is repeated with a back-off");
        let status = &bodies[5]["status"];
        assert_eq!(
            (status["state"].as_str(), status["conditions"][1]["reason"].as_str()),
            (Some("Pending"), Some("JobDenied"))
        );
        assert!(status["conditions"][1]["message"].as_str().unwrap().contains(&format!("it is {reason}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_could_not_be_made_this_time_leaves_the_status_alone() {
    for (code, reason) in [(500, "InternalError"), (504, "Timeout"), (429, "TooManyRequests")] {
        let mut exchanges = reads(&observed().held(), &[], &[]);
        exchanges.push(error("POST", NEW_JOB, code, reason));
        let (result, _) = against(exchanges).await;
        assert_eq!(result.unwrap_err().category(), "apply", "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_is_removed_only_after_its_result_is_written() {
    let finished = || reads(&observed().held(), &[stored_job(Some("Complete"))], &[reported_pod()]);
    for (code, reason) in WRITE_ERRORS {
        let mut exchanges = finished();
        exchanges.push(error("PATCH", STATUS, code, reason));
        let (result, bodies) = against(exchanges).await;
        assert_eq!(result.unwrap_err().category(), "status", "{reason}: and nothing was deleted");
        assert_eq!(bodies[4]["status"]["state"], "Configured");
    }
    let mut exchanges = finished();
    exchanges.extend([
        ok("PATCH", STATUS, json!(observed().held().config)),
        event(),
        ok("DELETE", &job_path(), stored_job(Some("Complete"))),
    ]);
    let (result, bodies) = against(exchanges).await;
    result.unwrap();
    assert_eq!(bodies[6]["preconditions"]["uid"], "job-uid", "this very Job");
    assert_eq!(bodies[6]["propagationPolicy"], "Background");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_gone_or_another_by_now_needs_no_removal() {
    for (code, reason, fails) in
        [(404, "NotFound", false), (409, "Conflict", false), (403, "Forbidden", true), (504, "Timeout", true)]
    {
        let mut exchanges = reads(&observed().held(), &[stored_job(Some("Complete"))], &[reported_pod()]);
        exchanges.extend([
            ok("PATCH", STATUS, json!(observed().held().config)),
            event(),
            error("DELETE", &job_path(), code, reason),
        ]);
        let (result, _) = against(exchanges).await;
        assert_eq!(result.map_err(|error| error.category()).err(), fails.then_some("settle"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_written_changes_nothing() {
    let mut exchanges = reads(&observed().held(), &[stored_job(None)], &[]);
    exchanges.extend([ok("PATCH", STATUS, json!(observed().held().config)), error("POST", EVENTS, 403, "Forbidden")]);
    against(exchanges).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_that_conflicts_is_tried_again_and_one_that_came_too_late_is_done() {
    let mut gone = observed().deleted();
    gone.node = None;
    for (code, reason) in WRITE_ERRORS {
        let fails = code != 404;
        let mut exchanges = reads(&gone, &[], &[]);
        exchanges[1] = error("GET", NODE_PATH, 404, "NotFound");
        exchanges.push(error("PATCH", CONFIG, code, reason));
        let (result, bodies) = against(exchanges).await;
        assert_eq!(result.map_err(|error| error.category()).err(), fails.then_some("settle"), "{reason}");
        assert_eq!(bodies[4]["metadata"], json!({ "resourceVersion": "7", "finalizers": [] }));
    }
}
