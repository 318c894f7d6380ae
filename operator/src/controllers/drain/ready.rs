//! What a Pod's conditions say. Pure.

use super::pod::{DISRUPTION_TARGET, Pod, PodCondition, READY};
use k8s_openapi::jiff::Timestamp;

/// Since when the Pod is not ready; `None` while it is.
pub(super) fn unready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, READY);
    if ready.is_some_and(|ready| ready.status == "True") {
        return None;
    }
    let changed = ready.and_then(|ready| ready.last_transition_time.as_ref());
    // Who has never said that it is ready has not been.
    Some(changed.or(pod.metadata.creation_timestamp.as_ref()).map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

/// Whether the Pod's deletion began as an eviction.
pub(super) fn is_evicted(pod: &Pod) -> bool {
    condition(pod, DISRUPTION_TARGET).is_some_and(|condition| {
        condition.status == "True" && condition.reason.as_deref() == Some("EvictionByEvictionAPI")
    })
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(conditions: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z" }, "status": { "conditions": conditions }
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_unready_since_its_condition_changed_or_since_it_was_made() {
        for (conditions, since) in [
            (json!([{ "type": "Ready", "status": "True" }]), None),
            (
                json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:04:05Z" }]),
                Some("2026-01-02T03:04:05Z"),
            ),
            (json!([{ "type": "Ready", "status": "Unknown" }]), Some("2026-01-01T00:00:00Z")),
            (json!([{ "type": "PodScheduled", "status": "True" }]), Some("2026-01-01T00:00:00Z")),
        ] {
            assert_eq!(unready_since(&pod(&conditions)), since.map(|text| text.parse().unwrap()), "{conditions}");
        }
    }

    #[test]
    fn only_evictions_are_evictions() {
        for (reason, status, evicted) in [
            ("EvictionByEvictionAPI", "True", true),
            ("EvictionByEvictionAPI", "False", false),
            ("PreemptionByScheduler", "True", false),
            ("TerminationByKubelet", "True", false),
        ] {
            let conditions = json!([{ "type": "DisruptionTarget", "status": status, "reason": reason }]);
            assert_eq!(is_evicted(&pod(&conditions)), evicted, "{reason} {status}");
        }
        assert!(!is_evicted(&Pod::default()));
    }
}
