//! The eviction gate: what the API server asks before it evicts a Pod, and before it makes one.
//!
//! An eviction that is held is answered like one that a disruption budget refuses: 429, with a hint when to ask again.
//! Every evictor knows how to go on from there. The Pod's annotations say that it is held, so any replica can answer, and
//! the controller takes it from there. Guarantees:
//!
//! - Whoever is not to be held is let through: an administrator, a deletion without grace, a Pod that is not selected.
//! - A gate that cannot decide lets through, in time, and says so: it guards requests, not the cluster.
//! - Holding writes once, however often it is asked for; a dry run never writes.
//!
//! `decide` and `injection` judge and are pure; what they must know is read here.

mod decide;
mod injection;
pub mod webhooks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};
use kube::core::response::{Status, StatusCause, StatusDetails};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use self::decide::{Asked, Pass, Verdict};
use super::configuration::Configuration;
use super::configured::Configured;
use super::measures::Measures;
use super::pod::Pod;
use super::workload::{self, Workload};
use crate::api::drain::{Hold, REQUESTED_AT, REQUESTED_BY};
use crate::kit::admission::Reviewer;
use crate::kit::clock::Clock;
use crate::kit::error::{self, chain, message};
use crate::kit::manager::Manager;

/// What becomes of evictions, in metrics.
pub(super) const VERDICTS: [&str; 13] = Verdict::WORDS;

/// How long the API server may take to answer all questions of one decision. The webhook's own time is
/// [`webhooks::TIMEOUT_SECONDS`]: what is decided must arrive before that is up.
const DECIDED_WITHIN: Duration = Duration::from_secs(3);

/// How long a replica that has just started waits for its configuration before it decides without.
const CONFIGURED_WITHIN: Duration = Duration::from_secs(1);

/// How often a Pod is looked at again that changed while it was decided on.
const LOOKS_MAX: u32 = 3;

/// Who notes that an eviction is held.
const FIELD_MANAGER: &str = "slipway-drain-gate";

/// What every reviewer works with.
#[derive(Clone)]
struct Common {
    /// Writes from every replica: whichever is asked answers.
    client: Client,
    clock: Clock,
    configured: Configured,
    measures: Measures,
    /// The only namespace that is looked at.
    namespace: Option<String>,
}

/// Everything that the API server may ask the drain controller.
pub(super) fn reviewers(manager: &Manager, configured: &Configured, measures: &Measures) -> Vec<Arc<dyn Reviewer>> {
    let common = Common {
        client: manager.unfenced.clone(),
        clock: manager.clock,
        configured: configured.clone(),
        measures: measures.clone(),
        namespace: manager.namespace.clone(),
    };
    vec![Arc::new(Evictions(common.clone())), Arc::new(Births(common))]
}

impl Common {
    /// The configuration in force, and whether somebody chose it.
    async fn configuration(&self) -> (Arc<Configuration>, bool) {
        // Whether it came in time or not: what is there counts.
        let _ = tokio::time::timeout(CONFIGURED_WITHIN, self.configured.known()).await;
        self.configured.now().map_or((Arc::default(), false), |it| (it.configuration, it.is_chosen))
    }

    fn looks_at(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|only| only == namespace)
    }

    /// The labels of a namespace, where the configuration goes by them.
    async fn labels(
        &self,
        namespace: &str,
        configuration: &Configuration,
    ) -> Result<BTreeMap<String, String>, kube::Error> {
        if !configuration.namespaces.goes_by_labels() {
            return Ok(BTreeMap::new());
        }
        let found = Api::<Namespace>::all(self.client.clone()).get_metadata(namespace).await?;
        Ok(found.metadata.labels.unwrap_or_default())
    }
}

/// Judges evictions.
struct Evictions(Common);

impl Reviewer for Evictions {
    fn path(&self) -> &'static str {
        webhooks::EVICTIONS_PATH
    }

    fn review(&self, request: AdmissionRequest<DynamicObject>) -> BoxFuture<'_, AdmissionResponse> {
        async move {
            let asked = Asked::of(&request);
            let decided = tokio::time::timeout(DECIDED_WITHIN, self.judge(&asked)).await;
            let verdict = match decided {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(error)) => give_up(&asked, &message(&error)),
                Err(_) => give_up(&asked, &format!("no answer within {DECIDED_WITHIN:?}")),
            };
            self.0.measures.judged(verdict.word());
            tracing::info!(object = %asked.pod(), user = asked.user, verdict = verdict.word(), "eviction reviewed");
            answer(AdmissionResponse::from(&request), &asked, &verdict)
        }
        .boxed()
    }
}

