//! What is done next, in every situation.

use crate::api::agent::{AgentAction, OsKind};
use crate::api::multinic::State;
use crate::controllers::multinic::observe::{JobPhase, NodeFacts, Observed};
use crate::controllers::multinic::outcome::Why;
use crate::controllers::multinic::plan::{JobRef, Plan, Progress, Release, Try};
use crate::controllers::multinic::status::render;
use crate::controllers::multinic::validate::Refusal;
use crate::controllers::multinic::{labels, status};

use super::fixtures::*;

/// The try of the Job that the plan makes.
fn created(plan: &Plan) -> Option<(AgentAction, i32)> {
    plan.create.as_ref().map(|order| (order.action, order.attempt))
}

fn is_blocked(plan: &Plan) -> bool {
    matches!(plan.progress, Progress::Blocked { .. }) && plan.create.is_none() && plan.release.is_none()
}

fn refs(jobs: &[&crate::controllers::multinic::observe::AgentJob]) -> Vec<JobRef> {
    jobs.iter().map(|job| JobRef::from(*job)).collect()
}

#[test]
fn a_new_configuration_is_held_and_gets_its_job() {
    let plan = observed().plan();
    assert!(plan.hold);
    assert_eq!(created(&plan), Some((AgentAction::Apply, 1)));
    let order = plan.create.unwrap();
    assert_eq!(order.os, OsKind::Netplan);
    assert_eq!(order.interfaces.len(), 3);
    assert!(matches!(plan.progress, Progress::Running { run, .. } if run.job == order.job_name(&config())));
}

#[test]
fn no_agent_runs_for_a_configuration_and_a_node_that_do_not_fit() {
    let on = |change: fn(&mut NodeFacts)| {
        let mut observed = observed();
        change(observed.node.as_mut().unwrap());
        observed
    };
    let cases: [(Observed, &str, bool); 7] = [
        (Observed { node: None, ..observed() }, "NodeNotFound", true),
        (on(|node| node.system_uuid = OTHER_MACHINE.to_owned()), "InstanceMismatch", false),
        (on(|node| node.os_image = "Flatcar Container Linux".to_owned()), "UnsupportedOS", false),
        (on(|node| node.os_image.clear()), "NodeInfoMissing", true),
        (on(|node| node.system_uuid.clear()), "NodeInfoMissing", true),
        (Observed { rival: Some("other/worker-1".to_owned()), ..observed() }, "NodeClaimed", true),
        (
            {
                let mut observed = observed();
                observed.config.spec.interfaces[0].mtu = Some(67);
                observed
            },
            "InvalidSpec",
            false,
        ),
    ];
    for (observed, reason, may_pass) in cases {
        let active = job(JobPhase::Active);
        let plan = observed.with_job(active.clone()).plan();
        let Progress::Refused(refusal) = &plan.progress else { panic!("{reason}: {plan:?}") };
        assert_eq!((refusal.reason(), refusal.may_pass()), (reason, may_pass));
        assert!(plan.create.is_none() && !plan.hold, "{reason}");
        assert_eq!(plan.stop, refs(&[&active]), "{reason}: an agent that should not be there is stopped");
    }
}

#[test]
fn an_agent_at_work_is_left_alone() {
    let job = job(JobPhase::Active);
    let pod = running_pod(&job);
    let plan = observed().held().with_pod(pod).with_job(job).plan();
    assert!(matches!(plan.progress, Progress::Running { ref run, trouble: None } if run.attempt == 1));
    assert_eq!(plan, Plan { progress: plan.progress.clone(), ..Plan::default() });
}

#[test]
fn what_keeps_an_agent_from_its_work_is_seen() {
    let job = job(JobPhase::Active);
    let mut pod = running_pod(&job);
    pod.waiting = Some(("ErrImagePull".to_owned(), "no such host".to_owned()));
    let plan = observed().held().with_job(job).with_pod(pod).plan();
    let Progress::Running { trouble: Some(trouble), .. } = plan.progress else { panic!("{plan:?}") };
    assert_eq!(trouble.reason, "ImagePullBackOff");
    assert!(trouble.message.contains("no such host"));
}

