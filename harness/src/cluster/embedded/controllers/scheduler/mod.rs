//! The scheduler: binds Pods to nodes, and says why it cannot.

mod decide;
pub(super) mod fit;
mod load;
mod quantity;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, PersistentVolumeClaim, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use slipway_apiserver::clock::Clock;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::recorder::{Recorder, Severity};
use super::workload::pods::{has_ended, node as node_of};
use decide::Choice;
use load::Loads;

/// The scheduler that Pods ask for unless they name another.
const NAME: &str = "default-scheduler";

/// Pods that no node took.
type Waiting = Arc<Mutex<BTreeSet<Key>>>;

/// The scheduler.
pub(in crate::cluster::embedded) struct Scheduler {
    client: Client,
    clock: Clock,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    recorder: Recorder,
    queue: Queue<Key>,
    waiting: Waiting,
    loads: Arc<Mutex<Loads>>,
}

impl Scheduler {
    /// A scheduler that hears of Pods, nodes and claims from the caches.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        clock: Clock,
        nodes: Informer<Node>,
        pods: Informer<Pod>,
        claims: Informer<PersistentVolumeClaim>,
    ) -> Self {
        let (queue, waiting, loads) = (Queue::new(), Waiting::default(), Arc::<Mutex<Loads>>::default());
        let (pod_queue, pod_waiting, pod_loads) = (queue.clone(), Arc::clone(&waiting), Arc::clone(&loads));
        pods.on_change(move |change| {
            let (old, new) = match change {
                Change::Applied { old, new } => (old.as_deref(), Some(new.as_ref())),
                Change::Deleted(last) => (Some(last.as_ref()), None),
            };
            let key = Key::of(change.object().as_ref());
            pod_loads.lock().unwrap_or_else(PoisonError::into_inner).changed(&key, old, new);
            pod_changed(change, &pod_queue, &pod_waiting);
        });
        let (claim_queue, claim_waiting) = (queue.clone(), Arc::clone(&waiting));
        claims.on_change(move |_| ask_again(&claim_queue, &claim_waiting));
        let (node_queue, node_waiting) = (queue.clone(), Arc::clone(&waiting));
        nodes.on_change(move |change| {
            if matters(change) {
                ask_again(&node_queue, &node_waiting);
            }
        });
        let recorder = Recorder::new(client.clone(), clock, NAME, None);
        Self { client, clock, nodes, pods, claims, recorder, queue, waiting, loads }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.nodes.ready().await;
        self.pods.ready().await;
        self.claims.ready().await;
        loop {
            let key = self.queue.next().await;
            match self.schedule(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "will be scheduled again");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn schedule(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(pod) = self.pods.get(key).filter(|pod| is_ours(pod)) else {
            self.lock_waiting().remove(key);
            return Ok(());
        };
        match self.choose(key, &pod) {
            Choice::Node(node) => {
                self.lock_waiting().remove(key);
                self.bind(key, &pod, node).await
            }
            Choice::Nowhere(message) => {
                self.lock_waiting().insert(key.clone());
                self.refuse(key, &pod, message).await
            }
        }
    }

    fn choose(&self, key: &Key, pod: &Pod) -> Choice {
        let claim = |name: &str| self.claims.get(&Key { namespace: key.namespace.clone(), name: name.to_owned() });
        let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        decide::choose(pod, &self.nodes.all(), &loads, claim)
    }

    async fn bind(&self, key: &Key, pod: &Pod, node: String) -> Result<(), kube::Error> {
        let message = format!("Successfully assigned {key} to {node}");
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                uid: pod.metadata.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference { kind: Some("Node".to_owned()), name: Some(node), ..ObjectReference::default() },
        };
        let bound: Result<serde_json::Value, kube::Error> =
            self.api(key).create_subresource("binding", &key.name, &PostParams::default(), &binding).await;
        match bound {
            Ok(_) => {}
            // Deleted or bound by somebody else in the meantime.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => return Ok(()),
            Err(error) => return Err(error),
        }
        self.pods.until(key, |shown| shown.is_none_or(|shown| node_of(shown).is_some())).await;
        self.recorder.event(pod, Severity::Normal, "Scheduled", message).await;
        Ok(())
    }

    async fn refuse(&self, key: &Key, pod: &Pod, message: String) -> Result<(), kube::Error> {
        let said = scheduled_condition(pod).is_some_and(|said| {
            said.status == "False"
                && said.reason.as_deref() == Some("Unschedulable")
                && said.message.as_ref() == Some(&message)
        });
        if said {
            return Ok(());
        }
        let since = scheduled_condition(pod).filter(|said| said.status == "False");
        let since = since.and_then(|said| said.last_transition_time.clone());
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": null,
            "lastTransitionTime": since.unwrap_or_else(|| Time(self.clock.now())),
        });
        let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
        match self.api(key).patch_status(&key.name, &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            answer => answer.map(drop)?,
        }
        self.recorder.event(pod, Severity::Warning, "FailedScheduling", message).await;
        Ok(())
    }

    fn api(&self, key: &Key) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn lock_waiting(&self) -> std::sync::MutexGuard<'_, BTreeSet<Key>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pod_changed(change: &Change<Pod>, queue: &Queue<Key>, waiting: &Waiting) {
    let pod = change.object();
    let ended = has_ended(pod);
    match change {
        Change::Applied { old, .. } if is_ours(pod) => {
            // What the scheduler itself has written of a Pod is no news.
            let news = old.as_ref().is_none_or(|old| old.spec != pod.spec);
            if news {
                queue.add(Key::of(pod.as_ref()));
            }
        }
        // Whatever was on a node and is there no more leaves room.
        Change::Applied { old: Some(old), .. } if ended && !has_ended(old) => {
            ask_again(queue, waiting);
        }
        Change::Deleted(_) => {
            waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&Key::of(pod.as_ref()));
            if node_of(pod).is_some() && !ended {
                ask_again(queue, waiting);
            }
        }
        Change::Applied { .. } => {}
    }
}

fn ask_again(queue: &Queue<Key>, waiting: &Waiting) {
    for key in waiting.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        queue.add(key.clone());
    }
}

/// Whether a node's change can let a Pod in that it has refused: heartbeats cannot.
fn matters(change: &Change<Node>) -> bool {
    let Change::Applied { old: Some(old), new } = change else {
        return matches!(change, Change::Applied { .. });
    };
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    old.spec != new.spec || old.metadata.labels != new.metadata.labels || allocatable(old) != allocatable(new)
}

/// Whether a Pod waits for this scheduler.
fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    spec.node_name.as_deref().unwrap_or_default().is_empty()
        && spec.scheduler_name.as_deref().unwrap_or(NAME) == NAME
        && !gated
        && pod.metadata.deletion_timestamp.is_none()
        && !has_ended(pod)
}

fn scheduled_condition(pod: &Pod) -> Option<&PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == "PodScheduled")
}
