//! What there is to do about a Pod, in every situation.

use crate::api::drain::{FINALIZER_BEFORE, ISOLATED_AT, LABELS, OUTCOME, RELEASED_AT};
use crate::controllers::drain::intent::{Drain, Intent, Release, Step, View, intent};
use crate::controllers::drain::turn::Peer;

use super::*;

/// An intent in a word or two; times are seconds after the request.
fn brief(intent: &Intent) -> String {
    let seconds = |moment: Timestamp| moment.duration_since(now()).as_secs();
    match intent {
        Intent::Rest(None) => "rest".to_owned(),
        Intent::Rest(Some(wake)) => format!("rest until {}", seconds(*wake)),
        Intent::Do(Step::Guard) => "guard".to_owned(),
        Intent::Do(Step::Unguard) => "unguard".to_owned(),
        Intent::Do(Step::Serve) => "serve".to_owned(),
        Intent::Do(Step::TakeOut(_)) => "take out".to_owned(),
        Intent::Do(Step::PutBack(why)) => format!("put back: {why}"),
        Intent::Do(Step::Evict) => "evict".to_owned(),
        Intent::Do(Step::Release(Release { by, outcome, why, .. })) => format!("{} {outcome}: {why}", by.as_str()),
        Intent::Drain(drain) => {
            let Drain { by, deadline, .. } = &**drain;
            format!("drain by {} until {}", by.as_str(), seconds(*deadline))
        }
    }
}

struct Case {
    what: &'static str,
    changes: Value,
    values: &'static [(&'static str, &'static str)],
    /// Seconds since the request.
    at: i64,
    expected: &'static str,
}

fn case(what: &'static str, changes: Value, expected: &'static str) -> Case {
    Case { what, changes, values: &[], at: 1, expected }
}

impl Case {
    fn with(self, values: &'static [(&'static str, &'static str)]) -> Self {
        Self { values, ..self }
    }

    fn at(self, at: i64) -> Self {
        Self { at, ..self }
    }
}

fn decide(pod: &Pod, standing: &Standing, peers: &[Peer], at: i64) -> String {
    let view = View { pod, standing, namespace_labels: &BTreeMap::new(), peers };
    brief(&intent(view, after(at)).0)
}

fn check(cases: Vec<Case>) {
    for Case { what, changes, values, at, expected } in cases {
        assert_eq!(decide(&pod(&changes), &standing(values), &[], at), expected, "{what}");
    }
}

fn ended(phase: &str) -> Value {
    json!({ "status": { "phase": phase } })
}

fn unguarded() -> Value {
    json!({ "metadata": { "finalizers": null } })
}

fn isolated(at: i64) -> Value {
    all(&[held(), annotated(&json!({ ISOLATED_AT: after(at).to_string() }))])
}

fn released(at: i64) -> Value {
    all(&[isolated(5), annotated(&json!({ RELEASED_AT: after(at).to_string(), OUTCOME: "idle" }))])
}

/// Its labels were taken away, and with them its owner.
fn orphaned() -> Value {
    annotated(&json!({ LABELS: "{\"app\":\"web\"}" }))
}

