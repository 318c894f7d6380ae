//! Takes a Pod out of its Services, so that nobody new connects, and puts it back.
//!
//! | the Pod | what is done | what follows |
//! | --- | --- | --- |
//! | has our readiness gate | the gate's condition says no | it is not ready; Services and meshes leave it out |
//! | is a `ReplicaSet`'s | it loses labels that its Services select by | they leave it out; the `ReplicaSet`, which selects by most of them too, lets it go and makes another at once |
//! | neither | nothing | its connections are waited for as they come |
//!
//! The first needs the gate from the Pod's beginning, which is why new Pods get it (see `gate::injection`). The second
//! works for any Pod. An orphan is asked for by nobody any more: whoever holds its eviction completes it.
//!
//! [`way`], [`labels_back`] and [`condition`] decide and are pure; the rest writes, each time only the Pod as it was
//! read.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PodCondition, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::api::drain::{ISOLATED_AT, LABELS, SERVING, STATE};
use crate::kit::{self, error};

use super::pod::Pod;
use super::workload::{self, Workload};

#[cfg(test)]
mod tests;

/// Who writes labels, annotations and conditions of Pods.
const FIELD_MANAGER: &str = "slipway-drain";

/// How a Pod leaves its Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Its readiness gate says that it does not serve.
    Gate,
    /// It loses these labels.
    Labels(BTreeSet<String>),
    /// No Service sends it requests: it need not leave.
    Unserved,
    /// It cannot leave.
    None,
}

/// How this Pod leaves the Services of its namespace.
pub(super) fn way(pod: &Pod, services: &[Service]) -> Way {
    if has_gate(pod) {
        return Way::Gate;
    }
    let selectors: Vec<_> = services.iter().filter_map(selector).filter(|it| selects(it, pod)).collect();
    if selectors.is_empty() {
        Way::Unserved
    } else if Workload::of(pod) == Workload::Deployment {
        Way::Labels(cover(&selectors))
    } else {
        Way::None
    }
}

/// Whether the Pod becomes ready only when we say so.
pub(super) fn has_gate(pod: &Pod) -> bool {
    let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    gates.iter().any(|gate| gate.condition_type == SERVING)
}

fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    service.spec.as_ref()?.selector.as_ref()
}

/// A Service without a selector has its endpoints from elsewhere.
fn selects(selector: &BTreeMap<String, String>, pod: &Pod) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
}

/// A label of each selector, as few as there need to be: other things than Services go by labels, too.
fn cover(selectors: &[&BTreeMap<String, String>]) -> BTreeSet<String> {
    let mut left = selectors.to_vec();
    let mut labels = BTreeSet::new();
    while !left.is_empty() {
        let mut uses = BTreeMap::<&String, usize>::new();
        left.iter().flat_map(|selector| selector.keys()).for_each(|key| *uses.entry(key).or_default() += 1);
        // Of those that most select by, the first: the choice is the same every time.
        let best = uses.into_iter().rev().max_by_key(|(_, uses)| *uses).map(|(key, _)| key.clone());
        let Some(best) = best else { break };
        left.retain(|selector| !selector.contains_key(&best));
        labels.insert(best);
    }
    labels
}

/// Labels that were taken away, and that nobody has set meanwhile.
fn labels_back(pod: &Pod) -> BTreeMap<String, String> {
    let taken = pod.annotations().get(LABELS).and_then(|text| serde_json::from_str(text).ok());
    let mut taken: BTreeMap<String, String> = taken.unwrap_or_default();
    taken.retain(|key, _| !pod.labels().contains_key(key));
    taken
}

/// Whether it was taken away from its `ReplicaSet`, so that nobody will ask for its eviction again.
pub(super) fn is_orphan(pod: &Pod) -> bool {
    pod.annotations().contains_key(LABELS) && workload::owner(pod).is_none()
}

