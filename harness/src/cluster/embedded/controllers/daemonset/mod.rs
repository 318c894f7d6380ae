//! The DaemonSet controller: one Pod on every node that is to have one.
//!
//! [`nodes`] says which nodes those are, [`decide`] what is missing, too much or out of date; this edge keeps revisions,
//! makes and deletes Pods and writes the status.

mod decide;
mod nodes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Client, Error, ResourceExt};
use slipway_apiserver::clock::Clock;
use tokio::time::Instant;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::recorder::{Recorder, Severity};
use super::workload::objects::Objects;
use super::workload::pod_control::PodControl;
use super::workload::{answer, hash, ownership, pods, revisions, template};

/// The wait after a daemon has failed on a node for the first time.
const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_mins(15);

/// The controller.
pub(in crate::cluster::embedded) struct DaemonSetController {
    clock: Clock,
    sets: Objects<DaemonSet>,
    nodes: Informer<Node>,
    control: PodControl,
    /// By the uid of what controls them.
    revisions: Objects<ControllerRevision>,
    recorder: Recorder,
    queue: Queue<Key>,
    /// Until when failed daemons of a set are left on a node, and for how long the next time.
    backoffs: HashMap<(String, String), (Instant, Duration)>,
}

/// The caches that the controller hears of changes from.
pub(in crate::cluster::embedded) struct Caches {
    /// The sets.
    pub(in crate::cluster::embedded) sets: Informer<DaemonSet>,
    /// The nodes.
    pub(in crate::cluster::embedded) nodes: Informer<Node>,
    /// The sets' Pods, by the uid of what controls them.
    pub(in crate::cluster::embedded) pods: Informer<Pod>,
    /// The sets' revisions, by the uid of what controls them.
    pub(in crate::cluster::embedded) revisions: Informer<ControllerRevision>,
}

