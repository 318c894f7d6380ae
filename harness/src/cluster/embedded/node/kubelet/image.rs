//! Images: those that have a program are there; the others cannot be pulled, and the Pod says so again and again.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStateWaiting};

use super::board::Slot;
use super::pod::Sandbox;
use crate::cluster::embedded::controllers::recorder::Severity;
use crate::cluster::embedded::node::program::Program;

/// The first and the longest wait between two pulls.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// The program of a container's image; none when the Pod is to stop before there is one.
pub(super) async fn pull(sandbox: &Sandbox, slot: Slot, container: &Container) -> Option<Arc<dyn Program>> {
    let image = container.image.clone().unwrap_or_default();
    let policy = container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
    let (mut wait, longest) = BACKOFF;
    loop {
        if let Some(program) = sandbox.kubelet.programs.find(&image) {
            let message = if policy == "Always" {
                sandbox.event(Severity::Normal, "Pulling", format!("Pulling image \"{image}\"")).await;
                format!("Successfully pulled image \"{image}\"")
            } else {
                format!("Container image \"{image}\" already present on machine and can be accessed by the pod")
            };
            sandbox.event(Severity::Normal, "Pulled", message).await;
            return Some(program);
        }
        if policy == "Never" {
            let message = format!("Container image \"{image}\" is not present with pull policy of Never");
            wait_for(sandbox, slot, "ErrImageNeverPull", &message);
            sandbox.event(Severity::Warning, "ErrImageNeverPull", message).await;
            sandbox.event(Severity::Warning, "Failed", "Error: ErrImageNeverPull").await;
        } else {
            sandbox.event(Severity::Normal, "Pulling", format!("Pulling image \"{image}\"")).await;
            let cause = format!("failed to resolve reference \"{image}\": {image}: not found");
            let message = format!("failed to pull and unpack image \"{image}\": {cause}");
            wait_for(sandbox, slot, "ErrImagePull", &message);
            sandbox.event(Severity::Warning, "Failed", format!("Failed to pull image \"{image}\": {message}")).await;
            sandbox.event(Severity::Warning, "Failed", "Error: ErrImagePull").await;
            let backing_off = format!("Back-off pulling image \"{image}\"");
            // The kubelet looks at the Pod again before the wait is over, and says that it waits.
            if !sandbox.stop.sleep(wait / 10).await {
                return None;
            }
            wait_for(sandbox, slot, "ImagePullBackOff", &format!("{backing_off}: ErrImagePull: {message}"));
            sandbox.event(Severity::Normal, "BackOff", backing_off).await;
            sandbox.event(Severity::Warning, "Failed", "Error: ImagePullBackOff").await;
        }
        if !sandbox.stop.sleep(wait).await {
            return None;
        }
        wait = (wait * 2).min(longest);
    }
}

/// Shows that a container waits, and why.
pub(super) fn wait_for(sandbox: &Sandbox, slot: Slot, reason: &str, message: &str) {
    let message = (!message.is_empty()).then(|| message.to_owned());
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    sandbox.board.set(slot, |status| {
        status.ready = false;
        status.state = Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
    });
}
