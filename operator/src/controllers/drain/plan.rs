//! What to do about a drain under way. Pure.
//!
//! What is not known is never taken for "no connections": where nobody can count them, a Pod stays for the grace period
//! after it has left its Services, and where it cannot leave them, until its deadline.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::drain::{LABELS, Outcome};

use super::configuration::Configuration;
use super::connections::{Found, Kind, Reading};
use super::intent::{Drain, Step, later};
use super::isolate::{self, Way};
use super::measures::By;
use super::pod::Pod;
use super::ready::unready_since;
use super::turn::{self, Peer, Set};
use super::workload::WaitsFor;

/// What the API server says about a drain.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// The set the Pod belongs to, where its Pods take turns.
    pub(super) set: Option<Set>,
    /// Why its disruption budgets do not allow for it to leave its Services now.
    pub(super) refused: Option<String>,
    /// How the Pod leaves its Services.
    pub(super) way: Option<Way>,
    /// Its connections, where the time has come to count them.
    pub(super) reading: Option<Reading>,
}

/// What is asked about a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Questions {
    /// [`Facts::set`]
    pub(super) set: bool,
    /// [`Facts::refused`]
    pub(super) budgets: bool,
    /// [`Facts::way`]
    pub(super) way: bool,
    /// [`Facts::reading`]
    pub(super) reading: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) step: Option<Step>,
    /// When to look again, if nothing happens before.
    pub(super) wake: Timestamp,
    /// What is waited for.
    pub(super) waits: Option<Waits>,
}

/// What a drain waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Another Pod's turn.
    Turn(String),
    /// A disruption budget.
    Budget(String),
    /// What was read of its connections.
    Connections(String),
    /// The end of its work.
    Completion,
}

/// What has to be asked before this drain can go on.
pub(super) fn questions(drain: &Drain, pod: &Pod, now: Timestamp) -> Questions {
    let none = Questions { set: false, budgets: false, way: false, reading: false };
    if drain.policy.waits_for == WaitsFor::Completion {
        return none;
    }
    match (drain.by, drain.isolated) {
        (By::Finalizer, _) => Questions { set: drain.policy.takes_turns, reading: true, ..none },
        (By::EvictionGate, None) => Questions {
            set: drain.policy.takes_turns,
            budgets: drain.policy.respects_budgets && unready_since(pod).is_none(),
            way: true,
            ..none
        },
        (By::EvictionGate, Some(_)) if now < settled(drain, pod) => none,
        (By::EvictionGate, Some(_)) => Questions { way: true, reading: true, ..none },
    }
}

/// When everybody knows that the Pod has left its Services.
fn settled(drain: &Drain, pod: &Pod) -> Timestamp {
    let left = isolate::has_gate(pod) || pod.annotations().contains_key(LABELS);
    drain.isolated.map_or(drain.requested, |at| if left { later(at, drain.terms.settle) } else { at })
}

/// What to do next.
pub(super) fn plan(
    drain: &Drain,
    pod: &Pod,
    peers: &[Peer],
    facts: &Facts,
    configuration: &Configuration,
    now: Timestamp,
) -> Plan {
    let recheck = later(now, configuration.recheck).min(drain.deadline);
    let step = |step| Plan { step: Some(step), wake: now, waits: None };
    let wait = |wake: Timestamp, waits| Plan { step: None, wake: wake.min(drain.deadline), waits: Some(waits) };
    if drain.policy.waits_for == WaitsFor::Completion {
        return wait(drain.deadline, Waits::Completion);
    }
    let blocked = facts.set.as_ref().and_then(|set| match drain.by {
        By::EvictionGate => turn::before_eviction(pod, peers, set),
        By::Finalizer => turn::before_release(pod, peers, set),
    });
    if let Some(why) = blocked {
        return wait(recheck, Waits::Turn(why));
    }
    if drain.by == By::EvictionGate && drain.isolated.is_none() {
        return match (&facts.refused, &facts.way) {
            (Some(why), _) => wait(recheck, Waits::Budget(why.clone())),
            (None, Some(way)) => step(Step::TakeOut(way.clone())),
            (None, None) => wait(recheck, Waits::Connections("its Services are not known".to_owned())),
        };
    }
    let Some(reading) = &facts.reading else {
        return wait(settled(drain, pod), Waits::Connections("its Services are told".to_owned()));
    };
    let waits = Waits::Connections(reading.to_string());
    match reading.found {
        Some(Found { source: Kind::Endpoints, connections: 0 }) | None => {}
        Some(Found { connections: 0, .. }) => return step(drain.release(Outcome::Idle, reading.to_string())),
        Some(_) => return wait(recheck, waits),
    }
    match out_since(drain, pod, facts) {
        None => wait(recheck, waits),
        Some(since) if now >= later(since, drain.terms.grace) => {
            let why = format!("{reading}; it has been out of its Services for {:?}", drain.terms.grace);
            step(drain.release(Outcome::Assumed, why))
        }
        Some(since) => wait(recheck.min(later(since, drain.terms.grace)), waits),
    }
}

/// Since when no Service sends the Pod requests; `None` while one may.
fn out_since(drain: &Drain, pod: &Pod, facts: &Facts) -> Option<Timestamp> {
    let on_purpose = match drain.by {
        // Who is being deleted is left out at once.
        By::Finalizer => Some(drain.requested),
        By::EvictionGate if facts.way == Some(Way::None) => None,
        By::EvictionGate => drain.isolated,
    };
    [on_purpose, unready_since(pod)].into_iter().flatten().min()
}
