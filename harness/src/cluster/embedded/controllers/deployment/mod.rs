//! The Deployment controller: replaces Pods of one template by Pods of the next, through ReplicaSets.
//!
//! [`decide`] says what each ReplicaSet is to be and what the status is; this edge claims ReplicaSets and writes.

mod conditions;
mod decide;
mod revision;
mod rollout;
mod spec;
mod status;
#[cfg(test)]
mod tests;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use slipway_apiserver::clock::Clock;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::recorder::{Recorder, Severity};
use super::workload::objects::Objects;
use super::workload::{answer, ownership, pods};
use conditions::PROGRESSING;
use decide::Plan;

/// The controller.
pub(in crate::cluster::embedded) struct DeploymentController {
    clock: Clock,
    deployments: Objects<Deployment>,
    /// By the uid of the Deployment that controls them.
    sets: Objects<ReplicaSet>,
    /// By the uid of the ReplicaSet that controls them.
    pods: Informer<Pod>,
    recorder: Recorder,
    queue: Queue<Key>,
}

impl DeploymentController {
    /// A controller that hears of Deployments and ReplicaSets from the caches.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        clock: Clock,
        deployments: Informer<Deployment>,
        sets: Informer<ReplicaSet>,
        pods: Informer<Pod>,
    ) -> Self {
        let queue = Queue::new();
        let (own_work, set_work) = (queue.clone(), queue.clone());
        deployments.on_change(move |change| own_work.add(Key::of(change.object().as_ref())));
        let known = deployments.clone();
        sets.on_change(move |change| set_changed(change, &known, &set_work));
        let recorder = Recorder::new(client.clone(), clock, "deployment-controller", None);
        let deployments = Objects::new(client.clone(), deployments);
        Self { clock, deployments, sets: Objects::new(client, sets), pods, recorder, queue }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.deployments.cache.ready().await;
        self.sets.cache.ready().await;
        self.pods.ready().await;
        loop {
            let key = self.queue.next().await;
            match Box::pin(self.sync(&key)).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "the deployment will be tried again");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn sync(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(deployment) = self.deployments.cache.get(key) else { return Ok(()) };
        let Some(spec) = &deployment.spec else { return Ok(()) };
        let selector = ownership::selector(&spec.selector);
        let selected = |set: &ReplicaSet| ownership::selects(selector.as_ref(), set);
        let sets = ownership::claim(&self.deployments, deployment.as_ref(), &self.sets, selected).await?;
        let has_pods = |set: &ReplicaSet| self.pods.by_index(pods::uid(set)).iter().any(|pod| !pods::has_ended(pod));
        let plan = decide::decide(&deployment, &sets, has_pods, self.clock.now());
        if let Some(again) = plan.again {
            self.queue.add_after(key.clone(), again);
        }
        Box::pin(self.carry_out(&deployment, plan)).await
    }

    async fn carry_out(&self, deployment: &Deployment, plan: Plan) -> Result<(), kube::Error> {
        let Plan { create, update, delete, events, deployment: next, again: _ } = plan;
        if let Some(set) = create
            && !self.create(deployment, &set).await?
        {
            return Ok(());
        }
        for set in &update {
            answer::unless_gone(self.sets.replace(set).await)?;
        }
        for message in events {
            self.recorder.event(deployment, Severity::Normal, "ScalingReplicaSet", message).await;
        }
        for set in &delete {
            self.sets.delete(set).await?;
        }
        if next.status != deployment.status || next.annotations() != deployment.annotations() {
            answer::unless_gone(self.deployments.replace_status(&next).await)?;
        }
        Ok(())
    }

    /// Makes a ReplicaSet, and says whether it was made.
    async fn create(&self, deployment: &Deployment, set: &ReplicaSet) -> Result<bool, kube::Error> {
        let Err(error) = self.sets.create(set).await else { return Ok(true) };
        if answer::is_namespace_going(&error) {
            return Ok(false);
        }
        if answer::is_already_exists(&error) {
            return self.collided(deployment, set, error).await;
        }
        let message = format!("Failed to create new replica set \"{}\": {}", set.name_any(), answer::said(&error));
        let mut failed = deployment.clone();
        let condition =
            conditions::new(PROGRESSING, "False", "ReplicaSetCreateError", message.clone(), self.clock.now());
        conditions::set(failed.status.get_or_insert_default(), condition);
        self.recorder.event(deployment, Severity::Warning, "ReplicaSetCreateError", message).await;
        if failed.status != deployment.status {
            self.deployments.replace_status(&failed).await?;
        }
        Err(error)
    }

    /// Something has the name of the ReplicaSet to make: counts that, which makes another name, unless it is that set.
    async fn collided(
        &self,
        deployment: &Deployment,
        set: &ReplicaSet,
        error: kube::Error,
    ) -> Result<bool, kube::Error> {
        let namespace = deployment.namespace().unwrap_or_default();
        let Some(present) = self.sets.api(&namespace).get_opt(&set.name_any()).await? else { return Err(error) };
        let template = |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
        let ours = ownership::controller(&present).is_some_and(|owner| owner.uid == pods::uid(deployment));
        if ours && spec::same_template(&template(&present), &template(set)) {
            // The cache is behind; it will show it.
            return Err(error);
        }
        let mut counted = deployment.clone();
        let status = counted.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.deployments.replace_status(&counted).await?;
        Ok(false)
    }
}

fn set_changed(change: &Change<ReplicaSet>, deployments: &Informer<Deployment>, queue: &Queue<Key>) {
    for key in ownership::concerned(change, "Deployment") {
        queue.add(key);
    }
    let selects = |deployment: &Deployment, set: &ReplicaSet| {
        let selector = deployment.spec.as_ref().and_then(|spec| ownership::selector(&spec.selector));
        ownership::selects(selector.as_ref(), set)
    };
    for key in ownership::adopters(change, deployments, selects) {
        queue.add(key);
    }
}
