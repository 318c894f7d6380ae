use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use super::decide::{Uncountable, decide, failed, needs_scale, spared, stale_in};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn budget(spec: &Value, status: &Value) -> PodDisruptionBudget {
    let budget = json!({"metadata": {"name": "b", "generation": 2}, "spec": spec, "status": status});
    serde_json::from_value(budget).expect("a budget")
}

fn pod(name: &str, ready: bool, deleting: bool) -> Arc<Pod> {
    let status = if ready { "True" } else { "False" };
    let mut pod = json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status}]}});
    if deleting {
        pod["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
    }
    Arc::new(serde_json::from_value(pod).expect("a Pod"))
}

fn pods() -> Vec<Arc<Pod>> {
    vec![pod("a", true, false), pod("b", true, false), pod("c", true, true), pod("d", false, false)]
}

#[test]
fn a_budget_allows_what_its_healthy_pods_can_spare() {
    // Four Pods are there, two of them healthy; their owners want five.
    let cases = [
        (json!({"minAvailable": 1}), (4, 1, 1)),
        (json!({"minAvailable": 2}), (4, 2, 0)),
        (json!({"minAvailable": 3}), (4, 3, 0)),
        (json!({"minAvailable": "20%"}), (5, 1, 1)),
        (json!({"minAvailable": "21%"}), (5, 2, 0)),
        (json!({"maxUnavailable": 4}), (5, 1, 1)),
        (json!({"maxUnavailable": 9}), (5, 0, 2)),
        (json!({"maxUnavailable": "61%"}), (5, 1, 1)),
        (json!({"maxUnavailable": 0}), (5, 5, 0)),
        (json!({}), (0, 0, 0)),
    ];
    for (spec, wanted) in cases {
        let (expected, desired, allowed) = wanted;
        let status = decide(&budget(&spec, &json!({})), &pods(), 5, at(0)).expect("countable").status;
        let seen = (status.expected_pods, status.desired_healthy, status.disruptions_allowed);
        assert_eq!((seen, status.current_healthy), ((Some(expected), Some(desired), Some(allowed)), Some(2)), "{spec}");
        let condition = &status.conditions.as_deref().expect("conditions")[0];
        let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
        assert_eq!((condition.reason.as_str(), condition.observed_generation), (reason, Some(2)), "{spec}");
    }
}

#[test]
fn a_budget_without_pods_allows_nothing() {
    let decision = decide(&budget(&json!({"minAvailable": 0}), &json!({})), &[], 0, at(0)).expect("countable");
    assert_eq!(decision.status.disruptions_allowed, Some(0));
}

#[test]
fn only_relative_budgets_ask_who_owns_the_pods() {
    let cases = [
        (json!({"minAvailable": 1}), false),
        (json!({"minAvailable": "50%"}), true),
        (json!({"maxUnavailable": 1}), true),
        (json!({}), false),
    ];
    for (spec, wanted) in cases {
        let budget = budget(&spec, &json!({}));
        assert_eq!(budget.spec.as_ref().map(needs_scale), Some(wanted), "{spec}");
    }
    let odd = decide(&budget(&json!({"minAvailable": "many"}), &json!({})), &pods(), 5, at(0));
    assert_eq!(odd, Err(Uncountable::Percentage("many".to_owned())));
}

#[test]
fn an_evicted_pod_does_not_count_until_its_eviction_came_to_nothing() {
    let noted = json!({
        "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
        "disruptedPods": {"a": "1970-01-01T00:00:00Z", "c": "1970-01-01T00:00:00Z", "gone": "1970-01-01T00:00:00Z"},
    });
    let budget = budget(&json!({"minAvailable": 1}), &noted);
    let before = decide(&budget, &pods(), 0, at(119)).expect("countable");
    assert_eq!(before.status.current_healthy, Some(1));
    let names: Vec<&String> = before.status.disrupted_pods.as_ref().expect("one").keys().collect();
    assert_eq!(names, ["a"]);
    assert_eq!((before.again, before.overdue.len()), (Some(Duration::from_secs(1)), 0));
    let after = decide(&budget, &pods(), 0, at(120)).expect("countable");
    assert_eq!((after.status.current_healthy, after.status.disrupted_pods, after.again), (Some(2), None, None));
    assert_eq!(after.overdue, [pod("a", true, false)]);
}

#[test]
fn a_budget_that_is_looked_at_again_says_the_same() {
    let mut budget = budget(&json!({"minAvailable": 1}), &json!({}));
    let once = decide(&budget, &pods(), 0, at(0)).expect("countable").status;
    budget.status = Some(once.clone());
    assert_eq!(decide(&budget, &pods(), 0, at(60)).expect("countable").status, once);
    let stuck = failed(Some(&once), "no scale", at(60));
    let condition = &stuck.conditions.as_deref().expect("conditions")[0];
    assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("SyncFailed", "no scale"));
    assert_eq!((stuck.disruptions_allowed, stuck.current_healthy), (Some(0), once.current_healthy));
    assert_eq!(failed(Some(&stuck), "no scale", at(90)), stuck);
}

#[test]
fn a_pod_that_was_to_go_and_stays_stops_saying_so() {
    let target = |reason: &str, phase: &str| -> Pod {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": "1970-01-01T00:00:00Z",
        });
        let pod = json!({"metadata": {"name": "p"}, "status": {"phase": phase, "conditions": [condition]}});
        serde_json::from_value(pod).expect("a Pod")
    };
    let evicted = target("EvictionByEvictionAPI", "Running");
    assert_eq!(stale_in(&evicted, at(20)), Some(Duration::from_secs(100)));
    assert_eq!(stale_in(&evicted, at(500)), Some(Duration::ZERO));
    assert_eq!(stale_in(&target("TerminationByKubelet", "Running"), at(500)), None);
    assert_eq!(stale_in(&target("EvictionByEvictionAPI", "Failed"), at(500)), None);
    assert_eq!(stale_in(&spared(&evicted, at(500)), at(900)), None);
}
