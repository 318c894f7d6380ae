//! How objects of a scenario are told from everybody else's: a label, and Pods that go to our nodes only. Pure.

use serde_json::{Value, json};

use crate::cluster::access::RUN_LABEL;
use crate::scenario::node::{NodeSpec, TaintSpec};
use crate::sim::seed::RunId;

/// Makes a node the run's, and keeps other people's Pods off it.
pub(super) fn node(spec: &mut NodeSpec, run: &RunId) {
    spec.labels.insert(RUN_LABEL.to_owned(), run.0.clone());
    let effect = "NoSchedule".to_owned();
    spec.taints.push(TaintSpec { key: RUN_LABEL.to_owned(), value: run.0.clone(), effect });
}

/// Puts the run's label on an object.
pub(super) fn label(manifest: &mut Value, run: &RunId) {
    if manifest.pointer("/metadata").is_some_and(Value::is_object) {
        manifest["metadata"]["labels"][RUN_LABEL] = run.0.as_str().into();
    }
}

/// Leads the Pods of an object to our nodes, past the taint that keeps others off.
pub(super) fn place(manifest: &mut Value, run: &RunId) {
    let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default();
    let spec = match kind {
        "Pod" => "/spec",
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicationController" => {
            "/spec/template/spec"
        }
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => return,
    };
    let Some(spec) = manifest.pointer_mut(spec).filter(|spec| spec.is_object()) else { return };
    spec["nodeSelector"][RUN_LABEL] = run.0.as_str().into();
    let toleration = json!({"key": RUN_LABEL, "operator": "Equal", "value": run.0, "effect": "NoSchedule"});
    match spec.get_mut("tolerations").and_then(Value::as_array_mut) {
        Some(tolerations) => tolerations.push(toleration),
        None => spec["tolerations"] = json!([toleration]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_to_our_nodes_wherever_they_are_described() {
        let run = RunId("abc".to_owned());
        let spec = json!({"containers": [], "nodeSelector": {"disk": "fast"}});
        for (mut manifest, at) in [
            (json!({"kind": "Pod", "spec": spec}), "/spec"),
            (json!({"kind": "Deployment", "spec": {"template": {"spec": spec}}}), "/spec/template/spec"),
            (
                json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
                "/spec/jobTemplate/spec/template/spec",
            ),
        ] {
            place(&mut manifest, &run);
            let placed = manifest.pointer(at).unwrap();
            assert_eq!(placed["nodeSelector"], json!({"disk": "fast", RUN_LABEL: "abc"}), "{manifest}");
            assert_eq!(placed["tolerations"][0]["value"], "abc", "{manifest}");
        }
    }

    #[test]
    fn what_has_no_pods_is_only_labelled() {
        let run = RunId("abc".to_owned());
        let mut manifest = json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"b": "c"}}});
        let before = manifest.clone();
        place(&mut manifest, &run);
        assert_eq!(manifest, before);
        label(&mut manifest, &run);
        assert_eq!(manifest["metadata"]["labels"], json!({"b": "c", RUN_LABEL: "abc"}));
        let mut nonsense = json!({"kind": "Pod", "spec": 1, "metadata": []});
        let before = nonsense.clone();
        place(&mut nonsense, &run);
        label(&mut nonsense, &run);
        assert_eq!(nonsense, before);
    }
}
