//! What is on a cluster besides the operator: nodes, and Pods as clusters have them.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{BenchError, Mechanisms, refused};
use crate::scenario::node::NodeSpec;

/// Nodes that do nothing but carry Pods.
pub(super) fn nodes(count: usize) -> Vec<NodeSpec> {
    (0..count).map(|number| NodeSpec { name: node(number), ..NodeSpec::default() }).collect()
}

fn node(number: usize) -> String {
    format!("node-{number:05}")
}

/// The name of a Pod.
pub(super) fn name(number: usize) -> String {
    format!("pod-{number:05}")
}

/// The number in a name.
fn number(name: &str) -> usize {
    name.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// A Pod that serves and is managed by an autoscaler; nobody is connected to it.
pub(super) async fn serve(
    pods: &Api<Pod>,
    name: String,
    nodes: usize,
    mechanisms: Mechanisms,
) -> Result<(), BenchError> {
    let pod = json!({
        "metadata": {
            "name": name,
            "annotations": { "vpa-managed": "true", "drain.slipway.dev/mechanisms": mechanisms.as_str() },
            "labels": { "app": "web" },
        },
        "spec": {
            "nodeName": node(number(&name) % nodes.max(1)),
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "web",
                "image": "slipway.dev/http-server:1",
                "ports": [{ "containerPort": 8080 }],
                "env": [{ "name": "PORT", "value": "8080" }],
            }],
        },
    });
    create(pods, &name, pod).await
}

/// A Pod that is there and does nothing, with as much written about it as usual.
pub(super) async fn rest(pods: &Api<Pod>, name: String, nodes: usize) -> Result<(), BenchError> {
    let number = number(&name);
    let settings: Vec<Value> =
        (0..10).map(|at| json!({ "name": format!("SETTING_{at}"), "value": "a value" })).collect();
    let pod = json!({
        "metadata": {
            "name": name,
            "labels": { "app": format!("app-{}", number % 50), "pod-template-hash": "5d78c9869d" },
            "annotations": { "vpa-managed": if number.is_multiple_of(2) { "true" } else { "false" } },
        },
        "spec": {
            "nodeName": node(number % nodes.max(1)),
            "containers": [{
                "name": "main",
                "image": "slipway.dev/pause:1",
                "env": settings,
                "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
                "ports": [{ "containerPort": 8080 }],
                "volumeMounts": [{ "name": "scratch", "mountPath": "/scratch" }],
            }],
            "volumes": [{ "name": "scratch", "emptyDir": {} }],
        },
    });
    create(pods, &name, pod).await
}

async fn create(pods: &Api<Pod>, name: &str, pod: Value) -> Result<(), BenchError> {
    let pod: Pod =
        serde_json::from_value(pod).map_err(|error| refused("read", name)(kube::Error::SerdeError(error)))?;
    pods.create(&PostParams::default(), &pod).await.map(drop).map_err(refused("create", name))
}
