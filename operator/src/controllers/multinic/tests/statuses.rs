//! What the status says, and when it is left as it is.

use k8s_openapi::jiff::Timestamp;

use crate::api::agent::AgentAction;
use crate::api::conditions::{self, ACCEPTED, READY};
use crate::api::multinic::{MultiNicNodeConfig, MultiNicNodeConfigStatus, State};
use crate::controllers::multinic::observe::JobPhase;
use crate::controllers::multinic::outcome::{Outcome, Why};
use crate::controllers::multinic::plan::{Progress, Release, Try};
use crate::controllers::multinic::status::{farewell, notice, render};
use crate::controllers::multinic::validate::Refusal;
use crate::kit::report::Kind;

use super::fixtures::*;

fn run() -> Try {
    Try::from(&job(JobPhase::Active))
}

fn running() -> Progress {
    Progress::Running { run: run(), trouble: None }
}

fn configured() -> Progress {
    let interfaces = [1, 2, 3].map(|id| (id, true, Why::new("Applied", "configured"))).into();
    let outcome = Outcome { done: true, why: Why::new("Configured", "3 interfaces are configured"), interfaces };
    Progress::Applied { run: run(), outcome, retry: None }
}

fn partly() -> Progress {
    let result = |id| (id, id != 2, Why::new(if id == 2 { "LinkNotFound" } else { "Applied" }, "so it is"));
    let why = Why::new("InterfacesFailed", "1 of 3 interfaces failed");
    let outcome = Outcome { done: false, why, interfaces: [1, 2, 3].map(result).into() };
    Progress::Applied { run: run(), outcome, retry: Some(seconds_later(10)) }
}

fn every_progress() -> Vec<Progress> {
    vec![
        Progress::Refused(Refusal::NodeNotFound(NODE.to_owned())),
        Progress::Refused(Refusal::UnsupportedOs { node: NODE.to_owned(), os_image: "Flatcar".to_owned() }),
        Progress::Blocked { action: AgentAction::Apply, by: "Pod x".to_owned() },
        Progress::Denied { action: AgentAction::Apply, message: "exceeded quota".to_owned() },
        running(),
        Progress::Running { run: run(), trouble: Some(Why::new("ImagePullBackOff", "no such host")) },
        configured(),
        partly(),
        Progress::Cleaned { run: run() },
        Progress::NotCleaned { run: run(), why: Why::new("AgentFailed", "no"), retry: seconds_later(10) },
        Progress::Lost { run: run(), retry: seconds_later(10) },
    ]
}

fn after(mut config: MultiNicNodeConfig, progress: &Progress, time: Timestamp) -> MultiNicNodeConfig {
    config.status = render(&config, progress, time).or(config.status);
    config
}

fn ready(status: &MultiNicNodeConfigStatus) -> (&str, &str) {
    let ready = conditions::find(&status.conditions, READY).unwrap();
    (ready.status.as_str(), ready.reason.as_str())
}

#[test]
fn nothing_is_written_where_nothing_is_new() {
    for progress in every_progress() {
        let first = after(config(), &progress, now());
        assert!(first.status.is_some(), "{progress:?}");
        assert_eq!(render(&first, &progress, seconds_later(3600)), None, "{progress:?}");
    }
    assert_eq!(render(&config(), &Progress::Unchanged, now()), None);
}

#[test]
fn every_status_is_about_its_generation_and_has_both_conditions() {
    for progress in every_progress() {
        let status = after(config(), &progress, now()).status.unwrap();
        assert_eq!(status.observed_generation, Some(1));
        for type_ in [ACCEPTED, READY] {
            let condition = conditions::find(&status.conditions, type_).unwrap();
            assert_eq!(condition.observed_generation, Some(1), "{progress:?}");
            assert!(!condition.reason.is_empty() && !condition.message.is_empty(), "{progress:?}");
        }
    }
}

#[test]
fn the_state_follows_the_progress() {
    for (progress, state, holds, reason) in [
        (Progress::Refused(Refusal::NodeNotFound(NODE.to_owned())), State::Pending, "False", "NodeNotFound"),
        (every_progress().remove(1), State::Failed, "False", "UnsupportedOS"),
        (every_progress().remove(2), State::Pending, "False", "WaitingForAgent"),
        (every_progress().remove(3), State::Pending, "False", "JobDenied"),
        (running(), State::InProgress, "False", "Applying"),
        (configured(), State::Configured, "True", "Configured"),
        (partly(), State::Failed, "False", "InterfacesFailed"),
        (every_progress().remove(9), State::Failed, "False", "CleanupFailed"),
        (every_progress().remove(10), State::Pending, "False", "JobLost"),
    ] {
        let status = after(config(), &progress, now()).status.unwrap();
        assert_eq!((status.state, ready(&status)), (Some(state), (holds, reason)));
    }
}

