//! The ReplicaSet controller: keeps as many Pods as a ReplicaSet wants.
//!
//! [`decide`] says what is missing or too much, [`order`] which Pods go first; this edge claims, makes and deletes Pods
//! and writes the status.

pub(super) mod decide;
mod order;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use slipway_apiserver::clock::Clock;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::recorder::Recorder;
use super::workload::objects::Objects;
use super::workload::pod_control::PodControl;
use super::workload::{answer, ownership, pods, template};

/// The controller.
pub(in crate::cluster::embedded) struct ReplicaSetController {
    clock: Clock,
    /// By the uid of the Deployment that controls them.
    sets: Objects<ReplicaSet>,
    control: PodControl,
    queue: Queue<Key>,
}

impl ReplicaSetController {
    /// A controller that hears of ReplicaSets and Pods from the caches.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        clock: Clock,
        sets: Informer<ReplicaSet>,
        pods: Informer<Pod>,
    ) -> Self {
        let queue = Queue::new();
        let (set_work, pod_work) = (queue.clone(), queue.clone());
        sets.on_change(move |change| set_work.add(Key::of(change.object().as_ref())));
        let known = sets.clone();
        pods.on_change(move |change| pod_changed(change, &known, &pod_work));
        let recorder = Recorder::new(client.clone(), clock, "replicaset-controller", None);
        let control = PodControl::new(Objects::new(client.clone(), pods), recorder);
        Self { clock, sets: Objects::new(client, sets), control, queue }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.sets.cache.ready().await;
        self.control.pods.cache.ready().await;
        loop {
            let key = self.queue.next().await;
            match self.sync(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "the replica set will be tried again");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn sync(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(set) = self.sets.cache.get(key) else { return Ok(()) };
        let Some(spec) = &set.spec else { return Ok(()) };
        let selector = ownership::selector(&spec.selector);
        let selected = |pod: &Pod| !pods::has_ended(pod) && ownership::selects(selector.as_ref(), pod);
        let claimed = ownership::claim(&self.sets, set.as_ref(), &self.control.pods, selected).await?;
        let (active, ending): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|pod| pods::is_active(pod));
        let terminating = ending.iter().filter(|pod| pods::is_terminating(pod)).count();
        let decision = decide::decide(&set, &active, || self.related(&set, &active), self.clock.now());
        if let Some(again) = decision.again {
            self.queue.add_after(key.clone(), again);
        }
        let failed = self.manage(&set, decision.create, &decision.delete).await.err();
        let failure = failed.as_ref().map(answer::said);
        let status = decide::status(&set, &active, terminating, failure, self.clock.now());
        if set.status.as_ref() != Some(&status) {
            let mut changed = ReplicaSet::clone(&set);
            changed.status = Some(status);
            answer::unless_gone(self.sets.replace_status(&changed).await)?;
        }
        failed.map_or(Ok(()), Err)
    }

    async fn manage(&self, set: &ReplicaSet, create: usize, delete: &[Arc<Pod>]) -> Result<(), kube::Error> {
        let Some(template) = set.spec.as_ref().and_then(|spec| spec.template.as_ref()) else { return Ok(()) };
        if create > 0 {
            let pod = template::pod(set, template);
            for _ in 0..create {
                match self.control.create(set, &pod).await {
                    Err(error) if answer::is_namespace_going(&error) => return Ok(()),
                    made => made.map(drop)?,
                }
            }
        }
        for pod in delete {
            self.control.delete(set, pod).await?;
        }
        Ok(())
    }

    /// The Pods of every ReplicaSet of the same owner.
    fn related(&self, set: &ReplicaSet, own: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let Some(owner) = ownership::controller(set) else { return own.to_vec() };
        let siblings = self.sets.cache.by_index(&owner.uid);
        siblings.iter().flat_map(|sibling| self.control.pods.cache.by_index(pods::uid(sibling.as_ref()))).collect()
    }
}

fn pod_changed(change: &Change<Pod>, sets: &Informer<ReplicaSet>, queue: &Queue<Key>) {
    for key in ownership::concerned(change, "ReplicaSet") {
        queue.add(key);
    }
    let selects = |set: &ReplicaSet, pod: &Pod| {
        let selector = set.spec.as_ref().and_then(|spec| ownership::selector(&spec.selector));
        ownership::selects(selector.as_ref(), pod)
    };
    for key in ownership::adopters(change, sets, selects) {
        queue.add(key);
    }
}
