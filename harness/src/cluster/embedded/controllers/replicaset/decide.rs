//! What a ReplicaSet needs next: Pods to make, Pods to give up, a status. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::super::workload::amount::{count, unless_zero};
use super::super::workload::{pods, template};
use super::order;

/// Pods made or deleted in one go at most, as in Kubernetes.
const BURST_MAX: usize = 500;

/// The condition of a ReplicaSet whose Pods cannot be made or deleted.
pub(in crate::cluster::embedded::controllers) const REPLICA_FAILURE: &str = "ReplicaFailure";

/// What a ReplicaSet needs next.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// How many Pods to make.
    pub(super) create: usize,
    /// Pods to delete.
    pub(super) delete: Vec<Arc<Pod>>,
    /// When a Pod becomes available without anything else happening.
    pub(super) again: Option<Duration>,
}

/// How many Pods a ReplicaSet wants.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn min_ready_seconds(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
}

/// Decides. `active` are the set's Pods that have neither ended nor been told to.
pub(super) fn decide(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    related: impl FnOnce() -> Vec<Arc<Pod>>,
    now: Timestamp,
) -> Decision {
    let min_ready = min_ready_seconds(set);
    let left = active.iter().filter_map(|pod| pods::available_in(pod, min_ready, now)).filter(|left| !left.is_zero());
    let mut decision = Decision { again: left.min(), ..Decision::default() };
    if pods::is_deleting(set) {
        return decision;
    }
    let wanted = usize::try_from(replicas(set)).unwrap_or(0);
    if active.len() < wanted {
        decision.create = (wanted - active.len()).min(BURST_MAX);
    } else if active.len() > wanted {
        let too_many = (active.len() - wanted).min(BURST_MAX);
        decision.delete = order::first(active, &related(), too_many, now);
    }
    decision
}

/// The status that these Pods make; `failure` is why Pods could not be made or deleted.
pub(super) fn status(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<String>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let labels = template::labels(set.spec.as_ref().and_then(|spec| spec.template.as_ref()));
    let min_ready = min_ready_seconds(set);
    let labelled = |pod: &&Arc<Pod>| labels.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
    let tally = |counts: &dyn Fn(&&Arc<Pod>) -> bool| count(active.iter().filter(counts).count());
    let old = set.status.clone().unwrap_or_default();
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: unless_zero(tally(&labelled)),
        ready_replicas: unless_zero(tally(&|pod| pods::is_ready(pod))),
        available_replicas: unless_zero(tally(&|pod| pods::is_available(pod, min_ready, now))),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.metadata.generation,
        conditions: conditions(old.conditions, failure, active.len(), replicas(set), now),
    }
}

fn conditions(
    old: Option<Vec<ReplicaSetCondition>>,
    failure: Option<String>,
    active: usize,
    wanted: i32,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    let said = conditions.iter().any(|condition| condition.type_ == REPLICA_FAILURE);
    match failure {
        Some(message) if !said => conditions.push(ReplicaSetCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(if count(active) < wanted { "FailedCreate" } else { "FailedDelete" }.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        }),
        None => conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
        Some(_) => {}
    }
    (!conditions.is_empty()).then_some(conditions)
}
