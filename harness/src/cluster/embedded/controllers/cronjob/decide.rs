//! What a CronJob does next: Jobs to start, to replace and to forget, and its status. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

use super::super::recorder::Severity;
use super::super::workload::{ownership, pods};
use super::schedule::Schedule;

/// The annotation that says which time a Job was started for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// How long after a time it is looked whether it has come.
const SLACK: Duration = Duration::from_millis(100);

/// Missed times from which on somebody should look at the clock.
const MISSED_MAX: i64 = 100;

/// What to say: how much it matters, why and in which words.
pub(super) type Notice = (Severity, &'static str, String);

/// What a CronJob does next.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Finished Jobs beyond those that are kept.
    pub(super) forget: Vec<Arc<Job>>,
    /// Jobs that the next one replaces.
    pub(super) replace: Vec<ObjectReference>,
    /// The Job to start, and the time it is for.
    pub(super) start: Option<(Job, Timestamp)>,
    pub(super) status: CronJobStatus,
    pub(super) notices: Vec<Notice>,
    pub(super) again: Option<Duration>,
}

/// Decides. `jobs` are those that the CronJob controls.
pub(super) fn decide(cron: &CronJob, jobs: &[Arc<Job>], now: Timestamp) -> Plan {
    let spec = &cron.spec;
    let mut plan = Plan { status: cron.status.clone().unwrap_or_default(), ..Plan::default() };
    plan.forget = beyond(jobs, "Complete", spec.successful_jobs_history_limit.unwrap_or(3));
    plan.forget.extend(beyond(jobs, "Failed", spec.failed_jobs_history_limit.unwrap_or(1)));
    watch_jobs(&mut plan, jobs);
    if pods::is_deleting(cron) || spec.suspend == Some(true) {
        return plan;
    }
    let zone = match spec.time_zone.as_deref().map(TimeZone::get) {
        None => TimeZone::UTC,
        Some(Ok(zone)) => zone,
        Some(Err(error)) => {
            let zone = spec.time_zone.as_deref().unwrap_or_default();
            let message = format!("invalid timeZone: \"{zone}\": {error}");
            plan.notices.push((Severity::Warning, "UnknownTimeZone", message));
            return plan;
        }
    };
    match Schedule::parse(&spec.schedule) {
        Err(error) => {
            let message = format!("unparseable schedule: \"{}\" : {error}", spec.schedule);
            plan.notices.push((Severity::Warning, "UnparseableSchedule", message));
        }
        Ok(schedule) => {
            let next = schedule.next(now, &zone);
            plan.again =
                next.and_then(|next| Duration::try_from(next.duration_since(now)).ok()).map(|wait| wait + SLACK);
            start(&mut plan, cron, spec, &schedule, &zone, now);
        }
    }
    plan
}

/// The condition by which a Job has ended.
fn ended(job: &Job) -> Option<&str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ends = |kind: &str| matches!(kind, "Complete" | "Failed");
    let found = conditions.iter().find(|condition| ends(&condition.type_) && condition.status == "True");
    found.map(|condition| condition.type_.as_str())
}

/// The oldest Jobs that ended so, beyond those that are kept.
fn beyond(jobs: &[Arc<Job>], how: &str, keep: i32) -> Vec<Arc<Job>> {
    let mut ended: Vec<Arc<Job>> = jobs.iter().filter(|job| ended(job) == Some(how)).cloned().collect();
    let started = |job: &Job| job.status.as_ref().and_then(|status| status.start_time.as_ref().map(|time| time.0));
    ended.sort_by_key(|job| (started(job), job.name_any()));
    ended.truncate(ended.len().saturating_sub(usize::try_from(keep).unwrap_or(0)));
    ended
}