#[test]
fn what_kept_an_agent_from_its_work_is_not_forgotten_when_its_pod_goes() {
    let trouble = Why::new("ImagePullBackOff", "the agent's Pod is waiting: no such host");
    let job = job(JobPhase::Active);
    let told = |known: Option<&Why>| {
        let mut observed = observed().held().with_job(job.clone());
        let run = Try { action: job.action, job: job.name.clone(), attempt: 1, system_uuid: MACHINE.to_owned() };
        observed.config.status = render(&observed.config, &Progress::Running { run, trouble: known.cloned() }, now());
        observed
    };
    let trouble_of = |observed: &Observed| match observed.plan().progress {
        Progress::Running { trouble, .. } => trouble,
        other => panic!("{other:?}"),
    };
    assert_eq!(trouble_of(&told(Some(&trouble))), Some(trouble.clone()), "no Pod is left to say it again");
    assert_eq!(trouble_of(&told(None)), None, "a Job that has no Pod yet is in no trouble");
    let runs = told(Some(&trouble)).with_pod(running_pod(&job));
    assert_eq!(trouble_of(&runs), None, "a Pod that runs after all is over it");
}

#[test]
fn two_agents_never_meet_on_a_node() {
    let old = job(JobPhase::Active);
    let leaving = {
        let mut job = old.clone();
        job.leaving = true;
        job
    };
    let mut foreign = old.clone();
    foreign.config_uid = "another".to_owned();
    let new_generation = || observed().held().at_generation(2);

    let stopped = new_generation().with_job(old.clone()).plan();
    assert!(is_blocked(&stopped));
    assert_eq!(stopped.stop, refs(&[&old]), "the old generation's agent is stopped");

    let waiting = new_generation().with_job(leaving).plan();
    assert!(is_blocked(&waiting));
    assert_eq!(waiting.stop, [], "it is stopped once");

    let pod_left = new_generation().with_pod(running_pod(&old)).plan();
    assert!(is_blocked(&pod_left), "a Job without its Pod gone is not gone");

    let not_ours = observed().held().with_job(foreign).plan();
    assert!(is_blocked(&not_ours));
    assert_eq!(not_ours.stop, [], "another configuration's agent is waited for, not stopped");

    let gone = new_generation().with_pod(ended_pod(&old, 0, "")).plan();
    assert_eq!(created(&gone), Some((AgentAction::Apply, 1)));
}

#[test]
fn only_a_job_of_this_configuration_generation_and_machine_counts() {
    let done = job(JobPhase::Complete);
    let of = |change: fn(&mut crate::controllers::multinic::observe::AgentJob)| {
        let mut job = done.clone();
        change(&mut job);
        job
    };
    for (what, job) in [
        ("uid", of(|job| job.config_uid = "an earlier object of this name".to_owned())),
        ("generation", of(|job| job.generation = 7)),
        ("machine", of(|job| job.system_uuid = OTHER_MACHINE.to_owned())),
        ("action", of(|job| job.action = AgentAction::Cleanup)),
    ] {
        let pod = ended_pod(&job, 0, &text(&all_configured()));
        let plan = observed().held().with_job(job).with_pod(pod).plan();
        assert_eq!(created(&plan), Some((AgentAction::Apply, 1)), "{what}");
        assert!(matches!(plan.progress, Progress::Running { .. }), "{what}");
    }
}

#[test]
fn a_finished_job_is_told_of_before_it_is_removed() {
    let job = job(JobPhase::Complete);
    let pod = ended_pod(&job, 0, &text(&all_configured()));
    let plan = observed().held().with_job(job.clone()).with_pod(pod.clone()).plan();
    let Progress::Applied { run, outcome, retry } = &plan.progress else { panic!("{plan:?}") };
    assert_eq!((run.job.as_str(), outcome.done, *retry), (job.name.as_str(), true, None));
    assert_eq!(plan.discard, refs(&[&job]), "after the status");
    assert!(plan.stop.is_empty() && plan.create.is_none());

    let told = observed().held().with_job(job.clone()).with_pod(pod).told(State::Configured, &job, None).plan();
    assert_eq!(told, Plan { discard: refs(&[&job]), ..Plan::default() }, "told of already: only removed");
}

