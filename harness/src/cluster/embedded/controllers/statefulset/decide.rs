//! What a StatefulSet does next: members to make and to delete, in their order, and its status. Pure.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::super::workload::amount::{self, Round, count, unless_zero};
use super::super::workload::pods;
use super::identity;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Make the member of an ordinal, of the current revision (or else of the one that is being rolled out).
    Create { ordinal: i32, current: bool },
    /// See to it that a member has its labels and claims.
    Mend { ordinal: i32, pod: Arc<Pod> },
    /// Delete a member; `surplus` where there are too many.
    Delete { ordinal: i32, pod: Arc<Pod>, surplus: bool },
}

/// What a StatefulSet does next.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) steps: Vec<Step>,
    pub(super) status: StatefulSetStatus,
    /// When a Pod becomes available without anything else happening.
    pub(super) again: Option<Duration>,
}

/// The names of the two revisions between which a set moves.
#[derive(Clone, Debug)]
pub(super) struct Revisions<'a> {
    pub(super) current: &'a str,
    pub(super) update: &'a str,
    pub(super) collisions: i32,
}

struct Members<'a> {
    spec: &'a StatefulSetSpec,
    start: i32,
    /// By index, from the first ordinal.
    replicas: Vec<Option<Arc<Pod>>>,
    /// Those beyond, the highest first.
    condemned: Vec<(i32, Arc<Pod>)>,
    now: Timestamp,
}

/// Decides. `members` are the set's Pods.
pub(super) fn decide(set: &StatefulSet, revisions: &Revisions<'_>, pods: &[Arc<Pod>], now: Timestamp) -> Decision {
    let default = StatefulSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&default);
    let members = Members::of(set, spec, pods, now);
    let mut status = status(set, spec, revisions, pods, now);
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let left = pods.iter().filter_map(|pod| pods::available_in(pod, min_ready, now)).filter(|left| !left.is_zero());
    let again = left.min();
    let steps = if pods::is_deleting(set) { Vec::new() } else { members.steps(revisions, &mut status) };
    complete(spec, &mut status);
    Decision { steps, status, again }
}

