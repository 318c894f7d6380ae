//! What a finished Job came to, for each interface of the spec. Pure.
//!
//! An agent's report is believed where it is about this configuration and generation. What it does not say is a
//! failure: no interface is called configured because nobody complained.

use crate::api::agent::{AgentAction, AgentSummary, InterfaceOutcome, InterfaceResult};
use crate::api::multinic::Interface;

use super::observe::{AgentJob, AgentPod, JobPhase};

/// Ready: every interface is configured.
pub(super) const CONFIGURED: &str = "Configured";
/// Not ready: the agent says so of one interface or more.
pub(super) const INTERFACES_FAILED: &str = "InterfacesFailed";
/// Not ready: an interface that is not in the spec any more could not be removed.
pub(super) const REMOVAL_FAILED: &str = "RemovalFailed";
/// Not ready: the agent ended well, but said nothing that could be read.
pub(super) const REPORT_MISSING: &str = "ReportMissing";
/// Not ready: the agent ended badly, and said nothing that could be read.
pub(super) const AGENT_FAILED: &str = "AgentFailed";
/// Of an interface that the agent's report leaves out.
pub(super) const NOT_REPORTED: &str = "NotReported";

/// A reason in one word and in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) reason: String,
    pub(super) message: String,
}

impl Why {
    pub(super) fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// What a Job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether everything is as it should be.
    pub(super) done: bool,
    /// Of the whole.
    pub(super) why: Why,
    /// Of each interface, in the order of the spec: whether it is configured, and why or why not.
    pub(super) interfaces: Vec<(i32, bool, Why)>,
}

/// What an apply came to. `trouble` is what kept its Pod from running, when that was last seen.
pub(super) fn of_apply(job: &AgentJob, pods: &[AgentPod], interfaces: &[Interface], trouble: Option<&Why>) -> Outcome {
    let summary = match report(job, pods) {
        Some(AgentSummary { error: Some(error), .. }) => {
            return all_failed(interfaces, Why::new(error.reason.to_string(), error.message));
        }
        Some(summary) => summary,
        None => return all_failed(interfaces, without_report(job, pods, trouble)),
    };
    let results: Vec<_> = interfaces
        .iter()
        .map(|interface| {
            let reported = summary.interfaces.iter().find(|result| result.id == interface.id.number());
            let (configured, why) = match reported {
                Some(result) => (result.status == InterfaceOutcome::Configured, why(result)),
                None => (false, Why::new(NOT_REPORTED, "the agent's report does not mention this interface")),
            };
            (i32::from(interface.id.number()), configured, why)
        })
        .collect();
    let failed: Vec<_> = interfaces
        .iter()
        .zip(&results)
        .filter(|(_, (_, configured, _))| !configured)
        .map(|(interface, (_, _, why))| format!("{}: {}", interface.name, why.message))
        .collect();
    let why = if !failed.is_empty() {
        let message = format!("{} of {} interfaces failed: {}", failed.len(), interfaces.len(), failed.join("; "));
        Why::new(INTERFACES_FAILED, message)
    } else if let Some(left) = not_removed(&summary) {
        Why::new(REMOVAL_FAILED, left)
    } else {
        Why::new(CONFIGURED, configured_message(interfaces.len()))
    };
    Outcome { done: why.reason == CONFIGURED, why, interfaces: results }
}

/// What a cleanup came to; `None` when nothing of the configuration is left on the node.
pub(super) fn of_cleanup(job: &AgentJob, pods: &[AgentPod], trouble: Option<&Why>) -> Option<Why> {
    match report(job, pods) {
        Some(AgentSummary { error: Some(error), .. }) => Some(Why::new(error.reason.to_string(), error.message)),
        Some(summary) => match not_removed(&summary) {
            Some(left) => Some(Why::new(REMOVAL_FAILED, left)),
            None if job.phase == JobPhase::Complete => None,
            None => Some(without_report(job, pods, trouble)),
        },
        // A cleanup of a node that has nothing to clean up need not say much: its exit code is enough.
        None if job.phase == JobPhase::Complete => None,
        None => Some(without_report(job, pods, trouble)),
    }
}

fn configured_message(count: usize) -> String {
    if count == 1 { "1 interface is configured".to_owned() } else { format!("{count} interfaces are configured") }
}

fn not_removed(summary: &AgentSummary) -> Option<String> {
    let left: Vec<_> = summary
        .removed
        .iter()
        .filter(|result| result.status != InterfaceOutcome::Removed)
        .map(|result| format!("{}: {}", result.name, why(result).message))
        .collect();
    (!left.is_empty()).then(|| format!("not removed: {}", left.join("; ")))
}

fn why(result: &InterfaceResult) -> Why {
    let reason = result.reason.to_string();
    let message = if result.message.is_empty() { reason.clone() } else { result.message.clone() };
    Why { reason, message }
}

fn all_failed(interfaces: &[Interface], why: Why) -> Outcome {
    let interfaces = interfaces.iter().map(|it| (i32::from(it.id.number()), false, why.clone())).collect();
    Outcome { done: false, why, interfaces }
}

/// The newest readable report that is about this very Job's configuration, generation and action.
fn report(job: &AgentJob, pods: &[AgentPod]) -> Option<AgentSummary> {
    of_job(job, pods)
        .filter_map(|pod| pod.termination.as_ref())
        .filter_map(|termination| Some((termination.finished, serde_json::from_str(&termination.message).ok()?)))
        .filter(|(_, summary): &(_, AgentSummary)| {
            summary.config_uid == job.config_uid
                && summary.generation == job.generation
                && (summary.action == AgentAction::Cleanup) == (job.action == AgentAction::Cleanup)
        })
        .max_by_key(|(finished, _)| *finished)
        .map(|(_, summary)| summary)
}

/// Why a Job without a report ended: the most telling of what its Pods, its Job and the past say.
fn without_report(job: &AgentJob, pods: &[AgentPod], trouble: Option<&Why>) -> Why {
    let JobPhase::Failed { reason, message } = &job.phase else {
        return Why::new(REPORT_MISSING, format!("Job {} succeeded, but its agent left no report", job.name));
    };
    let last = of_job(job, pods).filter_map(|pod| pod.termination.as_ref()).max_by_key(|last| last.finished);
    if let Some(last) = last {
        let said = if last.message.is_empty() { &last.reason } else { &last.message };
        return Why::new(AGENT_FAILED, format!("the agent ended with exit code {}: {}", last.exit_code, said.trim()));
    }
    if let Some((reason, message)) = of_job(job, pods).find_map(|pod| pod.failure.as_ref()) {
        return Why::new(reason.clone(), format!("the agent's Pod failed: {message}"));
    }
    if let Some(trouble) = trouble {
        return Why::new(trouble.reason.clone(), format!("{}; then: {message}", trouble.message));
    }
    let reason = if reason.is_empty() { AGENT_FAILED } else { reason };
    Why::new(reason, format!("Job {} failed: {message}", job.name))
}

fn of_job<'a>(job: &'a AgentJob, pods: &'a [AgentPod]) -> impl Iterator<Item = &'a AgentPod> {
    pods.iter().filter(|pod| pod.job_uid == job.uid)
}
