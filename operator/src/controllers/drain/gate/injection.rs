//! Which new Pods get the readiness gate. Pure.
//!
//! The gate has to be there from the beginning, because a Pod's gates cannot be changed. Without it the Pod is taken out
//! of its Services by its labels, or not at all (see `isolate`).

use std::collections::BTreeMap;

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::super::configuration::Configuration;
use super::super::isolate::has_gate;
use super::super::overrides;
use super::super::pod::Pod;
use super::super::selection::select;
use super::super::workload::{WaitsFor, Workload};
use crate::api::drain::SERVING;

/// The Pod that is about to be made. Where it comes without a namespace, it is that of the request.
pub(super) fn pod(object: DynamicObject, namespace: &str) -> Option<Pod> {
    let mut pod: Pod = object.try_parse().ok()?;
    pod.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    Some(pod)
}

/// A JSON patch that gives the Pod the gate, if it is to have it.
pub(super) fn patch(
    pod: &Pod,
    namespace_labels: &BTreeMap<String, String>,
    configuration: &Configuration,
) -> Option<Value> {
    let (terms, _) = overrides::terms(configuration, pod);
    // Who waits for work to end serves nobody meanwhile.
    let serves = Workload::of(pod).policy().waits_for == WaitsFor::Connections;
    let wanted = configuration.inject_readiness_gate && terms.mechanisms.eviction_gate && serves;
    if !wanted || has_gate(pod) || select(pod, configuration, namespace_labels).is_err() {
        return None;
    }
    let gate = json!({ "conditionType": SERVING });
    let has_gates = pod.spec.as_ref().is_some_and(|spec| spec.readiness_gates.is_some());
    Some(if has_gates {
        json!([{ "op": "add", "path": "/spec/readinessGates/-", "value": gate }])
    } else {
        json!([{ "op": "add", "path": "/spec/readinessGates", "value": [gate] }])
    })
}
