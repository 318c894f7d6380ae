//! Sources against a cluster that does not do as it is asked.

use serde_json::{Value, json};

use super::super::mock::{self, Exchange, ok, refuses, says};
use super::*;

const PODS: &str = "/api/v1/namespaces/shop/pods";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";

fn pod(sidecar: &str) -> Pod {
    let status = |name: &str| json!({ "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} } });
    serde_json::from_value(json!({
        "metadata": { "name": "web-1", "namespace": "shop", "uid": "one" },
        "spec": { "containers": [{ "name": "web" }, { "name": sidecar }] },
        "status": {
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [status("web"), status(sidecar)],
        },
    }))
    .unwrap()
}

fn sources(text: &str) -> Vec<Source> {
    serde_yaml::from_str(text).unwrap()
}

fn proxy(port: u16, path: &str, code: u16, answer: &str) -> Exchange {
    says(format!("GET {PODS}/web-1:{port}/proxy{path}"), code, answer)
}

fn slices(uid: &str) -> Exchange {
    let endpoint = json!({ "addresses": ["10.1.2.3"], "targetRef": { "kind": "Pod", "name": "web-1", "uid": uid } });
    let slice = json!({ "metadata": { "name": "web" }, "addressType": "IPv4", "endpoints": [endpoint] });
    ok(format!("GET {SLICES}"), &json!({ "metadata": {}, "items": [slice] }))
}

/// Reads against exactly these exchanges.
async fn against(pod: Pod, text: &str, exchanges: Vec<Exchange>) -> Reading {
    mock::against(exchanges, async |client| read(&client, &pod, &sources(text)).await).await.0
}

fn found(source: Kind, connections: u64) -> Found {
    Found { source, connections }
}

#[tokio::test(start_paused = true)]
async fn the_first_source_that_can_be_read_decides_and_the_others_are_told_of() {
    let text = "[{http: {port: 8080, path: /active}}, {prometheus: {port: 9090, metric: open}}, endpoints]";
    let reading = against(pod("logs"), text, vec![proxy(8080, "/active", 200, "3")]).await;
    assert_eq!(reading, Reading { found: Some(found(Kind::Http, 3)), skipped: Vec::new() });
    assert_eq!((reading.is_idle(), reading.to_string().as_str()), (false, "3 connections by http"));

    let exchanges = vec![proxy(8080, "/active", 200, "<html>"), proxy(9090, "/metrics", 200, "open 0\n")];
    let reading = against(pod("logs"), text, exchanges).await;
    assert!(reading.is_idle());
    assert_eq!(
        reading.to_string(),
        "0 connections by prometheus (http: failed to read the answer: the answer is neither a number nor JSON)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_the_api_server_refuses_is_no_idle_pod() {
    for (code, reason) in [
        (403, "Forbidden"),
        (404, "NotFound"),
        (409, "Conflict"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (504, "Timeout"),
    ] {
        let exchanges = vec![
            refuses(format!("GET {PODS}/web-1:8080/proxy/"), code, reason),
            refuses(format!("GET {PODS}/web-1:9090/proxy/metrics"), code, reason),
            refuses(format!("GET {SLICES}"), code, reason),
        ];
        let text = "[{http: {port: 8080}}, {prometheus: {port: 9090, metric: open}}, endpoints]";
        let reading = against(pod("logs"), text, exchanges).await;
        assert_eq!((reading.found, reading.is_idle(), reading.failures().count()), (None, false, 3), "{reason}");
        let told = reading.to_string();
        assert!(told.starts_with(&format!("its connections are not known (http: port 8080 answered {code}")), "{told}");
        assert_eq!(told.matches(&format!("it is {reason}")).count(), 3, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_looked_into_is_no_idle_one() {
    for (code, reason) in [(404, "NotFound"), (409, "Conflict"), (500, "InternalError"), (504, "Timeout")] {
        let exec = || refuses(format!("GET {PODS}/web-1/exec"), code, reason);
        let reading = against(pod("logs"), "[sockets]", vec![exec(), exec()]).await;
        assert_eq!((reading.is_idle(), reading.failures().count()), (false, 1), "{reading}");
    }
    let reading = read(&mock::silence(), &pod("logs"), &sources("[sockets, endpoints]")).await;
    assert_eq!((reading.is_idle(), reading.failures().count()), (false, 2), "{reading}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_malformed_is_unreadable_and_not_nothing() {
    let sources = [
        ("web", "[{http: {port: 9}}]", vec![(9, "/")]),
        ("web", "[{prometheus: {port: 9, metric: open}}]", vec![(9, "/metrics")]),
        ("web", "[{grpc: {port: 9}}]", vec![(9, "/metrics")]),
        ("envoy", "[{envoy: {ports: [9]}}]", vec![(9, "/stats/prometheus"), (9, "/stats")]),
        ("linkerd-proxy", "[linkerd]", vec![(4191, "/metrics")]),
    ];
    let answers = [
        ("nothing", String::new()),
        ("a page for people", "<html><body>open 0</body></html>\n".to_owned()),
        ("another page", "up 1\n".to_owned()),
        ("no numbers", "NaN\n".to_owned()),
        (
            "numbers that are none",
            "open NaN\ngrpc_server_started_total NaN\ntcp_open_connections{direction=\"inbound\",peer=\"src\"} NaN\n\
             envoy_listener_downstream_cx_active{listener_address=\"0.0.0.0_15006\"} NaN\n"
                .to_owned(),
        ),
        (
            "less than nothing",
            "open -1\ngrpc_server_started_total -1\ntcp_open_connections{direction=\"inbound\",peer=\"src\"} -1\n\
             envoy_listener_downstream_cx_active{listener_address=\"0.0.0.0_15006\"} -1\n"
                .to_owned(),
        ),
        (
            "what breaks off",
            "grpc_server_started_total 0\ntcp_open_connections{direction=\"inbound\",peer=\"src\"} 0\n\
             envoy_listener_downstream_cx_active{listener_address=\"0.0.0.0_15006\"} 0\nopen 0"
                .to_owned(),
        ),
        ("too much", "open 0\n".repeat(1 << 20)),
    ];
    for (sidecar, source, asked) in &sources {
        for (what, answer) in &answers {
            let exchanges = asked.iter().map(|(port, path)| proxy(*port, path, 200, answer)).collect();
            let reading = against(pod(sidecar), source, exchanges).await;
            assert_eq!((reading.found, reading.failures().count()), (None, 1), "{source} and {what}: {reading}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_container_is_looked_into_until_nobody_may() {
    let exec = |code, reason| refuses(format!("GET {PODS}/web-1/exec"), code, reason);
    let broken = vec![exec(500, "InternalError"), exec(500, "InternalError"), slices("one")];
    let reading = against(pod("logs"), "[sockets, endpoints]", broken).await;
    assert_eq!(reading.found, Some(found(Kind::Endpoints, 1)));
    assert!(reading.skipped[0].why.starts_with("failed to look inside container logs"), "{reading}");

    let reading = against(pod("logs"), "[sockets, endpoints]", vec![exec(403, "Forbidden"), slices("two")]).await;
    assert_eq!(reading.found, Some(found(Kind::Endpoints, 0)), "the Pod of that name in the slice is another one");
    assert!(reading.to_string().starts_with("no Service sends requests to it (sockets: "), "{reading}");

    let named = vec![exec(500, "InternalError"), slices("one")];
    let reading = against(pod("logs"), "[{sockets: {container: logs}}, endpoints]", named).await;
    assert_eq!(reading.skipped.len(), 1);

    let reading = against(Pod::default(), "[sockets]", Vec::new()).await;
    assert_eq!(reading.skipped[0].why, "none of its containers runs");
}

#[tokio::test(start_paused = true)]
async fn sidecars_are_asked_where_there_are_any_and_their_absence_is_no_failure() {
    let reading = against(pod("logs"), "[envoy, linkerd, endpoints]", vec![slices("one")]).await;
    assert_eq!((reading.skipped.len(), reading.failures().count()), (2, 0));
    assert_eq!(reading.to_string(), "Services send requests to it");

    let page = "envoy_listener_downstream_cx_active{listener_address=\"0.0.0.0_15006\"} 1\n";
    let exchanges = vec![
        refuses(format!("GET {PODS}/web-1:15090/proxy/stats/prometheus"), 503, "ServiceUnavailable"),
        proxy(15090, "/stats?filter=", 404, "not found"),
        proxy(15020, "/stats/prometheus?filter=", 200, page),
    ];
    let reading = against(pod("istio-proxy"), "[linkerd, envoy, endpoints]", exchanges).await;
    assert_eq!(reading.to_string(), "1 connection by envoy");

    let page = "process_start_time_seconds 1\n";
    let reading = against(pod("linkerd-proxy"), "[envoy, linkerd]", vec![proxy(4191, "/metrics", 200, page)]).await;
    assert!(reading.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_slices_is_read_to_its_end() {
    let mut last = slices("one");
    last.call = format!("GET {SLICES}?&limit=500&continue=more");
    let first = json!({ "metadata": { "continue": "more" }, "items": [] });
    let exchanges = vec![ok(format!("GET {SLICES}?&limit=500"), &first), last];
    assert_eq!(against(pod("logs"), "[endpoints]", exchanges).await.found, Some(found(Kind::Endpoints, 1)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_an_end_is_not_waited_for_nor_kept() {
    let endless = "x".repeat(5 << 20);
    let reading = against(pod("logs"), "[{http: {port: 80}}]", vec![proxy(80, "/", 200, &endless)]).await;
    assert!(reading.skipped[0].why.contains("more than 4194304 bytes"), "{reading}");

    let reading = read(&mock::silence(), &pod("logs"), &sources("[{http: {port: 80}}]")).await;
    assert_eq!(reading.skipped[0].why, "no answer within 5s");
}

#[test]
fn rights_to_reach_into_pods_are_asked_for_only_where_they_are_used() {
    let granted = |text: &str| -> Vec<Value> {
        rules(&sources(text)).iter().map(|rule| json!([rule.resources, rule.verbs])).collect()
    };
    assert_eq!(granted("[]"), Vec::<Value>::new());
    assert_eq!(granted("[endpoints]"), [json!([["endpointslices"], ["list"]])]);
    assert_eq!(granted("[envoy, linkerd]"), [json!([["pods/proxy"], ["get"]])]);
    assert_eq!(granted("[sockets]"), [json!([["pods/exec"], ["create", "get"]])]);
}
