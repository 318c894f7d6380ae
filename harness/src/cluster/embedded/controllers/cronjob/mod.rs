//! The CronJob controller: starts Jobs when their time has come.
//!
//! [`schedule`] says when that is, [`decide`] what follows from it; this edge sleeps until then and writes.

mod decide;
mod schedule;
#[cfg(test)]
mod tests;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{DeleteParams, PropagationPolicy};
use kube::{Client, Error, ResourceExt};
use slipway_apiserver::clock::Clock;

use super::informer::{Informer, Key};
use super::queue::Queue;
use super::recorder::{Recorder, Severity};
use super::workload::objects::Objects;
use super::workload::{answer, ownership, pods};
use decide::Plan;

/// The controller.
pub(in crate::cluster::embedded) struct CronJobController {
    clock: Clock,
    crons: Objects<CronJob>,
    /// By the uid of what controls them.
    jobs: Objects<Job>,
    recorder: Recorder,
    queue: Queue<Key>,
}

impl CronJobController {
    /// A controller that hears of CronJobs and Jobs from the caches.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        clock: Clock,
        crons: Informer<CronJob>,
        jobs: Informer<Job>,
    ) -> Self {
        let queue = Queue::new();
        let (by_cron, by_job) = (queue.clone(), queue.clone());
        crons.on_change(move |change| by_cron.add(Key::of(change.object().as_ref())));
        jobs.on_change(move |change| {
            for key in ownership::concerned(change, "CronJob") {
                by_job.add(key);
            }
        });
        let recorder = Recorder::new(client.clone(), clock, "cronjob-controller", None);
        Self { clock, crons: Objects::new(client.clone(), crons), jobs: Objects::new(client, jobs), recorder, queue }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.crons.cache.ready().await;
        self.jobs.cache.ready().await;
        loop {
            let key = self.queue.next().await;
            match self.sync(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "the cron job will be tried again");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn sync(&self, key: &Key) -> Result<(), Error> {
        let Some(cron) = self.crons.cache.get(key) else { return Ok(()) };
        let jobs = self.jobs.cache.by_index(pods::uid(cron.as_ref()));
        let Plan { forget, replace, start, mut status, notices, again } =
            decide::decide(&cron, &jobs, self.clock.now());
        if let Some(again) = again {
            self.queue.add_after(key.clone(), again);
        }
        for (severity, reason, message) in notices {
            self.recorder.event(cron.as_ref(), severity, reason, message).await;
        }
        let names = forget.iter().map(|job| job.name_any());
        for name in names.chain(replace.iter().filter_map(|job| job.name.clone())) {
            self.delete(&cron, &Key { namespace: key.namespace.clone(), name }).await?;
        }
        status.active = status.active.map(|mut active| {
            active.retain(|job| !replace.contains(job));
            active
        });
        if let Some((job, due)) = start {
            match self.start(&cron, &job).await? {
                Some(made) => status = decide::started(status, &made, due),
                None => return Ok(()),
            }
        }
        status.active = status.active.filter(|active| !active.is_empty());
        if cron.status.clone().unwrap_or_default() != status {
            let mut changed = CronJob::clone(&cron);
            changed.status = Some(status);
            answer::unless_gone(self.crons.replace_status(&changed).await)?;
        }
        Ok(())
    }

    /// Starts a Job, unless one that is somebody else's has its name or nothing can be made any more.
    async fn start(&self, cron: &CronJob, job: &Job) -> Result<Option<Job>, Error> {
        let error = match self.jobs.create(job).await {
            Ok(made) => {
                let message = format!("Created job {}", made.name_any());
                self.recorder.event(cron, Severity::Normal, "SuccessfulCreate", message).await;
                return Ok(Some(made));
            }
            Err(error) => error,
        };
        if answer::is_namespace_going(&error) {
            return Ok(None);
        }
        if answer::is_already_exists(&error) {
            // Started before, and not written down then.
            let namespace = cron.namespace().unwrap_or_default();
            let present = self.jobs.api(&namespace).get_opt(&job.name_any()).await?;
            let ours = |job: &Job| ownership::controller(job).is_some_and(|owner| owner.uid == pods::uid(cron));
            // Whoever else took the name has its reasons.
            return Ok(present.filter(ours));
        }
        let message = format!("Error creating job: {}", answer::said(&error));
        self.recorder.event(cron, Severity::Warning, "FailedCreate", message).await;
        Err(error)
    }

    /// Deletes a Job with its Pods.
    async fn delete(&self, cron: &CronJob, key: &Key) -> Result<(), Error> {
        let params =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        match answer::unless_gone(self.jobs.api(&key.namespace).delete(&key.name, &params).await) {
            Ok(deleted) => {
                self.jobs.cache.until(key, |shown| shown.is_none_or(pods::is_deleting)).await;
                if deleted.is_some() {
                    let message = format!("Deleted job {}", key.name);
                    self.recorder.event(cron, Severity::Normal, "SuccessfulDelete", message).await;
                }
                Ok(())
            }
            Err(error) => {
                let message = format!("Deleted job: {}", answer::said(&error));
                self.recorder.event(cron, Severity::Warning, "FailedDelete", message).await;
                Err(error)
            }
        }
    }
}
