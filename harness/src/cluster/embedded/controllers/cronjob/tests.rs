//! What a CronJob does next, as tables.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;
use serde_json::{Value, from_value, json};

use super::decide::{Plan, decide, started};

fn time(text: &str) -> Timestamp {
    format!("2030-01-01T{text}Z").parse().expect("a time")
}

fn cron(spec: &Value, status: &Value) -> CronJob {
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"template": {}}});
    let mut all = json!({"schedule": "*/10 * * * *", "concurrencyPolicy": "Allow", "jobTemplate": template});
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let meta = json!({"name": "c", "namespace": "n", "uid": "c", "creationTimestamp": time("00:00:00").to_string()});
    from_value(json!({"metadata": meta, "spec": all, "status": status})).expect("a cron job")
}

fn job(name: &str, ended: Option<&str>) -> Arc<Job> {
    let conditions: Vec<Value> = ended.map(|kind| json!({"type": kind, "status": "True"})).into_iter().collect();
    let completed = (ended == Some("Complete")).then(|| time("00:05:00").to_string());
    let status =
        json!({"conditions": conditions, "completionTime": completed, "startTime": time("00:00:00").to_string()});
    Arc::new(
        from_value(json!({"metadata": {"name": name, "namespace": "n", "uid": name}, "status": status}))
            .expect("a job"),
    )
}

fn active(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "uid": name})).collect()
}

fn reasons(plan: &Plan) -> Vec<&'static str> {
    plan.notices.iter().map(|(_, reason, _)| *reason).collect()
}

#[test]
fn a_job_is_started_for_the_last_time_that_has_come_and_only_once() {
    let last = |text: &str| json!({"lastScheduleTime": time(text).to_string()});
    let cases = [
        (json!({}), json!({}), "00:09:59", None),
        (json!({}), json!({}), "00:10:00", Some("00:10:00")),
        (json!({}), json!({}), "00:47:00", Some("00:40:00")),
        (json!({}), last("00:10:00"), "00:19:00", None),
        (json!({}), last("00:10:00"), "00:20:01", Some("00:20:00")),
        (json!({"suspend": true}), json!({}), "00:10:00", None),
        (json!({"startingDeadlineSeconds": 60}), json!({}), "00:12:00", None),
        (json!({"startingDeadlineSeconds": 60}), json!({}), "00:10:30", Some("00:10:00")),
    ];
    for (spec, status, now, expected) in cases {
        let plan = decide(&cron(&spec, &status), &[], time(now));
        assert_eq!(plan.start.map(|(_, due)| due), expected.map(time), "{spec} {status} {now}");
    }
}

#[test]
fn a_started_job_is_named_after_its_time_and_written_down() {
    let plan = decide(&cron(&json!({"timeZone": "Asia/Tokyo"}), &json!({})), &[], time("00:10:00"));
    assert_eq!(plan.again.map(|again| again.as_millis()), Some(600_100));
    let (job, due) = plan.start.expect("a job");
    assert_eq!(job.name_any(), format!("c-{}", due.as_second() / 60));
    assert_eq!(job.annotations()["batch.kubernetes.io/cronjob-scheduled-timestamp"], "2030-01-01T09:10:00+09:00");
    let status = started(plan.status, &job, due);
    assert_eq!(status.last_schedule_time.map(|time| time.0), Some(due));
    assert_eq!(status.active.map(|active| active.len()), Some(1));
}

#[test]
fn what_still_runs_is_left_waited_for_or_replaced() {
    let status = json!({"active": active(&["old"])});
    for (policy, starts, replaced) in [("Allow", true, 0), ("Forbid", false, 0), ("Replace", true, 1)] {
        let cron = cron(&json!({"concurrencyPolicy": policy}), &status);
        let plan = decide(&cron, &[job("old", None)], time("00:10:00"));
        assert_eq!((plan.start.is_some(), plan.replace.len()), (starts, replaced), "{policy}");
        assert_eq!(reasons(&plan).contains(&"JobAlreadyActive"), !starts);
    }
}

#[test]
fn jobs_that_have_ended_or_are_gone_are_active_no_longer() {
    let status = json!({"active": active(&["done", "gone", "runs"])});
    let jobs = [job("done", Some("Complete")), job("runs", None), job("strange", None)];
    let plan = decide(&cron(&json!({}), &status), &jobs, time("00:01:00"));
    let left: Vec<_> = plan.status.active.iter().flatten().filter_map(|job| job.name.as_deref()).collect();
    assert_eq!(left, ["runs"]);
    assert_eq!(plan.status.last_successful_time.as_ref().map(|at| at.0), Some(time("00:05:00")));
    assert_eq!(reasons(&plan), ["SawCompletedJob", "UnexpectedJob", "MissingJob"]);
}

#[test]
fn only_so_many_ended_jobs_are_kept() {
    let jobs: Vec<Arc<Job>> = ["a", "b", "c", "d", "e"].map(|name| job(name, Some("Complete"))).into();
    let failed: Vec<Arc<Job>> = ["x", "y"].map(|name| job(name, Some("Failed"))).into();
    let plan = decide(&cron(&json!({}), &json!({})), &[jobs, failed].concat(), time("00:01:00"));
    let names: Vec<String> = plan.forget.iter().map(|job| job.name_any()).collect();
    assert_eq!(names, ["a", "b", "x"], "three that succeeded and one that failed stay");
}

#[test]
fn what_cannot_be_read_is_said() {
    for (spec, reason) in
        [(json!({"schedule": "often"}), "UnparseableSchedule"), (json!({"timeZone": "Mars/Base"}), "UnknownTimeZone")]
    {
        let plan = decide(&cron(&spec, &json!({})), &[], time("00:10:00"));
        assert_eq!((reasons(&plan), plan.start.is_none()), (vec![reason], true));
    }
    let plan = decide(&cron(&json!({"schedule": "* * * * *"}), &json!({})), &[], time("05:00:00"));
    assert_eq!(reasons(&plan), ["TooManyMissedTimes"]);
    assert!(plan.start.is_some(), "it is said, and goes on");
}