#[test]
fn a_deleted_pod_is_kept_only_while_there_is_a_reason_to() {
    let no = annotated(&json!({ "vpa-managed": "false" }));
    check(vec![
        case("nobody holds it", all(&[evicted(), unguarded()]), "rest"),
        case("somebody else holds it", all(&[evicted(), json!({ "metadata": { "finalizers": ["other"] } })]), "rest"),
        case("it drains; the clock starts at the request", evicted(), "drain by finalizer until 300"),
        case(
            "the finalizer of the controller before this one is ours too",
            all(&[evicted(), json!({ "metadata": { "finalizers": [FINALIZER_BEFORE] } })]),
            "drain by finalizer until 300",
        ),
        case("the gate held it before", all(&[deleted(), held()]), "drain by finalizer until 300"),
        case(
            "it has ended",
            all(&[evicted(), ended("Succeeded")]),
            "finalizer ended: none of its containers runs any more",
        ),
        case(
            "it has failed, and nobody selects it",
            all(&[evicted(), ended("Failed"), no.clone()]),
            "finalizer ended: none of its containers runs any more",
        ),
        case(
            "its owner says no",
            all(&[evicted(), no]),
            "finalizer dropped: it is not drained: the annotation vpa-managed says no",
        ),
        case(
            "nothing speaks for it any more",
            all(&[evicted(), annotated(&json!({ "vpa-managed": null }))]),
            "finalizer dropped: it is not drained: nothing says that an autoscaler manages it",
        ),
        case("its namespace is out", evicted(), "finalizer dropped: it is not drained: its namespace is not selected")
            .with(&[("namespaceSelector", r#"{"exclude": ["sh*"]}"#)]),
        case(
            "it is the operator's own",
            all(&[evicted(), json!({ "metadata": { "labels": { "app.kubernetes.io/name": "slipway-operator" } } })]),
            "finalizer dropped: it is not drained: it belongs to the operator itself",
        ),
        case(
            "the gate has drained it",
            all(&[evicted(), released(9)]),
            "finalizer idle: it was drained before it was evicted",
        ),
        case("finalizers are off", evicted(), "finalizer dropped: the finalizer is not among the mechanisms")
            .with(&[("mechanisms", "eviction-gate")]),
        case(
            "it is killed",
            all(&[evicted(), json!({ "metadata": { "deletionGracePeriodSeconds": 0 } })]),
            "finalizer dropped: it was deleted without grace",
        ),
        case("it was not evicted", deleted(), "finalizer dropped: it was deleted, not evicted"),
        case("it was not evicted, and that is held too", deleted(), "drain by finalizer until 300")
            .with(&[("finalizerHolds", "deletions")]),
        case("the last moment", evicted(), "drain by finalizer until 300").at(299),
        case(
            "the deadline",
            evicted(),
            "finalizer timed-out: it still has connections, or nobody could tell after 300s",
        )
        .at(300),
        case(
            "the deadline of work",
            all(&[evicted(), owned_by("batch/v1", "Job")]),
            "finalizer timed-out: it has not completed after 300s",
        )
        .at(300),
        case(
            "its own deadline",
            all(&[evicted(), annotated(&json!({ "drain.slipway.dev/drain-timeout-seconds": "7" }))]),
            "drain by finalizer until 7",
        ),
        case(
            "the deadline of its kind",
            all(&[evicted(), owned_by("apps/v1", "DaemonSet")]),
            "drain by finalizer until 9",
        )
        .with(&[("perWorkload", "DaemonSet: {drainTimeoutSeconds: 9}")]),
    ]);
}

#[test]
fn a_pod_that_nobody_drains_is_left_as_if_nobody_ever_had() {
    let no = || annotated(&json!({ "vpa-managed": "false" }));
    check(vec![
        case("it is guarded", no(), "unguard"),
        case("it has ended, and is guarded", ended("Succeeded"), "unguard"),
        case("nothing was ever done about it", all(&[no(), unguarded()]), "rest"),
        case(
            "its eviction is held",
            all(&[no(), unguarded(), isolated(5)]),
            "put back: it is not drained: the annotation vpa-managed says no",
        ),
        case("its gate has not said anything", all(&[no(), unguarded(), gated()]), "serve"),
        case(
            "it has ended while its eviction is held",
            all(&[unguarded(), held(), ended("Failed")]),
            "eviction-gate ended: none of its containers runs any more",
        ),
        case(
            "it has ended, and nobody will ask for it again",
            all(&[unguarded(), released(9), orphaned(), ended("Succeeded")]),
            "evict",
        ),
        case("it has ended after it was let go", all(&[unguarded(), released(9), ended("Succeeded")]), "rest"),
    ]);
}

#[test]
fn a_living_pod_is_guarded_while_it_runs_and_its_held_eviction_ends_some_day() {
    check(vec![
        case("it runs", unguarded(), "guard"),
        case("it is guarded", json!({}), "rest"),
        case("it does not run yet", all(&[unguarded(), ended("Pending")]), "rest"),
        case("finalizers are off", unguarded(), "rest").with(&[("mechanisms", "eviction-gate")]),
        case("finalizers were on", json!({}), "unguard").with(&[("mechanisms", "eviction-gate")]),
        case("nothing is on", json!({}), "unguard").with(&[("mechanisms", "")]),
        case("its gate has not said anything", gated(), "serve"),
        case("its eviction is held", held(), "drain by eviction-gate until 300"),
        case("it is out of its Services", isolated(5), "drain by eviction-gate until 305"),
        case(
            "it could not be taken out",
            held(),
            "eviction-gate timed-out: it could not be taken out of its Services after 300s",
        )
        .at(300),
        case(
            "its connections did not end",
            isolated(5),
            "eviction-gate timed-out: it still has connections, or nobody could tell after 305s",
        )
        .at(305),
        case(
            "the gate was turned off meanwhile",
            isolated(5),
            "put back: the eviction gate is not among the mechanisms",
        )
        .with(&[("mechanisms", "finalizer")]),
        case(
            "somebody wrote nonsense",
            annotated(&json!({ "drain.slipway.dev/requested-at": "yesterday" })),
            "put back: its drain cannot be made out",
        ),
        case("it may go", released(9), "rest until 609"),
        case("it may go, and nobody wants it to", released(9), "put back: nobody asked for its eviction again").at(609),
        case("it may go, and nobody will ask again", all(&[released(9), orphaned()]), "evict"),
    ]);
}

#[test]
fn before_anybody_has_chosen_nobody_new_is_held_and_nobody_is_stuck() {
    let nobody = Standing { configuration: Arc::default(), is_chosen: false, trouble: Some("bad".to_owned()) };
    assert_eq!(decide(&pod(&unguarded()), &nobody, &[], 1), "rest");
    assert_eq!(decide(&pod(&json!({})), &nobody, &[], 1), "rest");
    assert_eq!(decide(&pod(&evicted()), &nobody, &[], 1), "drain by finalizer until 300");
    assert!(decide(&pod(&evicted()), &nobody, &[], 300).starts_with("finalizer timed-out"));
    assert!(decide(&pod(&held()), &nobody, &[], 300).starts_with("eviction-gate timed-out"));
}

#[test]
fn whoever_waits_for_its_turn_has_the_time_of_all_before_it() {
    let of_set = |changes: Value| pod(&all(&[owned_by("apps/v1", "StatefulSet"), changes]));
    let peers = [Peer::default(), Peer::default()];
    let decide = |changes: Value| decide(&of_set(changes), &standing(&[]), &peers, 1);
    assert_eq!(decide(held()), "drain by eviction-gate until 900");
    assert_eq!(decide(isolated(5)), "drain by eviction-gate until 305", "its turn has come");
}

#[test]
fn bad_annotations_are_told_of_only_where_they_would_matter() {
    let bad = json!({ "drain.slipway.dev/drain-timeout-seconds": "soon" });
    for (managed, problems) in [("true", 1), ("false", 0)] {
        let pod = pod(&all(&[annotated(&bad), annotated(&json!({ "vpa-managed": managed }))]));
        let view = View { pod: &pod, standing: &standing(&[]), namespace_labels: &BTreeMap::new(), peers: &[] };
        assert_eq!(intent(view, now()).1.len(), problems, "{managed}");
    }
}
