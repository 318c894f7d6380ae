//! What a Deployment needs next: ReplicaSets to make, change and remove, and a status. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use kube::ResourceExt;

use super::super::workload::pods;
use super::conditions::{self, PROGRESSING};
use super::rollout::{Sets, actual, replicas};
use super::spec::{Wanted, same_template};
use super::{revision, status};

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// The ReplicaSet of a new template.
    pub(super) create: Option<ReplicaSet>,
    /// ReplicaSets that change.
    pub(super) update: Vec<ReplicaSet>,
    /// Old ReplicaSets that nobody will go back to.
    pub(super) delete: Vec<ReplicaSet>,
    /// What was scaled, in the words of Events.
    pub(super) events: Vec<String>,
    /// The Deployment with its status and revision.
    pub(super) deployment: Deployment,
    /// When to look again, where nothing else will ask for it.
    pub(super) again: Option<Duration>,
}

/// Decides. `has_pods` says whether Pods of a ReplicaSet have not ended yet.
pub(super) fn decide(
    deployment: &Deployment,
    known: &[Arc<ReplicaSet>],
    has_pods: impl Fn(&ReplicaSet) -> bool,
    now: Timestamp,
) -> Plan {
    let wanted = Wanted::of(deployment);
    let mut sets = sort(deployment, known);
    let mut next = deployment.clone();
    let mut said = deployment.status.clone().unwrap_or_default();
    let goes = pods::is_deleting(deployment);
    let mut plan = Plan {
        create: None,
        update: Vec::new(),
        delete: Vec::new(),
        events: Vec::new(),
        deployment: deployment.clone(),
        again: None,
    };
    if !goes {
        say_paused(&mut said, &wanted, now);
    }
    let revision = sets.old.iter().map(revision::of).max().unwrap_or(0) + 1;
    if let Some(new) = &mut sets.new {
        revision::annotate(new, deployment, revision);
        if let Some((set, spec)) = new.spec.as_mut().zip(deployment.spec.as_ref()) {
            set.min_ready_seconds = spec.min_ready_seconds;
        }
    }
    let follows = !goes && (wanted.paused || sets.is_scaling(&wanted));
    if follows {
        sets.follow(deployment, &wanted);
    } else if !goes && may_start(&mut sets, &wanted, has_pods) {
        if sets.new.is_none() {
            plan.create = first(deployment, revision, &mut sets, &wanted, &mut said, now);
        }
        if wanted.rolling {
            sets.roll(&wanted);
        } else {
            sets.start_new(&wanted);
        }
    }
    if !follows || wanted.paused {
        plan.delete = surplus(&sets, &wanted, deployment.status.as_ref(), deployment, follows);
    }
    if let Some(new) = &sets.new {
        note_revision(&mut next, new, &mut said, &wanted, now);
    }
    let mut counted = status::counts(deployment, &said, &sets, &wanted, now);
    if !goes && !follows {
        status::progress(&mut counted, deployment, &sets, &wanted, now);
        plan.again = status::look_again(&counted, deployment, &wanted, now);
    }
    next.status = Some(counted);
    plan.deployment = next;
    plan.events = std::mem::take(&mut sets.events);
    let changed = |set: &ReplicaSet| known.iter().any(|old| old.name_any() == set.name_any() && old.as_ref() != set);
    plan.update = if goes { Vec::new() } else { sets.all().filter(|set| changed(set)).cloned().collect() };
    plan
}

/// Tells the ReplicaSet of the current template, the oldest where several are, from the others.
fn sort(deployment: &Deployment, known: &[Arc<ReplicaSet>]) -> Sets {
    let mut sets: Vec<ReplicaSet> = known.iter().map(|set| ReplicaSet::clone(set)).collect();
    sets.sort_by_key(|set| (set.metadata.creation_timestamp.as_ref().map(|time| time.0), set.name_any()));
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let current = |set: &ReplicaSet| {
        let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        own.zip(template).is_some_and(|(own, wanted)| same_template(own, wanted))
    };
    let new = sets.iter().position(current).map(|at| sets.remove(at));
    Sets { new, old: sets, events: Vec::new() }
}

/// Whether Pods of the current template may be made: where all are replaced at once, when the last old one is gone.
fn may_start(sets: &mut Sets, wanted: &Wanted, has_pods: impl Fn(&ReplicaSet) -> bool) -> bool {
    wanted.rolling || !(sets.stop_old(wanted) || sets.old.iter().any(|set| actual(set) > 0 || has_pods(set)))
}

/// The ReplicaSet of a template that has none yet.
fn first(
    deployment: &Deployment,
    revision: i64,
    sets: &mut Sets,
    wanted: &Wanted,
    said: &mut DeploymentStatus,
    now: Timestamp,
) -> Option<ReplicaSet> {
    let mut set = revision::new_set(deployment, revision, wanted)?;
    let replicas = sets.first_replicas(wanted);
    set.spec.as_mut()?.replicas = Some(replicas);
    if replicas > 0 {
        sets.events.push(format!("Scaled up replica set {} from 0 to {replicas}", set.name_any()));
    }
    if wanted.progress_deadline.is_some() {
        let message = format!("Created new replica set \"{}\"", set.name_any());
        conditions::set(said, conditions::new(PROGRESSING, "True", "NewReplicaSetCreated", message, now));
    }
    sets.new = Some(set.clone());
    Some(set)
}

/// Gives the Deployment the revision of its current template.
fn note_revision(
    next: &mut Deployment,
    new: &ReplicaSet,
    said: &mut DeploymentStatus,
    wanted: &Wanted,
    now: Timestamp,
) {
    if let Some(revision) = new.annotations().get(revision::REVISION) {
        next.annotations_mut().insert(revision::REVISION.to_owned(), revision.clone());
    }
    if wanted.progress_deadline.is_some() && conditions::find(said, PROGRESSING).is_none() {
        let message = format!("Found new replica set \"{}\"", new.name_any());
        conditions::set(said, conditions::new(PROGRESSING, "True", "FoundNewReplicaSet", message, now));
    }
}

fn say_paused(status: &mut DeploymentStatus, wanted: &Wanted, now: Timestamp) {
    let reason = conditions::reason(status, PROGRESSING);
    if wanted.progress_deadline.is_none() || reason == Some(conditions::TIMED_OUT) {
        return;
    }
    let (reason, message) = match (wanted.paused, reason == Some(conditions::PAUSED)) {
        (true, false) => (conditions::PAUSED, "Deployment is paused"),
        (false, true) => ("DeploymentResumed", "Deployment is resumed"),
        _ => return,
    };
    conditions::set(status, conditions::new(PROGRESSING, "Unknown", reason, message.to_owned(), now));
}

/// Old ReplicaSets without Pods beyond those that are kept to go back to.
fn surplus(
    sets: &Sets,
    wanted: &Wanted,
    before: Option<&DeploymentStatus>,
    deployment: &Deployment,
    follows: bool,
) -> Vec<ReplicaSet> {
    let complete = before.is_some_and(|status| status::is_complete(status, deployment, wanted));
    let Some(limit) = wanted.history.filter(|_| complete || follows) else { return Vec::new() };
    let mut alive: Vec<&ReplicaSet> = sets.old.iter().filter(|set| !pods::is_deleting(*set)).collect();
    alive.sort_by_key(|set| revision::of(set));
    let too_many = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let observed = |set: &ReplicaSet| set.status.as_ref().and_then(|status| status.observed_generation);
    let idle = |set: &&ReplicaSet| actual(set) == 0 && replicas(set) == 0 && observed(set) >= set.metadata.generation;
    alive.into_iter().take(too_many).filter(idle).cloned().collect()
}
