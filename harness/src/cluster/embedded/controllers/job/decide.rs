//! What a Job needs next: from the Job, its Pods and the time, to Pods to make, delete and let go, and a status. Pure.
//!
//! Counting is done in two writes, so that no Pod is counted twice or lost when the controller stops in between: a Pod
//! that has ended is first noted by uid in `status.uncountedTerminatedPods`; then its finalizer is removed; then the uid
//! turns into a count ([`settle`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff::Backoff;
use super::conditions::{self, Finish};
use super::failure_policy::{self, Verdict};
use super::{indexes, pods};

/// Pods made or deleted in one go at most, as in Kubernetes.
const BURST_MAX: usize = 500;

/// What a Job needs next.
#[derive(Debug)]
pub(super) struct Decision {
    /// The status to write once Pods have been made and deleted; `active` counts those to be made.
    pub(super) status: JobStatus,
    /// Pods to make, each with its completion index where the Job is `Indexed`.
    pub(super) create: Vec<Option<i32>>,
    /// Pods to delete; those that are `released` lose their finalizer first and do not count as failed.
    pub(super) delete: Vec<Removal>,
    /// Pods to let go once the status is written.
    pub(super) untrack: Vec<Arc<Pod>>,
    /// When to look again, where nothing else will ask for it.
    pub(super) again: Option<Duration>,
    /// What to remember of failures, once the status is written.
    pub(super) backoff: Backoff,
    /// How the Job ends.
    pub(super) finish: Option<Finish>,
    /// Whether it is to be said that the Job was suspended (`true`) or resumed.
    pub(super) suspension: Option<bool>,
}

/// A Pod to delete.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) pod: Arc<Pod>,
    pub(super) released: bool,
}

/// Counts of what the Pods are now.
struct Tally {
    active: Vec<Arc<Pod>>,
    ready: i32,
    terminating: i32,
    succeeded: i32,
    failed: i32,
    succeeded_indexes: BTreeSet<i32>,
}

/// Decides. `pods` are those that the Job controls.
pub(super) fn decide(job: &Job, pods: &[Arc<Pod>], remembered: Backoff, now: Timestamp) -> Decision {
    let default_spec = JobSpec::default();
    let spec = job.spec.as_ref().unwrap_or(&default_spec);
    let mut status = job.status.clone().unwrap_or_default();
    clean_uncounted(&mut status, |uid| pods.iter().any(|pod| pods::is_tracked(pod) && pods::uid(pod) == uid));

    let suspended = spec.suspend == Some(true);
    if status.start_time.is_none() && !suspended {
        status.start_time = Some(Time(now));
    }
    let tally = tally(job, spec, &status, pods);
    let backoff = remembered.after(newly_ended(spec, &status, pods));
    let deadline = deadline(spec, &status, now);
    let mut finish = announced_or_failed(job, spec, &status, pods, &tally, deadline);

    let mut decision = Decision {
        status,
        create: Vec::new(),
        delete: Vec::new(),
        untrack: Vec::new(),
        again: deadline.filter(|_| finish.is_none()),
        backoff,
        finish: None,
        suspension: None,
    };
    let mut active = count(tally.active.len());
    let (mut ready, mut terminating) = (tally.ready, tally.terminating);
    if finish.is_some() {
        // Those that are left are stopped; unlike Pods that are merely too many, they count.
        decision.delete = tally.active.iter().map(|pod| Removal { pod: Arc::clone(pod), released: false }).collect();
        terminating += active;
        (active, ready) = (0, 0);
    } else {
        if job.metadata.deletion_timestamp.is_none() {
            active = manage(&mut decision, spec, &tally, active, now);
            ready = ready.min(active);
        }
        if active == 0 && is_complete(spec, &tally) {
            finish = Some(Finish::completed());
        }
        if finish.is_none() && job.metadata.deletion_timestamp.is_none() {
            decision.suspension = suspend_or_resume(&mut decision.status, suspended, now);
        }
    }
    let status = &mut decision.status;
    status.active = (active > 0).then_some(active);
    status.ready = Some(ready);
    status.terminating = Some(terminating);
    if spec.completion_mode.as_deref() == Some("Indexed") {
        status.succeeded = (tally.succeeded > 0).then_some(tally.succeeded);
        let completed = indexes::format(&tally.succeeded_indexes);
        status.completed_indexes = (!completed.is_empty()).then_some(completed);
    }
    if let Some(finish) = &finish {
        conditions::set(status, finish.interim(), true, &finish.reason, &finish.message, now);
    }
    decision.untrack = note_ended(job, spec, status, pods, finish.as_ref());
    decision.finish = finish;
    decision
}

/// What the status becomes when these Pods have been let go: noted uids turn into counts, and a Job that ends has ended
/// once none of its Pods is left to wait for.
pub(super) fn settle(
    mut status: JobStatus,
    untracked: &[String],
    finish: Option<&Finish>,
    now: Timestamp,
) -> JobStatus {
    clean_uncounted(&mut status, |uid| !untracked.iter().any(|gone| gone == uid));
    let Some(finish) = finish else { return status };
    let noted =
        status.uncounted_terminated_pods.as_ref().is_some_and(|noted| *noted != UncountedTerminatedPods::default());
    if noted || status.terminating.unwrap_or(0) > 0 {
        return status;
    }
    if conditions::set(&mut status, finish.terminal(), true, &finish.reason, &finish.message, now) && finish.success {
        status.completion_time = Some(Time(now));
    }
    status
}