/// Takes Jobs that have ended, or are gone, out of the list of active ones.
fn watch_jobs(plan: &mut Plan, jobs: &[Arc<Job>]) {
    let mut active = plan.status.active.take().unwrap_or_default();
    for job in jobs {
        let listed = active.iter().position(|known| known.uid.as_deref() == Some(pods::uid(job.as_ref())));
        match (listed, ended(job)) {
            (Some(at), Some(how)) => {
                active.remove(at);
                let message = format!("Saw completed job: {}, condition: {how}", job.name_any());
                plan.notices.push((Severity::Normal, "SawCompletedJob", message));
            }
            (None, None) => {
                let message = format!("Saw a job that the controller did not create or forgot: {}", job.name_any());
                plan.notices.push((Severity::Warning, "UnexpectedJob", message));
            }
            _ => {}
        }
        let completed = job.status.as_ref().and_then(|status| status.completion_time.clone());
        let completed = completed.filter(|_| ended(job) == Some("Complete"));
        if completed > plan.status.last_successful_time {
            plan.status.last_successful_time = completed;
        }
    }
    active.retain(|known| {
        let is_there = jobs.iter().any(|job| known.uid.as_deref() == Some(pods::uid(job.as_ref())));
        if !is_there {
            let message = format!("Active job went missing: {}", known.name.as_deref().unwrap_or_default());
            plan.notices.push((Severity::Normal, "MissingJob", message));
        }
        is_there
    });
    plan.status.active = (!active.is_empty()).then_some(active);
}

fn start(plan: &mut Plan, cron: &CronJob, spec: &CronJobSpec, schedule: &Schedule, zone: &TimeZone, now: Timestamp) {
    let last = plan.status.last_schedule_time.as_ref().map(|time| time.0);
    let Some((due, missed)) = due(cron, spec, last, schedule, zone, now) else { return };
    if missed > MISSED_MAX {
        let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.notices.push((Severity::Warning, "TooManyMissedTimes", message.to_owned()));
    }
    let late = now.duration_since(due).as_secs();
    if spec.starting_deadline_seconds.is_some_and(|deadline| late > deadline) {
        let due = due.strftime("%a, %d %b %Y %H:%M:%S +0000");
        let message = format!("Missed scheduled time to start a job: {due}");
        return plan.notices.push((Severity::Warning, "MissSchedule", message));
    }
    let active = plan.status.active.clone().unwrap_or_default();
    let name = format!("{}-{}", cron.name_any(), due.as_second() / 60);
    if last == Some(due) || active.iter().any(|known| known.name.as_ref() == Some(&name)) {
        return;
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return plan.notices.push((Severity::Normal, "JobAlreadyActive", message.to_owned()));
        }
        Some("Replace") => plan.replace = active,
        _ => {}
    }
    plan.start = Some((job(cron, spec, name, due, zone), due));
}

/// The last time that has come and nothing was started for, and about how many have.
fn due(
    cron: &CronJob,
    spec: &CronJobSpec,
    last: Option<Timestamp>,
    schedule: &Schedule,
    zone: &TimeZone,
    now: Timestamp,
) -> Option<(Timestamp, i64)> {
    let made = cron.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let mut since = last.or(made)?;
    if let Some(deadline) = spec.starting_deadline_seconds {
        since = since.max(now.checked_sub(jiff::SignedDuration::from_secs(deadline)).ok()?);
    }
    let first = schedule.next(since, zone).filter(|first| *first <= now)?;
    let Some(second) = schedule.next(first, zone).filter(|second| *second <= now) else { return Some((first, 1)) };
    let apart = second.duration_since(first);
    let missed = now.duration_since(first).as_secs() / apart.as_secs().max(1) + 1;
    // After a long pause those in between need not be counted one by one.
    let near = now.checked_sub(apart * 2).ok()?.max(first);
    let mut found = schedule.next(near, zone).filter(|near| *near <= now).unwrap_or(second);
    while let Some(next) = schedule.next(found, zone).filter(|next| *next <= now) {
        found = next;
    }
    Some((found, missed))
}

fn job(cron: &CronJob, spec: &CronJobSpec, name: String, due: Timestamp, zone: &TimeZone) -> Job {
    let meta = spec.job_template.metadata.clone().unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    let local = due.to_zoned(zone.clone());
    let format = if local.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    annotations.insert(SCHEDULED.to_owned(), local.strftime(format).to_string());
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cron.namespace(),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![ownership::reference(cron)]),
            ..ObjectMeta::default()
        },
        spec: spec.job_template.spec.clone(),
        status: None,
    }
}

/// The status once a Job was started.
pub(super) fn started(mut status: CronJobStatus, job: &Job, due: Timestamp) -> CronJobStatus {
    status.active.get_or_insert_default().push(ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        namespace: job.namespace(),
        name: job.metadata.name.clone(),
        uid: job.uid(),
        resource_version: job.resource_version(),
        field_path: None,
    });
    status.last_schedule_time = Some(Time(due));
    status
}
