//! How a drain goes on, in every situation.

use std::time::Duration;

use crate::api::drain::{LABELS, Outcome};
use crate::controllers::drain::connections::{Found, Kind, Reading, Skipped};
use crate::controllers::drain::intent::{Drain, Release, Step};
use crate::controllers::drain::isolate::Way;
use crate::controllers::drain::measures::By;
use crate::controllers::drain::plan::{Facts, Plan, Questions, Waits, plan, questions};
use crate::controllers::drain::turn::{Peer, Set};
use crate::controllers::drain::workload::Workload;

use super::*;

fn drain(by: By, isolated: Option<i64>) -> Drain {
    let terms = Configuration::default().terms;
    Drain {
        by,
        requested: now(),
        requested_by: UPDATER.to_owned(),
        isolated: isolated.map(after),
        deadline: after(300),
        terms,
        policy: Workload::of(&Pod::default()).policy(),
    }
}

fn of(workload: Workload, drain: Drain) -> Drain {
    Drain { policy: workload.policy(), ..drain }
}

fn reading(source: Kind, connections: u64) -> Facts {
    Facts {
        reading: Some(Reading { found: Some(Found { source, connections }), skipped: Vec::new() }),
        ..Facts::default()
    }
}

/// Nobody could say.
fn unreadable() -> Facts {
    let skipped = vec![Skipped { source: Kind::Sockets, why: "no shell".to_owned(), failed: true }];
    Facts { reading: Some(Reading { found: None, skipped }), ..Facts::default() }
}

fn by_way(way: Way, facts: Facts) -> Facts {
    Facts { way: Some(way), ..facts }
}

/// A plan in a word or two; times are seconds after the request.
fn brief(plan: &Plan) -> String {
    match (&plan.step, &plan.waits) {
        (Some(Step::TakeOut(way)), _) => format!("take out by {way:?}"),
        (Some(Step::Release(Release { outcome, why, .. })), _) => format!("{outcome}: {why}"),
        (Some(step), _) => format!("{step:?}"),
        (None, waits) => {
            let what = match waits {
                Some(Waits::Turn(why)) => format!("turn, {why}"),
                Some(Waits::Budget(why)) => format!("budget, {why}"),
                Some(Waits::Connections(what)) => what.clone(),
                Some(Waits::Completion) => "its work".to_owned(),
                None => "nothing".to_owned(),
            };
            format!("{} until {}", what, plan.wake.duration_since(now()).as_secs())
        }
    }
}

/// What is to be done about this drain of a Pod, with these facts, at this second.
fn decide(drain: &Drain, pod: &Pod, peers: &[Peer], facts: &Facts, at: i64) -> String {
    brief(&plan(drain, pod, peers, facts, &Configuration::default(), after(at)))
}

#[test]
fn only_what_is_needed_is_asked() {
    let none = Questions { set: false, budgets: false, way: false, reading: false };
    let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    let out = all(&[gated(), json!({})]);
    for (what, drain, changes, at, expected) in [
        ("work ends by itself", of(Workload::Job, drain(By::EvictionGate, None)), json!({}), 1, none),
        ("work ends by itself", of(Workload::Job, drain(By::Finalizer, None)), json!({}), 1, none),
        ("a deleted Pod", drain(By::Finalizer, None), json!({}), 1, Questions { reading: true, ..none }),
        (
            "a deleted Pod of a set",
            of(Workload::StatefulSet, drain(By::Finalizer, None)),
            json!({}),
            1,
            Questions { set: true, reading: true, ..none },
        ),
        (
            "a held eviction",
            drain(By::EvictionGate, None),
            json!({}),
            1,
            Questions { budgets: true, way: true, ..none },
        ),
        ("of a Pod that serves nobody", drain(By::EvictionGate, None), unready, 1, Questions { way: true, ..none }),
        (
            "of a node's Pod",
            of(Workload::DaemonSet, drain(By::EvictionGate, None)),
            json!({}),
            1,
            Questions { way: true, ..none },
        ),
        (
            "of a set's Pod",
            of(Workload::StatefulSet, drain(By::EvictionGate, None)),
            json!({}),
            1,
            Questions { set: true, budgets: true, way: true, ..none },
        ),
        ("its Services are told", drain(By::EvictionGate, Some(10)), out.clone(), 11, none),
        (
            "its Services know",
            drain(By::EvictionGate, Some(10)),
            out,
            12,
            Questions { way: true, reading: true, ..none },
        ),
        (
            "it had none to tell",
            drain(By::EvictionGate, Some(10)),
            json!({}),
            10,
            Questions { way: true, reading: true, ..none },
        ),
    ] {
        assert_eq!(questions(&drain, &pod(&changes), after(at)), expected, "{what}");
    }
}

