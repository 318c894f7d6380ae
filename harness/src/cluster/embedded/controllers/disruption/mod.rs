//! The disruption controller: counts the healthy Pods of every budget, and says how many may be evicted.
//!
//! [`decide`] says what a budget's status should be; this edge finds its Pods and the scale of their owners, writes the
//! status, and takes back what Pods say of evictions that came to nothing.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::{Selector, SelectorExt};
use kube::{Api, Client, ResourceExt};
use slipway_apiserver::clock::Clock;
use thiserror::Error;

use super::informer::{Change, Informer, Key};
use super::kinds::Kinds;
use super::queue::Queue;
use super::recorder::{Recorder, Severity};
use super::workload::ownership;
use decide::Uncountable;

const UNMANAGED: &str = "were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, \
                         which may result in undefined behavior. To account for these pods please set \
                         \".spec.minAvailable\" field of the PDB to an integer value.";

/// What waits to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    /// A budget.
    Count(Key),
    /// A Pod whose eviction may have come to nothing.
    Spare(Key),
}

/// Why a budget cannot be counted.
#[derive(Debug, Error)]
enum SyncError {
    /// The API server refused something.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// A number makes no sense.
    #[error(transparent)]
    Amount(#[from] Uncountable),
    /// A Pod's owner is gone, or is another one by now.
    #[error("found no controllers for pod {0:?}")]
    NoOwner(String),
    /// Nobody serves the kind of a Pod's owner.
    #[error("no matches for kind {kind:?} in version {version:?}")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its version with the group.
        version: String,
    },
    /// Owners of this kind do not say how many Pods they want.
    #[error("{0} does not implement the scale subresource")]
    NoScale(String),
}

/// The controller.
pub(in crate::cluster::embedded) struct DisruptionController {
    kinds: Kinds,
    client: Client,
    clock: Clock,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    recorder: Recorder,
    queue: Queue<Work>,
}

impl DisruptionController {
    /// A controller that hears of budgets and Pods from the caches.
    pub(in crate::cluster::embedded) fn new(
        kinds: Kinds,
        client: Client,
        clock: Clock,
        budgets: Informer<PodDisruptionBudget>,
        pods: Informer<Pod>,
    ) -> Self {
        let queue = Queue::new();
        let (counted, changed) = (queue.clone(), queue.clone());
        budgets.on_change(move |change| {
            if let Change::Applied { new, .. } = change {
                counted.add(Work::Count(Key::of(new.as_ref())));
            }
        });
        let known = budgets.clone();
        pods.on_change(move |change| pod_changed(change, &known, &changed, clock));
        let recorder = Recorder::new(client.clone(), clock, "controllermanager", None);
        Self { kinds, client, clock, budgets, pods, recorder, queue }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.budgets.ready().await;
        self.pods.ready().await;
        loop {
            let work = self.queue.next().await;
            let done = match &work {
                Work::Count(key) => self.count(key).await,
                Work::Spare(key) => self.spare(key).await,
            };
            match done {
                Ok(()) => self.queue.forget(&work),
                Err(error) => {
                    tracing::debug!(%error, ?work, "will be tried again");
                    self.queue.retry(work);
                }
            }
        }
    }

    async fn count(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(budget) = self.budgets.get(key) else { return Ok(()) };
        match self.sync(key, &budget).await {
            Err(SyncError::Api(error @ kube::Error::Api(_))) if is_conflict(&error) => Err(error),
            Err(error) => {
                tracing::debug!(%error, %key, "cannot be counted");
                let status = decide::failed(budget.status.as_ref(), &error.to_string(), self.clock.now());
                self.write(key, &budget, status).await
            }
            Ok(()) => Ok(()),
        }
    }

    async fn sync(&self, key: &Key, budget: &Arc<PodDisruptionBudget>) -> Result<(), SyncError> {
        let mut pods = self.pods.in_namespace(&key.namespace);
        pods.retain(|pod| selects(budget, pod));
        if pods.is_empty() {
            self.recorder.event(budget.as_ref(), Severity::Normal, "NoPods", "No matching pods found").await;
        }
        let scale = match budget.spec.as_ref().filter(|spec| decide::needs_scale(spec)) {
            Some(_) => self.scale(budget, &pods).await,
            None => Ok(0),
        };
        let now = self.clock.now();
        let decided = scale.and_then(|scale| Ok(decide::decide(budget, &pods, scale, now)?));
        if let Err(error) = &decided {
            let message = format!("Failed to calculate the number of expected pods: {error}");
            let reason = "CalculateExpectedPodCountFailed";
            self.recorder.event(budget.as_ref(), Severity::Warning, reason, message).await;
        }
        let decision = decided?;
        for pod in &decision.overdue {
            let message = format!("Pod was expected by PDB {key} to be deleted but it wasn't");
            self.recorder.event(pod.as_ref(), Severity::Warning, "NotDeleted", message).await;
        }
        self.write(key, budget, decision.status).await?;
        if let Some(again) = decision.again {
            self.queue.add_after(Work::Count(key.clone()), again);
        }
        Ok(())
    }

