//! Lets everything go that this controller holds: what an administrator runs before the operator is removed.
//!
//! It can be run again and again, and does what is left to do. A running operator would hold Pods anew, so it is stopped
//! first.

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::api::drain::{FINALIZERS, Hold, LABELS};
use crate::kit::error;

use super::pod::Pod;
use super::{apply, isolate};

/// How many Pods are asked for at once.
const PAGE: u32 = 500;
/// How many Pods are let go at the same time.
const CONCURRENCY: usize = 16;
/// How often a Pod is looked at that changes all the time.
const TRIES_MAX: u32 = 5;

const PUT_BACK: &str = "put back into service";
const UNGUARDED: &str = "finalizer removed";

/// What is let go, and whether really.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// In this namespace only; in all where there is none.
    pub namespace: Option<String>,
    /// Nothing is written: it is only told what would be.
    pub dry_run: bool,
}

/// What became of a Pod that was held.
#[derive(Debug)]
pub struct Released {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was done, or would be, in words.
    pub what: Vec<&'static str>,
    /// Why it is still held.
    pub failed: Option<StillHeld>,
}

/// Why a Pod is still held.
#[derive(Debug, thiserror::Error)]
pub enum StillHeld {
    /// The API server did not let it go.
    #[error("failed to let it go")]
    Refused(#[source] kube::Error),
    /// It was let go, and held again.
    #[error("somebody holds it again: is the operator still running?")]
    Anew,
}

/// Lets everything go within reach, and tells of each Pod as it goes.
///
/// # Errors
/// When Pods cannot be listed. That a Pod cannot be let go is told of it.
pub async fn release_all(
    client: &Client,
    reach: &Reach,
    now: Timestamp,
    mut tell: impl FnMut(Released),
) -> Result<(), kube::Error> {
    let pods: Api<Pod> = match &reach.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let listed = pods.list(&page).await?;
        let held = listed.items.into_iter().filter(is_held);
        let mut released =
            futures::stream::iter(held.map(|pod| async move {
                if reach.dry_run { foretold(&pod) } else { release(client, pod, now).await }
            }))
            .buffered(CONCURRENCY);
        while let Some(released) = released.next().await {
            tell(released);
        }
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

fn is_guarded(pod: &Pod) -> bool {
    pod.finalizers().iter().any(|finalizer| FINALIZERS.contains(&finalizer.as_str()))
}

fn is_marked(pod: &Pod) -> bool {
    let silent = isolate::condition(pod, true, Timestamp::UNIX_EPOCH).is_some();
    Hold::is_marked(pod.annotations()) || pod.annotations().contains_key(LABELS) || silent
}

fn is_held(pod: &Pod) -> bool {
    is_guarded(pod) || is_marked(pod)
}

impl Released {
    fn nothing_yet(pod: &Pod) -> Self {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        Self { namespace, name, what: Vec::new(), failed: None }
    }
}

/// What [`release`] would do.
fn foretold(pod: &Pod) -> Released {
    let steps = [(is_marked(pod), PUT_BACK), (is_guarded(pod), UNGUARDED)];
    let what = steps.into_iter().filter_map(|(is_due, step)| is_due.then_some(step)).collect();
    Released { what, ..Released::nothing_yet(pod) }
}

async fn release(client: &Client, mut pod: Pod, now: Timestamp) -> Released {
    let mut released = Released::nothing_yet(&pod);
    let pods = Api::<Pod>::namespaced(client.clone(), &released.namespace);
    for _ in 0..TRIES_MAX {
        let done = if is_marked(&pod) {
            isolate::put_back(client, &pod, now).await.map(|_| Some(PUT_BACK))
        } else {
            apply::unguard(client, &pod).await.map(|was_there| was_there.then_some(UNGUARDED))
        };
        released.failed = match done {
            Ok(Some(what)) => {
                if !released.what.contains(&what) {
                    released.what.push(what);
                }
                Some(StillHeld::Anew)
            }
            Ok(None) => None,
            Err(error) if error::is_not_found(&error) => None,
            Err(error) if error::is_conflict(&error) => Some(StillHeld::Refused(error)),
            Err(error) => return Released { failed: Some(StillHeld::Refused(error)), ..released },
        };
        // Whatever was done, and whoever else did something: what is left is looked at anew.
        match pods.get_opt(&released.name).await {
            Ok(Some(found)) if found.uid() == pod.uid() && is_held(&found) => pod = found,
            Ok(_) => return Released { failed: None, ..released },
            Err(error) => return Released { failed: Some(StillHeld::Refused(error)), ..released },
        }
    }
    released
}
