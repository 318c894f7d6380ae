//! Making and deleting Pods for an owner, and saying so by Events.

use k8s_openapi::api::core::v1::Pod;
use kube::{Error, ResourceExt};

use super::super::recorder::{Recorder, Severity};
use super::answer;
use super::objects::{Namespaced, Objects};

/// Makes and deletes Pods.
#[derive(Clone)]
pub(in crate::cluster::embedded) struct PodControl {
    /// The Pods.
    pub(in crate::cluster::embedded) pods: Objects<Pod>,
    recorder: Recorder,
}

impl PodControl {
    /// Makes and deletes Pods under the name of the recorder's component.
    pub(in crate::cluster::embedded) fn new(pods: Objects<Pod>, recorder: Recorder) -> Self {
        Self { pods, recorder }
    }

    /// Makes a Pod.
    pub(in crate::cluster::embedded) async fn create<O: Namespaced>(&self, owner: &O, pod: &Pod) -> Result<Pod, Error> {
        match self.pods.create(pod).await {
            Ok(made) => {
                let message = format!("Created pod: {}", made.name_any());
                self.recorder.event(owner, Severity::Normal, "SuccessfulCreate", message).await;
                Ok(made)
            }
            Err(error) => {
                // In a namespace that goes nothing can be made, and nobody needs to hear of it.
                if !answer::is_namespace_going(&error) {
                    let message = format!("Error creating: {}", answer::said(&error));
                    self.recorder.event(owner, Severity::Warning, "FailedCreate", message).await;
                }
                Err(error)
            }
        }
    }

    /// Deletes a Pod; one that is gone already is as good.
    pub(in crate::cluster::embedded) async fn delete<O: Namespaced>(&self, owner: &O, pod: &Pod) -> Result<(), Error> {
        match self.pods.delete(pod).await {
            Ok(was_there) => {
                if was_there {
                    let message = format!("Deleted pod: {}", pod.name_any());
                    self.recorder.event(owner, Severity::Normal, "SuccessfulDelete", message).await;
                }
                Ok(())
            }
            Err(error) => {
                let message = format!("Error deleting: {}", answer::said(&error));
                self.recorder.event(owner, Severity::Warning, "FailedDelete", message).await;
                Err(error)
            }
        }
    }
}
