//! What a Pod's containers are, and its way into the Pod's status.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use slipway_apiserver::clock::Clock;
use tokio::sync::{Notify, watch};

use super::Update;
use super::status::{self, Facts};

/// The wait before a status that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where a container stands on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// An init container.
    Init(usize),
    /// A container.
    Main(usize),
}

/// The board of one Pod.
pub(super) struct Board {
    facts: Mutex<Facts>,
    changed: Notify,
}

impl Board {
    /// A board that shows these facts.
    pub(super) fn new(facts: Facts) -> Self {
        let board = Self { facts: Mutex::new(facts), changed: Notify::new() };
        board.changed.notify_one();
        board
    }

    /// Changes what is known of the Pod.
    pub(super) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// Changes what is known of a container.
    pub(super) fn set(&self, slot: Slot, change: impl FnOnce(&mut ContainerStatus)) {
        self.change(|facts| {
            let status = match slot {
                Slot::Init(at) => facts.inits.get_mut(at),
                Slot::Main(at) => facts.containers.get_mut(at),
            };
            if let Some(status) = status {
                change(status);
            }
        });
    }

    /// What is known of a container.
    pub(super) fn get(&self, slot: Slot) -> ContainerStatus {
        let facts = self.lock();
        let status = match slot {
            Slot::Init(at) => facts.inits.get(at),
            Slot::Main(at) => facts.containers.get(at),
        };
        status.cloned().unwrap_or_default()
    }

    /// Everything that is known.
    pub(super) fn facts(&self) -> Facts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a board to its Pod's status, and only what differs.
pub(super) struct Writer {
    pub(super) api: Api<Pod>,
    pub(super) clock: Clock,
    pub(super) board: Arc<Board>,
    pub(super) pod: watch::Receiver<Update>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The status is what the board shows.
    Yes,
    /// There is no such Pod any more.
    Gone,
}

impl Writer {
    /// Writes every change until the Pod is gone.
    pub(super) async fn run(&self) {
        loop {
            self.board.changed.notified().await;
            if self.flush().await == Written::Gone {
                return;
            }
        }
    }

    /// Writes what the board shows now, however long that takes.
    pub(super) async fn flush(&self) -> Written {
        let mut last: Option<PodStatus> = None;
        loop {
            let Some(mut pod) = self.pod.borrow().as_deref().cloned() else { return Written::Gone };
            if let Some(last) = last.take() {
                pod.status = Some(last);
            }
            let status = status::status(&pod, &self.board.facts(), self.clock.now());
            let Some(patch) = difference(pod.status.as_ref(), &status) else { return Written::Yes };
            let name = pod.metadata.name.clone().unwrap_or_default();
            let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": patch});
            match self.api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                // The board may have moved on meanwhile.
                Ok(written) => last = Some(written.status.unwrap_or(status)),
                Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => return Written::Gone,
                Err(error) => {
                    tracing::debug!(%error, name, "cannot write the status");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// The patch from one status to the other; none where nothing that the kubelet writes differs.
fn difference(old: Option<&PodStatus>, new: &PodStatus) -> Option<Value> {
    let old = old.cloned().unwrap_or_default();
    let mut patch = serde_json::Map::new();
    let (before, after) = (fields(&old), fields(new));
    for (key, value) in &after {
        if key != "conditions" && before.get(key) != Some(value) {
            patch.insert(key.clone(), value.clone());
        }
    }
    let known = old.conditions.unwrap_or_default();
    let changed: Vec<Value> = new.conditions.iter().flatten().filter_map(|new| condition(&known, new)).collect();
    if !changed.is_empty() {
        patch.insert("conditions".to_owned(), changed.into());
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// A condition as it is patched; none where it is so already. What it no longer has is taken away.
fn condition(known: &[PodCondition], new: &PodCondition) -> Option<Value> {
    let old = known.iter().find(|old| old.type_ == new.type_);
    let same = |old: &PodCondition| {
        (&old.status, &old.reason, &old.message) == (&new.status, &new.reason, &new.message)
            && old.observed_generation == new.observed_generation
    };
    if old.is_some_and(same) {
        return None;
    }
    let mut patch = serde_json::to_value(new).ok()?;
    patch["lastProbeTime"] = Value::Null;
    if old.is_some_and(|old| old.reason.is_some()) && new.reason.is_none() {
        patch["reason"] = Value::Null;
    }
    if old.is_some_and(|old| old.message.is_some()) && new.message.is_none() {
        patch["message"] = Value::Null;
    }
    Some(patch)
}

fn fields(status: &PodStatus) -> serde_json::Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}
