//! How many Pods each ReplicaSet of a Deployment is to have next. Pure.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::ResourceExt;

use super::revision;
use super::spec::Wanted;

/// The ReplicaSets of a Deployment, as they are to be.
#[derive(Debug)]
pub(super) struct Sets {
    /// That of the current template.
    pub(super) new: Option<ReplicaSet>,
    /// Those of former templates, the oldest first.
    pub(super) old: Vec<ReplicaSet>,
    /// What was scaled, in the words of Events.
    pub(super) events: Vec<String>,
}

pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// The Pods that a ReplicaSet has.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

impl Sets {
    /// Every ReplicaSet, the current one last.
    pub(super) fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    fn total(&self) -> i32 {
        self.all().map(replicas).sum()
    }

    /// Whether the wanted number has changed since the sets were last scaled.
    pub(super) fn is_scaling(&self, wanted: &Wanted) -> bool {
        let mut active = self.all().filter(|set| replicas(set) > 0);
        active.any(|set| revision::desired(set).is_some_and(|desired| desired != wanted.replicas))
    }

    /// Replaces Pods a few at a time: first more new ones, and only then fewer old ones.
    pub(super) fn roll(&mut self, wanted: &Wanted) -> bool {
        let total = self.total();
        let Self { new: Some(new), old, events } = self else { return false };
        let before = replicas(new);
        let next = if before >= wanted.replicas {
            wanted.replicas
        } else {
            before + headroom(wanted, total).min(wanted.replicas - before)
        };
        if scale(new, next, wanted, events) {
            return true;
        }
        let min_available = wanted.replicas - wanted.max_unavailable;
        let new_unavailable = replicas(new) - available(new);
        let spare = total - min_available - new_unavailable;
        if spare <= 0 || old.iter().all(|set| replicas(set) == 0) {
            return false;
        }
        let mut cleaned = 0;
        for set in old.iter_mut() {
            // Pods that do not work are no loss.
            let broken = (replicas(set) - available(set)).min(spare - cleaned);
            if broken > 0 {
                let next = replicas(set) - broken;
                scale(set, next, wanted, events);
                cleaned += broken;
            }
        }
        let mut surplus = old.iter().map(available).sum::<i32>() + available(new) - min_available;
        let mut released = 0;
        for set in old.iter_mut() {
            let fewer = replicas(set).min(surplus);
            if fewer > 0 {
                let next = replicas(set) - fewer;
                scale(set, next, wanted, events);
                surplus -= fewer;
                released += fewer;
            }
        }
        cleaned + released > 0
    }

    /// Gives up all old Pods; says whether there were any to give up.
    pub(super) fn stop_old(&mut self, wanted: &Wanted) -> bool {
        let mut stopped = false;
        for set in &mut self.old {
            stopped |= scale(set, 0, wanted, &mut self.events);
        }
        stopped
    }

    /// Gives the current template all Pods.
    pub(super) fn start_new(&mut self, wanted: &Wanted) {
        if let Some(new) = &mut self.new {
            scale(new, wanted.replicas, wanted, &mut self.events);
        }
    }

    /// How many Pods a ReplicaSet that is made now begins with.
    pub(super) fn first_replicas(&self, wanted: &Wanted) -> i32 {
        if wanted.rolling { headroom(wanted, self.total()).min(wanted.replicas) } else { wanted.replicas }
    }

    /// Follows a changed number outside a rollout, or in the middle of one: then in proportion, so that the rollout is
    /// as far as it was.
    pub(super) fn follow(&mut self, deployment: &Deployment, wanted: &Wanted) {
        let active = self.all().filter(|set| replicas(set) > 0).count();
        let Self { new, old, events } = self;
        if active <= 1 {
            let newest = |sets: &mut [ReplicaSet]| sets.iter().rposition(|set| active == 0 || replicas(set) > 0);
            let only = match new {
                Some(new) if active == 0 || replicas(new) > 0 => Some(new),
                _ => newest(old).and_then(|at| old.get_mut(at)),
            };
            if let Some(only) = only {
                scale(only, wanted.replicas, wanted, events);
            }
            return;
        }
        let saturated = new.as_ref().is_some_and(|new| {
            let enough = revision::desired(new) == Some(wanted.replicas) && available(new) == wanted.replicas;
            enough && replicas(new) == wanted.replicas
        });
        if saturated {
            self.stop_old(wanted);
        } else if wanted.rolling {
            let sets = old.iter_mut().chain(new.as_mut()).filter(|set| replicas(set) > 0).collect();
            in_proportion(sets, deployment, wanted, events);
        }
    }
}

/// How many more Pods there may be.
fn headroom(wanted: &Wanted, total: i32) -> i32 {
    (wanted.replicas + wanted.max_surge - total).max(0)
}

fn scale(set: &mut ReplicaSet, to: i32, wanted: &Wanted, events: &mut Vec<String>) -> bool {
    let from = replicas(set);
    if from == to {
        return false;
    }
    let direction = if to > from { "up" } else { "down" };
    events.push(format!("Scaled {direction} replica set {} from {from} to {to}", set.name_any()));
    if let Some(spec) = &mut set.spec {
        spec.replicas = Some(to);
    }
    revision::note_scale(set, wanted);
    true
}

fn in_proportion(mut sets: Vec<&mut ReplicaSet>, deployment: &Deployment, wanted: &Wanted, events: &mut Vec<String>) {
    let total: i32 = sets.iter().map(|set| replicas(set)).sum();
    let allowed = if wanted.replicas > 0 { wanted.replicas + wanted.max_surge } else { 0 };
    let to_add = allowed - total;
    let made = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    // The largest first; of two as large, the newer gets more and the older loses more.
    if to_add > 0 {
        sets.sort_by_key(|set| (std::cmp::Reverse(replicas(set)), std::cmp::Reverse(made(set))));
    } else {
        sets.sort_by_key(|set| (std::cmp::Reverse(replicas(set)), made(set)));
    }
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(sets.len());
    for set in &sets {
        let left = to_add - added;
        let share = share(set, deployment, wanted);
        let share = if left == 0 {
            0
        } else if to_add > 0 {
            share.min(left)
        } else {
            share.max(left)
        };
        sizes.push(replicas(set) + share);
        added += share;
    }
    // What rounding leaves over goes to the largest.
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (set, size) in sets.into_iter().zip(sizes) {
        if !scale(set, size, wanted, events) {
            revision::note_scale(set, wanted);
        }
    }
}

/// By how much a ReplicaSet would change if it kept its part of the whole.
fn share(set: &ReplicaSet, deployment: &Deployment, wanted: &Wanted) -> i32 {
    if wanted.replicas == 0 {
        return -replicas(set);
    }
    let had = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    let before = i64::from(revision::max(set).filter(|max| *max > 0).unwrap_or(had));
    if before == 0 {
        return 0;
    }
    let scaled = i64::from(replicas(set)) * i64::from(wanted.replicas + wanted.max_surge);
    let rounded = (2 * scaled + before) / (2 * before);
    i32::try_from(rounded).unwrap_or(i32::MAX) - replicas(set)
}