#[test]
fn a_failure_is_retried_after_a_wait_that_grows() {
    let failure = |attempt| {
        let job = numbered_job(AgentAction::Apply, 1, attempt, failed());
        let plan = observed().held().with_job(job.clone()).plan();
        let Progress::Applied { retry: Some(retry), .. } = plan.progress else { panic!("{plan:?}") };
        assert_eq!(plan.wake, Some(retry));
        (job, retry)
    };
    let (job, retry) = failure(1);
    assert!(retry >= seconds_later(10) && retry <= seconds_later(12), "{retry}");
    assert!(failure(2).1 >= seconds_later(20));
    assert!(failure(50).1 <= seconds_later(601), "the wait has a ceiling");

    let early = observed().held().told(State::Failed, &job, Some(seconds_later(1))).plan();
    assert_eq!(early, Plan { wake: Some(seconds_later(1)), ..Plan::default() });
    let due = observed().held().told(State::Failed, &job, Some(now())).plan();
    assert_eq!(created(&due), Some((AgentAction::Apply, 2)));
}

#[test]
fn a_changed_spec_starts_again_without_waiting() {
    let job = numbered_job(AgentAction::Apply, 1, 5, failed());
    let plan = observed().held().told(State::Failed, &job, Some(seconds_later(600))).at_generation(2).plan();
    assert_eq!(created(&plan), Some((AgentAction::Apply, 1)));
}

#[test]
fn a_configured_node_is_left_alone_until_it_is_another_machine() {
    let job = job(JobPhase::Complete);
    let configured = observed().held().told(State::Configured, &job, None);
    assert_eq!(configured.plan(), Plan::default());
    let mut reinstalled = configured;
    reinstalled.config.spec.instance_id = None;
    reinstalled.node.as_mut().unwrap().system_uuid = OTHER_MACHINE.to_owned();
    assert_eq!(created(&reinstalled.plan()), Some((AgentAction::Apply, 1)));
}

#[test]
fn a_job_that_somebody_removed_is_missed_and_made_again() {
    let gone = job(JobPhase::Active);
    let missed = observed().held().told(State::InProgress, &gone, None).plan();
    let Progress::Lost { run, retry } = &missed.progress else { panic!("{missed:?}") };
    assert_eq!((run.job.as_str(), missed.wake), (gone.name.as_str(), Some(*retry)));
    let again = observed().held().told(State::Pending, &gone, Some(now())).plan();
    assert_eq!(created(&again), Some((AgentAction::Apply, 2)));
}

#[test]
fn a_deleted_configuration_has_its_node_cleaned_up() {
    let apply = job(JobPhase::Active);
    let stopping = observed().deleted().with_job(apply.clone()).with_pod(running_pod(&apply)).plan();
    assert!(is_blocked(&stopping));
    assert_eq!(stopping.stop, refs(&[&apply]), "its agents go first");

    let finished = observed().deleted().with_job(job(JobPhase::Complete)).plan();
    assert_eq!(finished.discard.len(), 1);
    assert_eq!(created(&finished), Some((AgentAction::Cleanup, 1)));

    let cleanup = numbered_job(AgentAction::Cleanup, 2, 1, JobPhase::Active);
    let waiting = observed().deleted().with_job(cleanup.clone()).plan();
    assert!(matches!(waiting.progress, Progress::Running { .. }) && waiting.release.is_none());

    let done = numbered_job(AgentAction::Cleanup, 2, 1, JobPhase::Complete);
    let released = observed().deleted().with_job(done.clone()).plan();
    assert_eq!(released.progress, Progress::Cleaned { run: Try::from(&done) });
    assert_eq!((released.release, released.discard), (Some(Release::Cleaned), refs(&[&done])));
}

#[test]
fn a_cleanup_that_was_told_of_is_not_made_again() {
    let cleanup = numbered_job(AgentAction::Cleanup, 2, 1, JobPhase::Complete);
    let mut told = observed().deleted();
    told.config.status = status::render(&told.config, &Progress::Cleaned { run: Try::from(&cleanup) }, now());
    assert_eq!((told.plan().release, told.plan().create), (Some(Release::Cleaned), None), "its Job is gone already");
    let left = told.with_job(cleanup.clone()).plan();
    assert_eq!(
        (left.release, left.discard, left.progress),
        (Some(Release::Cleaned), refs(&[&cleanup]), Progress::Unchanged)
    );
}

#[test]
fn an_apply_that_succeeded_is_no_cleanup() {
    let apply = numbered_job(AgentAction::Apply, 2, 1, JobPhase::Complete);
    let plan = observed().deleted().with_job(apply).plan();
    assert_eq!((created(&plan), plan.release), (Some((AgentAction::Cleanup, 1)), None));
}

