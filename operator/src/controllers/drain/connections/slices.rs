//! Whether Services send requests to a Pod, from their `EndpointSlice`s. Pure.

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::super::pod::Pod;

/// Whether the Pod is ready, and an address of a Service because of it.
pub(super) fn is_served(pod: &Pod, slices: &[EndpointSlice]) -> bool {
    is_ready(pod) && slices.iter().any(|slice| has(slice, pod))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn has(slice: &EndpointSlice, pod: &Pod) -> bool {
    slice.endpoints.iter().flatten().any(|endpoint| {
        let this = endpoint.target_ref.as_ref().is_some_and(|target| {
            target.kind.as_deref() == Some("Pod")
                && target.name == pod.metadata.name
                && (target.uid.is_none() || target.uid == pod.metadata.uid)
        });
        // Who cannot say whether it is ready is taken for ready, as the API has it.
        let ready = endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false));
        this && ready
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "web-1", "namespace": "shop", "uid": "one" },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    fn slice(endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({ "metadata": {}, "addressType": "IPv4", "endpoints": endpoints })).unwrap()
    }

    #[test]
    fn a_pod_is_served_while_it_is_ready_and_a_ready_address_of_a_service() {
        let web = json!({ "kind": "Pod", "name": "web-1", "uid": "one" });
        for (what, ready, endpoints, served) in [
            ("it is", "True", json!([{ "addresses": ["1"], "targetRef": web, "conditions": { "ready": true } }]), true),
            ("nobody says whether it is ready", "True", json!([{ "addresses": ["1"], "targetRef": web }]), true),
            (
                "its address is not ready",
                "True",
                json!([{ "addresses": ["1"], "targetRef": web, "conditions": { "ready": false } }]),
                false,
            ),
            (
                "it is not ready, and its slice is stale",
                "False",
                json!([{ "addresses": ["1"], "targetRef": web }]),
                false,
            ),
            ("it is no address", "True", json!([]), false),
            (
                "an earlier one of that name is",
                "True",
                json!([{ "addresses": ["1"], "targetRef": { "kind": "Pod", "name": "web-1", "uid": "two" } }]),
                false,
            ),
            (
                "another is",
                "True",
                json!([{ "addresses": ["1"], "targetRef": { "kind": "Pod", "name": "web-2" } }]),
                false,
            ),
            ("a machine outside is", "True", json!([{ "addresses": ["1"] }]), false),
        ] {
            assert_eq!(is_served(&pod(ready), &[slice(&json!([])), slice(&endpoints)]), served, "{what}");
        }
        assert!(!is_served(&pod("True"), &[]));
    }
}