    /// How many Pods the owners of these want together.
    async fn scale(&self, budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> Result<i32, SyncError> {
        let mut seen = BTreeSet::new();
        let mut wanted: BTreeMap<String, i32> = BTreeMap::new();
        let mut unmanaged = false;
        for pod in pods {
            let Some(owner) = ownership::controller(pod.as_ref()) else {
                unmanaged = true;
                continue;
            };
            if !seen.insert(owner.uid.clone()) {
                continue;
            }
            let found = self.owner_scale(&pod.namespace().unwrap_or_default(), owner).await?;
            let (uid, replicas) = found.ok_or_else(|| SyncError::NoOwner(pod.name_any()))?;
            wanted.insert(uid, replicas);
        }
        if unmanaged {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
            let selector = Selector::try_from(selector).map(|selector| selector.to_string()).unwrap_or_default();
            let message = format!("Pods selected by this PodDisruptionBudget (selector: {selector}) {UNMANAGED}");
            self.recorder.event(budget, Severity::Warning, "UnmanagedPods", message).await;
        }
        Ok(wanted.into_values().sum())
    }

    /// The uid and scale of who says how many Pods there should be: a Pod's owner or, where that is a `ReplicaSet` of a
    /// Deployment, the Deployment. None where it is gone.
    async fn owner_scale(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<(String, i32)>, SyncError> {
        if owner.kind == "ReplicaSet" && owner.api_version.starts_with("apps/") {
            let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
            let Some(set) = api.get_opt(&owner.name).await?.filter(|set| set.uid().as_ref() == Some(&owner.uid)) else {
                return Ok(None);
            };
            return match ownership::controller(&set).filter(|above| above.kind == "Deployment") {
                Some(deployment) => self.scale_of(namespace, deployment).await,
                None => Ok(Some((owner.uid.clone(), set.spec.and_then(|spec| spec.replicas).unwrap_or(1)))),
            };
        }
        self.scale_of(namespace, owner).await
    }

    async fn scale_of(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<(String, i32)>, SyncError> {
        let unknown = || SyncError::UnknownKind { kind: owner.kind.clone(), version: owner.api_version.clone() };
        let kind = self.kinds.find(&owner.api_version, &owner.kind).await?.ok_or_else(unknown)?;
        if !kind.scales {
            let ApiResource { plural, group, .. } = kind.api;
            return Err(SyncError::NoScale(if group.is_empty() { plural } else { format!("{plural}.{group}") }));
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind.api);
        match api.get_scale(&owner.name).await {
            Ok(scale) if scale.metadata.uid.as_ref() == Some(&owner.uid) => {
                Ok(Some((owner.uid.clone(), scale.spec.and_then(|spec| spec.replicas).unwrap_or(0))))
            }
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the status where it differs, and waits until the cache shows it.
    async fn write(
        &self,
        key: &Key,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> Result<(), kube::Error> {
        if budget.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut next = budget.clone();
        next.metadata.managed_fields = None;
        next.status = Some(status);
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &next).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                let before = budget.resource_version();
                self.budgets.until(key, |shown| shown.is_none_or(|shown| shown.resource_version() != before)).await;
                Ok(())
            }
        }
    }

    /// Takes back what a Pod says of its eviction, if nobody has told it to go for long enough.
    async fn spare(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(pod) = self.pods.get(key) else { return Ok(()) };
        let now = self.clock.now();
        match decide::stale_in(&pod, now) {
            None => return Ok(()),
            Some(left) if !left.is_zero() => {
                self.queue.add_after(Work::Spare(key.clone()), left);
                return Ok(());
            }
            Some(_) => {}
        }
        let mut spared = decide::spared(&pod, now);
        spared.metadata.managed_fields = None;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &spared).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }
}

/// Looks again at the budgets that guard a Pod or did so, and later at a Pod that may not go after all.
fn pod_changed(change: &Change<Pod>, budgets: &Informer<PodDisruptionBudget>, queue: &Queue<Work>, clock: Clock) {
    let pod = change.object();
    let before = match change {
        Change::Applied { old: Some(old), new } if old.labels() != new.labels() => Some(old),
        _ => None,
    };
    for budget in budgets.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) {
        if selects(&budget, pod) || before.is_some_and(|before| selects(&budget, before)) {
            queue.add(Work::Count(Key::of(budget.as_ref())));
        }
    }
    if let Change::Applied { new, .. } = change
        && let Some(left) = decide::stale_in(new, clock.now())
    {
        queue.add_after(Work::Spare(Key::of(new.as_ref())), left);
    }
}

/// Whether a budget guards a Pod: one without a selector guards none, one with an empty selector all.
fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.is_some_and(|selector| selector.matches(pod.labels()))
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}
