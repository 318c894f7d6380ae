//! Eviction: deleting a pod as somebody asks who can wait, as far as disruption budgets allow it.
//!
//! What a budget says is decided by pure functions; [`evict`] reads and writes. Budgets are kept by a controller: the
//! server only takes from `disruptionsAllowed`, and notes the pod so that the controller does not count it as healthy.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::pod::success;
use super::{Call, Reply, delete};
use crate::admission::{self, Operation};
use crate::apply::{self, Manager, managed};
use crate::decode::{self, FieldValidation};
use crate::lifecycle::{self, DeleteOptions, meta};
use crate::resource::Resource;
use crate::resources::value::{int, items, set, text};
use crate::schema::node::SchemaRef;
use crate::selector::LabelSelector;
use crate::status::ApiError;
use crate::store::{GroupResource, Key, Stored};

/// How often a write is tried again because somebody else was faster.
const ATTEMPTS: usize = 20;
/// How many evicted pods a budget's controller may not have seen go yet.
const DISRUPTED_MAX: usize = 2000;
/// When to ask again, in seconds, where a budget has not been looked at yet.
const RETRY_SECONDS: u64 = 10;

const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const SEVERAL: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// Deletes the request's pod, unless its disruption budget says that it is needed.
pub(super) async fn evict(call: &mut Call) -> Result<Reply, ApiError> {
    call.check_options("CreateOptions")?;
    let mut eviction = decoded(call)?;
    if meta(&eviction, "name") != call.target.name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = options(call, &eviction)?;
    admission::admit_create(call, &mut eviction)?;
    admission::mutate(call, Operation::Create, &mut eviction, None).await?;
    let _ = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    admission::validate(call, Operation::Create, &eviction, None).await?;
    for _ in 0..ATTEMPTS {
        let pod = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
        if is_over(&pod.value) {
            remove(call, options).await?;
            return Ok(success(StatusCode::CREATED));
        }
        if phase(&pod.value) != "Pending" {
            ask_budget(call, &pod, options).await?;
            return Ok(success(StatusCode::CREATED));
        }
        // It needs no budget as long as it has not begun.
        let pinned = options.resource_version.clone().unwrap_or_else(|| pod.revision.to_string());
        match remove(call, DeleteOptions { resource_version: Some(pinned), ..options.clone() }).await {
            Err(error) if error.code == StatusCode::CONFLICT && options.resource_version.is_none() => {}
            done => return done.map(|()| success(StatusCode::CREATED)),
        }
    }
    Err(too_many_conflicts("Pod", &call.target.name))
}

/// The body as an Eviction, which clients may still send in its first version.
fn decoded(call: &mut Call) -> Result<Value, ApiError> {
    let media = decode::media(&call.headers)?;
    let validation = FieldValidation::of(&call.query);
    let given = decode::parse(&call.body, media)?.value;
    let version = if given["apiVersion"] == "policy/v1beta1" { "v1beta1" } else { "v1" };
    let resource = Resource {
        group: "policy".to_owned(),
        version: version.to_owned(),
        kind: "Eviction".to_owned(),
        schema: SchemaRef::Builtin("io.k8s.api.policy.v1.Eviction"),
        ..(*call.resource).clone()
    };
    let mut eviction = decode::object(&call.body, media, &resource, validation, &mut call.warnings)?;
    lifecycle::wipe_system_fields(&mut eviction);
    lifecycle::put_in_namespace(&mut eviction, &resource, &call.target.namespace)?;
    Ok(eviction)
}

/// How the pod is to be deleted. Request and body may both ask for a trial run, if they agree on it.
fn options(call: &Call, eviction: &Value) -> Result<DeleteOptions, ApiError> {
    let mut options = DeleteOptions::from_value(&eviction["deleteOptions"]);
    let asked = call.query.all("dryRun");
    if options.dry_run.is_empty() {
        options.dry_run = asked;
    } else if !asked.is_empty() && asked != options.dry_run {
        let (asked, given) = (asked.join(" "), options.dry_run.join(" "));
        let message = format!("Non-matching dry-run options in request and content: [{asked}] and [{given}]");
        return Err(ApiError::unclassified(message));
    }
    let errors = options.validate();
    if errors.is_empty() { Ok(options) } else { Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &errors)) }
}

