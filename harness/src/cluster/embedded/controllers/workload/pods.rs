//! What controllers read off Pods. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};

/// An object's uid.
pub(in crate::cluster::embedded) fn uid<K: kube::Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

/// A Pod's phase, `Pending` where there is none yet.
pub(in crate::cluster::embedded) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// Whether a Pod has ended for good.
pub(in crate::cluster::embedded) fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether an object has been told to go.
pub(in crate::cluster::embedded) fn is_deleting<K: kube::Resource>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Whether a Pod has neither ended nor been told to.
pub(in crate::cluster::embedded) fn is_active(pod: &Pod) -> bool {
    !has_ended(pod) && !is_deleting(pod)
}

/// Whether a Pod has been told to end and has not done so yet.
pub(in crate::cluster::embedded) fn is_terminating(pod: &Pod) -> bool {
    !has_ended(pod) && is_deleting(pod)
}

/// The node that a Pod is bound to.
pub(in crate::cluster::embedded) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// A condition of a Pod.
pub(in crate::cluster::embedded) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Whether a Pod can serve.
pub(in crate::cluster::embedded) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Since when a Pod is ready; none while it is not, or where nobody wrote down since when.
pub(in crate::cluster::embedded) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// Whether a Pod has been ready for long enough.
pub(in crate::cluster::embedded) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    is_ready(pod) && (min_ready_seconds == 0 || available_in(pod, min_ready_seconds, now) == Some(Duration::ZERO))
}

/// How long a ready Pod must stay so until it counts as available: zero once it does.
pub(in crate::cluster::embedded) fn available_in(
    pod: &Pod,
    min_ready_seconds: i32,
    now: Timestamp,
) -> Option<Duration> {
    let left = SignedDuration::from_secs(min_ready_seconds.into()) - now.duration_since(ready_since(pod)?);
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}
