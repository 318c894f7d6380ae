//! The StatefulSet controller: members with names that stay, made and replaced in their order.
//!
//! [`decide`] says what comes next, [`identity`] what a member is; this edge keeps revisions and claims, makes and
//! deletes Pods and writes the status.

mod decide;
mod identity;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube::{Client, Error, ResourceExt};
use serde_json::json;
use slipway_apiserver::clock::Clock;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::recorder::{Recorder, Severity};
use super::workload::objects::Objects;
use super::workload::{answer, hash, ownership, pods, revisions, template};
use decide::{Revisions, Step};

/// The label by which a revision says its hash.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";

/// The controller.
pub(in crate::cluster::embedded) struct StatefulSetController {
    clock: Clock,
    sets: Objects<StatefulSet>,
    pods: Objects<Pod>,
    claims: Objects<PersistentVolumeClaim>,
    /// By the uid of what controls them.
    revisions: Objects<ControllerRevision>,
    recorder: Recorder,
    queue: Queue<Key>,
}

/// The caches that the controller hears of changes from.
pub(in crate::cluster::embedded) struct Caches {
    /// The sets.
    pub(in crate::cluster::embedded) sets: Informer<StatefulSet>,
    /// Their Pods, by the uid of what controls them.
    pub(in crate::cluster::embedded) pods: Informer<Pod>,
    /// The Pods' claims.
    pub(in crate::cluster::embedded) claims: Informer<PersistentVolumeClaim>,
    /// The sets' revisions, by the uid of what controls them.
    pub(in crate::cluster::embedded) revisions: Informer<ControllerRevision>,
}