fn tally(job: &Job, spec: &JobSpec, status: &JobStatus, pods: &[Arc<Pod>]) -> Tally {
    let noted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let (noted_succeeded, noted_failed) = (noted.succeeded.unwrap_or_default(), noted.failed.unwrap_or_default());
    let fresh = |pod: &Arc<Pod>| {
        let uid = pods::uid(pod);
        pods::is_tracked(pod) && !noted_succeeded.contains(&uid) && !noted_failed.contains(&uid)
    };
    let active: Vec<Arc<Pod>> = pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let only_failed = replaces_only_failed(spec);
    let counts_as_failed = |pod: &&Arc<Pod>| {
        fresh(pod) && pods::is_failed(pod, only_failed) && failure_policy::judge(job, pod) != Verdict::Ignore
    };
    let mut succeeded_indexes = BTreeSet::new();
    let succeeded = if spec.completion_mode.as_deref() == Some("Indexed") {
        let completions = spec.completions.unwrap_or(0);
        succeeded_indexes = indexes::parse(status.completed_indexes.as_deref().unwrap_or_default(), completions);
        let done = pods.iter().filter(|pod| pods::is_succeeded(pod)).filter_map(|pod| pods::index(pod));
        succeeded_indexes.extend(done.filter(|index| *index < completions));
        count(succeeded_indexes.len())
    } else {
        let fresh_ones = pods.iter().filter(|pod| fresh(pod) && pods::is_succeeded(pod)).count();
        status.succeeded.unwrap_or(0) + count(noted_succeeded.len() + fresh_ones)
    };
    Tally {
        ready: count(active.iter().filter(|pod| pods::is_ready(pod)).count()),
        terminating: count(pods.iter().filter(|pod| pods::is_terminating(pod)).count()),
        succeeded,
        failed: status.failed.unwrap_or(0) + count(noted_failed.len() + pods.iter().filter(counts_as_failed).count()),
        succeeded_indexes,
        active,
    }
}

/// The Pods that have ended since the last status was written: when, and whether well.
fn newly_ended(spec: &JobSpec, status: &JobStatus, pods: &[Arc<Pod>]) -> Vec<(Timestamp, bool)> {
    let noted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let noted: BTreeSet<String> = noted.succeeded.into_iter().chain(noted.failed).flatten().collect();
    let ended = |pod: &&Arc<Pod>| pods::is_succeeded(pod) || pods::is_failed(pod, replaces_only_failed(spec));
    let fresh = |pod: &&Arc<Pod>| pods::is_tracked(pod) && !noted.contains(&pods::uid(pod));
    let when = |pod: &Arc<Pod>| Some((pods::finished_at(pod)?, pods::is_succeeded(pod)));
    pods.iter().filter(ended).filter(fresh).filter_map(when).collect()
}

