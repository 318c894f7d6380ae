//! The Job controller and the controller that removes finished Jobs after their time to live.
//!
//! [`decide`] says what a Job needs; this edge does it: it makes and deletes Pods, writes the status, lets counted Pods
//! go, and waits until the cache shows what it has written before it looks at the same Job again.

mod backoff;
mod conditions;
mod decide;
mod failure_policy;
mod indexes;
mod pods;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use slipway_apiserver::clock::Clock;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::recorder::{Recorder, Severity};
use backoff::Backoff;
use decide::{Decision, Removal};

/// What waits to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    /// A Job.
    Sync(Key),
    /// A Pod that a Job which is gone has left tracked.
    Orphan(Key),
    /// A finished Job whose time to live may be over.
    Expire(Key),
}

/// The controller.
pub(in crate::cluster::embedded) struct JobController {
    client: Client,
    clock: Clock,
    jobs: Informer<Job>,
    /// By the uid of the Job that controls them.
    pods: Informer<Pod>,
    recorder: Recorder,
    queue: Queue<Work>,
    backoffs: HashMap<String, Backoff>,
}

impl JobController {
    /// A controller that hears of Jobs and Pods from the caches.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        clock: Clock,
        jobs: Informer<Job>,
        pods: Informer<Pod>,
    ) -> Self {
        let queue = Queue::new();
        let (job_work, pod_work) = (queue.clone(), queue.clone());
        let job_pods = pods.clone();
        jobs.on_change(move |change| job_changed(change, &job_work, &job_pods));
        pods.on_change(move |change| pod_changed(change, &pod_work));
        let recorder = Recorder::new(client.clone(), clock, "job-controller", None);
        Self { client, clock, jobs, pods, recorder, queue, backoffs: HashMap::new() }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(mut self) {
        self.jobs.ready().await;
        self.pods.ready().await;
        loop {
            let work = self.queue.next().await;
            let done = match &work {
                Work::Sync(key) => self.sync(key).await,
                Work::Orphan(key) => self.release_orphan(key).await,
                Work::Expire(key) => self.expire(key).await,
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

    async fn sync(&mut self, key: &Key) -> Result<(), kube::Error> {
        let Some(job) = self.jobs.get(key) else { return Ok(()) };
        let uid = job.metadata.uid.clone().unwrap_or_default();
        let finished = job.status.as_ref().is_some_and(conditions::is_finished);
        if finished || job.spec.as_ref().is_some_and(|spec| spec.managed_by.as_deref().is_some_and(is_foreign)) {
            self.backoffs.remove(&uid);
            return Ok(());
        }
        let pods = self.pods.by_index(&uid);
        let remembered = self.backoffs.get(&uid).copied().unwrap_or_default();
        let mut decision = decide::decide(&job, &pods, remembered, self.clock.now());
        if let Some(again) = decision.again {
            self.queue.add_after(Work::Sync(key.clone()), again);
        }
        self.delete_pods(&job, &decision.delete).await?;
        let not_created = self.create_pods(&job, &mut decision).await;
        self.write(key, &job, decision, not_created).await
    }

    /// Writes the status, lets Pods go, and writes what that makes of it.
    async fn write(
        &mut self,
        key: &Key,
        job: &Arc<Job>,
        decision: Decision,
        not_created: Option<kube::Error>,
    ) -> Result<(), kube::Error> {
        let Decision { status, untrack, backoff, finish, suspension, create: _, delete: _, again: _ } = decision;
        let noted = self.write_status(key, job, &status).await?;
        self.backoffs.insert(job.metadata.uid.clone().unwrap_or_default(), backoff);
        match suspension {
            Some(true) => self.recorder.event(job.as_ref(), Severity::Normal, "Suspended", "Job suspended").await,
            Some(false) => self.recorder.event(job.as_ref(), Severity::Normal, "Resumed", "Job resumed").await,
            None => {}
        }
        for pod in &untrack {
            self.release(pod).await?;
        }
        let uids: Vec<String> = untrack.iter().map(|pod| pods::uid(pod)).collect();
        let was_finished = conditions::is_finished(&status);
        let settled = decide::settle(status, &uids, finish.as_ref(), self.clock.now());
        let ended = conditions::is_finished(&settled) && !was_finished;
        self.write_status(key, &noted, &settled).await?;
        if let Some(finish) = finish.filter(|_| ended) {
            let (severity, reason, message) = if finish.success {
                (Severity::Normal, "Completed", "Job completed".to_owned())
            } else {
                (Severity::Warning, known_reason(&finish.reason), finish.message)
            };
            self.recorder.event(job.as_ref(), severity, reason, message).await;
        }
        not_created.map_or(Ok(()), Err)
    }

    /// Replaces the status where it differs, and waits until the cache shows it.
    async fn write_status(&self, key: &Key, job: &Arc<Job>, status: &JobStatus) -> Result<Arc<Job>, kube::Error> {
        if job.status.as_ref() == Some(status) {
            return Ok(Arc::clone(job));
        }
        let mut changed = Job::clone(job);
        changed.status = Some(status.clone());
        let written = self.jobs(&key.namespace).replace_status(&key.name, &PostParams::default(), &changed).await?;
        let version = written.metadata.resource_version.as_deref();
        let echoed = |shown: &Job| is_at_least(shown.metadata.resource_version.as_deref(), version);
        self.jobs.until(key, |shown| shown.is_none_or(echoed)).await;
        Ok(Arc::new(written))
    }

    async fn delete_pods(&self, job: &Job, removals: &[Removal]) -> Result<(), kube::Error> {
        for Removal { pod, released } in removals {
            if *released {
                self.release(pod).await?;
            }
            let name = pod.name_any();
            let key = Key::of(pod.as_ref());
            match self.pods(&key.namespace).delete(&name, &DeleteParams::default()).await {
                Err(error) if !is_not_found(&error) => return Err(error),
                _ => {}
            }
            self.pods.until(&key, |shown| shown.is_none_or(|shown| shown.metadata.deletion_timestamp.is_some())).await;
            let message = format!("Deleted pod: {name}");
            self.recorder.event(job, Severity::Normal, "SuccessfulDelete", message).await;
        }
        Ok(())
    }

    /// Makes the Pods; those that cannot be made are taken from the status again.
    async fn create_pods(&self, job: &Job, decision: &mut Decision) -> Option<kube::Error> {
        let mut made = 0;
        let mut failure = None;
        for index in &decision.create {
            let pod = pods::from_template(job, *index);
            let api = self.pods(&job.namespace().unwrap_or_default());
            match api.create(&PostParams::default(), &pod).await {
                Ok(pod) => {
                    made += 1;
                    self.pods.until(&Key::of(&pod), |shown| shown.is_some()).await;
                    let message = format!("Created pod: {}", pod.name_any());
                    self.recorder.event(job, Severity::Normal, "SuccessfulCreate", message).await;
                }
                Err(error) => {
                    let message = format!("Error creating: {error}");
                    self.recorder.event(job, Severity::Warning, "FailedCreate", message).await;
                    failure = Some(error);
                    break;
                }
            }
        }
        let missing = i32::try_from(decision.create.len() - made).unwrap_or(0);
        let active = decision.status.active.unwrap_or(0) - missing;
        decision.status.active = (active > 0).then_some(active);
        failure
    }

    /// Removes the finalizer that keeps a Pod.
    async fn release(&self, pod: &Pod) -> Result<(), kube::Error> {
        if !pods::is_tracked(pod) {
            return Ok(());
        }
        let key = Key::of(pod);
        let patch = json!({"metadata": {
            "uid": pods::uid(pod),
            "$deleteFromPrimitiveList/finalizers": [pods::TRACKING],
        }});
        let patched =
            self.pods(&key.namespace).patch(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        match patched {
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => {}
        }
        let uid = pods::uid(pod);
        let gone = |shown: Option<&Pod>| shown.is_none_or(|shown| !pods::is_tracked(shown) || pods::uid(shown) != uid);
        self.pods.until(&key, gone).await;
        Ok(())
    }

    async fn release_orphan(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(pod) = self.pods.get(key) else { return Ok(()) };
        let Some(owner) = pods::job_reference(&pod) else { return Ok(()) };
        let job = Key { namespace: key.namespace.clone(), name: owner.name.clone() };
        let present = self.jobs.get(&job).is_some_and(|job| job.metadata.uid.as_ref() == Some(&owner.uid));
        if present {
            return Ok(());
        }
        // The cache may be behind: only the server knows.
        match self.jobs(&job.namespace).get_opt(&job.name).await? {
            Some(found) if found.metadata.uid.as_ref() == Some(&owner.uid) => Ok(()),
            _ => self.release(&pod).await,
        }
    }

    async fn expire(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(job) = self.jobs.get(key).filter(|job| job.metadata.deletion_timestamp.is_none()) else {
            return Ok(());
        };
        let lifetime = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
        let finished = job.status.as_ref().and_then(conditions::finished_at);
        let (Some(lifetime), Some(finished)) = (lifetime, finished) else { return Ok(()) };
        let age = self.clock.now().duration_since(finished);
        let left = SignedDuration::from_secs(lifetime.into()) - age;
        if let Some(left) = Duration::try_from(left).ok().filter(|left| !left.is_zero()) {
            self.queue.add_after(Work::Expire(key.clone()), left);
            return Ok(());
        }
        let preconditions = kube::api::Preconditions { uid: job.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match self.jobs(&key.namespace).delete(&key.name, &params).await {
            Err(error) if !is_not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn jobs(&self, namespace: &str) -> Api<Job> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn job_changed(change: &Change<Job>, queue: &Queue<Work>, pods: &Informer<Pod>) {
    let job = change.object();
    let key = Key::of(job.as_ref());
    match change {
        Change::Applied { .. } => {
            queue.add(Work::Sync(key.clone()));
            let expires = job.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_some());
            if expires && job.status.as_ref().is_some_and(conditions::is_finished) {
                queue.add(Work::Expire(key));
            }
        }
        Change::Deleted(_) => {
            let left = pods.by_index(job.metadata.uid.as_deref().unwrap_or_default());
            for pod in left.iter().filter(|pod| pods::is_tracked(pod)) {
                queue.add(Work::Orphan(Key::of(pod.as_ref())));
            }
        }
    }
}

fn pod_changed(change: &Change<Pod>, queue: &Queue<Work>) {
    let pod = change.object();
    let Some(owner) = pods::job_reference(pod) else { return };
    let namespace = pod.namespace().unwrap_or_default();
    queue.add(Work::Sync(Key { namespace, name: owner.name.clone() }));
    if pods::is_tracked(pod) && pod.metadata.deletion_timestamp.is_some() && matches!(change, Change::Applied { .. }) {
        queue.add(Work::Orphan(Key::of(pod.as_ref())));
    }
}

/// Whether another controller looks after a Job.
fn is_foreign(manager: &str) -> bool {
    manager != "kubernetes.io/job-controller"
}

/// The reason of the event that says how a Job has failed.
fn known_reason(reason: &str) -> &'static str {
    match reason {
        "DeadlineExceeded" => "DeadlineExceeded",
        "PodFailurePolicy" => "PodFailurePolicy",
        _ => "BackoffLimitExceeded",
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// Whether one resource version is not before another; the embedded server's are numbers.
fn is_at_least(shown: Option<&str>, wanted: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
    number(shown) >= number(wanted)
}