/// Deletes the pod if its budget can spare it.
async fn ask_budget(call: &mut Call, pod: &Stored, options: DeleteOptions) -> Result<(), ApiError> {
    let budgets = budgets_of(call, &pod.value);
    let budget = match budgets.as_slice() {
        [] => return remove(call, options).await,
        [one] => Arc::clone(one),
        _ => return Err(ApiError::unclassified(SEVERAL)),
    };
    if !is_healthy(&pod.value) && spares_unhealthy(&budget.value) {
        let pinned = options.resource_version.is_none();
        let revision = options.resource_version.clone().or_else(|| Some(pod.revision.to_string()));
        return match remove(call, DeleteOptions { resource_version: revision, ..options }).await {
            // It may have become healthy meanwhile.
            Err(error) if pinned && error.code == StatusCode::CONFLICT => {
                Err(still_processing(meta(&budget.value, "name")))
            }
            other => other,
        };
    }
    take_from(call, budget, !options.dry_run.is_empty())?;
    remove(call, options).await
}

/// Marks the pod as evicted and deletes it.
async fn remove(call: &mut Call, mut options: DeleteOptions) -> Result<(), ApiError> {
    if options.dry_run.is_empty() {
        let marked = mark(call, &options)?;
        if options.resource_version.is_some() {
            options.resource_version = Some(marked.revision.to_string());
        }
    }
    delete::remove(call, &options, delete::Asked::Other).await.map(drop)
}

/// Writes the condition by which others see why the pod goes.
fn mark(call: &Call, options: &DeleteOptions) -> Result<Arc<Stored>, ApiError> {
    let (collection, key) = (call.collection(), call.key());
    for _ in 0..ATTEMPTS {
        let live = call.store().get(&collection, &key).ok_or_else(|| call.not_found())?;
        lifecycle::check_preconditions(&live.value, &call.resource, options)?;
        let marked = evicted(&live.value, &call.now_text());
        if marked == live.value {
            return Ok(live);
        }
        if let Ok(stored) = call.store().update(&collection, key.clone(), live.revision, marked) {
            return Ok(stored);
        }
    }
    Err(too_many_conflicts("Pod", &call.target.name))
}

/// Takes one disruption from a budget.
fn take_from(call: &Call, mut budget: Arc<Stored>, dry_run: bool) -> Result<(), ApiError> {
    let collection = budgets();
    let name = meta(&budget.value, "name").to_owned();
    let key = Key::new(meta(&budget.value, "namespace"), name.as_str());
    for _ in 0..ATTEMPTS {
        let now = call.now_text();
        let mut next = disrupted(&budget.value, &call.target.name, &now)?;
        if dry_run {
            return Ok(());
        }
        if let Some(resource) = call.server.0.registry.find("policy", "v1", "poddisruptionbudgets") {
            let manager = Manager {
                name: "kube-apiserver".to_owned(),
                operation: apply::Operation::Update,
                api_version: "policy/v1".to_owned(),
                subresource: "status".to_owned(),
            };
            managed::record_update(&manager, Some(&budget.value), &mut next, &resource, &now);
        }
        if call.store().update(&collection, key.clone(), budget.revision, next).is_ok() {
            return Ok(());
        }
        let missing = || ApiError::not_found("policy", "poddisruptionbudgets", &name);
        budget = call.store().get(&collection, &key).ok_or_else(missing)?;
    }
    Err(too_many_conflicts("PodDisruptionBudget", &name))
}

fn budgets() -> GroupResource {
    GroupResource::new("policy", "poddisruptionbudgets")
}

/// The budgets that guard a pod. One that selects everything, or nothing that can be read, guards none.
fn budgets_of(call: &Call, pod: &Value) -> Vec<Arc<Stored>> {
    let listed = call.store().list(&budgets(), Some(&call.target.namespace), None);
    // The present is never compacted.
    let mut all = listed.map(|snapshot| snapshot.objects).unwrap_or_default();
    all.retain(|budget| {
        let selector = LabelSelector::from_object(&budget.value["spec"]["selector"]);
        selector.is_some_and(|selector| !selector.is_empty() && selector.matches(pod))
    });
    all
}

