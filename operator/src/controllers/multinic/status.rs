//! What the status says, and which Events tell of it. Pure; [`render`] gives nothing where nothing is new.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::agent::AgentAction;
use crate::api::conditions::{self, Draft};
use crate::api::multinic::{
    InterfaceSpec, InterfaceStatus, MultiNicNodeConfig, MultiNicNodeConfigStatus as Status, State,
};
use crate::api::names::{InterfaceId, InterfaceName, MacAddress};
use crate::kit::report::{Kind, Notice};

use super::outcome::Why;
use super::plan::{Progress, Release, Try};

/// An agent configures the node.
const APPLYING: &str = "Applying";
/// An agent cleans the node up.
const CLEANING_UP: &str = "CleaningUp";
/// A cleanup ended, and nothing is left on the node.
const CLEANED_UP: &str = "CleanedUp";
/// A cleanup ended, and not well.
const CLEANUP_FAILED: &str = "CleanupFailed";
/// Another agent must leave the node first.
const WAITING_FOR_AGENT: &str = "WaitingForAgent";
/// The API server refuses the Job.
const JOB_DENIED: &str = "JobDenied";
/// A Job went away before its agent said what it had done.
const JOB_LOST: &str = "JobLost";

/// The status after this progress, or `None` when it is the same as before.
pub(super) fn render(config: &MultiNicNodeConfig, progress: &Progress, now: Timestamp) -> Option<Status> {
    let old = config.status.clone().unwrap_or_default();
    let generation = config.metadata.generation.unwrap_or_default();
    let same_round = old.observed_generation == Some(generation);
    let mut new = Status { observed_generation: Some(generation), ..old.clone() };
    if !same_round {
        new.attempts = None;
    }
    new.next_retry_time = None;
    let mut ready = |holds: bool, why: &Why, accepted: Option<&Why>| {
        let draft =
            |type_, holds, why: &Why| Draft { type_, holds, reason: why.reason.clone(), message: why.message.clone() };
        let accepted = match accepted {
            Some(refusal) => draft(conditions::ACCEPTED, false, refusal),
            None => draft(conditions::ACCEPTED, true, &Why::new("Accepted", "spec and node fit together")),
        };
        let drafts = vec![accepted, draft(conditions::READY, holds, why)];
        new.conditions = conditions::merge(&old.conditions, drafts, generation, now);
    };
    let deleting = config.metadata.deletion_timestamp.is_some();
    let of_all = |state: State, why: &Why| {
        // While its node is cleaned up, an object shows what was configured before.
        if deleting { old.interface_statuses.clone() } else { interfaces(config, &old, now, |_| (state, why.clone())) }
    };
    match progress {
        Progress::Unchanged => return None,
        Progress::Refused(refusal) => {
            let state = if refusal.may_pass() { State::Pending } else { State::Failed };
            let why = Why::new(refusal.reason(), refusal.to_string());
            ready(false, &why, Some(&why));
            new.state = Some(state);
            new.attempts = None;
            new.interface_statuses = of_all(state, &why);
        }
        Progress::Blocked { action, by } => {
            let message = format!("{by} must leave the node before {} can start", noun(*action));
            let why = Why::new(WAITING_FOR_AGENT, message);
            ready(false, &why, None);
            new.state = Some(State::Pending);
            new.interface_statuses = of_all(State::Pending, &why);
        }
        Progress::Denied { action, message } => {
            let why = Why::new(JOB_DENIED, format!("the Job for {} cannot be made: {message}", noun(*action)));
            ready(false, &why, None);
            new.state = Some(State::Pending);
            new.interface_statuses = of_all(State::Pending, &why);
        }
        Progress::Running { run, trouble } => {
            let reason = if run.action == AgentAction::Cleanup { CLEANING_UP } else { APPLYING };
            let work = Why::new(reason, format!("Job {} is at work (attempt {})", run.job, run.attempt));
            ready(false, trouble.as_ref().unwrap_or(&work), None);
            new.state = Some(State::InProgress);
            new.interface_statuses = of_all(State::InProgress, &Why::new(reason, "the agent is at work"));
            tell_of(run, &mut new);
        }
        Progress::Applied { run, outcome, retry } => {
            ready(outcome.done, &outcome.why, None);
            new.state = Some(if outcome.done { State::Configured } else { State::Failed });
            new.next_retry_time = retry.map(Time);
            new.interface_statuses = interfaces(config, &old, now, |spec| {
                let result = outcome.interfaces.iter().find(|(id, ..)| *id == spec.id);
                match result {
                    Some((_, true, why)) => (State::Configured, why.clone()),
                    Some((_, false, why)) => (State::Failed, why.clone()),
                    None => (State::Failed, outcome.why.clone()),
                }
            });
            tell_of(run, &mut new);
        }
        Progress::Cleaned { run } => {
            ready(false, &Why::new(CLEANED_UP, "the node is cleaned up"), None);
            new.state = Some(State::Pending);
            new.interface_statuses = Vec::new();
            tell_of(run, &mut new);
        }
        Progress::NotCleaned { run, why, retry } => {
            let why = Why::new(CLEANUP_FAILED, format!("{}: {}", why.reason, why.message));
            ready(false, &why, None);
            new.state = Some(State::Failed);
            new.next_retry_time = Some(Time(*retry));
            tell_of(run, &mut new);
        }
        Progress::Lost { run, retry } => {
            let message = format!("Job {} went away before its agent said what it had done", run.job);
            let why = Why::new(JOB_LOST, message);
            ready(false, &why, None);
            new.state = Some(State::Pending);
            new.next_retry_time = Some(Time(*retry));
            new.interface_statuses = of_all(State::Pending, &why);
            tell_of(run, &mut new);
        }
    }
    (config.status.as_ref() != Some(&new)).then_some(new)
}

