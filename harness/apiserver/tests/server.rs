//! What the server promises beyond what a recording can show: time, history, concurrency, limits.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use slipway_apiserver::clock::Clock;
use slipway_apiserver::observe::Observer;
use slipway_apiserver::service::{ApiServer, Body, Config, Record, User};
use slipway_apiserver::store::{Change, Event, GroupResource};
use tower::ServiceExt;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn server(history: usize) -> ApiServer {
    let clock = Clock::starting_at("2030-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    ApiServer::new(Config { clock, history, seed: 7, ..Config::default() })
}

async fn start(server: &ApiServer, method: Method, uri: &str, body: &Value) -> http::Response<Body> {
    let mut request = Request::builder().method(method.clone()).uri(uri);
    if method == Method::PATCH {
        request = request.header("content-type", "application/merge-patch+json");
    }
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = request.body(Full::new(body)).unwrap();
    server.as_user(User::admin()).oneshot(request).await.unwrap()
}

async fn send(server: &ApiServer, method: Method, uri: &str, body: Value) -> (StatusCode, Value) {
    let response = start(server, method, uri, &body).await;
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn map(name: &str, value: u64) -> Value {
    json!({"metadata": {"name": name}, "data": {"i": value.to_string()}})
}

fn revision(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// Reads a watch's events one by one.
struct Events {
    body: Body,
    rest: String,
}

impl Events {
    async fn open(server: &ApiServer, query: &str) -> Self {
        let response = start(server, Method::GET, &format!("{MAPS}?watch=true&{query}"), &Value::Null).await;
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body(), rest: String::new() }
    }

    /// The next event; none when the watch has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.find('\n') {
                let line: String = self.rest.drain(..=end).collect();
                return Some(serde_json::from_str(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.rest.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    async fn told(&mut self) -> String {
        let Some(event) = self.next().await else { return "end".to_owned() };
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        format!("{} {name}", event["type"].as_str().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_its_client_left_off() {
    let server = server(100);
    let (_, a) = send(&server, Method::POST, MAPS, map("a", 1)).await;
    let mut first = Events::open(&server, &format!("resourceVersion={}", revision(&a))).await;
    send(&server, Method::POST, MAPS, map("b", 1)).await;
    let seen = first.next().await.unwrap();
    assert_eq!((&seen["type"], &seen["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("b")));
    drop(first);
    send(&server, Method::DELETE, &format!("{MAPS}/a"), Value::Null).await;
    let mut second = Events::open(&server, &format!("resourceVersion={}", revision(&seen["object"]))).await;
    assert_eq!(second.told().await, "DELETED a");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_tells_how_far_it_is_and_ends_in_time() {
    let server = server(100);
    let began = tokio::time::Instant::now();
    let mut events = Events::open(&server, "allowWatchBookmarks=true&resourceVersion=1&timeoutSeconds=90").await;
    assert_eq!(events.told().await, "BOOKMARK ");
    assert_eq!(began.elapsed(), Duration::from_mins(1));
    assert_eq!(events.told().await, "BOOKMARK ");
    assert_eq!(began.elapsed(), Duration::from_secs(88), "the last one is shortly before the end");
    assert_eq!(events.told().await, "end");
    assert_eq!(began.elapsed(), Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_saves_a_client_from_a_history_that_is_gone() {
    let server = server(3);
    let mut events = Events::open(&server, "allowWatchBookmarks=true&resourceVersion=1").await;
    // Others write a lot; this watch has nothing to see, but its revision would be compacted.
    for i in 0..10 {
        send(&server, Method::POST, "/api/v1/namespaces/default/secrets", map(&format!("s{i}"), 0)).await;
    }
    let bookmark = events.next().await.unwrap();
    assert_eq!(revision(&bookmark["object"]), server.revision().to_string());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_slow_is_told_so_and_ends() {
    let server = server(3);
    let mut slow = Events::open(&server, "resourceVersion=1").await;
    for i in 0..10 {
        send(&server, Method::POST, MAPS, map(&format!("m{i}"), 0)).await;
    }
    let error = slow.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(error["object"]["reason"], "Expired");
    assert_eq!(slow.told().await, "end");
}

#[tokio::test(start_paused = true)]
async fn a_paged_list_is_one_snapshot_whatever_happens_between_its_pages() {
    let server = server(100);
    for name in ["a", "b", "c", "d"] {
        send(&server, Method::POST, MAPS, map(name, 0)).await;
    }
    let (_, first) = send(&server, Method::GET, &format!("{MAPS}?limit=2"), Value::Null).await;
    send(&server, Method::DELETE, &format!("{MAPS}/c"), Value::Null).await;
    send(&server, Method::POST, MAPS, map("cc", 0)).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = send(&server, Method::GET, &format!("{MAPS}?limit=2&continue={token}"), Value::Null).await;
    let names = |list: &Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!([names(&first), names(&second)].concat(), ["a", "b", "c", "d"]);
    assert_eq!(revision(&first), revision(&second));
}

#[tokio::test(start_paused = true)]
async fn a_paged_list_that_took_too_long_can_go_on_with_what_is_there() {
    let server = server(2);
    for name in ["a", "b", "c"] {
        send(&server, Method::POST, MAPS, map(name, 0)).await;
    }
    let (_, first) = send(&server, Method::GET, &format!("{MAPS}?limit=1"), Value::Null).await;
    for i in 0..5 {
        send(&server, Method::PATCH, &format!("{MAPS}/a"), json!({"data": {"i": i.to_string()}})).await;
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (status, error) = send(&server, Method::GET, &format!("{MAPS}?limit=5&continue={token}"), Value::Null).await;
    assert_eq!((status, &error["reason"]), (StatusCode::GONE, &json!("Expired")));
    let token = error["metadata"]["continue"].as_str().unwrap();
    let (status, rest) = send(&server, Method::GET, &format!("{MAPS}?continue={token}"), Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn patches_that_race_are_all_applied() {
    let server = server(1000);
    send(&server, Method::POST, MAPS, json!({"metadata": {"name": "a"}})).await;
    let writers = (0..20).map(|i| {
        let server = server.clone();
        tokio::spawn(async move {
            let patch = json!({"data": {format!("k{i}"): "v"}});
            send(&server, Method::PATCH, &format!("{MAPS}/a"), patch).await.0
        })
    });
    for status in futures::future::join_all(writers).await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    let (_, object) = send(&server, Method::GET, &format!("{MAPS}/a"), Value::Null).await;
    assert_eq!(object["data"].as_object().unwrap().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_is_no_revision() {
    let server = server(100);
    send(&server, Method::POST, MAPS, map("a", 1)).await;
    let before = server.revision();
    tokio::time::advance(Duration::from_mins(5)).await;
    for (method, body) in [(Method::PUT, map("a", 1)), (Method::PATCH, json!({"data": {"i": "1"}}))] {
        let (status, _) = send(&server, method, &format!("{MAPS}/a"), body).await;
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(server.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn two_servers_of_one_seed_and_clock_answer_alike() {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let server = server(100);
        tokio::time::advance(Duration::from_secs(1)).await;
        let named = json!({"metadata": {"generateName": "x-"}});
        let (_, object) = send(&server, Method::POST, MAPS, named).await;
        let object = &object["metadata"];
        answers.push([object["name"].clone(), object["uid"].clone(), object["creationTimestamp"].clone()]);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][2], "2030-01-01T00:00:01Z");
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_limit_is_refused() {
    let server = server(100);
    let large = json!({"metadata": {"name": "a"}, "data": {"x": "y".repeat(3 * 1024 * 1024)}});
    let (status, error) = send(&server, Method::POST, MAPS, large).await;
    assert_eq!((status, &error["reason"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("RequestEntityTooLarge")));
}

/// Keeps what it sees.
#[derive(Debug, Default)]
struct Seen {
    records: Mutex<Vec<Record>>,
    writes: Mutex<Vec<(String, String, Change)>>,
}

impl Observer for Seen {
    fn answered(&self, record: &Record) {
        self.records.lock().unwrap().push(record.clone());
    }

    fn stored(&self, resource: &GroupResource, event: &Event) {
        self.writes.lock().unwrap().push((resource.resource.clone(), event.key.name.clone(), event.change));
    }
}

#[tokio::test(start_paused = true)]
async fn every_request_is_recorded_with_who_did_what_and_how_it_ended() {
    let server = server(100);
    let seen = Arc::new(Seen::default());
    server.observe(seen.clone());
    send(&server, Method::POST, MAPS, map("a", 1)).await;
    send(&server, Method::GET, &format!("{MAPS}/b"), Value::Null).await;
    let records = seen.records.lock().unwrap();
    let (first, second) = (&records[0], &records[1]);
    assert_eq!(*seen.writes.lock().unwrap(), [("configmaps".to_owned(), "a".to_owned(), Change::Created)]);
    assert_eq!((first.revision_before + 1, second.revision_before), (first.revision, second.revision));
    assert_eq!((first.verb, first.resource.as_str(), first.name.as_str()), ("create", "configmaps", "a"));
    assert_eq!((first.status, first.revision), (StatusCode::CREATED, server.revision()));
    assert_eq!((second.verb, second.name.as_str(), second.status), ("get", "b", StatusCode::NOT_FOUND));
    assert_eq!((first.user.as_str(), first.namespace.as_str()), ("kubernetes-admin", "default"));
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_comes_before_its_budget_was_counted_is_told_when_to_come_back() {
    let server = server(100);
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "i"}]}});
    send(&server, Method::POST, pods, pod).await;
    let running = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    send(&server, Method::PATCH, &format!("{pods}/p/status"), running).await;
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": "x"}}}});
    send(&server, Method::POST, "/apis/policy/v1/namespaces/default/poddisruptionbudgets", budget).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let answer = start(&server, Method::POST, &format!("{pods}/p/eviction"), &eviction).await;
    assert_eq!(
        (answer.status(), &answer.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(10))
    );
    let body: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
    let cause = json!([{"reason": "DisruptionBudget", "message": "The disruption budget b is still being processed by the server."}]);
    assert_eq!((&body["details"]["causes"], &body["details"]["retryAfterSeconds"]), (&cause, &json!(10)));
}

#[tokio::test(start_paused = true)]
async fn a_closed_server_ends_its_watches() {
    let server = server(100);
    let mut events = Events::open(&server, "resourceVersion=1").await;
    server.close();
    assert_eq!(events.told().await, "end");
}

fn anything() -> impl Strategy<Value = (String, String, String, String)> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]);
    let word =
        "(api|apis|v1|namespaces|default|configmaps|pods|a|status|scale|binding|eviction|log|watch|apps|%2F|\\PC)";
    let path = proptest::collection::vec(word, 0..8).prop_map(|p| format!("/{}", p.join("/")));
    let query =
        "(watch=0|limit=-?[0-9]{0,22}|continue=[a-zA-Z0-9]{0,9}|labelSelector=[a-z!=,()]{0,9}|dryRun=All|force|&|%)*";
    let object = prop::sample::select(vec![
        r#"{"metadata":{"name":"a"}}"#,
        r#"{"metadata":[],"spec":null,"data":{"a":1}}"#,
        r#"[{"op":"remove","path":"/metadata"}]"#,
        r#"{"spec":{"replicas":-1},"status":7,"metadata":{"name":{},"labels":3,"finalizers":[null]}}"#,
        r#"{"target":{"name":"n"},"preconditions":9,"metadata":"x"}"#,
        "null",
        "\u{0}",
    ]);
    let body = prop_oneof![object.prop_map(str::to_owned), "\\PC{0,30}"];
    (method.prop_map(str::to_owned), path, query, body)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_request_makes_the_server_panic((method, path, query, body) in anything()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let server = server(10);
            send(&server, Method::POST, MAPS, map("a", 1)).await;
            for media in ["application/json", "application/merge-patch+json", "application/json-patch+json",
                "application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/yaml"] {
                let request = Request::builder().method(method.as_str()).uri(format!("{path}?fieldManager=m&{query}"));
                // What is no URI does not reach the server.
                let Ok(request) = request.header("content-type", media).body(Full::from(body.clone())) else { return };
                let response = server.as_user(User::admin()).oneshot(request).await.unwrap();
                assert_ne!(response.status(), StatusCode::BAD_GATEWAY);
            }
        });
    }
}