/// Whether the pod is done or on its way out, so that its disruption has happened.
fn is_over(pod: &Value) -> bool {
    lifecycle::is_deleting(pod) || matches!(phase(pod), "Succeeded" | "Failed")
}

fn phase(pod: &Value) -> &str {
    text(&pod["status"], "phase")
}

fn is_healthy(pod: &Value) -> bool {
    condition(&pod["status"], "Ready").is_some_and(|ready| ready["status"] == "True")
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    items(status, "conditions").iter().find(|condition| condition["type"] == kind)
}

fn count(status: &Value, field: &str) -> i64 {
    int(status, field).unwrap_or_default()
}

/// Whether a budget lets pods go that are not healthy: always, or as long as there are enough others.
fn spares_unhealthy(budget: &Value) -> bool {
    let status = &budget["status"];
    let desired = count(status, "desiredHealthy");
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (count(status, "currentHealthy") >= desired && desired > 0)
}

/// A budget that has one disruption less.
///
/// # Errors
/// 429 where it has none left, or where nobody has looked at it yet.
fn disrupted(budget: &Value, pod: &str, now: &str) -> Result<Value, ApiError> {
    let name = meta(budget, "name");
    let status = &budget["status"];
    let forbidden = |why: &str| Err(ApiError::forbidden("policy", "poddisruptionbudget", name, why));
    if count(status, "observedGeneration") < count(&budget["metadata"], "generation") {
        return Err(still_processing(name));
    }
    let allowed = count(status, "disruptionsAllowed");
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return Err(ApiError::too_many_requests(VIOLATION, None, "DisruptionBudget", &why_none(name, status)));
    }
    let mut next = budget.clone();
    set(&mut next["status"], "disruptionsAllowed", allowed - 1);
    if allowed == 1 {
        let condition = json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": count(status, "observedGeneration"),
        });
        put_condition(&mut next["status"], condition, now);
    }
    if !next["status"]["disruptedPods"].is_object() {
        set(&mut next["status"], "disruptedPods", json!({}));
    }
    set(&mut next["status"]["disruptedPods"], pod, now);
    Ok(next)
}

/// Why a budget allows no disruption.
fn why_none(name: &str, status: &Value) -> String {
    let (desired, current) = (count(status, "desiredHealthy"), count(status, "currentHealthy"));
    let denied = condition(status, "DisruptionAllowed")
        .filter(|denied| denied["status"] == "False" && !text(denied, "message").is_empty());
    match denied {
        // Its numbers mean nothing where they could not be found out.
        Some(denied) if denied["reason"] == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            text(denied, "message")
        ),
        _ if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        Some(denied) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({}): {}",
            text(denied, "reason"),
            text(denied, "message")
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

fn still_processing(name: &str) -> ApiError {
    let cause = format!("The disruption budget {name} is still being processed by the server.");
    ApiError::too_many_requests(VIOLATION, Some(RETRY_SECONDS), "DisruptionBudget", &cause)
}

fn too_many_conflicts(kind: &str, name: &str) -> ApiError {
    let message = format!("couldn't update {kind} {} due to conflicts", crate::field::quote(name));
    let details = json!({"retryAfterSeconds": RETRY_SECONDS});
    ApiError { details, ..ApiError::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message) }
}

/// A pod that says why it goes.
fn evicted(pod: &Value, now: &str) -> Value {
    let mut pod = pod.clone();
    let mut condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null,
    });
    if let Some(generation) = int(&pod["metadata"], "generation") {
        set(&mut condition, "observedGeneration", generation);
    }
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    put_condition(&mut pod["status"], condition, now);
    pod
}

