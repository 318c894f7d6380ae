//! What there is to do about a Pod, as far as the Pod and the configuration alone can tell. Pure.
//!
//! Whatever becomes of the rest, this much is always decided, and so a Pod that is not to be held any more never stays
//! held: its deadline has passed, it has ended, nobody selects it, or it was not evicted in the first place.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::drain::{FINALIZER, FINALIZERS, Hold, Outcome, Released};

use super::configuration::{FinalizerHolds, Problem, Terms};
use super::configured::Standing;
use super::measures::By;
use super::pod::Pod;
use super::ready::is_evicted;
use super::selection::{Ignored, is_terminal, select};
use super::turn::Peer;
use super::workload::{Policy, WaitsFor, Workload};
use super::{isolate, overrides};

/// Everything that is known without asking the API server.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) pod: &'a Pod,
    pub(super) standing: &'a Standing,
    /// Of its namespace.
    pub(super) namespace_labels: &'a BTreeMap<String, String>,
    /// The other Pods of its set.
    pub(super) peers: &'a [Peer],
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Intent {
    /// Nothing; look again then, if not before.
    Rest(Option<Timestamp>),
    /// This, whatever else is known.
    Do(Step),
    /// It drains, and how far it has come is to be seen.
    Drain(Box<Drain>),
}

/// One write. After it, the Pod is looked at again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Keep the Pod's object when the Pod is deleted.
    Guard,
    /// Do not keep the object of a Pod that nobody deletes.
    Unguard,
    /// Let the Pod be ready.
    Serve,
    /// Take the Pod out of its Services.
    TakeOut(isolate::Way),
    /// Let the Pod go.
    Release(Release),
    /// Put the Pod back into its Services, and forget the drain.
    PutBack(String),
    /// Complete the eviction of a Pod that nobody will ask for again.
    Evict,
}

/// The end of a drain.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Release {
    pub(super) by: By,
    pub(super) outcome: Outcome,
    /// When it was asked for.
    pub(super) requested: Timestamp,
    /// Why now, for people.
    pub(super) why: String,
}

/// A drain under way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drain {
    pub(super) by: By,
    /// When it was asked for.
    pub(super) requested: Timestamp,
    /// Who asked, as far as that is known.
    pub(super) requested_by: String,
    /// Since when the Pod is out of its Services on purpose.
    pub(super) isolated: Option<Timestamp>,
    /// When it is given up.
    pub(super) deadline: Timestamp,
    pub(super) terms: Terms,
    pub(super) policy: Policy,
}

impl Drain {
    pub(super) fn release(&self, outcome: Outcome, why: impl Into<String>) -> Step {
        Step::Release(Release { by: self.by, outcome, requested: self.requested, why: why.into() })
    }
}