#[test]
fn each_interface_has_an_entry_of_its_own_whatever_happens() {
    for progress in every_progress() {
        if matches!(progress, Progress::NotCleaned { .. } | Progress::Cleaned { .. }) {
            continue; // Show what was configured before, and nothing.
        }
        let status = after(config(), &progress, now()).status.unwrap();
        let entries: Vec<_> = status.interface_statuses.iter().map(|it| (it.id, it.name.as_str())).collect();
        assert_eq!(entries, [(1, "multinic1"), (2, "multinic2"), (3, "multinic7")], "{progress:?}");
        assert!(status.interface_statuses.iter().all(|it| !it.reason.is_empty() && !it.message.is_empty()));
    }
    let status = after(config(), &partly(), now()).status.unwrap();
    let outcomes: Vec<_> = status.interface_statuses.iter().map(|entry| entry.status).collect();
    assert_eq!(outcomes, [State::Configured, State::Failed, State::Configured]);
    let first = &status.interface_statuses[0];
    assert_eq!(first.mac_address, "fa:16:3e:f3:b0:3f", "in lower case");
    assert_eq!(
        (first.address.as_deref(), first.cidr.as_deref(), first.mtu),
        (Some("11.11.11.33"), Some("11.11.11.0/24"), Some(1450))
    );
}

#[test]
fn only_what_changed_gets_a_new_time() {
    let before = after(config(), &partly(), now());
    let status = after(before, &configured(), seconds_later(60)).status.unwrap();
    let changed: Vec<_> =
        status.interface_statuses.iter().map(|entry| entry.last_change.0 == seconds_later(60)).collect();
    // The second had failed; the other two say something else in this test's words.
    assert!(changed[1]);
    let accepted = conditions::find(&status.conditions, ACCEPTED).unwrap();
    assert_eq!(accepted.last_transition_time.0, now());
    assert_eq!(conditions::find(&status.conditions, READY).unwrap().last_transition_time.0, seconds_later(60));
}

#[test]
fn a_retry_is_visible_while_it_is_waited_for_and_no_longer() {
    let failed = after(config(), &partly(), now());
    let status = failed.status.as_ref().unwrap();
    assert_eq!(
        (status.attempts, status.next_retry_time.as_ref().map(|time| time.0)),
        (Some(1), Some(seconds_later(10)))
    );
    let again = Progress::Running { run: Try { attempt: 2, ..run() }, trouble: None };
    let status = after(failed, &again, seconds_later(10)).status.unwrap();
    assert_eq!((status.attempts, status.next_retry_time), (Some(2), None));
}

#[test]
fn the_tries_of_another_generation_are_not_counted() {
    let mut changed = after(config(), &partly(), now());
    changed.metadata.generation = Some(2);
    let blocked = Progress::Blocked { action: AgentAction::Apply, by: "Pod x".to_owned() };
    let status = after(changed.clone(), &blocked, now()).status.unwrap();
    assert_eq!((status.observed_generation, status.attempts), (Some(2), None));
    let same = after(after(config(), &partly(), now()), &blocked, now()).status.unwrap();
    assert_eq!(same.attempts, Some(1), "but those of this one are, also while it waits");
}

#[test]
fn what_is_being_cleaned_up_shows_what_was_configured() {
    let mut deleted = after(config(), &configured(), now());
    deleted.metadata = observed().deleted().config.metadata;
    let cleaning = Progress::Running { run: Try { action: AgentAction::Cleanup, ..run() }, trouble: None };
    let status = after(deleted.clone(), &cleaning, now()).status.unwrap();
    assert_eq!(ready(&status), ("False", "CleaningUp"));
    assert_eq!(status.interface_statuses, deleted.status.unwrap().interface_statuses);
}

#[test]
fn people_hear_of_every_change_once() {
    let started = after(config(), &running(), now());
    let told = notice(None, started.status.as_ref().unwrap()).unwrap();
    assert_eq!((told.kind, told.reason.as_str()), (Kind::Normal, "Applying"));
    let failed = after(started.clone(), &partly(), now());
    let told = notice(started.status.as_ref(), failed.status.as_ref().unwrap()).unwrap();
    assert_eq!((told.kind, told.reason.as_str()), (Kind::Warning, "InterfacesFailed"));
    assert_eq!(notice(failed.status.as_ref(), failed.status.as_ref().unwrap()), None);
}

#[test]
fn a_release_without_a_cleanup_is_a_warning() {
    assert_eq!(farewell(&Release::Cleaned).kind, Kind::Normal);
    let skipped = farewell(&Release::Skipped("node worker-1 does not exist any more".to_owned()));
    assert_eq!((skipped.kind, skipped.reason.as_str()), (Kind::Warning, "CleanupSkipped"));
    assert!(skipped.note.contains("worker-1"));
    assert_eq!(farewell(&Release::Abandoned(String::new())).reason, "CleanupAbandoned");
}
