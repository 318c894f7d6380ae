//! A Deployment's status: counts, availability and progress. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::super::workload::amount::unless_zero;
use super::conditions::{self, AVAILABLE, PROGRESSING, REPLICA_FAILURE};
use super::rollout::{Sets, actual, replicas};
use super::spec::Wanted;

/// The counts, and whether enough Pods are available. `before` holds the conditions so far.
pub(super) fn counts(
    deployment: &Deployment,
    before: &DeploymentStatus,
    sets: &Sets,
    wanted: &Wanted,
    now: Timestamp,
) -> DeploymentStatus {
    let sum = |count: fn(&ReplicaSet) -> Option<i32>| sets.all().filter_map(count).sum::<i32>();
    let available = sum(|set| set.status.as_ref()?.available_replicas);
    let total: i32 = sets.all().map(replicas).sum();
    let terminating = |set: &ReplicaSet| set.status.as_ref().and_then(|status| status.terminating_replicas);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: unless_zero(sets.all().map(actual).sum()),
        updated_replicas: unless_zero(sets.new.as_ref().map_or(0, actual)),
        ready_replicas: unless_zero(sum(|set| set.status.as_ref()?.ready_replicas)),
        available_replicas: unless_zero(available),
        unavailable_replicas: unless_zero((total - available).max(0)),
        terminating_replicas: sets.all().map(terminating).sum(),
        collision_count: before.collision_count,
        conditions: before.conditions.clone(),
    };
    let condition = if available >= wanted.replicas - wanted.max_unavailable {
        let message = "Deployment has minimum availability.".to_owned();
        conditions::new(AVAILABLE, "True", "MinimumReplicasAvailable", message, now)
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        conditions::new(AVAILABLE, "False", "MinimumReplicasUnavailable", message, now)
    };
    conditions::set(&mut status, condition);
    status
}

/// Adds to the counts whether a rollout is getting on.
pub(super) fn progress(
    status: &mut DeploymentStatus,
    deployment: &Deployment,
    sets: &Sets,
    wanted: &Wanted,
    now: Timestamp,
) {
    let old = deployment.status.clone().unwrap_or_default();
    let subject = sets.new.as_ref().map_or_else(
        || format!("Deployment \"{}\"", deployment.name_any()),
        |new| format!("ReplicaSet \"{}\"", new.name_any()),
    );
    let current = conditions::find(status, PROGRESSING).cloned();
    let reason = current.as_ref().and_then(|condition| condition.reason.as_deref());
    let was_complete = status.replicas == status.updated_replicas && reason == Some(conditions::NEW_AVAILABLE);
    match wanted.progress_deadline {
        None => conditions::remove(status, PROGRESSING),
        Some(_) if was_complete => {}
        Some(_) if is_complete(status, deployment, wanted) => {
            let message = format!("{subject} has successfully progressed.");
            let condition = conditions::new(PROGRESSING, "True", conditions::NEW_AVAILABLE, message, now);
            conditions::set(status, condition);
        }
        Some(_) if has_progressed(&old, status) => {
            let message = format!("{subject} is progressing.");
            let mut condition = conditions::new(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
            if let Some(current) = current.filter(|current| current.status == "True") {
                condition.last_transition_time = current.last_transition_time;
            }
            // The same reason again, with a new time: that is what says that it gets on.
            conditions::renew(status, condition);
        }
        Some(seconds) if left(current.as_ref(), seconds, now).is_some_and(|left| left < SignedDuration::ZERO) => {
            let message = format!("{subject} has timed out progressing.");
            let condition = conditions::new(PROGRESSING, "False", conditions::TIMED_OUT, message, now);
            conditions::set(status, condition);
        }
        Some(_) => {}
    }
    match failure(sets) {
        Some(failure) => conditions::set(status, failure),
        None => conditions::remove(status, REPLICA_FAILURE),
    }
}

/// Whether every Pod is of the current template and available, and there are no others.
pub(super) fn is_complete(status: &DeploymentStatus, deployment: &Deployment, wanted: &Wanted) -> bool {
    let is_all = |count: Option<i32>| count.unwrap_or(0) == wanted.replicas;
    is_all(status.updated_replicas)
        && is_all(status.replicas)
        && is_all(status.available_replicas)
        && status.observed_generation >= deployment.metadata.generation
}

/// When a rollout that does not get on has to be looked at again.
pub(super) fn look_again(
    status: &DeploymentStatus,
    deployment: &Deployment,
    wanted: &Wanted,
    now: Timestamp,
) -> Option<Duration> {
    let timed_out = conditions::reason(status, PROGRESSING) == Some(conditions::TIMED_OUT);
    if timed_out || is_complete(status, deployment, wanted) {
        return None;
    }
    let left = left(conditions::find(status, PROGRESSING), wanted.progress_deadline?, now)?;
    // Conditions have whole seconds: a second later it is certain.
    Duration::try_from(left + SignedDuration::from_secs(1)).ok()
}

/// How much is left of the time a rollout has to get on.
fn left(condition: Option<&DeploymentCondition>, seconds: i32, now: Timestamp) -> Option<SignedDuration> {
    let condition = condition.filter(|condition| condition.reason.as_deref() != Some(conditions::NEW_AVAILABLE))?;
    let since = condition.last_update_time.as_ref()?.0;
    Some(SignedDuration::from_secs(seconds.into()) - now.duration_since(since))
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = |count: Option<i32>| count.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || outdated(new) < outdated(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

/// What keeps a ReplicaSet from making Pods, that of the current template first.
fn failure(sets: &Sets) -> Option<DeploymentCondition> {
    let failures = sets.new.iter().chain(&sets.old).filter_map(|set| set.status.as_ref()?.conditions.as_ref());
    let failure = failures.flatten().find(|condition| condition.type_ == REPLICA_FAILURE)?;
    let since = failure.last_transition_time.clone().map(|time| Time(time.0));
    Some(DeploymentCondition {
        type_: REPLICA_FAILURE.to_owned(),
        status: failure.status.clone(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        last_update_time: since.clone(),
        last_transition_time: since,
    })
}