#[test]
fn a_deleted_pod_goes_when_nobody_is_connected_or_nobody_can_have_been_for_the_grace_period() {
    let drain = drain(By::Finalizer, None);
    let pod = pod(&evicted());
    for (what, facts, at, expected) in [
        ("nobody is connected", reading(Kind::Sockets, 0), 1, "idle: 0 connections by sockets"),
        ("somebody is", reading(Kind::Sockets, 2), 100, "2 connections by sockets until 105"),
        ("somebody is until the deadline", reading(Kind::Http, 1), 298, "1 connection by http until 300"),
        (
            "no Service sends it requests, but some may be under way",
            reading(Kind::Endpoints, 0),
            1,
            "no Service sends requests to it until 6",
        ),
        (
            "the grace period ends before the next look",
            reading(Kind::Endpoints, 0),
            28,
            "no Service sends requests to it until 30",
        ),
        (
            "the grace period is over",
            reading(Kind::Endpoints, 0),
            30,
            "assumed: no Service sends requests to it; it has been out of its Services for 30s",
        ),
        ("a Service sends it requests", reading(Kind::Endpoints, 1), 100, "Services send requests to it until 105"),
        (
            "nobody can say, and that is not nobody",
            unreadable(),
            29,
            "its connections are not known (sockets: no shell) until 30",
        ),
        (
            "nobody can say, and it has been long",
            unreadable(),
            30,
            "assumed: its connections are not known (sockets: no shell); it has been out of its Services for 30s",
        ),
    ] {
        assert_eq!(decide(&drain, &pod, &[], &facts, at), expected, "{what}");
    }
}

#[test]
fn a_held_pod_leaves_its_services_first_if_its_budgets_allow() {
    let drain = drain(By::EvictionGate, None);
    let pod = pod(&held());
    let refused =
        Facts { refused: Some("budget web is taken by others".to_owned()), ..by_way(Way::Gate, Facts::default()) };
    for (what, facts, expected) in [
        ("it can", by_way(Way::Gate, Facts::default()), "take out by Gate"),
        ("nobody sends it requests", by_way(Way::Unserved, Facts::default()), "take out by Unserved"),
        ("it cannot leave", by_way(Way::None, Facts::default()), "take out by None"),
        ("its budget does not allow for it", refused, "budget, budget web is taken by others until 6"),
        ("nobody has asked", Facts::default(), "its Services are not known until 6"),
    ] {
        assert_eq!(decide(&drain, &pod, &[], &facts, 1), expected, "{what}");
    }
}

