//! A Job's conditions: which there are, how one is set, how a Job ends. Pure.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) const COMPLETE: &str = "Complete";
pub(super) const FAILED: &str = "Failed";
pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
pub(super) const SUSPENDED: &str = "Suspended";

/// How a Job ends: first an interim condition says so, then, when its last Pod is gone and counted, the terminal one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finish {
    pub(super) success: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Finish {
    pub(super) fn completed() -> Self {
        Self {
            success: true,
            reason: "CompletionsReached".to_owned(),
            message: "Reached expected number of succeeded pods".to_owned(),
        }
    }

    pub(super) fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self { success: false, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn backoff_limit_exceeded() -> Self {
        Self::failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    }

    pub(super) fn deadline_exceeded() -> Self {
        Self::failed("DeadlineExceeded", "Job was active longer than specified deadline")
    }

    /// What an interim condition already says.
    pub(super) fn announced(status: &JobStatus) -> Option<Self> {
        let found = |kind| find(status, kind).filter(|condition| condition.status == "True");
        let (success, condition) = match (found(FAILURE_TARGET), found(SUCCESS_CRITERIA_MET)) {
            (Some(failure), _) => (false, failure),
            (None, success) => (true, success?),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Some(Self { success, reason: text(&condition.reason), message: text(&condition.message) })
    }

    pub(super) fn interim(&self) -> &'static str {
        if self.success { SUCCESS_CRITERIA_MET } else { FAILURE_TARGET }
    }

    pub(super) fn terminal(&self) -> &'static str {
        if self.success { COMPLETE } else { FAILED }
    }
}

/// When a Job ended; none while it has not.
pub(super) fn finished_at(status: &JobStatus) -> Option<Timestamp> {
    let ended = |kind| find(status, kind).filter(|condition| condition.status == "True");
    let condition = ended(COMPLETE).or_else(|| ended(FAILED))?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

pub(super) fn is_finished(status: &JobStatus) -> bool {
    let ended = |kind| find(status, kind).is_some_and(|condition| condition.status == "True");
    ended(COMPLETE) || ended(FAILED)
}

/// Sets a condition and says whether that changed anything. What is not there counts as false.
pub(super) fn set(
    status: &mut JobStatus,
    kind: &str,
    value: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    let text = if value { "True" } else { "False" };
    let conditions = status.conditions.get_or_insert_default();
    let present = conditions.iter_mut().find(|condition| condition.type_ == kind);
    match present {
        Some(present) if present.status == text => return false,
        None if !value => {
            if conditions.is_empty() {
                status.conditions = None;
            }
            return false;
        }
        _ => {}
    }
    let condition = JobCondition {
        type_: kind.to_owned(),
        status: text.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    match present {
        Some(present) => *present = condition,
        None => conditions.push(condition),
    }
    true
}

fn find<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}
