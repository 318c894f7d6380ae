//! An API server for unit tests, which expects exactly these calls and gives exactly these answers.

use std::collections::VecDeque;
use std::pin::pin;

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A call that is expected, and its answer.
pub(super) struct Exchange {
    /// What it begins with, like `GET /api/v1/namespaces/shop/pods/web-1`.
    pub(super) call: String,
    code: u16,
    answer: String,
}

/// An answer of any kind.
pub(super) fn says(call: impl Into<String>, code: u16, answer: impl Into<String>) -> Exchange {
    Exchange { call: call.into(), code, answer: answer.into() }
}

/// An object.
pub(super) fn ok(call: impl Into<String>, answer: &Value) -> Exchange {
    says(call, 200, answer.to_string())
}

/// An error of the API server's: `it is <reason>`.
pub(super) fn refuses(call: impl Into<String>, code: u16, reason: &str) -> Exchange {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": format!("it is {reason}"),
        "reason": reason, "code": code,
    });
    says(call, code, status.to_string())
}

/// Runs something against exactly these exchanges. Gives what it came to, and the bodies it sent.
pub(super) async fn against<T>(exchanges: Vec<Exchange>, work: impl AsyncFnOnce(Client) -> T) -> (T, Vec<Value>) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(async move {
        let mut handle = pin!(handle);
        let mut expected = VecDeque::from(exchanges);
        let mut bodies = Vec::new();
        while let Some((request, reply)) = handle.next_request().await {
            let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
            let call = format!("{} {path}", request.method());
            let Some(Exchange { call: wanted, code, answer }) = expected.pop_front() else {
                panic!("unexpected {call}")
            };
            assert!(call.starts_with(&wanted), "{call} instead of {wanted}");
            let body = request.into_body().collect_bytes().await.unwrap();
            bodies.push(serde_json::from_slice(&body).unwrap_or_default());
            let response = Response::builder().status(StatusCode::from_u16(code).unwrap());
            reply.send_response(response.body(Body::from(answer.into_bytes())).unwrap());
        }
        let missing: Vec<_> = expected.iter().map(|exchange| exchange.call.clone()).collect();
        assert!(missing.is_empty(), "not called: {missing:?}");
        bodies
    });
    let result = work(Client::new(service, "default")).await;
    (result, server.await.unwrap())
}

/// A client whose questions are never answered.
pub(super) fn silence() -> Client {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        let mut handle = pin!(handle);
        let mut unanswered = Vec::new();
        while let Some(request) = handle.next_request().await {
            unanswered.push(request);
        }
    });
    Client::new(service, "default")
}
