//! Which Pods are drained. Pure.
//!
//! The first rule that applies decides, from what a Pod is, over what its owner says, to what autoscalers leave on it.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::api::drain::{LAST_UPDATED, MANAGED, MANAGED_LABEL, RESOURCE_NAME, VPA_OBSERVED_CONTAINERS, VPA_UPDATES};

use super::configuration::Configuration;
use super::pod::{MIRROR, Pod};
use super::sizes;

/// Why a Pod is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected {
    /// Its owner says so.
    Asked,
    /// The updater has touched it.
    Updated,
    /// It names its autoscaler.
    Named,
    /// It has the label of those that are autoscaled.
    Labelled,
    /// The autoscaler's admission controller has set or recorded its resources.
    Observed,
    /// Its resources look computed.
    Sized,
}

/// Why a Pod is not drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Nobody serves with it any more.
    #[error("it has ended")]
    Terminal,
    /// It belongs to its node, and cannot be held.
    #[error("it is the mirror of a static Pod")]
    Mirror,
    /// It is this operator's.
    #[error("it belongs to the operator itself")]
    Own,
    /// Its namespace is not looked after.
    #[error("its namespace is not selected")]
    Namespace,
    /// Its owner says so.
    #[error("the annotation vpa-managed says no")]
    Refused,
    /// Nothing speaks for it.
    #[error("nothing says that an autoscaler manages it")]
    Unmanaged,
}

/// The label whose value names a program, and the one that names who made its Pod; either names this operator.
const OWN_LABELS: [&str; 2] = ["app.kubernetes.io/name", "app.kubernetes.io/managed-by"];
const OWN_NAME: &str = "slipway-operator";

/// Whether a Pod in a namespace with these labels is drained.
///
/// # Errors
/// Why not.
pub fn select(
    pod: &Pod,
    configuration: &Configuration,
    namespace_labels: &BTreeMap<String, String>,
) -> Result<Selected, Ignored> {
    let annotations = pod.annotations();
    if is_terminal(pod) {
        return Err(Ignored::Terminal);
    }
    if annotations.contains_key(MIRROR) || pod.owner_references().iter().any(|owner| owner.kind == "Node") {
        return Err(Ignored::Mirror);
    }
    if OWN_LABELS.iter().any(|label| pod.labels().get(*label).is_some_and(|value| value == OWN_NAME)) {
        return Err(Ignored::Own);
    }
    if !configuration.namespaces.contains(pod.metadata.namespace.as_deref().unwrap_or_default(), namespace_labels) {
        return Err(Ignored::Namespace);
    }
    match annotations.get(MANAGED).map(String::as_str) {
        Some("true") => return Ok(Selected::Asked),
        Some(_) => return Err(Ignored::Refused),
        None => {}
    }
    if annotations.contains_key(LAST_UPDATED) {
        Ok(Selected::Updated)
    } else if annotations.get(RESOURCE_NAME).is_some_and(|name| !name.is_empty()) {
        Ok(Selected::Named)
    } else if pod.labels().contains_key(MANAGED_LABEL) {
        Ok(Selected::Labelled)
    } else if annotations.contains_key(VPA_UPDATES) || annotations.contains_key(VPA_OBSERVED_CONTAINERS) {
        Ok(Selected::Observed)
    } else if configuration.size_heuristic && !pod.owner_references().is_empty() && sizes::look_computed(pod) {
        Ok(Selected::Sized)
    } else {
        Err(Ignored::Unmanaged)
    }
}

