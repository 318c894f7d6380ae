//! What becomes of a reconcile when the API server does not do as it is asked.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::controllers::hello::status::render;
use crate::controllers::hello::validate::validate;
use crate::controllers::hello::{CONTROLLER, Ctx, Error, reconcile, steps};
use crate::kit::clock::Clock;
use crate::kit::controller::Failure;
use crate::kit::report::Reporter;

use super::*;

const OBJECT: &str = "/apis/demo.example.com/v1alpha1/namespaces/demo/hellos/world";
const STATUS: &str = "/apis/demo.example.com/v1alpha1/namespaces/demo/hellos/world/status";
const EVENTS: &str = "/api/v1/namespaces/demo/events";

/// Everything that can go wrong with a write, and whether it is only a conflict.
const WRITE_ERRORS: [(u16, &str, bool); 6] = [
    (409, "Conflict", true),
    (404, "NotFound", false),
    (403, "Forbidden", false),
    (422, "Invalid", false),
    (500, "InternalError", false),
    (504, "Timeout", false),
];

/// One call that is expected, and its answer.
struct Exchange {
    call: String,
    code: u16,
    answer: Value,
}

fn ok(method: &str, path: &str, answer: &Hello) -> Exchange {
    Exchange { call: format!("{method} {path}"), code: 200, answer: json!(answer) }
}

fn error(method: &str, path: &str, code: u16, reason: &str) -> Exchange {
    let answer = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": format!("it is {reason}"),
        "reason": reason, "code": code,
    });
    Exchange { call: format!("{method} {path}"), code, answer }
}

fn ctx(client: Client) -> Ctx {
    let clock = Clock::starting_at(now());
    Ctx { reporter: Reporter::new(client.clone(), CONTROLLER, clock), client, clock }
}

/// Does something against exactly these exchanges. Gives what it came to, and the bodies it sent.
async fn against<T>(exchanges: Vec<Exchange>, work: impl AsyncFnOnce(Arc<Ctx>) -> T) -> (T, Vec<Value>) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let ctx = Arc::new(ctx(Client::new(service, "default")));
    let server = tokio::spawn(async move {
        let mut handle = pin!(handle);
        let mut expected = VecDeque::from(exchanges);
        let mut bodies = Vec::new();
        while let Some((request, reply)) = handle.next_request().await {
            let call = format!("{} {}", request.method(), request.uri().path());
            let Some(exchange) = expected.pop_front() else { panic!("unexpected {call}") };
            assert_eq!(call, exchange.call);
            let body = request.into_body().collect_bytes().await.unwrap();
            bodies.push(serde_json::from_slice(&body).unwrap_or_default());
            let answer = Body::from(serde_json::to_vec(&exchange.answer).unwrap());
            let status = StatusCode::from_u16(exchange.code).unwrap();
            reply.send_response(Response::builder().status(status).body(answer).unwrap());
        }
        let missing: Vec<_> = expected.iter().map(|exchange| exchange.call.as_str()).collect();
        assert!(missing.is_empty(), "not called: {missing:?}");
        bodies
    });
    let result = work(ctx).await;
    (result, server.await.unwrap())
}

/// One look at the object against exactly these exchanges.
async fn look(exchanges: Vec<Exchange>) -> (Result<(), Error>, Vec<Value>) {
    against(exchanges, async |ctx| steps(&ctx, "demo", "world").await).await
}

/// An object that is as it should be.
fn settled() -> Hello {
    let mut hello = held(hello(Some("hi")));
    hello.status = render(&hello, &validate(&hello), now());
    hello
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_left_alone() {
    look(vec![error("GET", OBJECT, 404, "NotFound")]).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_as_it_should_be_is_only_read() {
    look(vec![ok("GET", OBJECT, &settled())]).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_object_is_held_and_then_gets_its_status() {
    let mut now_held = held(hello(Some("hi")));
    now_held.metadata.resource_version = Some("8".to_owned());
    let (result, bodies) = look(vec![
        ok("GET", OBJECT, &hello(Some("hi"))),
        ok("PATCH", OBJECT, &now_held),
        ok("PATCH", STATUS, &settled()),
    ])
    .await;
    result.unwrap();
    assert_eq!(bodies[1]["metadata"], json!({ "resourceVersion": "7", "finalizers": [FINALIZER] }));
    assert_eq!(
        bodies[2]["metadata"]["resourceVersion"], "8",
        "the status is that of the object as it was just written"
    );
    assert_eq!(
        (&bodies[2]["status"]["greeting"], &bodies[2]["status"]["observedGeneration"]),
        (&json!("hi"), &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_is_let_go_without_taking_away_what_others_hold() {
    let (result, bodies) =
        look(vec![ok("GET", OBJECT, &deleted(settled())), ok("PATCH", OBJECT, &deleted(hello(None)))]).await;
    result.unwrap();
    assert_eq!(bodies[1]["metadata"], json!({ "resourceVersion": "7", "finalizers": ["example.com/other"] }));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_stops_the_reconcile_before_anything_is_written() {
    for (code, reason) in [(403, "Forbidden"), (500, "InternalError"), (504, "Timeout"), (429, "TooManyRequests")] {
        let (result, _) = look(vec![error("GET", OBJECT, code, reason)]).await;
        assert_eq!(result.unwrap_err().category(), "observe", "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_ends_the_reconcile_in_its_step() {
    let steps: [(&str, Hello, &str); 3] = [
        ("apply", hello(Some("hi")), OBJECT),
        ("status", held(hello(Some("hi"))), STATUS),
        ("settle", deleted(settled()), OBJECT),
    ];
    for (step, object, path) in steps {
        for (code, reason, conflict) in WRITE_ERRORS {
            let (result, _) = look(vec![ok("GET", OBJECT, &object), error("PATCH", path, code, reason)]).await;
            if (step, code) == ("settle", 404) {
                assert!(result.is_ok(), "an object that has gone meanwhile needs no release");
                continue;
            }
            let error = result.unwrap_err();
            assert_eq!((error.category(), error.is_conflict()), (step, conflict), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_gets_an_event_and_is_waited_for() {
    let stored = json!({
        "apiVersion": "demo.example.com/v1alpha1", "kind": "Hello", "metadata": { "name": "world", "namespace": "demo" },
        "spec": { "foo": 7 },
    });
    let object: Arc<DeserializeGuard<Hello>> = Arc::new(serde_json::from_value(stored).unwrap());
    let (result, bodies) = against(
        vec![Exchange {
            call: format!("POST {EVENTS}"),
            code: 201,
            answer: json!({ "metadata": {}, "involvedObject": {} }),
        }],
        async |ctx| reconcile(object, ctx).await,
    )
    .await;
    assert_eq!(result.unwrap(), Action::await_change());
    assert_eq!((&bodies[0]["reason"], &bodies[0]["type"]), (&json!("Unreadable"), &json!("Warning")));
}
