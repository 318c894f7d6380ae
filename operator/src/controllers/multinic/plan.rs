//! What to do next. Pure: time is an argument, and nothing is read or written.
//!
//! Two rules hold in every plan: an agent starts only on a node without another one, and a Job is removed only after
//! the status tells what it came to.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::agent::{AgentAction, OsKind};
use crate::api::multinic::{MultiNicNodeConfigStatus, State};

use super::job::Order;
use super::observe::{AgentJob, JobPhase, NodeFacts, Observed};
use super::outcome::{self, Outcome, Why};
use super::validate::{Accepted, Refusal, check_node};
use super::{Settings, labels, os, status};

/// What to do next, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Hold the configuration until its node is cleaned up.
    pub(super) hold: bool,
    /// Jobs that may have an agent running and must not.
    pub(super) stop: Vec<JobRef>,
    /// The Job to make.
    pub(super) create: Option<Order>,
    /// What the status is to say.
    pub(super) progress: Progress,
    /// Jobs that have ended, to remove once the status is written.
    pub(super) discard: Vec<JobRef>,
    /// Let the configuration go, with nothing left to do.
    pub(super) release: Option<Release>,
    /// When to look again, if nothing happens before.
    pub(super) wake: Option<Timestamp>,
}

/// A Job, and no other of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRef {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// One Job of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) action: AgentAction,
    pub(super) job: String,
    pub(super) attempt: i32,
    pub(super) system_uuid: String,
}

/// Where the configuration stands, for its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// Where the status already says.
    #[default]
    Unchanged,
    /// No agent can run.
    Refused(Refusal),
    /// An agent must first leave the node.
    Blocked { action: AgentAction, by: String },
    /// The API server does not let the Job be made.
    Denied { action: AgentAction, message: String },
    /// An agent is at work, or something keeps it from its work.
    Running { run: Try, trouble: Option<Why> },
    /// An apply has ended.
    Applied { run: Try, outcome: Outcome, retry: Option<Timestamp> },
    /// A cleanup has ended, and nothing is left on the node.
    Cleaned { run: Try },
    /// A cleanup has ended, and not well.
    NotCleaned { run: Try, why: Why, retry: Timestamp },
    /// A Job went away before its agent said what it had done.
    Lost { run: Try, retry: Timestamp },
}

/// Why a configuration is let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// Its node is cleaned up.
    Cleaned,
    /// There is nothing to clean up, or nothing that could.
    Skipped(String),
    /// The cleanup has failed for too long.
    Abandoned(String),
}

/// What to do next.
pub(super) fn plan(
    observed: &Observed,
    verdict: Result<Accepted, Refusal>,
    settings: &Settings,
    now: Timestamp,
) -> Plan {
    let view = View::of(observed, settings, now);
    if observed.config.metadata.deletion_timestamp.is_some() {
        return if view.held() { view.clean_up() } else { Plan::default() };
    }
    match verdict {
        Err(refusal) => view.refuse(refusal),
        Ok(accepted) => view.configure(&accepted),
    }
}

/// What is observed, with what follows from it.
struct View<'a> {
    observed: &'a Observed,
    settings: &'a Settings,
    now: Timestamp,
    uid: String,
    generation: i64,
    status: MultiNicNodeConfigStatus,
}

impl<'a> View<'a> {
    fn of(observed: &'a Observed, settings: &'a Settings, now: Timestamp) -> Self {
        let config = &observed.config;
        Self {
            observed,
            settings,
            now,
            uid: config.uid().unwrap_or_default(),
            generation: config.metadata.generation.unwrap_or_default(),
            status: config.status.clone().unwrap_or_default(),
        }
    }

    fn held(&self) -> bool {
        self.observed.config.finalizers().iter().any(|finalizer| finalizer == labels::FINALIZER)
    }

