//! The kubelets: they run the Pods that are bound to their nodes.
//!
//! One watch serves all nodes: [`Kubelets`] hands each Pod to the kubelet of its node, which keeps one task a Pod. What a
//! real kubelet does and this one does not: gRPC probes and HTTPS are not spoken, volumes other than `hostPath`, `emptyDir`, `configMap`, `secret`, `downwardAPI` and
//! `projected` are refused, images never take time to pull.

mod action;
mod board;
mod container;
mod env;
mod image;
mod pod;
mod probe;
mod status;
mod stop;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use slipway_apiserver::clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::containers::Containers;
use super::log::Logs;
use super::machine::Machine;
use super::program::Programs;
use super::tcp::Tcp;
use crate::cluster::embedded::controllers::informer::{Change, Informer, Key};
use crate::cluster::embedded::controllers::recorder::Recorder;
use crate::cluster::embedded::disks::Disks;

/// What a kubelet works with.
pub(in crate::cluster::embedded) struct Kubelet {
    /// The node's name.
    pub(super) node: String,
    /// The node's own address.
    pub(super) ip: String,
    /// The third number of the addresses that its Pods get.
    pub(super) pod_subnet: u32,
    pub(super) next_pod_ip: AtomicU32,
    pub(super) machine: Arc<Machine>,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) programs: Programs,
    pub(super) recorder: Recorder,
    pub(super) logs: Logs,
    pub(super) containers: Containers,
    pub(super) tcp: Tcp,
    pub(super) disks: Disks,
    pub(super) pods: Informer<Pod>,
    workers: Mutex<BTreeMap<String, Worker>>,
}

/// What is told to a Pod's task: the Pod as it is now, none once it is gone.
type Update = Option<Arc<Pod>>;

struct Worker {
    updates: watch::Sender<Update>,
    task: JoinHandle<()>,
}

/// What a node's kubelet is made from.
pub(in crate::cluster::embedded) struct KubeletConfig {
    pub(in crate::cluster::embedded) machine: Arc<Machine>,
    pub(in crate::cluster::embedded) ip: String,
    pub(in crate::cluster::embedded) pod_subnet: u32,
    pub(in crate::cluster::embedded) client: Client,
    pub(in crate::cluster::embedded) clock: Clock,
    pub(in crate::cluster::embedded) programs: Programs,
    pub(in crate::cluster::embedded) logs: Logs,
    pub(in crate::cluster::embedded) containers: Containers,
    pub(in crate::cluster::embedded) tcp: Tcp,
    pub(in crate::cluster::embedded) disks: Disks,
    pub(in crate::cluster::embedded) pods: Informer<Pod>,
}

/// The kubelets of a cluster, by node.
#[derive(Clone, Default)]
pub(in crate::cluster::embedded) struct Kubelets(Arc<Mutex<BTreeMap<String, Arc<Kubelet>>>>);

impl Kubelets {
    /// From now on kubelets hear of Pods from this cache, and of gone Pods' logs.
    pub(in crate::cluster::embedded) fn listen_to(&self, pods: &Informer<Pod>, logs: Logs) {
        let listener = self.clone();
        pods.on_change(move |change| {
            if let Some(kubelet) = listener.of(change.object()) {
                kubelet.observe(change);
            }
            if let Change::Deleted(pod) = change {
                logs.retire(&Key::of(pod.as_ref()));
            }
        });
    }

    /// Switches a kubelet on: it takes up the Pods that are bound to its node already.
    pub(in crate::cluster::embedded) fn add(&self, config: KubeletConfig) {
        let node = config.machine.spec().name.clone();
        let kubelet = Arc::new(Kubelet::new(node.clone(), config));
        self.lock().insert(node, Arc::clone(&kubelet));
        for pod in kubelet.pods.all() {
            if node_of(&pod) == Some(&kubelet.node) {
                kubelet.observe(&Change::Applied { old: None, new: pod });
            }
        }
    }

    /// Switches a kubelet off as a power cut does: what it runs is dropped and nothing more is written.
    pub(in crate::cluster::embedded) fn remove(&self, node: &str) {
        if let Some(kubelet) = self.lock().remove(node) {
            kubelet.drop_workers();
        }
    }

    /// Switches every kubelet off.
    pub(in crate::cluster::embedded) fn power_off(&self) -> Vec<JoinHandle<()>> {
        let all = std::mem::take(&mut *self.lock());
        all.into_values().flat_map(|kubelet| kubelet.drop_workers()).collect()
    }

    /// Switches every kubelet off and waits until what they ran has ended.
    pub(in crate::cluster::embedded) async fn stop(&self) {
        for worker in self.power_off() {
            // Being aborted is how they end.
            let _ = worker.await;
        }
    }

    fn of(&self, pod: &Pod) -> Option<Arc<Kubelet>> {
        self.lock().get(node_of(pod)?).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Kubelet>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kubelet {
    fn new(node: String, config: KubeletConfig) -> Self {
        let KubeletConfig { machine, ip, pod_subnet, client, clock, programs, logs, containers, tcp, disks, pods } =
            config;
        let recorder = Recorder::new(client.clone(), clock, "kubelet", Some(&node));
        Self {
            node,
            ip,
            pod_subnet,
            next_pod_ip: AtomicU32::new(2),
            machine,
            client,
            clock,
            programs,
            recorder,
            logs,
            containers,
            tcp,
            disks,
            pods,
            workers: Mutex::default(),
        }
    }

    /// Tells a Pod's task of a change, and starts one where there is something to do.
    fn observe(self: &Arc<Self>, change: &Change<Pod>) {
        let pod = change.object();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut workers = self.lock_workers();
        match change {
            Change::Applied { new, .. } => {
                if let Some(worker) = workers.get(&uid) {
                    worker.updates.send_replace(Some(Arc::clone(new)));
                } else if needs_work(new) {
                    let (updates, heard) = watch::channel(Some(Arc::clone(new)));
                    let task = tokio::spawn(pod::run(Arc::clone(self), Arc::clone(new), heard));
                    workers.insert(uid, Worker { updates, task });
                }
            }
            Change::Deleted(_) => {
                if let Some(worker) = workers.remove(&uid) {
                    worker.updates.send_replace(None);
                }
            }
        }
    }

    /// Lets a Pod's task end, unless it has been told something that it has not seen.
    fn retire(&self, uid: &str, heard: &watch::Receiver<Update>) -> bool {
        let mut workers = self.lock_workers();
        if heard.has_changed().unwrap_or(false) {
            return false;
        }
        workers.remove(uid);
        true
    }

    /// An address for a Pod: unique until a node has had 250 × 254 of them.
    fn pod_ip(&self) -> String {
        let number = self.next_pod_ip.fetch_add(1, Ordering::Relaxed);
        let subnet = self.pod_subnet + number / 254 * 256;
        format!("10.{}.{}.{}", 244 + subnet / 256 % 8, subnet % 256, number % 254 + 1)
    }

    fn drop_workers(&self) -> Vec<JoinHandle<()>> {
        let workers = std::mem::take(&mut *self.lock_workers());
        let aborted = |worker: Worker| {
            worker.task.abort();
            worker.task
        };
        workers.into_values().map(aborted).collect()
    }

    fn lock_workers(&self) -> MutexGuard<'_, BTreeMap<String, Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a Pod has something for the kubelet to do: to run, or to be let go.
fn needs_work(pod: &Pod) -> bool {
    let waits_for_kubelet =
        pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds != Some(0);
    waits_for_kubelet || !has_ended(pod)
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}
