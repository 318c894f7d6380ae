//! What leads into containers, through the API server and a client without a socket, in virtual time.

use futures::{AsyncBufReadExt, TryStreamExt};
use kube::api::{AttachParams, LogParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::cluster::embedded::node::images;

/// A command's exit status (none for success) and what it has printed.
async fn exec(api: &Api<Pod>, command: &[&str]) -> (Option<String>, String) {
    let mut attached = api.exec("p", command.to_vec(), &AttachParams::default()).await.expect("a WebSocket");
    let (mut out, mut err) = (attached.stdout().expect("asked for"), attached.stderr().expect("asked for"));
    let status = attached.take_status().expect("not taken yet");
    let (mut printed, mut complained) = (String::new(), String::new());
    let (a, b) = tokio::join!(out.read_to_string(&mut printed), err.read_to_string(&mut complained));
    a.expect("text");
    b.expect("text");
    (status.await.expect("a status").reason, printed + &complained)
}

#[tokio::test(start_paused = true)]
async fn commands_run_in_a_container_as_in_a_real_one() {
    let cluster = cluster(images::all(Programs::new())).await;
    let api = create(&cluster, json!({"name": "c", "image": "slipway.dev/pause:1"}), json!({})).await;
    until(&api, |pod| phase(pod) == "Running").await;
    assert_eq!(exec(&api, &["echo", "hello"]).await, (None, "hello\n".to_owned()));
    let (reason, text) = exec(&api, &["sh", "-c", "cat /missing"]).await;
    assert_eq!(reason.as_deref(), Some("NonZeroExitCode"), "{text}");
    let (reason, _) = exec(&api, &["curl"]).await;
    assert_eq!(
        reason.as_deref(),
        Some("InternalError"),
        "a program that is not in the image does not end, it never starts"
    );
    let (_, sockets) = exec(&api, &["cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp"]).await;
    assert_eq!(sockets.lines().count(), 3, "three headers: {sockets}");

    let mut attached =
        api.exec("p", ["cat"], &AttachParams::default().stdin(true).stderr(false)).await.expect("a WebSocket");
    let mut input = attached.stdin().expect("asked for");
    input.write_all(b"through").await.expect("open");
    input.shutdown().await.expect("open");
    let mut echoed = String::new();
    attached.stdout().expect("asked for").read_to_string(&mut echoed).await.expect("text");
    assert_eq!(echoed, "through");
}

#[tokio::test(start_paused = true)]
async fn who_may_only_read_cannot_run_commands() {
    use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
    let cluster = cluster(images::all(Programs::new())).await;
    let api = create(&cluster, json!({"name": "c", "image": "slipway.dev/pause:1"}), json!({})).await;
    until(&api, |pod| phase(pod) == "Running").await;
    let role = json!({"metadata": {"name": "looker"}, "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]});
    let binding = json!({
        "metadata": {"name": "looker"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}],
    });
    let (role, binding): (ClusterRole, ClusterRoleBinding) =
        (from_value(role).expect("a role"), from_value(binding).expect("a binding"));
    Api::all(cluster.client()).create(&PostParams::default(), &role).await.expect("created");
    Api::all(cluster.client()).create(&PostParams::default(), &binding).await.expect("created");
    let eve = pods(cluster.client_as("eve", &["system:authenticated".to_owned()]));
    let refused = eve.exec("p", ["true"], &AttachParams::default()).await;
    let refused = refused.err().expect("refused").to_string();
    assert!(refused.contains("403"), "a WebSocket is asked for by GET and needs `create` all the same: {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_until_its_container_has_ended() {
    let cluster = cluster(images::all(Programs::new())).await;
    let env = json!([{"name": "AFTER_SECONDS", "value": "60"}, {"name": "OUTPUT", "value": "one"}]);
    let container = json!({"name": "c", "image": "slipway.dev/exit:1", "env": env});
    let api = create(&cluster, container, json!({"restartPolicy": "Never"})).await;
    until(&api, |pod| phase(pod) == "Running").await;
    let follow = LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let lines = api.log_stream("p", &follow).await.expect("a log").lines();
    let lines: Vec<String> = lines.try_collect().await.expect("text");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("2030-01-01T00:0") && lines[0].ends_with(" one"), "{lines:?}");
    until(&api, |pod| phase(pod) == "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn a_program_is_reached_through_the_proxy_and_by_port_forwarding() {
    let cluster = cluster(images::all(Programs::new())).await;
    let env = json!([{"name": "PORT", "value": "8080"}, {"name": "METRICS_PORT", "value": "9100"}]);
    let api = create(&cluster, json!({"name": "c", "image": "slipway.dev/http-server:1", "env": env}), json!({})).await;
    until(&api, |pod| phase(pod) == "Running").await;
    let get = async |path: &str| {
        let uri = format!("/api/v1/namespaces/default/pods/{path}");
        cluster.client().request_text(http::Request::get(uri).body(Vec::new()).expect("a request")).await
    };
    assert_eq!(get("p:8080/proxy/hello").await.expect("an answer"), "GET /hello from p\n");
    let metrics = get("p:9100/proxy/metrics").await.expect("an answer");
    assert!(metrics.contains("\nhttp_server_connections 0\n"), "{metrics}");
    let refused = get("p:1/proxy/").await.expect_err("nobody listens").to_string();
    assert!(refused.contains("connection refused"), "{refused}");

    let mut forwarded = api.portforward("p", &[8080]).await.expect("a WebSocket");
    let mut port = forwarded.take_stream(8080).expect("asked for");
    port.write_all(b"GET /x HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n").await.expect("open");
    let mut answer = String::new();
    port.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("GET /x from p\n"), "{answer}");
}
