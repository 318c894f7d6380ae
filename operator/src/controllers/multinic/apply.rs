//! Carries out a plan. Client required; decides nothing.
//!
//! The order is in the types: [`apply`] gives [`Applied`], only that can be written as a status ([`tell`]), and only what
//! that gives, [`Told`], lets Jobs and finalizers go ([`settle`]). A crash between any two calls loses nothing: the next
//! reconcile finds what was done and goes on from there.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, Resource, ResourceExt};

use crate::api::multinic::MultiNicNodeConfig;
use crate::kit::{self, error};

use super::plan::{JobRef, Plan, Progress, Release};
use super::{Ctx, job, labels, status};

/// What could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to add the finalizer")]
    Hold(#[source] kube::Error),
    #[error("failed to write the agent's spec")]
    Spec(#[source] serde_json::Error),
    #[error("failed to stop Job {name}")]
    Stop {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to create Job {name}")]
    Create {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
    #[error("failed to remove Job {name}")]
    Discard {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to remove the finalizer")]
    Release(#[source] kube::Error),
}

impl Error {
    /// Somebody else changed the object, which is no failure: it is read again.
    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Hold(source) | Self::Status(source) | Self::Release(source) => error::is_conflict(source),
            Self::Spec(_) | Self::Stop { .. } | Self::Create { .. } | Self::Discard { .. } => false,
        }
    }
}

/// A plan whose Jobs are stopped and made.
pub(super) struct Applied {
    config: MultiNicNodeConfig,
    progress: Progress,
    discard: Vec<JobRef>,
    release: Option<Release>,
    wake: Option<Timestamp>,
    /// The Job that could not be made; told in the status, and then an error.
    refused: Option<Error>,
}

/// A plan whose outcome the status tells.
pub(super) struct Told {
    config: MultiNicNodeConfig,
    discard: Vec<JobRef>,
    release: Option<Release>,
    wake: Option<Timestamp>,
}

/// Holds the configuration, stops Jobs, and makes one.
pub(super) async fn apply(ctx: &Ctx, config: MultiNicNodeConfig, plan: Plan) -> Result<Applied, Error> {
    let Plan { hold, stop, create, mut progress, discard, release, wake } = plan;
    let config = if hold {
        kit::finalize::hold(&ctx.client, labels::FIELD_MANAGER, &config, labels::FINALIZER)
            .await
            .map_err(Error::Hold)?
    } else {
        config
    };
    for job in stop {
        tracing::info!(job = job.name, "stopping job");
        // In the foreground: the Job stays, and is seen, until its Pods are gone.
        delete(ctx, &job, PropagationPolicy::Foreground)
            .await
            .map_err(|source| Error::Stop { name: job.name.clone(), source })?;
    }
    let mut refused = None;
    if let Some(order) = create {
        let job = job::build(&config, &order, &ctx.settings).map_err(Error::Spec)?;
        if let Err(source) = create_job(ctx, &job).await {
            let denied = error::is_refused(&source).then(|| error::message(&source));
            let error = Error::Create { name: job.name_any(), source };
            let Some(message) = denied else { return Err(error) };
            progress = Progress::Denied { action: order.action, message };
            refused = Some(error);
        }
    }
    Ok(Applied { config, progress, discard, release, wake, refused })
}

/// Makes a Job. One of that name is the same Job, made by this controller before it could say so.
async fn create_job(ctx: &Ctx, job: &Job) -> Result<(), kube::Error> {
    let jobs = Api::<Job>::namespaced(ctx.client.clone(), &job.namespace().unwrap_or_default());
    match jobs
        .create(&PostParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PostParams::default() }, job)
        .await
    {
        Ok(_) => {
            tracing::info!(job = job.name_any(), "job created");
            Ok(())
        }
        Err(error) if error::is_already_exists(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes the status, if it is news, and an Event of it.
pub(super) async fn tell(ctx: &Ctx, applied: Applied, now: Timestamp) -> Result<Told, Error> {
    let Applied { mut config, progress, discard, release, wake, refused } = applied;
    if let Some(status) = status::render(&config, &progress, now) {
        let version = config.resource_version().unwrap_or_default();
        let told = kit::apply::status(&ctx.client, labels::FIELD_MANAGER, &config, &version, &status);
        let told = told.await.map_err(Error::Status)?;
        tracing::info!(state = ?status.state, attempt = status.attempts, "status written");
        if let Some(notice) = status::notice(config.status.as_ref(), &status) {
            ctx.reporter.publish(&config.object_ref(&()), &notice).await;
        }
        config = told;
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(Told { config, discard, release, wake }),
    }
}

/// Removes finished Jobs, and then lets the configuration go. Says when to look again.
pub(super) async fn settle(ctx: &Ctx, told: Told) -> Result<Option<Timestamp>, Error> {
    let Told { config, discard, release, wake } = told;
    for job in discard {
        delete(ctx, &job, PropagationPolicy::Background)
            .await
            .map_err(|source| Error::Discard { name: job.name.clone(), source })?;
        tracing::info!(job = job.name, "job removed");
    }
    if let Some(release) = &release {
        let released = kit::finalize::release(&ctx.client, labels::FIELD_MANAGER, &config, labels::FINALIZER);
        if released.await.map_err(Error::Release)? {
            tracing::info!(?release, "released");
            ctx.reporter.publish(&config.object_ref(&()), &status::farewell(release)).await;
        }
    }
    Ok(wake)
}

/// Deletes this very Job; that it is gone, or another one by now, is as good.
async fn delete(ctx: &Ctx, job: &JobRef, policy: PropagationPolicy) -> Result<(), kube::Error> {
    let params = DeleteParams {
        propagation_policy: Some(policy),
        preconditions: Some(Preconditions { uid: Some(job.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    match Api::<Job>::namespaced(ctx.client.clone(), &job.namespace).delete(&job.name, &params).await {
        Err(error) if !error::is_not_found(&error) && !error::is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}