/// Puts a condition in place of the one of its type, whose time it keeps if it says the same.
fn put_condition(status: &mut Value, mut condition: Value, now: &str) {
    let before = self::condition(status, text(&condition, "type"));
    let same = before.filter(|before| before["status"] == condition["status"]);
    let since = same.and_then(|same| same["lastTransitionTime"].as_str()).unwrap_or(now).to_owned();
    set(&mut condition, "lastTransitionTime", since);
    if !status["conditions"].is_array() {
        set(status, "conditions", json!([]));
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|known| known["type"] == condition["type"]) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2030-01-01T00:00:00Z";

    fn budget(status: &Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 1}, "status": status})
    }

    #[test]
    fn a_budget_says_why_it_spares_no_pod() {
        let condition = |reason: &str| json!([{"type": "DisruptionAllowed", "status": "False", "reason": reason, "message": "no scale"}]);
        let cases = [
            (json!({}), Some(10), "is still being processed by the server."),
            (
                json!({"observedGeneration": 1, "desiredHealthy": 2, "currentHealthy": 2}),
                None,
                "needs 2 healthy pods and has 2 currently",
            ),
            (
                json!({"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 2, "conditions": condition("SyncFailed")}),
                None,
                "does not allow evicting pods currently because it failed sync: no scale",
            ),
            (
                json!({"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 2, "conditions": condition("Other")}),
                None,
                "does not allow evicting pods currently (Other): no scale",
            ),
            (
                json!({"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 2}),
                None,
                "does not allow evicting pods currently",
            ),
        ];
        for (status, retry, why) in cases {
            let error = disrupted(&budget(&status), "p", NOW).unwrap_err();
            assert_eq!((error.code, error.message.as_str()), (StatusCode::TOO_MANY_REQUESTS, VIOLATION), "{status}");
            assert_eq!(error.details["retryAfterSeconds"].as_u64(), retry, "{status}");
            let cause = json!([{"reason": "DisruptionBudget", "message": format!("The disruption budget b {why}")}]);
            assert_eq!(error.details["causes"], cause, "{status}");
        }
    }

    #[test]
    fn a_budget_counts_what_it_has_let_go_and_says_when_nothing_is_left() {
        let two = budget(&json!({"observedGeneration": 1, "disruptionsAllowed": 2, "conditions": [
            {"type": "DisruptionAllowed", "status": "True", "lastTransitionTime": "earlier"},
        ]}));
        let one = disrupted(&two, "p", NOW).unwrap();
        assert_eq!(one["status"]["disruptionsAllowed"], 1);
        assert_eq!(one["status"]["disruptedPods"], json!({"p": NOW}));
        assert_eq!(one["status"]["conditions"][0]["status"], "True");
        let none = disrupted(&one, "q", NOW).unwrap();
        assert_eq!(none["status"]["disruptedPods"], json!({"p": NOW, "q": NOW}));
        let condition = json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": 1, "lastTransitionTime": NOW,
        });
        assert_eq!(none["status"]["conditions"], json!([condition]));
        assert_eq!(disrupted(&none, "r", NOW).unwrap_err().code, StatusCode::TOO_MANY_REQUESTS);
    }

    #[test]
    fn a_pod_that_is_not_healthy_goes_where_nobody_misses_it() {
        let with = |policy: Value, current: i64, desired: i64| json!({"spec": {"unhealthyPodEvictionPolicy": policy}, "status": {"currentHealthy": current, "desiredHealthy": desired}});
        let cases = [
            (with(Value::Null, 2, 2), true),
            (with("IfHealthyBudget".into(), 1, 2), false),
            (with("AlwaysAllow".into(), 1, 2), true),
            // A budget that nobody has looked at yet.
            (with(Value::Null, 0, 0), false),
        ];
        for (budget, expected) in cases {
            assert_eq!(spares_unhealthy(&budget), expected, "{budget}");
        }
    }

    #[test]
    fn an_eviction_that_is_repeated_keeps_the_time_of_the_first() {
        let pod =
            json!({"metadata": {"generation": 3}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let once = evicted(&pod, "first");
        let wanted = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "observedGeneration": 3,
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": "first",
        });
        assert_eq!(once["status"]["conditions"][1], wanted);
        assert_eq!(evicted(&once, "second"), once);
    }
}
