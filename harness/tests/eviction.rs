//! Evictions on the embedded cluster: the server asks budgets, a controller keeps them, both go by one clock.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};
use slipway::cluster::embedded::{Cluster, EmbeddedConfig};
use slipway_apiserver::clock::Clock;
use slipway_apiserver::service::User;

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

struct World {
    cluster: Cluster,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let clock = Clock::starting_at("2030-01-01T00:00:00Z".parse().expect("a time"));
        let cluster = Cluster::start(EmbeddedConfig::new(clock, 1)).await.expect("a cluster");
        let client = Client::new(cluster.server().as_user(User::admin()), "default");
        Self { cluster, client }
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value, Option<String>) {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).expect("JSON") };
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let response = self.client.send(request.body(bytes.into()).expect("a request")).await.expect("an answer");
        let retry = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null), retry)
    }

    /// A Pod that runs on a node nobody looks after, with a finalizer that keeps it once it is told to go.
    async fn pod(&self, name: &str, ready: bool) {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "x"}, "finalizers": ["example.com/hold"]},
            "spec": {"nodeName": "elsewhere", "containers": [{"name": "a", "image": "i"}]},
        });
        let (status, answer, _) = self.call("POST", PODS, &pod).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        self.phase(name, ready).await;
    }

    async fn phase(&self, name: &str, ready: bool) {
        let ready = if ready { "True" } else { "False" };
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
        let (code, answer, _) = self.call("PATCH", &format!("{PODS}/{name}/status"), &status).await;
        assert_eq!(code, StatusCode::OK, "{answer}");
    }

    async fn budget(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app": "x"}});
        let (status, answer, _) = self.call("POST", BUDGETS, &json!({"metadata": {"name": name}, "spec": spec})).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    async fn evict(&self, name: &str, options: Value) -> (StatusCode, Value, Option<String>) {
        let mut eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        if !options.is_null() {
            eviction["deleteOptions"] = options;
        }
        self.call("POST", &format!("{PODS}/{name}/eviction"), &eviction).await
    }

    async fn status_of(&self, budget: &str) -> Value {
        self.call("GET", &format!("{BUDGETS}/{budget}"), &Value::Null).await.1["status"].clone()
    }

    async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn cause(answer: &Value) -> &str {
    answer["details"]["causes"][0]["message"].as_str().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_budget_holds_the_last_pod_until_another_is_ready() {
    let world = World::new().await;
    for name in ["a", "b"] {
        world.pod(name, true).await;
    }
    world.budget("guard", json!({"minAvailable": 1})).await;
    world.settle().await;
    assert_eq!(world.evict("a", Value::Null).await.0, StatusCode::CREATED);
    let (_, evicted, _) = world.call("GET", &format!("{PODS}/a"), &Value::Null).await;
    assert!(evicted["metadata"]["deletionTimestamp"].is_string(), "{evicted}");
    let conditions = evicted["status"]["conditions"].as_array().expect("conditions");
    let target = conditions.iter().find(|c| c["type"] == "DisruptionTarget").expect("why it goes");
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("EvictionByEvictionAPI")));

    world.settle().await;
    let (code, answer, retry) = world.evict("b", Value::Null).await;
    assert_eq!((code, retry), (StatusCode::TOO_MANY_REQUESTS, None), "{answer}");
    assert_eq!(answer["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(cause(&answer), "The disruption budget guard needs 1 healthy pods and has 1 currently");
    // Asking for nothing but the answer changes nothing, and whoever goes already goes again.
    assert_eq!(world.evict("a", Value::Null).await.0, StatusCode::CREATED);

    world.pod("c", true).await;
    world.settle().await;
    assert_eq!(world.evict("b", json!({"dryRun": ["All"]})).await.0, StatusCode::CREATED);
    assert_eq!(world.status_of("guard").await["disruptionsAllowed"], 1);
    assert_eq!(world.evict("b", Value::Null).await.0, StatusCode::CREATED);
    world.cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_disruption_needs_no_budget() {
    let world = World::new().await;
    world.pod("healthy", true).await;
    world.pod("sick", false).await;
    let pending = json!({"metadata": {"name": "pending", "labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}});
    world.call("POST", PODS, &pending).await;
    world.budget("guard", json!({"minAvailable": 1})).await;
    world.settle().await;
    assert_eq!(world.status_of("guard").await["disruptionsAllowed"], 0);
    for name in ["sick", "pending"] {
        let (code, answer, _) = world.evict(name, Value::Null).await;
        assert_eq!(code, StatusCode::CREATED, "{name}: {answer}");
    }
    assert_eq!(world.evict("healthy", Value::Null).await.0, StatusCode::TOO_MANY_REQUESTS);

    // A sick Pod counts where too few are healthy, unless the budget says that it never does.
    world.phase("healthy", false).await;
    world.settle().await;
    assert_eq!(world.evict("healthy", Value::Null).await.0, StatusCode::TOO_MANY_REQUESTS);
    let always = json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}});
    world.call("PATCH", &format!("{BUDGETS}/guard"), &always).await;
    world.settle().await;
    assert_eq!(world.evict("healthy", Value::Null).await.0, StatusCode::CREATED);
    world.cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_eviction_means_the_pod_that_was_seen_and_no_other() {
    let world = World::new().await;
    world.pod("a", true).await;
    let (code, answer, _) = world.evict("a", json!({"preconditions": {"uid": "another"}})).await;
    assert_eq!((code, &answer["reason"]), (StatusCode::CONFLICT, &json!("Conflict")), "{answer}");
    let (code, answer, _) = world.evict("a", json!({"preconditions": {"resourceVersion": "1"}})).await;
    assert_eq!(code, StatusCode::CONFLICT, "{answer}");
    let (_, pod, _) = world.call("GET", &format!("{PODS}/a"), &Value::Null).await;
    assert_eq!(pod["metadata"]["deletionTimestamp"], Value::Null);
    let exact = json!({"preconditions": {
        "uid": pod["metadata"]["uid"], "resourceVersion": pod["metadata"]["resourceVersion"],
    }});
    assert_eq!(world.evict("a", exact).await.0, StatusCode::CREATED);
    world.cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_budgets_for_one_pod_are_more_than_an_eviction_can_ask() {
    let world = World::new().await;
    world.pod("a", true).await;
    for name in ["one", "two"] {
        world.budget(name, json!({"minAvailable": 0})).await;
    }
    world.settle().await;
    let (code, answer, _) = world.evict("a", Value::Null).await;
    assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR);
    let wanted = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!(answer["message"], wanted);
    world.cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_in_parts_needs_owners_that_say_how_many_they_want() {
    let world = World::new().await;
    world.pod("a", true).await;
    world.budget("guard", json!({"maxUnavailable": 1})).await;
    world.settle().await;
    // Nobody owns the Pod, so nobody wants it.
    assert_eq!(world.status_of("guard").await["expectedPods"], 0);
    let path = "/api/v1/namespaces/default/configmaps";
    let (_, owner, _) = world.call("POST", path, &json!({"metadata": {"name": "m"}})).await;
    let uid = &owner["metadata"]["uid"];
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": uid, "controller": true}]);
    let controlled = json!({"metadata": {"ownerReferences": owner}});
    world.call("PATCH", &format!("{PODS}/a"), &controlled).await;
    world.settle().await;
    let status = world.status_of("guard").await;
    let condition = &status["conditions"][0];
    assert_eq!((&condition["reason"], &condition["status"]), (&json!("SyncFailed"), &json!("False")), "{status}");
    assert_eq!(condition["message"], "configmaps does not implement the scale subresource");
    let (_, answer, _) = world.evict("a", Value::Null).await;
    assert!(cause(&answer).contains("because it failed sync: configmaps does not implement"), "{answer}");
    world.cluster.stop().await;
}