#[test]
fn a_pod_that_has_left_waits_for_its_connections_and_one_that_could_not_never_guesses() {
    let drain = drain(By::EvictionGate, Some(10));
    let out = |label: &str| pod(&all(&[held(), annotated(&json!({ label: "{\"app\":\"web\"}" }))]));
    let left = out(LABELS);
    for (what, pod, facts, at, expected) in [
        ("its Services are told", &left, Facts::default(), 11, "its Services are told until 12"),
        (
            "nobody is connected",
            &left,
            by_way(Way::Unserved, reading(Kind::Envoy, 0)),
            12,
            "idle: 0 connections by envoy",
        ),
        ("somebody is", &left, by_way(Way::Unserved, reading(Kind::Envoy, 3)), 12, "3 connections by envoy until 17"),
        (
            "nobody can say",
            &left,
            by_way(Way::Unserved, unreadable()),
            39,
            "its connections are not known (sockets: no shell) until 40",
        ),
        (
            "nobody can say, and it has been long",
            &left,
            by_way(Way::Unserved, unreadable()),
            40,
            "assumed: its connections are not known (sockets: no shell); it has been out of its Services for 30s",
        ),
        (
            "it could not leave, so it still gets requests",
            &out("note"),
            by_way(Way::None, unreadable()),
            200,
            "its connections are not known (sockets: no shell) until 205",
        ),
    ] {
        assert_eq!(decide(&drain, pod, &[], &facts, at), expected, "{what}");
    }
    let mut unready = pod(&held());
    merge_into(
        &mut unready,
        &json!({ "status": { "conditions": [
        { "type": "Ready", "status": "False", "lastTransitionTime": after(20).to_string() },
    ] } }),
    );
    let facts = by_way(Way::None, unreadable());
    assert_eq!(
        decide(&drain, &unready, &[], &facts, 50),
        "assumed: its connections are not known (sockets: no shell); it has been out of its Services for 30s",
        "who is not ready gets none either"
    );
}

fn merge_into(pod: &mut Pod, changes: &Value) {
    let mut value = json!(pod);
    merge(&mut value, changes);
    *pod = serde_json::from_value(value).unwrap();
}

#[test]
fn work_is_waited_for_whatever_is_connected() {
    let pod = pod(&all(&[evicted(), owned_by("batch/v1", "Job")]));
    for by in By::ALL {
        let drain = of(Workload::Job, drain(by, None));
        assert_eq!(decide(&drain, &pod, &[], &reading(Kind::Sockets, 0), 1), "its work until 300");
    }
}

#[test]
fn members_of_a_set_wait_for_each_other_whichever_way_they_are_held() {
    let pod = |changes: Value| pod(&all(&[owned_by("apps/v1", "StatefulSet"), changes]));
    let peer = |ordinal: u32| Peer { name: format!("web-{ordinal}"), ordinal, ready: true, ..Peer::default() };
    let set = |facts: Facts| Facts { set: Some(Set { replicas: 3, stray_volume: None }), ..facts };
    let gate = of(Workload::StatefulSet, drain(By::EvictionGate, None));
    let asked = [peer(0), Peer { asked: true, ..peer(2) }];
    let facts = set(by_way(Way::Gate, Facts::default()));
    assert_eq!(decide(&gate, &pod(held()), &asked, &facts, 1), "turn, web-2 comes first until 6");
    assert_eq!(decide(&gate, &pod(held()), &[peer(0), peer(2)], &facts, 1), "take out by Gate");
    let finalizer = of(Workload::StatefulSet, drain(By::Finalizer, None));
    let leaving = [peer(0), Peer { leaving: true, guarded: true, ..peer(2) }];
    let facts = set(reading(Kind::Sockets, 0));
    assert_eq!(decide(&finalizer, &pod(evicted()), &leaving, &facts, 1), "turn, web-2 comes first until 6");
    assert_eq!(decide(&finalizer, &pod(evicted()), &[peer(0)], &facts, 1), "idle: 0 connections by sockets");
    let gone = Facts { set: None, ..facts };
    assert_eq!(decide(&finalizer, &pod(evicted()), &leaving, &gone, 1), "idle: 0 connections by sockets");
}

#[test]
fn nobody_sleeps_past_the_deadline() {
    let close = Drain { deadline: after(3), ..drain(By::EvictionGate, Some(2)) };
    assert_eq!(
        decide(&close, &pod(&all(&[held(), gated()])), &[], &Facts::default(), 2),
        "its Services are told until 3"
    );
    let configuration = Configuration { recheck: Duration::from_mins(5), ..Configuration::default() };
    let facts = by_way(Way::Gate, reading(Kind::Sockets, 1));
    assert_eq!(plan(&close, &pod(&held()), &[], &facts, &configuration, after(2)).wake, after(3));
    let outcome = plan(&close, &pod(&held()), &[], &reading(Kind::Sockets, 0), &configuration, after(2)).step;
    assert!(matches!(outcome, Some(Step::Release(Release { outcome: Outcome::Idle, .. }))));
}