    /// The Jobs of this configuration.
    fn own(&self) -> impl Iterator<Item = &'a AgentJob> {
        let uid = self.uid.clone();
        self.observed.jobs.iter().filter(move |job| job.config_uid == uid)
    }

    /// Sorts Jobs that are not needed into those to stop now and those to remove once the status is written.
    fn dismiss(jobs: impl Iterator<Item = &'a AgentJob>, plan: &mut Plan) {
        for job in jobs.filter(|job| !job.leaving) {
            let list = if job.phase == JobPhase::Active { &mut plan.stop } else { &mut plan.discard };
            list.push(JobRef::from(job));
        }
    }

    fn refuse(&self, refusal: Refusal) -> Plan {
        let mut plan = Plan::default();
        Self::dismiss(self.own(), &mut plan);
        if matches!(refusal, Refusal::NodeClaimed { .. }) {
            // The rival's Jobs wake this object when they go, which may be a moment before the rival itself does.
            plan.wake = Some(self.later(self.settings.retry.max));
        }
        plan.progress = Progress::Refused(refusal);
        plan
    }

    fn configure(&self, accepted: &Accepted) -> Plan {
        let node = &accepted.node;
        let mut plan = Plan { hold: !self.held(), ..Plan::default() };
        let wanted = |job: &&AgentJob| {
            job.action != AgentAction::Cleanup
                && job.generation == self.generation
                && job.system_uuid == node.system_uuid
        };
        let current = self.own().filter(wanted).max_by_key(|job| job.attempt);
        Self::dismiss(self.own().filter(|job| current.is_none_or(|current| current.uid != job.uid)), &mut plan);

        let same_machine = self.status.system_uuid.as_ref().is_none_or(|uuid| *uuid == node.system_uuid);
        let round = if same_machine { self.round() } else { Round::default() };
        match current {
            Some(job) if job.phase == JobPhase::Active => {
                plan.progress = Progress::Running { run: Try::from(job), trouble: self.trouble(job) };
            }
            Some(job) if !round.tells_of(job) => {
                let trouble = status::trouble(&self.status);
                let interfaces = &accepted.interfaces.interfaces;
                let outcome = outcome::of_apply(job, &self.observed.pods, interfaces, trouble.as_ref());
                let retry = (!outcome.done).then(|| self.retry_after(job.attempt));
                plan.wake = retry;
                plan.progress = Progress::Applied { run: Try::from(job), outcome, retry };
                plan.discard.push(JobRef::from(job));
            }
            finished => {
                plan.discard.extend(finished.map(JobRef::from));
                let order = Order {
                    action: AgentAction::Apply,
                    attempt: 0,
                    node: node.clone(),
                    os: accepted.os,
                    interfaces: accepted.interfaces.interfaces.clone(),
                };
                self.next_order(&round, order, &mut plan);
            }
        }
        plan
    }

    fn clean_up(&self) -> Plan {
        let mut plan = Plan::default();
        let (os, node) = match self.cleanable() {
            Ok(target) => target,
            Err(Uncleanable::Never(release)) => {
                plan.discard = self.own().filter(|job| !job.leaving).map(JobRef::from).collect();
                plan.release = Some(release);
                return plan;
            }
            Err(Uncleanable::NotYet(refusal)) => {
                Self::dismiss(self.own(), &mut plan);
                plan.progress = Progress::Refused(refusal);
                plan.wake = Some(self.cleanup_ends());
                return plan;
            }
        };
        let cleanups = self.own().filter(|job| job.action == AgentAction::Cleanup);
        let current = cleanups.max_by_key(|job| (job.generation, job.attempt));
        Self::dismiss(self.own().filter(|job| current.is_none_or(|current| current.uid != job.uid)), &mut plan);

        let round = self.round();
        match current {
            Some(job) if job.phase == JobPhase::Active => {
                plan.progress = Progress::Running { run: Try::from(job), trouble: self.trouble(job) };
            }
            finished if round.state.is_some() && status::is_cleaned(&self.status) => {
                plan.discard.extend(finished.map(JobRef::from));
                plan.release = Some(Release::Cleaned);
            }
            Some(job) if !round.tells_of(job) => {
                plan.discard.push(JobRef::from(job));
                match outcome::of_cleanup(job, &self.observed.pods, status::trouble(&self.status).as_ref()) {
                    None => {
                        plan.progress = Progress::Cleaned { run: Try::from(job) };
                        plan.release = Some(Release::Cleaned);
                    }
                    Some(why) => {
                        let retry = self.retry_after(job.attempt);
                        plan.wake = Some(retry);
                        plan.progress = Progress::NotCleaned { run: Try::from(job), why, retry };
                    }
                }
            }
            finished => {
                plan.discard.extend(finished.map(JobRef::from));
                let order =
                    Order { action: AgentAction::Cleanup, attempt: 0, node: node.clone(), os, interfaces: Vec::new() };
                self.next_order(&round, order, &mut plan);
            }
        }
        plan.wake = Some(plan.wake.map_or(self.cleanup_ends(), |wake| wake.min(self.cleanup_ends())));
        plan
    }

    /// Nothing of this round is running: waits, or makes the next Job once no other agent is on the node.
    fn next_order(&self, round: &Round, order: Order, plan: &mut Plan) {
        let last = || Try {
            action: order.action,
            job: round.job.clone().unwrap_or_default(),
            attempt: round.attempts,
            system_uuid: order.node.system_uuid.clone(),
        };
        match (round.state, round.retry) {
            (Some(State::Configured), _) => return,
            (_, Some(retry)) if self.now < retry => {
                plan.wake = Some(retry);
                return;
            }
            (Some(State::InProgress), _) => {
                let retry = self.retry_after(round.attempts);
                plan.wake = Some(retry);
                plan.progress = Progress::Lost { run: last(), retry };
                return;
            }
            _ => {}
        }
        if let Some(by) = self.other_agent() {
            plan.progress = Progress::Blocked { action: order.action, by };
            return;
        }
        let order = Order { attempt: round.attempts + 1, ..order };
        let run = Try {
            action: order.action,
            job: order.job_name(&self.observed.config),
            attempt: order.attempt,
            system_uuid: order.node.system_uuid.clone(),
        };
        plan.progress = Progress::Running { run, trouble: None };
        plan.create = Some(order);
    }

    /// An agent that is on the node, or may come to it at any moment.
    fn other_agent(&self) -> Option<String> {
        let job = self.observed.jobs.iter().find(|job| job.phase == JobPhase::Active);
        let pod = self.observed.pods.iter().find(|pod| !pod.ended);
        job.map(|job| format!("Job {}", job.name)).or_else(|| pod.map(|pod| format!("Pod {}", pod.name)))
    }

    /// What keeps a Job's agent from running. A kubelet that cannot pull an image says so in two ways by turns; the
    /// status keeps the first, which tells more, and does not follow.
    fn trouble(&self, job: &AgentJob) -> Option<Why> {
        let own = || self.observed.pods.iter().filter(|pod| pod.job_uid == job.uid);
        if own().next().is_none() && self.status.last_job_name.as_ref() == Some(&job.name) {
            // A Job whose time is up loses its Pod before it says that it has failed, and the reason is still the same.
            return status::trouble(&self.status);
        }
        let (reason, message) = own().find_map(|pod| pod.waiting.clone())?;
        let reason = if reason == "ErrImagePull" { "ImagePullBackOff".to_owned() } else { reason };
        let known = status::trouble(&self.status).filter(|known| known.reason == reason);
        Some(known.unwrap_or_else(|| Why::new(reason, format!("the agent's Pod is waiting: {message}"))))
    }

    /// What the status says of the generation at hand. Deletion makes a generation of its own, so the tries of a
    /// cleanup are not mixed up with those of the apply before it.
    fn round(&self) -> Round {
        if self.status.observed_generation != Some(self.generation) {
            return Round::default();
        }
        Round {
            state: self.status.state,
            job: self.status.last_job_name.clone(),
            attempts: self.status.attempts.unwrap_or_default(),
            retry: self.status.next_retry_time.as_ref().map(|time| time.0),
        }
    }

    /// Where and how to clean up.
    fn cleanable(&self) -> Result<(OsKind, &'a NodeFacts), Uncleanable> {
        let skipped = |why: String| Err(Uncleanable::Never(Release::Skipped(why)));
        let config = &self.observed.config;
        let name = &config.spec.node_name;
        if config.annotations().get(labels::SKIP_CLEANUP).is_some_and(|value| value == "true") {
            return skipped(format!("the annotation {} says so", labels::SKIP_CLEANUP));
        }
        let Some(node) = &self.observed.node else {
            return skipped(format!("node {name} does not exist any more"));
        };
        if let Some(uuid) = self.status.system_uuid.as_ref().filter(|uuid| **uuid != node.system_uuid) {
            return skipped(format!("node {name} is another machine now: its system UUID was {uuid}"));
        }
        if let Some(rival) = &self.observed.rival {
            return skipped(format!("node {name} is configured by {rival}"));
        }
        let touched = self.status.system_uuid.is_some() || self.own().next().is_some();
        let target = match check_node(node, config.spec.instance_id.as_deref()) {
            Ok(os) => Ok((os, node)),
            Err(refusal) if !touched => return skipped(refusal.to_string()),
            // The spec may have been changed since; this machine is the one that was configured.
            Err(Refusal::InstanceMismatch { .. }) => match os::detect(&node.os_image) {
                Some(os) => Ok((os, node)),
                None => return skipped(format!("no agent can run on {:?}", node.os_image)),
            },
            Err(refusal) => Err(Uncleanable::NotYet(refusal)),
        };
        if self.now < self.cleanup_ends() {
            return target;
        }
        let message = format!("node {name} could not be cleaned up in {:?}", self.settings.cleanup_deadline);
        Err(Uncleanable::Never(Release::Abandoned(message)))
    }

    fn cleanup_ends(&self) -> Timestamp {
        let deleted = self.observed.config.metadata.deletion_timestamp.as_ref().map_or(self.now, |time| time.0);
        after(deleted, self.settings.cleanup_deadline)
    }

    fn retry_after(&self, failures: i32) -> Timestamp {
        let failures = u32::try_from(failures).unwrap_or_default().max(1);
        self.later(self.settings.retry.delay(failures, &self.uid))
    }

    fn later(&self, wait: Duration) -> Timestamp {
        after(self.now, wait)
    }
}