/// Whether nothing of the Pod runs any more, nor will.
pub fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(changes: Value) -> Pod {
        let mut pod = json!({
            "metadata": { "name": "p", "namespace": "shop", "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1", "controller": true }
            ] },
            "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "75m", "memory": "1G" } } }] },
            "status": { "phase": "Running" },
        });
        merge(&mut pod, changes);
        serde_json::from_value(pod).unwrap()
    }

    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
            }
            (into, from) => *into = from,
        }
    }

    fn annotated(annotations: &Value) -> Pod {
        pod(json!({ "metadata": { "annotations": annotations } }))
    }

    fn select_by_default(pod: &Pod) -> Result<Selected, Ignored> {
        select(pod, &Configuration::default(), &BTreeMap::new())
    }

    #[test]
    fn every_sign_of_an_autoscaler_selects() {
        for (annotations, expected) in [
            (json!({}), Err(Ignored::Unmanaged)),
            (json!({ "vpa-managed": "true" }), Ok(Selected::Asked)),
            (json!({ "vpa-managed": "false" }), Err(Ignored::Refused)),
            (json!({ "vpa-managed": "True" }), Err(Ignored::Refused)),
            (json!({ "vpa-managed": "" }), Err(Ignored::Refused)),
            (json!({ "vpa-updater.client.k8s.io/last-updated": "" }), Ok(Selected::Updated)),
            (json!({ "vpa.k8s.io/resource-name": "web" }), Ok(Selected::Named)),
            (json!({ "vpa.k8s.io/resource-name": "" }), Err(Ignored::Unmanaged)),
            (json!({ "vpaUpdates": "Pod resources updated by web: container 0: cpu request" }), Ok(Selected::Observed)),
            (json!({ "vpaObservedContainers": "web" }), Ok(Selected::Observed)),
        ] {
            assert_eq!(select_by_default(&annotated(&annotations)), expected, "{annotations}");
        }
        for value in ["true", "false", ""] {
            let labelled = pod(json!({ "metadata": { "labels": { "vpa.k8s.io/managed": value } } }));
            assert_eq!(select_by_default(&labelled), Ok(Selected::Labelled), "{value:?}: the label itself counts");
        }
    }

    #[test]
    fn a_no_of_the_owner_goes_before_every_sign() {
        let refused = annotated(&json!({
            "vpa-managed": "false", "vpa-updater.client.k8s.io/last-updated": "now", "vpa.k8s.io/resource-name": "web",
            "vpaUpdates": "x", "vpaObservedContainers": "web",
        }));
        assert_eq!(select_by_default(&refused), Err(Ignored::Refused));
    }

    #[test]
    fn what_a_pod_is_goes_before_what_anybody_says() {
        for (changes, expected) in [
            (json!({ "status": { "phase": "Succeeded" } }), Ignored::Terminal),
            (json!({ "status": { "phase": "Failed" } }), Ignored::Terminal),
            (json!({ "metadata": { "annotations": { "kubernetes.io/config.mirror": "1" } } }), Ignored::Mirror),
            (
                json!({ "metadata": { "ownerReferences": [
                    { "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1", "controller": true }
                ] } }),
                Ignored::Mirror,
            ),
            (json!({ "metadata": { "labels": { "app.kubernetes.io/name": "slipway-operator" } } }), Ignored::Own),
            (json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "slipway-operator" } } }), Ignored::Own),
        ] {
            let mut asked = json!({ "metadata": { "annotations": { "vpa-managed": "true" } } });
            merge(&mut asked, changes.clone());
            assert_eq!(select_by_default(&pod(asked)), Err(expected), "{changes}");
        }
    }

    #[test]
    fn a_namespace_that_is_out_is_out_for_everybody_in_it() {
        let data = BTreeMap::from([("namespaceSelector".to_owned(), r#"{"exclude": ["shop"]}"#.to_owned())]);
        let configuration = Configuration::parse(&data).unwrap();
        let asked = annotated(&json!({ "vpa-managed": "true" }));
        assert_eq!(select(&asked, &configuration, &BTreeMap::new()), Err(Ignored::Namespace));
    }

    #[test]
    fn sizes_select_only_where_that_was_asked_for() {
        let configuration = Configuration { size_heuristic: true, ..Configuration::default() };
        let by_size = |pod: &Pod| select(pod, &configuration, &BTreeMap::new());
        assert_eq!(by_size(&pod(json!({}))), Ok(Selected::Sized));
        assert_eq!(select_by_default(&pod(json!({}))), Err(Ignored::Unmanaged), "off unless it is turned on");
        let unowned = pod(json!({ "metadata": { "ownerReferences": [] } }));
        assert_eq!(by_size(&unowned), Err(Ignored::Unmanaged), "nobody would make it again");
        assert_eq!(by_size(&annotated(&json!({ "vpa-managed": "false" }))), Err(Ignored::Refused));
    }
}
