//! Lets everything go that this controller holds: what an administrator runs before the operator is removed.
//!
//! It can be run again and again, and does what is left to do. A running operator would hold Pods anew, so it is stopped
//! first.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::api::drain::{FINALIZERS, Hold, LABELS};
use crate::kit::error;

use super::{apply, isolate};

/// How many Pods are asked for at once.
const PAGE: u32 = 500;
/// How often a Pod is looked at that changes all the time.
const TRIES_MAX: u32 = 5;

/// What became of a Pod that was held.
#[derive(Debug)]
pub struct Released {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was done, in words.
    pub what: Vec<&'static str>,
    /// Why it is still held.
    pub failed: Option<kube::Error>,
}

/// Lets everything go, in one namespace or in all, and tells of each Pod as it goes.
///
/// # Errors
/// When Pods cannot be listed. That a Pod cannot be let go is told of it.
pub async fn release_all(
    client: &Client,
    namespace: Option<&str>,
    now: Timestamp,
    mut tell: impl FnMut(Released),
) -> Result<(), kube::Error> {
    let pods: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let listed = pods.list(&page).await?;
        for pod in listed.items {
            if is_held(&pod) {
                tell(release(client, pod, now).await);
            }
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

async fn release(client: &Client, pod: Pod, now: Timestamp) -> Released {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let mut released = Released { namespace, name, what: Vec::new(), failed: None };
    let pods = Api::<Pod>::namespaced(client.clone(), &released.namespace);
    let mut pod = Some(pod);
    for _ in 0..TRIES_MAX {
        let Some(looked_at) = pod.take().filter(is_held) else { return released };
        let done = if is_marked(&looked_at) {
            isolate::put_back(client, &looked_at, now).await.map(|_| "put back into service")
        } else {
            apply::unguard(client, &looked_at).await.map(|()| "finalizer removed")
        };
        match done {
            Ok(what) => released.what.push(what),
            Err(error) if error::is_not_found(&error) => return released,
            Err(error) if error::is_conflict(&error) => released.failed = Some(error),
            Err(error) => {
                released.failed = Some(error);
                return released;
            }
        }
        // Whatever was done, and whoever else did something: what is left is looked at anew.
        match pods.get_opt(&released.name).await {
            Ok(found) => pod = found.filter(|found| found.uid() == looked_at.uid()),
            Err(error) => {
                released.failed = Some(error);
                return released;
            }
        }
        if pod.as_ref().is_none_or(|pod| !is_held(pod)) {
            released.failed = None;
        }
    }
    released
}