/// What the status says of the tries of one generation.
#[derive(Default)]
struct Round {
    state: Option<State>,
    job: Option<String>,
    attempts: i32,
    retry: Option<Timestamp>,
}

impl Round {
    /// Whether the status says already what this Job came to.
    fn tells_of(&self, job: &AgentJob) -> bool {
        self.job.as_deref() == Some(&job.name) && matches!(self.state, Some(State::Configured | State::Failed))
    }
}

/// Why a node is not cleaned up.
enum Uncleanable {
    Never(Release),
    NotYet(Refusal),
}

/// In whole seconds, as a status holds it; never earlier than asked for.
fn after(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    let time = time.saturating_add(wait).unwrap_or(Timestamp::MAX);
    let part = time.subsec_nanosecond();
    let rest = if part == 0 { SignedDuration::ZERO } else { SignedDuration::from_secs(1) };
    let whole = time.saturating_sub(SignedDuration::from_nanos(part.into())).unwrap_or(time);
    whole.saturating_add(rest).unwrap_or(Timestamp::MAX)
}

impl From<&AgentJob> for JobRef {
    fn from(job: &AgentJob) -> Self {
        Self { namespace: job.namespace.clone(), name: job.name.clone(), uid: job.uid.clone() }
    }
}

impl From<&AgentJob> for Try {
    fn from(job: &AgentJob) -> Self {
        Self { action: job.action, job: job.name.clone(), attempt: job.attempt, system_uuid: job.system_uuid.clone() }
    }
}