impl<'a> Members<'a> {
    fn of(set: &StatefulSet, spec: &'a StatefulSetSpec, pods: &[Arc<Pod>], now: Timestamp) -> Self {
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        let mut members = Self { spec, start, replicas: vec![None; wanted], condemned: Vec::new(), now };
        for pod in pods {
            let Some(ordinal) = identity::ordinal(set, pod) else { continue };
            let slot = usize::try_from(ordinal - start).ok().and_then(|at| members.replicas.get_mut(at));
            match slot {
                Some(slot) => *slot = Some(Arc::clone(pod)),
                None => members.condemned.push((ordinal, Arc::clone(pod))),
            }
        }
        members.condemned.sort_by_key(|(ordinal, _)| Reverse(*ordinal));
        members
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && pods::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    /// Whether a member is missing to those who need it.
    fn is_out(&self, pod: &Pod) -> bool {
        !self.is_available(pod) || pods::is_deleting(pod)
    }

    fn steps(&self, revisions: &Revisions<'_>, status: &mut StatefulSetStatus) -> Vec<Step> {
        let in_order = self.spec.pod_management_policy.as_deref() != Some("Parallel");
        let mut steps = Vec::new();
        for (at, member) in (0..).zip(&self.replicas) {
            let blocks = self.keep(self.start + at, at, member.as_ref(), &mut steps);
            if blocks && in_order {
                return steps;
            }
        }
        // Whoever is out first may go, though it is not ready: all others wait until it is.
        let first_out = self
            .replicas
            .iter()
            .flatten()
            .find(|pod| self.is_out(pod))
            .or_else(|| self.condemned.iter().rev().map(|(_, pod)| pod).find(|pod| self.is_out(pod)));
        for (ordinal, pod) in &self.condemned {
            let is_first_out = first_out.is_some_and(|first| pods::uid(first.as_ref()) == pods::uid(pod.as_ref()));
            let may_go = !in_order || self.is_available(pod) || is_first_out;
            if !pods::is_deleting(pod.as_ref()) && may_go {
                steps.push(Step::Delete { ordinal: *ordinal, pod: Arc::clone(pod), surplus: true });
            }
            if in_order {
                return steps;
            }
        }
        self.update(revisions, status, &mut steps);
        steps
    }

    /// What one member needs; says whether those after it have to wait for it.
    fn keep(&self, ordinal: i32, at: i32, member: Option<&Arc<Pod>>, steps: &mut Vec<Step>) -> bool {
        let Some(pod) = member else {
            steps.push(Step::Create { ordinal, current: self.is_kept_back(at) });
            return true;
        };
        if pods::has_ended(pod) {
            // A member of the same name can be made when this one is gone.
            if !pods::is_deleting(pod.as_ref()) {
                steps.push(Step::Delete { ordinal, pod: Arc::clone(pod), surplus: false });
            }
            return true;
        }
        steps.push(Step::Mend { ordinal, pod: Arc::clone(pod) });
        self.is_out(pod)
    }

    /// Whether a member stays at the current revision while others are updated.
    fn is_kept_back(&self, at: i32) -> bool {
        at < self.partition()
    }

    fn partition(&self) -> i32 {
        let strategy = self.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
    }

    /// Replaces members of other revisions, the highest first, as many at once as may be missing.
    fn update(&self, revisions: &Revisions<'_>, status: &mut StatefulSetStatus, steps: &mut Vec<Step>) {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let limit = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_unavailable.as_ref());
        let limit = limit.map_or(1, |limit| amount::of(limit, count(self.replicas.len()), Round::Down).max(1));
        let is_out = |pod: &Option<Arc<Pod>>| pod.as_ref().is_none_or(|pod| self.is_out(pod));
        let mut may_go = limit - count(self.replicas.iter().filter(|pod| is_out(pod)).count());
        let targets: Vec<(i32, &Option<Arc<Pod>>)> = (0..).zip(&self.replicas).collect();
        for (at, pod) in targets.into_iter().rev().take_while(|(at, _)| *at >= self.partition()) {
            let Some(pod) = pod else { continue };
            if identity::revision(pod) == revisions.update || pods::is_deleting(pod.as_ref()) {
                continue;
            }
            // One that is out anyway is no further loss.
            if !self.is_out(pod) {
                if may_go <= 0 {
                    continue;
                }
                may_go -= 1;
            } else if pods::has_ended(pod) {
                continue;
            }
            if identity::revision(pod) == revisions.current {
                status.current_replicas = unless_zero(status.current_replicas.unwrap_or(0) - 1);
            }
            steps.push(Step::Delete { ordinal: self.start + at, pod: Arc::clone(pod), surplus: false });
        }
    }
}

fn status(
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    revisions: &Revisions<'_>,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> StatefulSetStatus {
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let tally = |counts: &dyn Fn(&Pod) -> bool| count(pods.iter().filter(|pod| counts(pod)).count());
    let runs = |pod: &Pod| pods::phase(pod) == "Running" && pods::is_ready(pod);
    let of = |pod: &Pod, name: &str| !pods::is_deleting(pod) && identity::revision(pod) == name;
    StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: count(pods.len()),
        ready_replicas: unless_zero(tally(&runs)),
        available_replicas: Some(tally(&|pod| runs(pod) && pods::is_available(pod, min_ready, now))),
        current_replicas: unless_zero(tally(&|pod| of(pod, revisions.current))),
        updated_replicas: unless_zero(tally(&|pod| of(pod, revisions.update))),
        current_revision: Some(revisions.current.to_owned()),
        update_revision: Some(revisions.update.to_owned()),
        collision_count: Some(revisions.collisions),
        conditions: set.status.as_ref().and_then(|status| status.conditions.clone()),
    }
}

/// Makes the revision that was rolled out the current one once every member is of it and ready.
fn complete(spec: &StatefulSetSpec, status: &mut StatefulSetStatus) {
    let wanted = spec.replicas.unwrap_or(1);
    let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
    let all = |number: Option<i32>| number.unwrap_or(0) == wanted;
    if rolling && all(status.updated_replicas) && all(status.ready_replicas) && status.replicas == wanted {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
}
