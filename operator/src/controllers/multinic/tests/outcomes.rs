//! What a finished Job is taken to mean.

use crate::api::agent::{AgentAction, AgentError, AgentSummary, InterfaceOutcome, InterfaceResult, Reason};
use crate::api::multinic::{Interface, validate};
use crate::controllers::multinic::observe::{AgentJob, AgentPod, JobPhase};
use crate::controllers::multinic::outcome::{Outcome, Why, of_apply, of_cleanup};

use super::fixtures::*;

fn interfaces() -> Vec<Interface> {
    validate(NODE, &config().spec).unwrap().interfaces
}

fn outcome(phase: JobPhase, pods: impl Fn(&AgentJob) -> Vec<AgentPod>) -> Outcome {
    let job = job(phase);
    let outcome = of_apply(&job, &pods(&job), &interfaces(), None);
    let ids: Vec<_> = outcome.interfaces.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids, [1, 2, 3], "every interface of the spec has exactly one outcome");
    assert_eq!(outcome.done, outcome.interfaces.iter().all(|(_, configured, _)| *configured));
    assert!(outcome.interfaces.iter().all(|(.., why)| !why.reason.is_empty() && !why.message.is_empty()));
    outcome
}

#[test]
fn each_interface_has_the_outcome_its_agent_reports() {
    use InterfaceOutcome::{Configured, Failed};
    let summary = report(&[
        (1, Configured, Reason::Applied, "configured"),
        (2, Failed, Reason::LinkNotFound, "no link has the MAC fa:16:3e:1e:b2:5f"),
        (3, Configured, Reason::UpToDate, ""),
    ]);
    let outcome = outcome(failed(), |job| vec![ended_pod(job, 1, &text(&summary))]);
    assert_eq!(outcome.why.reason, "InterfacesFailed");
    assert_eq!(outcome.why.message, "1 of 3 interfaces failed: multinic2: no link has the MAC fa:16:3e:1e:b2:5f");
    let reasons: Vec<_> = outcome.interfaces.iter().map(|(_, ok, why)| (*ok, why.reason.as_str())).collect();
    assert_eq!(reasons, [(true, "Applied"), (false, "LinkNotFound"), (true, "UpToDate")]);
}

#[test]
fn silence_is_never_success() {
    let cut = text(&all_configured()).split_at(40).0.to_owned();
    let of_another = |change: fn(&mut AgentSummary)| {
        let mut summary = all_configured();
        change(&mut summary);
        text(&summary)
    };
    for (what, message) in [
        ("nothing", String::new()),
        ("cut off", cut),
        ("not ours", "panicked at src/main.rs".to_owned()),
        ("another configuration's", of_another(|summary| summary.config_uid = "other".to_owned())),
        ("another generation's", of_another(|summary| summary.generation = 2)),
        ("a cleanup's", of_another(|summary| summary.action = AgentAction::Cleanup)),
    ] {
        let outcome = outcome(JobPhase::Complete, |job| vec![ended_pod(job, 0, &message)]);
        assert_eq!((outcome.done, outcome.why.reason.as_str()), (false, "ReportMissing"), "{what}");
    }
    let no_pod = outcome(JobPhase::Complete, |_| Vec::new());
    assert_eq!(no_pod.why.reason, "ReportMissing");
}

#[test]
fn an_interface_that_the_report_leaves_out_has_failed() {
    let summary = report(&[1, 3].map(|id| (id, InterfaceOutcome::Configured, Reason::Applied, "configured")));
    let outcome = outcome(JobPhase::Complete, |job| vec![ended_pod(job, 0, &text(&summary))]);
    let (_, configured, why) = &outcome.interfaces[1];
    assert_eq!((*configured, why.reason.as_str()), (false, "NotReported"));
    assert_eq!(outcome.why.reason, "InterfacesFailed");
}