#[test]
fn a_cleanup_that_fails_is_told_and_tried_again() {
    let cleanup = numbered_job(AgentAction::Cleanup, 2, 1, failed());
    let failure = observed().deleted().with_job(cleanup.clone()).plan();
    let Progress::NotCleaned { retry, .. } = failure.progress else { panic!("{failure:?}") };
    assert_eq!((failure.wake, failure.release), (Some(retry), None));

    let waiting = observed().deleted().told(State::Failed, &cleanup, Some(seconds_later(9))).plan();
    assert_eq!((created(&waiting), waiting.wake), (None, Some(seconds_later(9))));
    let due = observed().deleted().told(State::Failed, &cleanup, Some(now())).plan();
    assert_eq!(created(&due), Some((AgentAction::Cleanup, 2)));
}

#[test]
fn a_cleanup_does_not_wait_for_the_back_off_of_the_apply_before_it() {
    let apply = numbered_job(AgentAction::Apply, 1, 9, failed());
    let plan = observed().told(State::Failed, &apply, Some(seconds_later(600))).deleted().plan();
    assert_eq!(created(&plan), Some((AgentAction::Cleanup, 1)));
}

#[test]
fn what_cannot_or_need_not_be_cleaned_up_is_released_and_says_why() {
    let apply = job(JobPhase::Complete);
    let configured = || observed().told(State::Configured, &apply, None).deleted();
    let change = |mut observed: Observed, change: fn(&mut Observed)| {
        change(&mut observed);
        observed
    };
    let other_machine =
        |observed: &mut Observed| observed.node.as_mut().unwrap().system_uuid = OTHER_MACHINE.to_owned();
    let flatcar = |observed: &mut Observed| observed.node.as_mut().unwrap().os_image = "Flatcar".to_owned();
    let annotated = |observed: &mut Observed| {
        observed.config.metadata.annotations = Some([(labels::SKIP_CLEANUP.to_owned(), "true".to_owned())].into());
    };
    let long_ago = |observed: &mut Observed| {
        observed.config.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(seconds_later(-24 * 60 * 60)));
    };
    for (what, observed, words) in [
        ("node gone", change(configured(), |observed| observed.node = None), "does not exist any more"),
        ("another machine", change(configured(), other_machine), "another machine"),
        ("never configured, mismatch", change(observed().deleted(), other_machine), "instanceId"),
        ("never configured, unsupported", change(observed().deleted(), flatcar), "Flatcar"),
        ("rival", change(observed().deleted(), |it| it.rival = Some("a/worker-1".to_owned())), "a/worker-1"),
        ("annotation", change(configured(), annotated), "skip-cleanup"),
        ("deadline", change(configured(), long_ago), "could not be cleaned up"),
    ] {
        let plan = observed.plan();
        let why = match plan.release {
            Some(Release::Skipped(why)) => why,
            Some(Release::Abandoned(why)) if what == "deadline" => why,
            other => panic!("{what}: {other:?}"),
        };
        assert!(why.contains(words), "{what}: {why}");
        assert!(plan.create.is_none(), "{what}");
    }
}

#[test]
fn a_wrong_instance_id_does_not_save_a_configured_node_from_its_cleanup() {
    let mut observed = observed().told(State::Configured, &job(JobPhase::Complete), None).deleted();
    observed.config.spec.instance_id = Some(OTHER_MACHINE.to_owned());
    assert_eq!(created(&observed.plan()), Some((AgentAction::Cleanup, 1)));
}

#[test]
fn a_cleanup_waits_for_a_node_that_does_not_say_what_it_is() {
    let mut observed = observed().told(State::Configured, &job(JobPhase::Complete), None).deleted();
    observed.node.as_mut().unwrap().os_image.clear();
    let plan = observed.plan();
    assert_eq!(plan.progress, Progress::Refused(Refusal::NodeInfoMissing(NODE.to_owned())));
    assert_eq!((plan.release, plan.wake), (None, Some(seconds_later(24 * 60 * 60))));
}

#[test]
fn a_configuration_that_is_held_by_others_only_is_none_of_our_business() {
    let mut observed = observed().deleted();
    observed.config.metadata.finalizers = Some(vec!["example.com/other".to_owned()]);
    assert_eq!(observed.plan(), Plan::default());
}