impl DaemonSetController {
    /// A controller that hears of DaemonSets, nodes and Pods from the caches.
    pub(in crate::cluster::embedded) fn new(client: Client, clock: Clock, caches: Caches) -> Self {
        let Caches { sets, nodes, pods, revisions } = caches;
        let queue = Queue::new();
        let (by_set, by_pod, by_node) = (queue.clone(), queue.clone(), queue.clone());
        sets.on_change(move |change| by_set.add(Key::of(change.object().as_ref())));
        let known = sets.clone();
        pods.on_change(move |change| pod_changed(change, &known, &by_pod));
        let known = sets.clone();
        nodes.on_change(move |change| {
            if matters(change) {
                for set in known.all() {
                    by_node.add(Key::of(set.as_ref()));
                }
            }
        });
        let recorder = Recorder::new(client.clone(), clock, "daemonset-controller", None);
        let control = PodControl::new(Objects::new(client.clone(), pods), recorder.clone());
        let (sets, revisions) = (Objects::new(client.clone(), sets), Objects::new(client, revisions));
        Self { clock, sets, nodes, control, revisions, recorder, queue, backoffs: HashMap::new() }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(mut self) {
        self.sets.cache.ready().await;
        self.nodes.ready().await;
        self.control.pods.cache.ready().await;
        self.revisions.cache.ready().await;
        loop {
            let key = self.queue.next().await;
            match self.sync(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "the daemon set will be tried again");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn sync(&mut self, key: &Key) -> Result<(), Error> {
        let Some(set) = self.sets.cache.get(key) else {
            let sets = self.sets.cache.all();
            self.backoffs.retain(|(uid, _), _| sets.iter().any(|set| pods::uid(set.as_ref()) == uid));
            return Ok(());
        };
        let Some(spec) = &set.spec else { return Ok(()) };
        // Whether revisions and Pods go first is not known: a set that goes says nothing any more.
        if pods::is_deleting(set.as_ref()) {
            return Ok(());
        }
        let selector = ownership::selector(&spec.selector);
        let selected = |revision: &ControllerRevision| ownership::selects(selector.as_ref(), revision);
        let mut history = ownership::claim(&self.sets, set.as_ref(), &self.revisions, selected).await?;
        revisions::order(&mut history);
        let selected = |pod: &Pod| ownership::selects(selector.as_ref(), pod);
        let pods = ownership::claim(&self.sets, set.as_ref(), &self.control.pods, selected).await?;

        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let known = collisions;
        let newest = self.revision(&set, &history, &mut collisions).await?;
        let hash = newest.labels().get(revisions::HASH_LABEL).cloned().unwrap_or_default();
        let template = nodes::template(&set, &hash);
        let mut decision = decide::decide(&set, &template, &hash, &self.nodes.all(), &pods, self.clock.now());
        if collisions > known {
            decision.status.collision_count = Some(collisions);
        }
        if let Some(again) = decision.again {
            self.queue.add_after(key.clone(), again);
        }
        self.clear(&set, &decision.ended).await?;
        for pod in &decision.delete {
            self.control.delete(set.as_ref(), pod).await?;
        }
        for node in &decision.create {
            match self.control.create(set.as_ref(), &nodes::pod(&set, &template, node)).await {
                Err(error) if answer::is_namespace_going(&error) => break,
                made => made.map(drop)?,
            }
        }
        if set.status.as_ref() != Some(&decision.status) {
            let mut changed = DaemonSet::clone(&set);
            changed.status = Some(decision.status);
            answer::unless_gone(self.sets.replace_status(&changed).await)?;
        }
        let label = |labels: &std::collections::BTreeMap<String, String>| labels.get(revisions::HASH_LABEL).cloned();
        let live = |revision: &ControllerRevision| {
            let of = label(revision.labels());
            of.as_ref() == Some(&hash) || pods.iter().any(|pod| label(pod.labels()) == of)
        };
        revisions::truncate(&self.revisions, &history, spec.revision_history_limit, live).await
    }

    /// The revision of the set's template.
    async fn revision(
        &self,
        set: &DaemonSet,
        history: &[Arc<ControllerRevision>],
        collisions: &mut i32,
    ) -> Result<ControllerRevision, Error> {
        let wanted = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let data = revisions::data(&wanted);
        let make = |number, collisions| {
            let hash = hash::template(&wanted, (collisions > 0).then_some(collisions));
            let mut labels = template::labels(Some(&wanted));
            labels.insert(revisions::HASH_LABEL.to_owned(), hash.clone());
            revisions::new(set, &hash, labels, data.clone(), number)
        };
        revisions::ensure(&self.revisions, history, &data, collisions, make).await
    }

    /// Deletes Pods that have ended, later each time where they fail on the same node again and again.
    async fn clear(&mut self, set: &DaemonSet, ended: &[(String, Arc<Pod>)]) -> Result<(), Error> {
        for (node, pod) in ended {
            let about = format!("daemon pod {} on node {node}", Key::of(pod.as_ref()));
            if pods::phase(pod) == "Failed" {
                let place = (pods::uid(set).to_owned(), node.clone());
                let now = Instant::now();
                let (until, wait) = self.backoffs.get(&place).copied().unwrap_or((now, BACKOFF_BASE));
                if let Some(left) = until.checked_duration_since(now).filter(|left| !left.is_zero()) {
                    self.queue.add_after(Key::of(set), left);
                    continue;
                }
                self.backoffs.insert(place, (now + wait, (wait * 2).min(BACKOFF_MAX)));
                let message = format!("Found failed {about}, will try to kill it");
                self.recorder.event(set, Severity::Warning, "FailedDaemonPod", message).await;
            } else {
                let message = format!("Found succeeded {about}, will try to delete it");
                self.recorder.event(set, Severity::Normal, "SucceededDaemonPod", message).await;
            }
            self.control.delete(set, pod).await?;
        }
        Ok(())
    }
}

fn pod_changed(change: &Change<Pod>, sets: &Informer<DaemonSet>, queue: &Queue<Key>) {
    for key in ownership::concerned(change, "DaemonSet") {
        queue.add(key);
    }
    let selects = |set: &DaemonSet, pod: &Pod| {
        let selector = set.spec.as_ref().and_then(|spec| ownership::selector(&spec.selector));
        ownership::selects(selector.as_ref(), pod)
    };
    for key in ownership::adopters(change, sets, selects) {
        queue.add(key);
    }
}

/// Whether a node's change can make it one that is to have Pods, or no longer: heartbeats cannot.
fn matters(change: &Change<Node>) -> bool {
    let Change::Applied { old: Some(old), new } = change else { return true };
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
    old.metadata.labels != new.metadata.labels || taints(old) != taints(new)
}