impl StatefulSetController {
    /// A controller that hears of StatefulSets, Pods and claims from the caches.
    pub(in crate::cluster::embedded) fn new(client: Client, clock: Clock, caches: Caches) -> Self {
        let Caches { sets, pods, claims, revisions } = caches;
        let queue = Queue::new();
        let (by_set, by_pod, by_claim) = (queue.clone(), queue.clone(), queue.clone());
        sets.on_change(move |change| by_set.add(Key::of(change.object().as_ref())));
        let known = sets.clone();
        pods.on_change(move |change| pod_changed(change, &known, &by_pod));
        let known = sets.clone();
        claims.on_change(move |change| {
            // A member whose claim was about to go waits for its end.
            let Change::Deleted(claim) = change else { return };
            let here = known.in_namespace(claim.metadata.namespace.as_deref().unwrap_or_default());
            for set in here.iter().filter(|set| identity::is_claim_of(set, claim)) {
                by_claim.add(Key::of(set.as_ref()));
            }
        });
        let recorder = Recorder::new(client.clone(), clock, "statefulset-controller", None);
        Self {
            clock,
            sets: Objects::new(client.clone(), sets),
            pods: Objects::new(client.clone(), pods),
            claims: Objects::new(client.clone(), claims),
            revisions: Objects::new(client, revisions),
            recorder,
            queue,
        }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.sets.cache.ready().await;
        self.pods.cache.ready().await;
        self.claims.cache.ready().await;
        self.revisions.cache.ready().await;
        loop {
            let key = self.queue.next().await;
            match self.sync(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "the stateful set will be tried again");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn sync(&self, key: &Key) -> Result<(), Error> {
        let Some(set) = self.sets.cache.get(key) else { return Ok(()) };
        let Some(spec) = &set.spec else { return Ok(()) };
        let selector = ownership::selector(&spec.selector);
        let selected = |revision: &ControllerRevision| ownership::selects(selector.as_ref(), revision);
        let mut history = ownership::claim(&self.sets, set.as_ref(), &self.revisions, selected).await?;
        revisions::order(&mut history);
        let member = |pod: &Pod| identity::ordinal(&set, pod).is_some() && ownership::selects(selector.as_ref(), pod);
        let members = ownership::claim(&self.sets, set.as_ref(), &self.pods, member).await?;

        let status = set.status.as_ref();
        let mut collisions = status.and_then(|status| status.collision_count).unwrap_or(0);
        let update = self.revision(&set, &spec.template, &history, &mut collisions).await?;
        let named = status.and_then(|status| status.current_revision.as_ref());
        let current = history.iter().find(|revision| Some(&revision.name_any()) == named);
        let current = current.map_or_else(|| update.clone(), |current| ControllerRevision::clone(current));
        let names = (current.name_any(), update.name_any());
        let between = Revisions { current: &names.0, update: &names.1, collisions };
        let decision = decide::decide(&set, &between, &members, self.clock.now());
        if let Some(again) = decision.again {
            self.queue.add_after(key.clone(), again);
        }
        let mut done = Ok(());
        for step in &decision.steps {
            done = self.take(&set, step, &current, &update).await;
            if done.is_err() {
                break;
            }
        }
        if set.status.as_ref() != Some(&decision.status) {
            let mut changed = StatefulSet::clone(&set);
            changed.status = Some(decision.status);
            answer::unless_gone(self.sets.replace_status(&changed).await)?;
        }
        let live = |revision: &ControllerRevision| {
            let name = revision.name_any();
            name == names.0 || name == names.1 || members.iter().any(|pod| identity::revision(pod) == name)
        };
        revisions::truncate(&self.revisions, &history, spec.revision_history_limit, live).await?;
        done
    }

    /// The revision of the set's template.
    async fn revision(
        &self,
        set: &StatefulSet,
        template: &PodTemplateSpec,
        history: &[Arc<ControllerRevision>],
        collisions: &mut i32,
    ) -> Result<ControllerRevision, Error> {
        let data = revisions::data(template);
        let text = revisions::text(&data);
        let make = |number, collisions| {
            let hash = hash::revision(&text, collisions);
            let mut labels = template::labels(Some(template));
            labels.insert(REVISION_HASH.to_owned(), hash.clone());
            revisions::new(set, &hash, labels, data.clone(), number)
        };
        revisions::ensure(&self.revisions, history, &data, collisions, make).await
    }

    async fn take(
        &self,
        set: &StatefulSet,
        step: &Step,
        current: &ControllerRevision,
        update: &ControllerRevision,
    ) -> Result<(), Error> {
        match step {
            Step::Create { ordinal, current: kept_back } => {
                let revision = if *kept_back { current } else { update };
                let template = revisions::template(revision).unwrap_or_default();
                self.create(set, &identity::member(set, &template, &revision.name_any(), *ordinal), *ordinal).await
            }
            Step::Mend { ordinal, pod } => self.mend(set, pod, *ordinal).await,
            Step::Delete { ordinal, pod, surplus } => {
                if *surplus {
                    self.own_claims(set, pod, *ordinal, true).await?;
                }
                let deleted = self.pods.delete(pod.as_ref()).await.map(drop);
                self.say(set, "delete", &pod.name_any(), &deleted).await;
                deleted
            }
        }
    }

    async fn create(&self, set: &StatefulSet, pod: &Pod, ordinal: i32) -> Result<(), Error> {
        let name = pod.name_any();
        let claims = identity::claims(set, ordinal);
        let stale = |claim: &PersistentVolumeClaim| {
            self.claims.cache.get(&Key::of(claim)).is_some_and(|claim| identity::is_stale(&claim, &name))
        };
        if claims.iter().any(stale) {
            return Ok(());
        }
        self.make_claims(set, &claims, &name).await?;
        match self.pods.create(pod).await.map(drop) {
            // Its namesake is not gone yet, or somebody else has the name.
            Err(error) if answer::is_already_exists(&error) => Err(error),
            Err(error) if answer::is_namespace_going(&error) => Ok(()),
            made => {
                self.say(set, "create", &name, &made).await;
                made
            }
        }
    }

    async fn make_claims(&self, set: &StatefulSet, claims: &[PersistentVolumeClaim], pod: &str) -> Result<(), Error> {
        for claim in claims.iter().filter(|claim| self.claims.cache.get(&Key::of(*claim)).is_none()) {
            let (name, owner) = (claim.name_any(), set.name_any());
            match self.claims.create(claim).await {
                Ok(_) => {
                    let message = format!("create Claim {name} Pod {pod} in StatefulSet {owner} success");
                    self.recorder.event(set, Severity::Normal, "SuccessfulCreate", message).await;
                }
                Err(error) if answer::is_already_exists(&error) => {}
                Err(error) => {
                    let said = answer::said(&error);
                    let message =
                        format!("create Claim {name} for Pod {pod} in StatefulSet {owner} failed error: {said}");
                    self.recorder.event(set, Severity::Warning, "FailedCreate", message).await;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives a member what it lacks: labels, and claims with the right owners.
    async fn mend(&self, set: &StatefulSet, pod: &Pod, ordinal: i32) -> Result<(), Error> {
        if pods::is_deleting(pod) {
            return Ok(());
        }
        if pods::phase(pod) == "Pending" {
            self.make_claims(set, &identity::claims(set, ordinal), &pod.name_any()).await?;
        }
        let lacking = identity::missing_labels(set, pod, ordinal);
        if !lacking.is_empty() {
            let labels: serde_json::Map<_, _> =
                lacking.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
            self.pods.patch(&Key::of(pod), &json!({"metadata": {"uid": pods::uid(pod), "labels": labels}})).await?;
            self.say(set, "update", &pod.name_any(), &Ok(())).await;
        }
        self.own_claims(set, pod, ordinal, false).await
    }

    /// Sees to it that claims go with the set, with a member that is too many, or with nothing, as the set wants it.
    async fn own_claims(&self, set: &StatefulSet, pod: &Pod, ordinal: i32, is_surplus: bool) -> Result<(), Error> {
        for claim in identity::claims(set, ordinal) {
            let Some(present) = self.claims.cache.get(&Key::of(&claim)) else { continue };
            if let Some(owners) = identity::new_owners(set, &present, pod, is_surplus) {
                let mut changed = PersistentVolumeClaim::clone(&present);
                changed.metadata.owner_references = Some(owners);
                answer::unless_gone(self.claims.replace(&changed).await)?;
            }
        }
        Ok(())
    }

    async fn say(&self, set: &StatefulSet, verb: &str, pod: &str, done: &Result<(), Error>) {
        let about = format!("{verb} Pod {pod} in StatefulSet {}", set.name_any());
        let (succeeded, failed) = match verb {
            "create" => ("SuccessfulCreate", "FailedCreate"),
            "delete" => ("SuccessfulDelete", "FailedDelete"),
            _ => ("SuccessfulUpdate", "FailedUpdate"),
        };
        match done {
            Ok(()) => {
                self.recorder.event(set, Severity::Normal, succeeded, format!("{about} successful")).await;
            }
            Err(error) => {
                let message = format!("{about} failed error: {}", answer::said(error));
                self.recorder.event(set, Severity::Warning, failed, message).await;
            }
        }
    }
}

fn pod_changed(change: &Change<Pod>, sets: &Informer<StatefulSet>, queue: &Queue<Key>) {
    for key in ownership::concerned(change, "StatefulSet") {
        queue.add(key);
    }
    let selects = |set: &StatefulSet, pod: &Pod| {
        let selector = set.spec.as_ref().and_then(|spec| ownership::selector(&spec.selector));
        identity::ordinal(set, pod).is_some() && ownership::selects(selector.as_ref(), pod)
    };
    for key in ownership::adopters(change, sets, selects) {
        queue.add(key);
    }
}