#[test]
fn a_job_that_failed_without_a_report_says_why_as_well_as_can_be_known() {
    type Pods = fn(&AgentJob) -> Vec<AgentPod>;
    fn evicted(job: &AgentJob) -> AgentPod {
        let failure = Some(("Evicted".to_owned(), "The node was low on resource: memory".to_owned()));
        AgentPod { ended: true, failure, ..running_pod(job) }
    }
    let cases: [(&str, JobPhase, Pods, &str, &str); 4] = [
        ("crash", failed(), |job| vec![ended_pod(job, 139, "")], "AgentFailed", "exit code 139: Error"),
        ("last words", failed(), |job| vec![ended_pod(job, 101, "panicked\n")], "AgentFailed", "panicked"),
        ("evicted", failed(), |job| vec![evicted(job)], "Evicted", "low on resource"),
        ("deadline", deadline_exceeded(), |_| Vec::new(), "DeadlineExceeded", "longer than"),
    ];
    for (what, phase, pods, reason, words) in cases {
        let outcome = outcome(phase, pods);
        assert_eq!(outcome.why.reason, reason, "{what}");
        assert!(outcome.why.message.contains(words), "{what}: {}", outcome.why.message);
        assert!(outcome.interfaces.iter().all(|(_, configured, why)| !configured && *why == outcome.why), "{what}");
    }
}

#[test]
fn a_deadline_that_passed_for_want_of_an_image_says_so() {
    let trouble = Why::new("ImagePullBackOff", "the agent's Pod is waiting: no such host");
    let outcome = of_apply(&job(deadline_exceeded()), &[], &interfaces(), Some(&trouble));
    assert_eq!(outcome.why.reason, "ImagePullBackOff");
    assert!(outcome.why.message.contains("no such host") && outcome.why.message.contains("longer than"));
}

#[test]
fn the_newest_report_counts_when_a_pod_was_replaced() {
    let job = job(JobPhase::Complete);
    let mut first = ended_pod(&job, 1, &text(&report(&[])));
    first.termination.as_mut().unwrap().finished = Some(seconds_later(-60));
    let pods = [ended_pod(&job, 0, &text(&all_configured())), first];
    assert!(of_apply(&job, &pods, &interfaces(), None).done);
}

#[test]
fn an_agent_that_did_nothing_says_why_for_every_interface() {
    let summary = AgentSummary {
        error: Some(AgentError { reason: Reason::HostUnavailable, message: "netlink: permission denied".to_owned() }),
        ..report(&[])
    };
    let outcome = outcome(failed(), |job| vec![ended_pod(job, 3, &text(&summary))]);
    assert_eq!(outcome.why, Why::new("HostUnavailable", "netlink: permission denied"));
}

#[test]
fn what_could_not_be_removed_is_no_success() {
    let left = InterfaceResult {
        id: 5,
        name: "multinic5".to_owned(),
        status: InterfaceOutcome::Failed,
        changed: false,
        reason: Reason::PersistFailed,
        message: "read-only file system".to_owned(),
    };
    let summary = AgentSummary { removed: vec![left], ..all_configured() };
    let done = job(JobPhase::Complete);
    let applied = of_apply(&done, &[ended_pod(&done, 0, &text(&summary))], &interfaces(), None);
    assert_eq!((applied.done, applied.why.reason.as_str()), (false, "RemovalFailed"));
    assert!(applied.why.message.contains("multinic5: read-only file system"));
    assert!(applied.interfaces.iter().all(|(_, configured, _)| *configured), "what is in the spec is right");

    let cleanup = numbered_job(AgentAction::Cleanup, 2, 1, JobPhase::Complete);
    let summary = AgentSummary { action: AgentAction::Cleanup, generation: 2, interfaces: Vec::new(), ..summary };
    let why = of_cleanup(&cleanup, &[ended_pod(&cleanup, 0, &text(&summary))], None);
    assert_eq!(why.map(|why| why.reason), Some("RemovalFailed".to_owned()));
}

#[test]
fn a_cleanup_is_done_when_its_job_is() {
    let of = |phase, pods: fn(&AgentJob) -> Vec<AgentPod>| {
        let job = numbered_job(AgentAction::Cleanup, 2, 1, phase);
        of_cleanup(&job, &pods(&job), None)
    };
    assert_eq!(of(JobPhase::Complete, |_| Vec::new()), None);
    assert!(of(failed(), |job| vec![ended_pod(job, 1, "")]).is_some());
    assert!(of(deadline_exceeded(), |_| Vec::new()).is_some());
}
