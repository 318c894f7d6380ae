//! Small runs, in virtual time: what a large one does, a few times.

use std::sync::Mutex;

use super::*;

fn load(objects: usize) -> Load {
    Load { objects, nodes: 2, at_once: objects, time: Time::Virtual, seed: 7 }
}

/// What was told, in words.
fn words(heard: &Mutex<Vec<String>>) -> impl Fn(Progress<'_>) + Sync + '_ {
    |progress| {
        heard.lock().unwrap().push(match progress {
            Progress::Began { phase, objects } => format!("{phase} of {objects}"),
            Progress::Done(count) => count.to_string(),
            Progress::Ended(phase) => format!("{} ended", phase.name),
        });
    }
}

#[test]
fn nodes_are_configured_changed_and_cleaned_up_and_every_one_is_told_of() {
    let heard = Mutex::default();
    let outcome = multinic(load(3), &words(&heard)).unwrap();
    let expected =
        |phase: &str| [format!("{phase} of 3"), "1".into(), "2".into(), "3".into(), format!("{phase} ended")];
    assert_eq!(*heard.lock().unwrap(), ["configure", "change", "clean up"].map(expected).concat());
    assert!(outcome.phases.iter().all(|phase| phase.latencies.count() == 3), "{:?}", outcome.phases);
    let latency = |name: &str| outcome.session.seen.latencies.iter().find(|(series, _)| series.name == name);
    assert_eq!(latency("reconcile").unwrap().1.count(), 6, "each generation of each object is observed");
    assert_eq!(latency("cleanup").unwrap().1.count(), 3);
    assert!(outcome.memory.highest >= outcome.memory.resident && outcome.memory.resident > 0);
}

#[test]
fn pods_drain_by_every_mechanism_until_none_is_left() {
    for mechanisms in [Mechanisms::Both, Mechanisms::Finalizer, Mechanisms::EvictionGate] {
        let outcome = drain(load(4), mechanisms, &|_| {}).unwrap();
        let drained = outcome.session.seen.latencies.iter().find(|(series, _)| series.name == "drain").unwrap();
        assert_eq!((outcome.phases[1].name, drained.1.count()), ("drain", 4), "{mechanisms:?}");
        let held = outcome.session.seen.latencies.iter().find(|(series, _)| series.name == "held");
        assert_eq!(
            held.is_some(),
            mechanisms != Mechanisms::Finalizer,
            "{mechanisms:?}: only the gate holds evictions"
        );
    }
}

#[test]
fn an_idle_operator_asks_for_nothing_that_changes_anything() {
    let load = IdleLoad {
        nodes: 3,
        pods: 10,
        quiet: Duration::from_hours(1),
        operator: None,
        settle: Duration::ZERO,
        seed: 7,
    };
    let Idle { quiet, process } = idle(&load, &|_| {}).unwrap();
    let patched = quiet.before.iter().find(|((verb, resource), _)| verb == "patch" && resource == "pods");
    assert_eq!(patched.map(|(_, count)| *count), Some(5), "it was at work before: {:?}", quiet.before);
    assert_eq!(quiet.writes(), 0, "{:?}", quiet.calls);
    assert!(process.is_none());
}
