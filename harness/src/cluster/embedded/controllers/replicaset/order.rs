//! Which Pods of a ReplicaSet are given up first: those that would be missed least. Pure.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::workload::pods;

/// The annotation by which a Pod says what giving it up would cost.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` Pods to give up first. `related` are the Pods of every ReplicaSet of the same owner: of two Pods that are
/// otherwise alike, the one with more of them on its node goes first.
pub(super) fn first(pods: &[Arc<Pod>], related: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *on_node.entry(pods::node(pod).unwrap_or_default()).or_default() += 1;
    }
    let mut ranked: Vec<(usize, &Arc<Pod>)> =
        pods.iter().map(|pod| (on_node.get(pods::node(pod).unwrap_or_default()).copied().unwrap_or(0), pod)).collect();
    if count < ranked.len() {
        ranked.sort_by(|(left_rank, left), (right_rank, right)| compare(left, *left_rank, right, *right_rank, now));
    }
    ranked.into_iter().take(count).map(|(_, pod)| Arc::clone(pod)).collect()
}

fn compare(left: &Pod, left_rank: usize, right: &Pod, right_rank: usize, now: Timestamp) -> Ordering {
    let stage = |pod: &Pod| {
        let phase = match pods::phase(pod) {
            "Pending" => 0,
            "Running" => 2,
            _ => 1,
        };
        (pods::node(pod).is_some(), phase, pods::is_ready(pod), cost(pod))
    };
    let made = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let by_age = |left_time, right_time| newer_first(left_time, right_time, now, (left, right));
    stage(left)
        .cmp(&stage(right))
        .then_with(|| right_rank.cmp(&left_rank))
        .then_with(|| by_age(pods::ready_since(left), pods::ready_since(right)))
        .then_with(|| restarts(right).cmp(&restarts(left)))
        .then_with(|| by_age(made(left), made(right)))
        .then_with(|| left.name_any().cmp(&right.name_any()))
}

/// The younger first, where ages that differ by less than a factor of two count as one and chance decides; those of
/// which no time is known before all others.
fn newer_first(
    left: Option<Timestamp>,
    right: Option<Timestamp>,
    now: Timestamp,
    (left_pod, right_pod): (&Pod, &Pod),
) -> Ordering {
    let rank = |since: Timestamp| {
        let age = u128::try_from(now.duration_since(since).as_nanos()).unwrap_or(0);
        age.checked_ilog2().map_or(-1, i64::from)
    };
    match (left, right) {
        (left, right) if left == right => Ordering::Equal,
        (Some(left), Some(right)) => {
            rank(left).cmp(&rank(right)).then_with(|| pods::uid(left_pod).cmp(pods::uid(right_pod)))
        }
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

fn cost(pod: &Pod) -> i32 {
    pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}
