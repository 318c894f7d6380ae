//! Carries out one step. Client required; decides nothing.
//!
//! Every write is tied to the Pod as it was looked at: one that has changed since is looked at again, and one that is
//! gone needs nothing any more.

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use crate::api::drain::{FINALIZER, FINALIZERS, OUTCOME, RELEASED_AT};
use crate::kit::{error, finalize};

use super::intent::{Release, Step};
use super::isolate::{self, Eviction};
use super::measures::By;
use super::pod::Pod;
use super::{Ctx, FIELD_MANAGER, notices};

/// What could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to add the finalizer")]
    Guard(#[source] kube::Error),
    #[error("failed to remove the finalizer")]
    Unguard(#[source] kube::Error),
    #[error("failed to let the Pod be ready")]
    Serve(#[source] kube::Error),
    #[error("failed to take the Pod out of its Services")]
    TakeOut(#[source] kube::Error),
    #[error("failed to put the Pod back into its Services")]
    PutBack(#[source] kube::Error),
    #[error("failed to let evictions pass")]
    Pass(#[source] kube::Error),
    #[error("failed to complete the eviction")]
    Evict(#[source] kube::Error),
}

impl Error {
    fn source(&self) -> &kube::Error {
        match self {
            Self::Guard(source)
            | Self::Unguard(source)
            | Self::Serve(source)
            | Self::TakeOut(source)
            | Self::PutBack(source)
            | Self::Pass(source)
            | Self::Evict(source) => source,
        }
    }

    /// Somebody else changed the Pod, which is no failure: it is looked at again.
    pub(crate) fn is_conflict(&self) -> bool {
        error::is_conflict(self.source())
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is done; the change itself is what is looked at next.
    Done,
    /// The Pod is gone.
    Gone,
    /// Somebody does not allow for it now.
    NotNow,
}

/// Carries out a step.
pub(super) async fn apply(ctx: &Ctx, pod: &Pod, step: Step, now: Timestamp) -> Result<Applied, Error> {
    let client = &ctx.client;
    let written = match &step {
        Step::Guard => there(finalize::hold(client, FIELD_MANAGER, pod, FINALIZER).await).map_err(Error::Guard),
        Step::Unguard | Step::Release(Release { by: By::Finalizer, .. }) => {
            unguard(client, pod).await.map_err(Error::Unguard)
        }
        Step::Serve => there(isolate::serve(client, pod, true, now).await).map_err(Error::Serve),
        Step::TakeOut(way) => there(isolate::take_out(client, pod, way, now).await).map_err(Error::TakeOut),
        Step::PutBack(_) => there(isolate::put_back(client, pod, now).await).map_err(Error::PutBack),
        Step::Release(release) => there(pass(client, pod, release, now).await).map_err(Error::Pass),
        Step::Evict => match isolate::evict(client, pod).await.map_err(Error::Evict)? {
            Eviction::Granted => Ok(true),
            Eviction::Gone => Ok(false),
            Eviction::Refused(why) => {
                tracing::info!(why, "eviction refused");
                return Ok(Applied::NotNow);
            }
        },
    };
    if !written? {
        return Ok(Applied::Gone);
    }
    tell(ctx, pod, &step, now).await;
    Ok(Applied::Done)
}

/// Whether the Pod that was written to was still there.
fn there<T>(written: Result<T, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(error) if error::is_not_found(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes every finalizer that is ours to release. Says whether the Pod was still there.
///
/// # Errors
/// The API server's; a conflict when the Pod has changed since it was read.
pub(super) async fn unguard(client: &Client, pod: &Pod) -> Result<bool, kube::Error> {
    finalize::release_any(client, FIELD_MANAGER, pod, &FINALIZERS).await
}

/// Lets evictions pass from now on.
async fn pass(client: &Client, pod: &Pod, release: &Release, now: Timestamp) -> Result<(), kube::Error> {
    let annotations = json!({ RELEASED_AT: now.to_string(), OUTCOME: release.outcome.as_str() });
    let meta = pod.meta();
    let patch = json!({ "metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version, "annotations": annotations,
    } });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    pods.patch_metadata(&pod.name_any(), &params, &Patch::Merge(patch)).await.map(drop)
}

async fn tell(ctx: &Ctx, pod: &Pod, step: &Step, now: Timestamp) {
    tracing::info!(?step, "done");
    let notice = match step {
        Step::Release(release) => {
            let took = now.duration_since(release.requested).unsigned_abs();
            ctx.measures.drained(release.by, release.outcome, took);
            notices::released(release)
        }
        Step::PutBack(why) => Some(notices::put_back(why)),
        Step::Evict => Some(notices::evicted()),
        Step::Guard | Step::Unguard | Step::Serve | Step::TakeOut(_) => None,
    };
    if let Some(notice) = notice {
        ctx.reporter.publish(&pod.object_ref(&()), &notice).await;
    }
}