/// What the Pod's readiness gate has to say, where it has one and does not say it already.
pub(super) fn condition(pod: &Pod, serves: bool, now: Timestamp) -> Option<PodCondition> {
    if !has_gate(pod) {
        return None;
    }
    let status = if serves { "True" } else { "False" };
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    if conditions.iter().any(|condition| condition.type_ == SERVING && condition.status == status) {
        return None;
    }
    let (reason, message) =
        if serves { ("Serving", "") } else { ("Draining", "an eviction waits for its connections") };
    Some(PodCondition {
        type_: SERVING.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: (!message.is_empty()).then(|| message.to_owned()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    })
}

/// Makes the Pod's readiness gate say this. Gives the Pod as it then is; `None` where it says so already.
///
/// # Errors
/// The API server's; a conflict when the Pod has changed since it was read.
pub(super) async fn serve(
    client: &Client,
    pod: &Pod,
    serves: bool,
    now: Timestamp,
) -> Result<Option<Pod>, kube::Error> {
    let Some(condition) = condition(pod, serves, now) else { return Ok(None) };
    let version = pod.resource_version().unwrap_or_default();
    let status = json!({ "conditions": [condition] });
    kit::apply::status(client, FIELD_MANAGER, pod, &version, &status).await.map(Some)
}

/// Takes the Pod out of its Services, and notes when. Where it cannot leave, that is when waiting begins.
///
/// # Errors
/// The API server's; a conflict when the Pod has changed since it was read.
pub(super) async fn take_out(client: &Client, pod: &Pod, way: &Way, now: Timestamp) -> Result<Pod, kube::Error> {
    let written = match way {
        Way::Gate => serve(client, pod, false, now).await?,
        Way::Labels(_) | Way::Unserved | Way::None => None,
    };
    let pod = written.as_ref().unwrap_or(pod);
    let mut metadata = json!({ "annotations": { ISOLATED_AT: now.to_string() } });
    if let Way::Labels(labels) = way {
        let taken: BTreeMap<_, _> = pod.labels().iter().filter(|(key, _)| labels.contains(*key)).collect();
        // In one write: labels are never gone without a note of what they were.
        metadata["annotations"][LABELS] = json!(taken).to_string().into();
        metadata["labels"] = labels.iter().map(|label| (label.clone(), Value::Null)).collect();
    }
    patch(client, pod, metadata).await
}

/// Puts the Pod back into its Services, and forgets the drain.
///
/// # Errors
/// The API server's; a conflict when the Pod has changed since it was read.
pub(super) async fn put_back(client: &Client, pod: &Pod, now: Timestamp) -> Result<Pod, kube::Error> {
    let forgotten = STATE.iter().chain([&LABELS]).map(|name| ((*name).to_owned(), Value::Null));
    let metadata = json!({ "annotations": forgotten.collect::<Value>(), "labels": labels_back(pod) });
    let pod = patch(client, pod, metadata).await?;
    Ok(serve(client, &pod, true, now).await?.unwrap_or(pod))
}

async fn patch(client: &Client, pod: &Pod, mut metadata: Value) -> Result<Pod, kube::Error> {
    // Only this very Pod, and only as it was when this was decided.
    metadata["uid"] = json!(pod.metadata.uid);
    metadata["resourceVersion"] = json!(pod.metadata.resource_version);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    pods.patch(&pod.name_any(), &params, &Patch::Merge(json!({ "metadata": metadata }))).await
}

/// What the API server says to an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// The Pod goes, or would.
    Granted,
    /// Its disruption budget does not allow for it now; the API server's words.
    Refused(String),
    /// It is gone, or another one by now.
    Gone,
}

/// Evicts the Pod, as far as its disruption budgets allow.
///
/// # Errors
/// The API server's.
pub(super) async fn evict(client: &Client, pod: &Pod) -> Result<Eviction, kube::Error> {
    ask(client, pod, false).await
}

/// Whether the Pod's disruption budgets would allow for its eviction now. A Pod that has left its Services counts as
/// disrupted already, so this is asked before.
///
/// # Errors
/// The API server's.
pub(super) async fn may_leave(client: &Client, pod: &Pod) -> Result<Eviction, kube::Error> {
    ask(client, pod, true).await
}

async fn ask(client: &Client, pod: &Pod, dry_run: bool) -> Result<Eviction, kube::Error> {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    // By hand: kube writes the options under a name that the API does not know.
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": name, "namespace": namespace },
        "deleteOptions": { "preconditions": { "uid": pod.metadata.uid } },
    });
    let query = if dry_run { "?dryRun=All" } else { "" };
    let request = http::Request::post(format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction{query}"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(eviction.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    match client.request::<Status>(request).await {
        Ok(_) => Ok(Eviction::Granted),
        Err(kube::Error::Api(status)) if status.code == 429 => Ok(Eviction::Refused(status.message.clone())),
        Err(error) if error::is_not_found(&error) || error::is_conflict(&error) => Ok(Eviction::Gone),
        Err(error) => Err(error),
    }
}