/// How much of the Job's time is left; zero when it is over, none where it has no limit or stands still.
fn deadline(spec: &JobSpec, status: &JobStatus, now: Timestamp) -> Option<Duration> {
    let limit = spec.active_deadline_seconds.filter(|_| spec.suspend != Some(true))?;
    let until = status.start_time.as_ref()?.0.saturating_add(SignedDuration::from_secs(limit)).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn announced_or_failed(
    job: &Job,
    spec: &JobSpec,
    status: &JobStatus,
    pods: &[Arc<Pod>],
    tally: &Tally,
    deadline: Option<Duration>,
) -> Option<Finish> {
    if let Some(announced) = Finish::announced(status) {
        return Some(announced);
    }
    let verdicts = pods.iter().filter(|pod| pods::is_tracked(pod)).map(|pod| failure_policy::judge(job, pod));
    let fails_job = verdicts.filter_map(|verdict| match verdict {
        Verdict::FailJob(message) => Some(message),
        Verdict::Ignore | Verdict::Count => None,
    });
    if let Some(message) = fails_job.into_iter().next() {
        return Some(Finish::failed("PodFailurePolicy", message));
    }
    let limit = spec.backoff_limit.unwrap_or(i32::MAX);
    if tally.failed > limit || restarted_too_often(spec, pods, limit) {
        return Some(Finish::backoff_limit_exceeded());
    }
    deadline.filter(Duration::is_zero).map(|_| Finish::deadline_exceeded())
}

/// Pods that restart their containers themselves are limited by how often they did.
fn restarted_too_often(spec: &JobSpec, pods: &[Arc<Pod>], limit: i32) -> bool {
    let restarts_itself = spec.template.spec.as_ref().is_some_and(|s| s.restart_policy.as_deref() == Some("OnFailure"));
    let under_way = pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    let restarts: i32 = under_way.map(|pod| pods::restarts(pod)).sum();
    restarts_itself && if limit == 0 { restarts > 0 } else { restarts >= limit }
}

/// Makes Pods or gives them up, and says how many are active then.
fn manage(decision: &mut Decision, spec: &JobSpec, tally: &Tally, active: i32, now: Timestamp) -> i32 {
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = match spec.completions {
        _ if spec.suspend == Some(true) => 0,
        // Without completions any success ends the Job: what runs may end, nothing is added.
        None if tally.succeeded > 0 => active,
        None => parallelism,
        Some(completions) => (completions - tally.succeeded).clamp(0, parallelism),
    };
    if active > wanted {
        let mut candidates: Vec<&Pod> = tally.active.iter().map(Arc::as_ref).collect();
        pods::by_progress(&mut candidates);
        let surplus = usize::try_from(active - wanted).unwrap_or(0).min(BURST_MAX);
        let given_up: BTreeSet<String> = candidates.into_iter().take(surplus).map(pods::uid).collect();
        let removal = |pod: &Arc<Pod>| Removal { pod: Arc::clone(pod), released: true };
        decision.delete = tally.active.iter().filter(|pod| given_up.contains(&pods::uid(pod))).map(removal).collect();
        return active - count(decision.delete.len());
    }
    let ending = if replaces_only_failed(spec) { tally.terminating } else { 0 };
    let missing = usize::try_from(wanted - active - ending).unwrap_or(0).min(BURST_MAX);
    if missing == 0 {
        return active;
    }
    let wait = decision.backoff.remaining(now);
    if !wait.is_zero() {
        decision.again = Some(decision.again.map_or(wait, |again| again.min(wait)));
        return active;
    }
    decision.create = if spec.completion_mode.as_deref() == Some("Indexed") {
        let busy: BTreeSet<i32> = tally.active.iter().filter_map(|pod| pods::index(pod)).collect();
        let free = |index: &i32| !busy.contains(index) && !tally.succeeded_indexes.contains(index);
        (0..spec.completions.unwrap_or(0)).filter(free).take(missing).map(Some).collect()
    } else {
        vec![None; missing]
    };
    active + count(decision.create.len())
}

fn is_complete(spec: &JobSpec, tally: &Tally) -> bool {
    match spec.completions {
        None => tally.succeeded > 0,
        Some(completions) => tally.succeeded >= completions,
    }
}

fn suspend_or_resume(status: &mut JobStatus, suspended: bool, now: Timestamp) -> Option<bool> {
    let (reason, message) = if suspended { ("JobSuspended", "Job suspended") } else { ("JobResumed", "Job resumed") };
    if !conditions::set(status, conditions::SUSPENDED, suspended, reason, message, now) {
        return None;
    }
    if !suspended {
        // The deadline counts from here.
        status.start_time = Some(Time(now));
    }
    Some(suspended)
}

/// Notes the Pods that have ended in the status, and returns those to let go.
fn note_ended(
    job: &Job,
    spec: &JobSpec,
    status: &mut JobStatus,
    pods: &[Arc<Pod>],
    finish: Option<&Finish>,
) -> Vec<Arc<Pod>> {
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let gives_up = finish.is_some_and(|finish| !finish.success);
    let mut noted = status.uncounted_terminated_pods.take().unwrap_or_default();
    let mut untrack = Vec::new();
    for pod in pods.iter().filter(|pod| pods::is_tracked(pod)) {
        let failed = pods::is_failed(pod, replaces_only_failed(spec));
        let succeeded = pods::is_succeeded(pod);
        if !(failed || succeeded || finish.is_some() || job.metadata.deletion_timestamp.is_some()) {
            continue;
        }
        untrack.push(Arc::clone(pod));
        let uid = pods::uid(pod);
        let known = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| list.contains(&uid));
        if known(&noted.succeeded) || known(&noted.failed) {
            continue;
        }
        if succeeded && !indexed {
            noted.succeeded.get_or_insert_default().push(uid);
        } else if !succeeded && (failed || gives_up) && failure_policy::judge(job, pod) != Verdict::Ignore {
            noted.failed.get_or_insert_default().push(uid);
        }
    }
    status.uncounted_terminated_pods = Some(noted);
    untrack
}

/// Turns the noted uids of Pods that are no longer tracked into counts.
fn clean_uncounted(status: &mut JobStatus, tracked: impl Fn(&str) -> bool) {
    let Some(noted) = status.uncounted_terminated_pods.take() else { return };
    let split = |uids: Option<Vec<String>>| {
        let (kept, counted): (Vec<String>, Vec<String>) =
            uids.unwrap_or_default().into_iter().partition(|uid| tracked(uid));
        ((!kept.is_empty()).then_some(kept), count(counted.len()))
    };
    let (kept_succeeded, succeeded) = split(noted.succeeded);
    let (kept_failed, failed) = split(noted.failed);
    if succeeded > 0 {
        status.succeeded = Some(status.succeeded.unwrap_or(0) + succeeded);
    }
    if failed > 0 {
        status.failed = Some(status.failed.unwrap_or(0) + failed);
    }
    status.uncounted_terminated_pods = Some(UncountedTerminatedPods { succeeded: kept_succeeded, failed: kept_failed });
}

fn replaces_only_failed(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed")
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
