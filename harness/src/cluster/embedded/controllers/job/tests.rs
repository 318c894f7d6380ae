//! What a Job needs next, as tables.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, from_value, json};

use super::backoff::Backoff;
use super::decide::{Decision, decide, settle};
use super::{conditions, pods};

const NOW: i64 = 1_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn job(spec: &Value, status: &Value) -> Job {
    let mut all = json!({"template": {}, "parallelism": 1, "completions": 1, "backoffLimit": 6});
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    from_value(json!({"metadata": {"name": "j", "uid": "u"}, "spec": all, "status": status})).expect("a job")
}

/// A tracked Pod in a phase; `going` is one that is being deleted.
fn pod(uid: &str, phase: &str) -> Arc<Pod> {
    let (phase, deleted) = if phase == "going" { ("Running", Some("1970-01-01T00:16:00Z")) } else { (phase, None) };
    let meta = json!({
        "name": uid, "uid": uid, "finalizers": [pods::TRACKING], "deletionTimestamp": deleted,
        "creationTimestamp": "1970-01-01T00:16:30Z",
    });
    Arc::new(from_value(json!({"metadata": meta, "status": {"phase": phase}})).expect("a pod"))
}

fn decided(spec: &Value, status: &Value, phases: &[&str]) -> Decision {
    let pods: Vec<Arc<Pod>> = phases.iter().enumerate().map(|(at, phase)| pod(&format!("p{at}"), phase)).collect();
    decide(&job(spec, status), &pods, Backoff::default(), at(NOW))
}

#[test]
fn a_job_keeps_as_many_pods_as_it_still_needs() {
    let cases: [(Value, Value, &[&str], usize, usize); 9] = [
        (json!({}), json!({}), &[], 1, 0),
        (json!({}), json!({}), &["Running"], 0, 0),
        (json!({"parallelism": 3, "completions": 5}), json!({}), &["Running"], 2, 0),
        (json!({"parallelism": 3, "completions": 5}), json!({"succeeded": 4}), &[], 1, 0),
        (json!({"parallelism": 1, "completions": 5}), json!({}), &["Running", "Pending"], 0, 1),
        (json!({"parallelism": 2, "completions": null}), json!({}), &[], 2, 0),
        (json!({"parallelism": 2, "completions": null}), json!({}), &["Succeeded", "Running"], 0, 0),
        (json!({"suspend": true}), json!({}), &["Running"], 0, 1),
        (json!({"podReplacementPolicy": "Failed"}), json!({}), &["going"], 0, 0),
    ];
    for (spec, status, phases, create, delete) in cases {
        let decision = decided(&spec, &status, phases);
        assert_eq!((decision.create.len(), decision.delete.len()), (create, delete), "{spec} {status} {phases:?}");
    }
}

#[test]
fn a_job_ends_for_the_reason_it_has() {
    let started = json!({"startTime": "1970-01-01T00:16:00Z"});
    let cases: [(Value, Value, &[&str], Option<&str>); 7] = [
        (json!({}), json!({}), &["Succeeded"], Some("CompletionsReached")),
        (json!({"completions": 2}), json!({}), &["Succeeded"], None),
        (json!({"backoffLimit": 0}), json!({}), &["Failed"], Some("BackoffLimitExceeded")),
        (json!({"backoffLimit": 1}), json!({}), &["Failed"], None),
        (json!({"backoffLimit": 1}), json!({"failed": 1}), &["Failed"], Some("BackoffLimitExceeded")),
        (json!({"activeDeadlineSeconds": 40}), started.clone(), &["Running"], Some("DeadlineExceeded")),
        (json!({"activeDeadlineSeconds": 41}), started, &["Running"], None),
    ];
    for (spec, status, phases, expected) in cases {
        let decision = decided(&spec, &status, phases);
        let reason = decision.finish.map(|finish| finish.reason);
        assert_eq!(reason.as_deref(), expected, "{spec} {status} {phases:?}");
    }
}

#[test]
fn a_failed_pod_is_replaced_after_the_back_off() {
    // Nothing but its creation, at 990 s, says when it failed.
    for (now, create, wait) in [(995, 0, Some(5)), (999, 0, Some(1)), (1_000, 1, None)] {
        let decision = decide(&job(&json!({}), &json!({})), &[pod("p0", "Failed")], Backoff::default(), at(now));
        assert_eq!((decision.create.len(), decision.again.map(|wait| wait.as_secs())), (create, wait), "at {now} s");
    }
}

#[test]
fn no_pod_is_counted_twice_or_lost() {
    let decision = decided(&json!({"completions": 3}), &json!({"succeeded": 1}), &["Succeeded", "Failed"]);
    let noted = decision.status.uncounted_terminated_pods.clone().expect("noted");
    assert_eq!((noted.succeeded, noted.failed), (Some(vec!["p0".to_owned()]), Some(vec!["p1".to_owned()])));
    assert_eq!(decision.status.succeeded, Some(1), "not counted before its finalizer is gone");
    assert_eq!(decision.untrack.len(), 2);

    // The controller stops after the note was written and starts again: nothing is noted twice.
    let again = decide(
        &job(&json!({"completions": 3}), &serde_json::to_value(&decision.status).expect("JSON")),
        &[pod("p0", "Succeeded"), pod("p1", "Failed")],
        Backoff::default(),
        at(NOW),
    );
    assert_eq!(again.status.uncounted_terminated_pods, decision.status.uncounted_terminated_pods);

    let settled = settle(decision.status, &["p0".to_owned(), "p1".to_owned()], None, at(NOW));
    assert_eq!((settled.succeeded, settled.failed), (Some(2), Some(1)));
    assert_eq!(settled.uncounted_terminated_pods, Some(from_value(json!({})).expect("nothing")));
}

#[test]
fn a_job_has_ended_only_when_its_last_pod_is_gone() {
    let decision = decided(&json!({"backoffLimit": 0}), &json!({}), &["Failed", "Running"]);
    let finish = decision.finish.clone().expect("it fails");
    assert_eq!((decision.delete.len(), decision.status.terminating), (1, Some(1)));
    let uids = ["p0".to_owned(), "p1".to_owned()];
    let waiting = settle(decision.status.clone(), &uids, Some(&finish), at(NOW));
    assert!(!conditions::is_finished(&waiting), "one pod still ends");
    let mut rest = decision.status;
    rest.terminating = Some(0);
    assert!(conditions::is_finished(&settle(rest, &uids, Some(&finish), at(NOW))));
}

#[test]
fn an_indexed_job_makes_what_is_missing() {
    let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 4});
    let decision = decided(&spec, &json!({"completedIndexes": "1", "succeeded": 1}), &[]);
    assert_eq!(decision.create, [Some(0), Some(2), Some(3)]);
    let made = pods::from_template(&job(&spec, &json!({})), Some(2));
    assert_eq!(made.metadata.generate_name.as_deref(), Some("j-2-"));
    assert_eq!(pods::index(&made), Some(2));
}

#[test]
fn suspending_and_resuming_are_said_once() {
    let suspended = decided(&json!({"suspend": true}), &json!({}), &[]);
    assert_eq!((suspended.suspension, suspended.status.start_time.is_some()), (Some(true), false));
    let status = serde_json::to_value(&suspended.status).expect("JSON");
    assert_eq!(decided(&json!({"suspend": true}), &status, &[]).suspension, None);
    let resumed = decided(&json!({}), &status, &[]);
    assert_eq!((resumed.suspension, resumed.create.len()), (Some(false), 1));
}