/// A moment this much later.
pub(super) fn later(moment: Timestamp, wait: Duration) -> Timestamp {
    moment.saturating_add(SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// What there is to do, and what is wrong with the Pod's annotations.
pub(super) fn intent(view: View<'_>, now: Timestamp) -> (Intent, Vec<Problem>) {
    let View { pod, standing, namespace_labels, .. } = view;
    let selected = select(pod, &standing.configuration, namespace_labels);
    let (terms, problems) = overrides::terms(&standing.configuration, pod);
    let problems = if selected.is_ok() { problems } else { Vec::new() };
    let intent = match (pod.metadata.deletion_timestamp.is_some(), selected) {
        (true, selected) => deleted(view, selected.err(), terms, now),
        (false, Err(ignored)) => ignored_one(pod, ignored),
        (false, Ok(_)) => living(view, terms, now),
    };
    (intent, problems)
}

/// A Pod that is being deleted: its object is kept while it drains.
fn deleted(view: View<'_>, ignored: Option<Ignored>, terms: Terms, now: Timestamp) -> Intent {
    let View { pod, standing, .. } = view;
    if !FINALIZERS.iter().any(|finalizer| has(pod, finalizer)) {
        return Intent::Rest(None);
    }
    let requested = deletion_requested(pod).unwrap_or(now);
    let hold = Hold::of(pod.annotations());
    let release =
        |outcome, why: String| Intent::Do(Step::Release(Release { by: By::Finalizer, outcome, requested, why }));
    if is_terminal(pod) {
        return release(Outcome::Ended, "none of its containers runs any more".to_owned());
    }
    if let Some(ignored) = ignored {
        return release(Outcome::Dropped, format!("it is not drained: {ignored}"));
    }
    if let Some(Released { outcome, .. }) = hold.as_ref().and_then(|hold| hold.released) {
        return release(outcome, "it was drained before it was evicted".to_owned());
    }
    if !terms.mechanisms.finalizer {
        return release(Outcome::Dropped, "the finalizer is not among the mechanisms".to_owned());
    }
    if pod.metadata.deletion_grace_period_seconds == Some(0) {
        return release(Outcome::Dropped, "it was deleted without grace".to_owned());
    }
    let waits =
        standing.configuration.finalizer_holds == FinalizerHolds::Deletions || is_evicted(pod) || hold.is_some();
    if !waits {
        return release(Outcome::Dropped, "it was deleted, not evicted".to_owned());
    }
    let drain = Drain {
        by: By::Finalizer,
        requested,
        requested_by: hold.map(|hold| hold.requested_by).unwrap_or_default(),
        isolated: None,
        deadline: later(requested, terms.timeout),
        policy: Workload::of(pod).policy(),
        terms,
    };
    begun_or_given_up(drain, now)
}

/// When somebody asked for the deletion: what the Pod carries is when its grace ends.
fn deletion_requested(pod: &Pod) -> Option<Timestamp> {
    let ends = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or_default());
    ends.saturating_sub(grace).ok()
}

/// A Pod that is not drained, and not deleted.
fn ignored_one(pod: &Pod, ignored: Ignored) -> Intent {
    let hold = Hold::of(pod.annotations());
    match (ignored, hold) {
        _ if has(pod, FINALIZER) => Intent::Do(Step::Unguard),
        (Ignored::Terminal, Some(Hold { released: None, requested_at, .. })) => Intent::Do(Step::Release(Release {
            by: By::EvictionGate,
            outcome: Outcome::Ended,
            requested: requested_at,
            why: "none of its containers runs any more".to_owned(),
        })),
        (Ignored::Terminal, Some(_)) if isolate::is_orphan(pod) => Intent::Do(Step::Evict),
        // Nobody needs its labels and annotations any more.
        (Ignored::Terminal, _) => Intent::Rest(None),
        _ if Hold::is_marked(pod.annotations()) => Intent::Do(Step::PutBack(format!("it is not drained: {ignored}"))),
        _ => serve_or(pod, Intent::Rest(None)),
    }
}

/// A Pod that is drained when the time comes, or is held already.
fn living(view: View<'_>, terms: Terms, now: Timestamp) -> Intent {
    let View { pod, standing, peers, .. } = view;
    let runs = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    let put_back = |why: &str| Intent::Do(Step::PutBack(why.to_owned()));
    match (has(pod, FINALIZER), terms.mechanisms.finalizer) {
        (false, true) if runs && standing.is_chosen => return Intent::Do(Step::Guard),
        (true, false) => return Intent::Do(Step::Unguard),
        _ => {}
    }
    let Some(hold) = Hold::of(pod.annotations()) else {
        let forgotten = Hold::is_marked(pod.annotations());
        return if forgotten { put_back("its drain cannot be made out") } else { serve_or(pod, Intent::Rest(None)) };
    };
    if !terms.mechanisms.eviction_gate {
        return put_back("the eviction gate is not among the mechanisms");
    }
    if let Some(released) = hold.released {
        let expires = later(released.at, standing.configuration.hold);
        return if isolate::is_orphan(pod) {
            Intent::Do(Step::Evict)
        } else if now >= expires {
            put_back("nobody asked for its eviction again")
        } else {
            Intent::Rest(Some(expires))
        };
    }
    let policy = Workload::of(pod).policy();
    // Whoever waits for its turn has as long as everybody before it, and then as long as everybody.
    let turns = if policy.takes_turns { u32::try_from(peers.len()).unwrap_or(u32::MAX).saturating_add(1) } else { 1 };
    let deadline = match hold.isolated_at {
        Some(isolated) => later(isolated, terms.timeout),
        None => later(hold.requested_at, terms.timeout.saturating_mul(turns)),
    };
    let drain = Drain {
        by: By::EvictionGate,
        requested: hold.requested_at,
        requested_by: hold.requested_by,
        isolated: hold.isolated_at,
        deadline,
        terms,
        policy,
    };
    begun_or_given_up(drain, now)
}

fn begun_or_given_up(drain: Drain, now: Timestamp) -> Intent {
    if now >= drain.deadline {
        let what = match drain.policy.waits_for {
            WaitsFor::Connections if drain.by == By::EvictionGate && drain.isolated.is_none() => {
                "it could not be taken out of its Services"
            }
            WaitsFor::Connections => "it still has connections, or nobody could tell",
            WaitsFor::Completion => "it has not completed",
        };
        let why = format!("{what} after {:?}", drain.deadline.duration_since(drain.requested).unsigned_abs());
        return Intent::Do(drain.release(Outcome::TimedOut, why));
    }
    Intent::Drain(Box::new(drain))
}

/// A Pod with our readiness gate becomes ready only when we say so, drained or not.
fn serve_or(pod: &Pod, otherwise: Intent) -> Intent {
    let silent = isolate::condition(pod, true, Timestamp::UNIX_EPOCH).is_some();
    if silent { Intent::Do(Step::Serve) } else { otherwise }
}

fn has(pod: &Pod, finalizer: &str) -> bool {
    pod.finalizers().iter().any(|other| other == finalizer)
}