fn tell_of(run: &Try, status: &mut Status) {
    status.last_job_name = Some(run.job.clone());
    status.attempts = Some(run.attempt);
    status.system_uuid = Some(run.system_uuid.clone());
}

fn noun(action: AgentAction) -> &'static str {
    match action {
        AgentAction::Apply => "the configuration",
        AgentAction::Cleanup => "the cleanup",
        AgentAction::Verify => "the verification",
    }
}

/// One entry for each interface of the spec; the time of an entry that is the same as before stays.
fn interfaces(
    config: &MultiNicNodeConfig,
    old: &Status,
    now: Timestamp,
    outcome: impl Fn(&InterfaceSpec) -> (State, Why),
) -> Vec<InterfaceStatus> {
    let mut entries: Vec<InterfaceStatus> = Vec::new();
    for spec in &config.spec.interfaces {
        // Only a spec from before the rules can have an id twice; a status cannot.
        if entries.iter().any(|entry| entry.id == spec.id) {
            continue;
        }
        let (status, why) = outcome(spec);
        let mut entry = InterfaceStatus {
            id: spec.id,
            name: effective_name(spec),
            mac_address: spec
                .mac_address
                .parse()
                .map_or_else(|_| spec.mac_address.clone(), |mac: MacAddress| mac.to_string()),
            address: spec.address.clone(),
            cidr: spec.cidr.clone(),
            mtu: spec.mtu,
            status,
            reason: why.reason,
            message: why.message,
            last_change: Time(now),
        };
        if let Some(before) = old.interface_statuses.iter().find(|before| before.id == entry.id) {
            let same = InterfaceStatus { last_change: before.last_change.clone(), ..entry.clone() };
            if same == *before {
                entry = same;
            }
        }
        entries.push(entry);
    }
    entries
}

fn effective_name(spec: &InterfaceSpec) -> String {
    let by_id = || InterfaceId::try_from(spec.id).map(|id| InterfaceName::from(id).to_string());
    spec.name.clone().or_else(|| by_id().ok()).unwrap_or_default()
}

/// Whether the status says that nothing is left on the node.
pub(super) fn is_cleaned(status: &Status) -> bool {
    conditions::find(&status.conditions, conditions::READY).is_some_and(|ready| ready.reason == CLEANED_UP)
}

/// What the status says keeps an agent from its work.
pub(super) fn trouble(status: &Status) -> Option<Why> {
    let ready = conditions::find(&status.conditions, conditions::READY)?;
    let troubled = status.state == Some(State::InProgress) && ![APPLYING, CLEANING_UP].contains(&ready.reason.as_str());
    troubled.then(|| Why::new(ready.reason.clone(), ready.message.clone()))
}

/// The Event of a new status, where it says something that the old one does not, and that [`farewell`] will not say.
pub(super) fn notice(old: Option<&Status>, new: &Status) -> Option<Notice> {
    let said = |status: &Status| {
        let ready = conditions::find(&status.conditions, conditions::READY).cloned();
        (status.state, ready.map(|ready| (ready.reason, ready.message)), status.attempts)
    };
    if old.map(said).as_ref() == Some(&said(new)) || is_cleaned(new) {
        return None;
    }
    let ready = conditions::find(&new.conditions, conditions::READY)?;
    let kind = if new.state == Some(State::Failed) { Kind::Warning } else { Kind::Normal };
    let action = if [CLEANING_UP, CLEANUP_FAILED].contains(&ready.reason.as_str()) { "CleanUp" } else { "Configure" };
    Some(Notice { kind, reason: ready.reason.clone(), action: action.to_owned(), note: ready.message.clone() })
}

/// The Event of a release.
pub(super) fn farewell(release: &Release) -> Notice {
    let (kind, reason, note) = match release {
        Release::Cleaned => (Kind::Normal, CLEANED_UP, "the node is cleaned up".to_owned()),
        Release::Skipped(why) => (Kind::Warning, "CleanupSkipped", format!("released without a cleanup: {why}")),
        Release::Abandoned(why) => (Kind::Warning, "CleanupAbandoned", format!("released without a cleanup: {why}")),
    };
    Notice { kind, reason: reason.to_owned(), action: "CleanUp".to_owned(), note }
}
