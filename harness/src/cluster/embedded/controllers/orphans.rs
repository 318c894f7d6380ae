//! What becomes of Pods whose node is gone: they are marked failed and removed, as the Pod garbage collector does it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use slipway_apiserver::clock::Clock;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;

/// How long a node must be gone before its Pods follow.
const QUARANTINE: Duration = Duration::from_secs(40);

/// The controller.
pub(in crate::cluster::embedded) struct OrphanCollector {
    client: Client,
    clock: Clock,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    /// Names of nodes that may be gone.
    queue: Queue<String>,
}

impl OrphanCollector {
    /// A controller that hears of nodes and Pods from the caches.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        clock: Clock,
        nodes: Informer<Node>,
        pods: Informer<Pod>,
    ) -> Self {
        let queue = Queue::new();
        let (gone, bound) = (queue.clone(), queue.clone());
        nodes.on_change(move |change| {
            if let Change::Deleted(node) = change {
                gone.add_after(node.name_any(), QUARANTINE);
            }
        });
        let known = nodes.clone();
        pods.on_change(move |change| {
            let Change::Applied { new, .. } = change else { return };
            let absent = |node: &&str| known.get(&Key { namespace: String::new(), name: (*node).to_owned() }).is_none();
            // Bound to a node that has never been, or is no more.
            if let Some(node) = node_of(new).filter(absent) {
                bound.add_after(node.to_owned(), QUARANTINE);
            }
        });
        Self { client, clock, nodes, pods, queue }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.nodes.ready().await;
        self.pods.ready().await;
        loop {
            let node = self.queue.next().await;
            match self.collect(&node).await {
                Ok(()) => self.queue.forget(&node),
                Err(error) => {
                    tracing::debug!(%error, node, "will be collected later");
                    self.queue.retry(node);
                }
            }
        }
    }

    async fn collect(&self, node: &str) -> Result<(), kube::Error> {
        if self.nodes.get(&Key { namespace: String::new(), name: node.to_owned() }).is_some() {
            return Ok(());
        }
        for pod in self.pods.all().into_iter().filter(|pod| node_of(pod) == Some(node)) {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            let name = pod.name_any();
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if !matches!(phase, Some("Succeeded" | "Failed")) {
                let patch = Patch::Strategic(failure(&pod, self.clock.now()));
                forgive(api.patch_status(&name, &PatchParams::default(), &patch).await.map(drop))?;
            }
            let params = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
                ..DeleteParams::default()
            };
            forgive(api.delete(&name, &params).await.map(drop))?;
        }
        Ok(())
    }
}

fn failure(pod: &Pod, now: Timestamp) -> serde_json::Value {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastProbeTime": null,
        "lastTransitionTime": Time(now),
    });
    json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Failed", "conditions": [condition]}})
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

fn forgive(answer: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        answer => answer,
    }
}
