//! What a budget says of the Pods it guards. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use thiserror::Error;

use crate::cluster::embedded::controllers::workload::pods;

/// How long an evicted Pod may take to be told to go before nobody believes in its eviction.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

/// How long a Pod may say that it is being disrupted without being told to go.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(2);

const ALLOWED: &str = "DisruptionAllowed";
const TARGET: &str = "DisruptionTarget";

/// Why a budget cannot be counted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Uncountable {
    /// A part of all Pods is wanted, in words that are no percentage.
    #[error("invalid value for IntOrString: invalid type: {0:?} is not a percentage")]
    Percentage(String),
}

/// What is to be done about a budget.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    /// The status it should have.
    pub(super) status: PodDisruptionBudgetStatus,
    /// Pods whose eviction was allowed and that nobody has told to go.
    pub(super) overdue: Vec<Arc<Pod>>,
    /// When to look again, though nothing happens.
    pub(super) again: Option<Duration>,
}

/// Whether a budget's numbers depend on how many Pods their owners want.
pub(super) fn needs_scale(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// Looks at a budget and the Pods it selects, whose owners want `scale` Pods together.
///
/// # Errors
/// See [`Uncountable`].
pub(super) fn decide(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    scale: i32,
    now: Timestamp,
) -> Result<Decision, Uncountable> {
    let (expected, desired) = wanted(budget.spec.as_ref(), pods.len(), scale)?;
    let old = budget.status.clone().unwrap_or_default();
    let noted = Noted::of(old.disrupted_pods.as_ref(), pods, now);
    let healthy = |pod: &&Arc<Pod>| {
        !pods::is_deleting(pod.as_ref()) && !noted.expected.contains_key(&pod.name_any()) && pods::is_ready(pod)
    };
    let current = count(pods.iter().filter(healthy).count());
    // Without any Pod the first to come are safe until somebody has counted them.
    let allowed = if expected <= 0 { 0 } else { (current - desired).max(0) };
    let observed = budget.metadata.generation;
    let status = PodDisruptionBudgetStatus {
        current_healthy: Some(current),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(noted.expected).filter(|pods| !pods.is_empty()),
        observed_generation: observed,
        conditions: old.conditions,
    };
    let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let status = with_condition(status, value, reason, "", now);
    Ok(Decision { status, overdue: noted.overdue, again: noted.again })
}

/// How many Pods there should be, and how many of them healthy.
fn wanted(spec: Option<&PodDisruptionBudgetSpec>, pods: usize, scale: i32) -> Result<(i32, i32), Uncountable> {
    let Some(spec) = spec else { return Ok((0, 0)) };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(amount), _) => Ok((scale, (scale - share(amount, scale)?).max(0))),
        (None, Some(IntOrString::Int(least))) => Ok((count(pods), *least)),
        (None, Some(amount)) => Ok((scale, share(amount, scale)?)),
        (None, None) => Ok((0, 0)),
    }
}

/// A number, or a percentage of all, rounded up.
fn share(amount: &IntOrString, all: i32) -> Result<i32, Uncountable> {
    match amount {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percentage = text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok());
            let percentage = percentage.ok_or_else(|| Uncountable::Percentage(text.clone()))?;
            let part = (i64::from(all) * percentage + 99).div_euclid(100);
            Ok(i32::try_from(part).unwrap_or(i32::MAX))
        }
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The Pods whose eviction was allowed.
#[derive(Default)]
struct Noted {
    expected: BTreeMap<String, Time>,
    overdue: Vec<Arc<Pod>>,
    again: Option<Duration>,
}

impl Noted {
    /// Those that are still there and have not been told to go.
    fn of(noted: Option<&BTreeMap<String, Time>>, pods: &[Arc<Pod>], now: Timestamp) -> Self {
        let mut found = Self::default();
        for pod in pods.iter().filter(|pod| !pods::is_deleting(pod.as_ref())) {
            let name = pod.name_any();
            let Some(since) = noted.and_then(|noted| noted.get(&name)) else { continue };
            match Duration::try_from(DELETION_TIMEOUT - now.duration_since(since.0)) {
                Ok(left) if !left.is_zero() => {
                    found.again = Some(found.again.map_or(left, |again| again.min(left)));
                    found.expected.insert(name, since.clone());
                }
                _ => found.overdue.push(Arc::clone(pod)),
            }
        }
        found
    }
}

/// The status of a budget that cannot be counted: no Pod may go, and why.
pub(super) fn failed(old: Option<&PodDisruptionBudgetStatus>, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let old = old.cloned().unwrap_or_default();
    let known = |number: Option<i32>| Some(number.unwrap_or(0));
    let status = PodDisruptionBudgetStatus {
        current_healthy: known(old.current_healthy),
        desired_healthy: known(old.desired_healthy),
        expected_pods: known(old.expected_pods),
        disruptions_allowed: Some(0),
        ..old
    };
    with_condition(status, "False", "SyncFailed", why, now)
}

fn with_condition(
    mut status: PodDisruptionBudgetStatus,
    value: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let conditions = status.conditions.get_or_insert_default();
    let before = conditions.iter().position(|condition| condition.type_ == ALLOWED);
    let same = before.and_then(|at| conditions.get(at)).filter(|condition| condition.status == value);
    let condition = Condition {
        type_: ALLOWED.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: status.observed_generation,
        last_transition_time: same.map_or(Time(now), |same| same.last_transition_time.clone()),
    };
    match before.and_then(|at| conditions.get_mut(at)) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
    status
}

/// How long it takes until a Pod that says it is being disrupted, and is not told to go, is wrong about that; none for
/// all others.
pub(super) fn stale_in(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let target = pods::condition(pod, TARGET)?;
    // A kubelet ends Pods without telling anybody to delete them.
    let lasting = target.reason.as_deref() == Some("TerminationByKubelet");
    if pods::is_deleting(pod) || pods::has_ended(pod) || target.status != "True" || lasting {
        return None;
    }
    let since = target.last_transition_time.as_ref().map_or(now, |time| time.0);
    Some(Duration::try_from(STALE_AFTER - now.duration_since(since)).unwrap_or(Duration::ZERO))
}

/// A Pod that no longer says it is being disrupted.
pub(super) fn spared(pod: &Pod, now: Timestamp) -> Pod {
    let mut pod = pod.clone();
    let generation = pod.metadata.generation;
    let conditions = pod.status.as_mut().and_then(|status| status.conditions.as_mut());
    for target in conditions.into_iter().flatten().filter(|condition| condition.type_ == TARGET) {
        *target = PodCondition {
            type_: TARGET.to_owned(),
            status: "False".to_owned(),
            last_transition_time: Some(Time(now)),
            observed_generation: generation,
            ..PodCondition::default()
        };
    }
    pod
}
