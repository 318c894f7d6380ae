//! The controller's decisions as tables, and its edges against a mock API server.

mod api_errors;
mod configurations;
mod intents;
mod plans;
mod releases;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::drain::{FINALIZER, REQUESTED_AT, REQUESTED_BY, SERVING};

use super::configuration::Configuration;
use super::configured::Standing;
use super::pod::Pod;

const UPDATER: &str = "system:serviceaccount:kube-system:vpa-updater";

/// The moment at which everything was asked for.
fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// A selected Pod that runs, is ready and is guarded; `changes` are merged in, and `null` takes away.
fn pod(changes: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "one", "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T00:00:00Z",
            "labels": { "app": "web" },
            "annotations": { "vpa-managed": "true" },
            "finalizers": [FINALIZER],
        },
        "spec": { "containers": [{ "name": "web", "ports": [{ "containerPort": 8080 }] }], "nodeName": "worker-1" },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{
                "name": "web", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} },
            }],
        },
    });
    merge(&mut pod, changes);
    take_away_nulls(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn take_away_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(take_away_nulls);
    }
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

/// Several changes in one.
fn all(changes: &[Value]) -> Value {
    let mut merged = json!({});
    for change in changes {
        merge(&mut merged, change);
    }
    merged
}

fn annotated(annotations: &Value) -> Value {
    json!({ "metadata": { "annotations": annotations } })
}

/// Its eviction was asked for.
fn held() -> Value {
    annotated(&json!({ REQUESTED_AT: now().to_string(), REQUESTED_BY: UPDATER }))
}

/// Somebody asked for its deletion, with half a minute of grace.
fn deleted() -> Value {
    json!({ "metadata": { "deletionTimestamp": after(30).to_string(), "deletionGracePeriodSeconds": 30 } })
}

/// Its deletion began as an eviction.
fn evicted() -> Value {
    let target = json!({ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI" });
    let ready = json!({ "type": "Ready", "status": "True" });
    all(&[deleted(), json!({ "status": { "conditions": [ready, target] } })])
}

fn owned_by(api_version: &str, kind: &str) -> Value {
    let owner = json!({ "apiVersion": api_version, "kind": kind, "name": "web", "uid": "set", "controller": true });
    json!({ "metadata": { "ownerReferences": [owner] } })
}

/// It becomes ready only when we say so.
fn gated() -> Value {
    json!({ "spec": { "readinessGates": [{ "conditionType": SERVING }] } })
}

fn configuration(values: &[(&str, &str)]) -> Configuration {
    let values: BTreeMap<_, _> = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Configuration::parse(&values).unwrap()
}

/// A configuration that somebody chose.
fn standing(values: &[(&str, &str)]) -> Standing {
    Standing { configuration: Arc::new(configuration(values)), is_chosen: true, trouble: None }
}