impl Evictions {
    async fn judge(&self, asked: &Asked) -> Result<Verdict, kube::Error> {
        let common = &self.0;
        let (configuration, is_chosen) = common.configuration().await;
        if let Some(pass) = decide::untouched(asked, &configuration) {
            return Ok(Verdict::Pass(pass));
        }
        if !common.looks_at(&asked.namespace) {
            return Ok(Verdict::Pass(Pass::OtherNamespace));
        }
        let labels = common.labels(&asked.namespace, &configuration).await?;
        let pods = Api::<Pod>::namespaced(common.client.clone(), &asked.namespace);
        let mut look = 1;
        loop {
            let Some(pod) = pods.get_opt(&asked.name).await? else { return Ok(Verdict::Pass(Pass::Gone)) };
            let turns = self.turns(&pod).await?;
            let now = common.clock.now();
            let verdict = decide::decide(&pod, &labels, &configuration, is_chosen, turns, now);
            if asked.dry_run || !verdict.is_news() {
                return Ok(verdict);
            }
            match self.note(&pods, &pod, &asked.user, now).await {
                Ok(()) => return Ok(verdict),
                Err(error) if error::is_conflict(&error) && look < LOOKS_MAX => look += 1,
                Err(error) if error::is_not_found(&error) => return Ok(Verdict::Pass(Pass::Gone)),
                Err(error) => return Err(error),
            }
        }
    }

    /// How many Pods take turns with one that is held and waits for its own.
    async fn turns(&self, pod: &Pod) -> Result<u32, kube::Error> {
        let waits = Hold::of(pod.annotations()).is_some_and(|hold| hold.isolated_at.is_none());
        let Some(owner) = workload::owner(pod).filter(|_| waits && Workload::of(pod).policy().takes_turns) else {
            return Ok(1);
        };
        let sets = Api::<StatefulSet>::namespaced(self.0.client.clone(), &pod.namespace().unwrap_or_default());
        let replicas = sets.get_opt(&owner.name).await?.and_then(|set| set.spec?.replicas);
        Ok(replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(1).max(1))
    }

    /// Writes down that the eviction is held: from here on, the controller knows.
    async fn note(&self, pods: &Api<Pod>, pod: &Pod, user: &str, now: Timestamp) -> Result<(), kube::Error> {
        let patch = json!({ "metadata": {
            "uid": pod.metadata.uid,
            "resourceVersion": pod.metadata.resource_version,
            "annotations": { REQUESTED_AT: now.to_string(), REQUESTED_BY: user },
        } });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        pods.patch_metadata(&pod.name_any(), &params, &Patch::Merge(patch)).await.map(drop)
    }
}

/// A gate that cannot decide is an open one.
fn give_up(asked: &Asked, why: &str) -> Verdict {
    tracing::warn!(object = %asked.pod(), why, "cannot decide on an eviction: it passes");
    Verdict::Pass(Pass::Undecided(why.to_owned()))
}

/// The verdict, as the API server passes it on.
fn answer(mut response: AdmissionResponse, asked: &Asked, verdict: &Verdict) -> AdmissionResponse {
    response.audit_annotations.insert("verdict".to_owned(), verdict.word().to_owned());
    match verdict {
        Verdict::Pass(Pass::Undecided(why)) => {
            response.warnings = Some(vec![format!("the Pod is evicted without being drained: {why}")]);
        }
        Verdict::Pass(_) => {}
        Verdict::Hold(hold) => {
            // As a disruption budget answers, which evictors know to wait for.
            let cause =
                StatusCause { reason: "Draining".to_owned(), message: hold.message.clone(), field: String::new() };
            let details = StatusDetails {
                causes: vec![cause],
                retry_after_seconds: u32::try_from(hold.retry_after.as_secs()).unwrap_or(u32::MAX),
                name: asked.name.clone(),
                kind: "pods".to_owned(),
                group: String::new(),
                uid: String::new(),
            };
            response.allowed = false;
            response.result = Status::failure(&hold.message, "TooManyRequests").with_code(429).with_details(details);
        }
    }
    response
}

/// Gives new Pods the readiness gate by which they later leave their Services.
struct Births(Common);

impl Reviewer for Births {
    fn path(&self) -> &'static str {
        webhooks::PODS_PATH
    }

    fn review(&self, request: AdmissionRequest<DynamicObject>) -> BoxFuture<'_, AdmissionResponse> {
        async move {
            let response = AdmissionResponse::from(&request);
            let namespace = request.namespace.clone().unwrap_or_default();
            if !self.0.looks_at(&namespace) {
                return response;
            }
            let Some(pod) = request.object.and_then(|object| injection::pod(object, &namespace)) else {
                return response;
            };
            let (configuration, is_chosen) = self.0.configuration().await;
            if !is_chosen {
                return response;
            }
            let labels = tokio::time::timeout(DECIDED_WITHIN, self.0.labels(&namespace, &configuration)).await;
            let Ok(Ok(labels)) = labels else {
                tracing::warn!(namespace, "cannot read the namespace's labels: a new Pod gets no readiness gate");
                return response;
            };
            let Some(patch) = injection::patch(&pod, &labels, &configuration) else { return response };
            let patched = serde_json::from_value(patch).map(|patch| response.clone().with_patch(patch));
            match patched {
                Ok(Ok(patched)) => patched,
                Ok(Err(error)) => {
                    tracing::error!(error = %chain(&error), "cannot write the patch of a new Pod");
                    response
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "cannot make the patch of a new Pod");
                    response
                }
            }
        }
        .boxed()
    }
}
