//! The garbage collector: what is left without an owner goes, and owners that go in the foreground wait for it.
//!
//! It watches the metadata of every kind that can be deleted, those of custom resource definitions included.

mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::follow::{News, follow};
use super::kinds::{Kind, Kinds};
use super::queue::Queue;
use graph::{FOREGROUND, Fate, Graph, Identity, Member, ORPHAN, OwnerState};

/// How long to wait until a server that did not say what kinds there are is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The collector.
pub(in crate::cluster::embedded) struct GarbageCollector {
    kinds: Kinds,
    client: Client,
    graph: Arc<Mutex<Graph>>,
    queue: Queue<String>,
    /// Told when definitions come or go.
    kinds_changed: Arc<Notify>,
    /// Called with the namespace of each object that is going or gone.
    on_going: OnGoing,
}

type OnGoing = Arc<dyn Fn(&str) + Send + Sync>;

impl GarbageCollector {
    /// A collector; `kinds_changed` tells it to look which kinds there are, and it tells `on_going` the namespace of
    /// each object that is going or gone.
    pub(in crate::cluster::embedded) fn new(
        kinds: Kinds,
        client: Client,
        kinds_changed: Arc<Notify>,
        on_going: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let on_going: OnGoing = Arc::new(on_going);
        Self { kinds, client, graph: Arc::default(), queue: Queue::new(), kinds_changed, on_going }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        tokio::join!(self.watch_kinds(), self.work());
    }

    /// Keeps one watch for each kind.
    async fn watch_kinds(&self) {
        let mut by_kind = BTreeMap::new();
        let mut watches = JoinSet::new();
        loop {
            let kinds = match self.kinds.deletable().await {
                Ok(kinds) => kinds,
                Err(error) => {
                    tracing::debug!(%error, "cannot learn what kinds there are");
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
            };
            let name = |kind: &Kind| (kind.api.group.clone(), kind.api.plural.clone());
            for kind in &kinds {
                by_kind.entry(name(kind)).or_insert_with(|| {
                    let api = Api::all_with(self.client.clone(), &kind.api);
                    let (graph, queue) = (Arc::clone(&self.graph), self.queue.clone());
                    watches.spawn(watch(api, kind.clone(), graph, queue, Arc::clone(&self.on_going)))
                });
            }
            by_kind.retain(|name_of_kind, watch: &mut tokio::task::AbortHandle| {
                let served = kinds.iter().any(|kind| name(kind) == *name_of_kind);
                if !served {
                    watch.abort();
                }
                served
            });
            tokio::select! {
                () = self.kinds_changed.notified() => {}
                Some(_) = watches.join_next() => {}
            }
        }
    }

    async fn work(&self) {
        loop {
            let uid = self.queue.next().await;
            match self.look_at(&uid).await {
                Ok(()) => self.queue.forget(&uid),
                Err(error) => {
                    tracing::debug!(%error, uid, "will be collected later");
                    self.queue.retry(uid);
                }
            }
        }
    }

    async fn look_at(&self, uid: &str) -> Result<(), kube::Error> {
        let (member, has_dependents, blocked) = {
            let graph = self.lock();
            let Some(member) = graph.get(uid).cloned() else { return Ok(()) };
            (member, !graph.dependents(uid).is_empty(), graph.is_blocked(uid))
        };
        if member.orphans_dependents() {
            return self.orphan(&member).await;
        }
        if member.deletes_dependents() {
            return if blocked { Ok(()) } else { self.drop_finalizer(&member, FOREGROUND).await };
        }
        let mut owners = Vec::new();
        for owner in &member.owners {
            owners.push((owner.clone(), self.state_of(owner, &member.identity).await?));
        }
        let foreground = |propagation| self.delete(&member, propagation);
        match graph::fate(&member, &owners, has_dependents) {
            Fate::Stays => Ok(()),
            Fate::Loses(lost) => self.disown(&member, |owner| lost.contains(&owner.uid)).await,
            Fate::GoesInBackground => foreground(PropagationPolicy::Background).await,
            Fate::GoesInForeground => foreground(PropagationPolicy::Foreground).await,
            Fate::GoesAlone => foreground(PropagationPolicy::Orphan).await,
        }
    }

    /// What an owner reference leads to. What the graph does not know, only the server knows.
    async fn state_of(&self, owner: &OwnerReference, dependent: &Identity) -> Result<OwnerState, kube::Error> {
        if let Some(known) = self.lock().get(&owner.uid) {
            let elsewhere = !known.identity.namespace.is_empty() && known.identity.namespace != dependent.namespace;
            return Ok(match known {
                _ if elsewhere => OwnerState::Absent,
                known if known.deletes_dependents() => OwnerState::Waiting,
                _ => OwnerState::Present,
            });
        }
        let Some(kind) = self.kinds.find(&owner.api_version, &owner.kind).await? else {
            // A kind that is not served may come back: nothing is taken for lost.
            return Ok(OwnerState::Present);
        };
        let found = self.api(&kind, &dependent.namespace).get_metadata_opt(&owner.name).await?;
        Ok(match found {
            Some(found) if found.metadata.uid.as_ref() == Some(&owner.uid) => {
                let member = Member::new(&owner.api_version, &owner.kind, &found.metadata);
                if member.deletes_dependents() { OwnerState::Waiting } else { OwnerState::Present }
            }
            _ => OwnerState::Absent,
        })
    }

    async fn delete(&self, member: &Member, propagation: PropagationPolicy) -> Result<(), kube::Error> {
        let Some(api) = self.api_of(&member.identity).await? else { return Ok(()) };
        let preconditions = Preconditions { uid: Some(member.identity.uid.clone()), resource_version: None };
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        forgive(api.delete(&member.identity.name, &params).await.map(drop))
    }

    /// Lets all dependents go, and then their owner.
    async fn orphan(&self, member: &Member) -> Result<(), kube::Error> {
        let uid = &member.identity.uid;
        let dependents = self.lock().dependents(uid);
        for dependent in dependents {
            self.disown(&dependent, |owner| owner.uid == *uid).await?;
        }
        self.drop_finalizer(member, ORPHAN).await
    }

    /// Removes owner references.
    async fn disown(&self, member: &Member, lost: impl Fn(&OwnerReference) -> bool) -> Result<(), kube::Error> {
        let kept: Vec<&OwnerReference> = member.owners.iter().filter(|owner| !lost(owner)).collect();
        let kept = if kept.is_empty() { serde_json::Value::Null } else { json!(kept) };
        self.patch(member, json!({"ownerReferences": kept})).await
    }

    async fn drop_finalizer(&self, member: &Member, finalizer: &str) -> Result<(), kube::Error> {
        let kept: Vec<&String> = member.finalizers.iter().filter(|known| *known != finalizer).collect();
        self.patch(member, json!({"finalizers": kept})).await
    }

    /// Patches metadata as it was last seen: a conflict means that it has changed, and it will be looked at again.
    async fn patch(&self, member: &Member, mut metadata: serde_json::Value) -> Result<(), kube::Error> {
        let Some(api) = self.api_of(&member.identity).await? else { return Ok(()) };
        metadata["uid"] = json!(member.identity.uid);
        let Some(now) = forgive_to_none(api.get_metadata_opt(&member.identity.name).await)? else { return Ok(()) };
        let current = Member::new(&member.identity.api_version, &member.identity.kind, &now.metadata);
        let same = current.finalizers == member.finalizers && current.owners == member.owners;
        if current.identity.uid != member.identity.uid {
            return Ok(());
        }
        if !same {
            // The watch will show what it is, and lead here again.
            return Ok(());
        }
        metadata["resourceVersion"] = json!(now.metadata.resource_version);
        let patch = Patch::Merge(json!({"metadata": metadata}));
        let patched = api.patch_metadata(&member.identity.name, &PatchParams::default(), &patch).await;
        match patched {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn api_of(&self, identity: &Identity) -> Result<Option<Api<DynamicObject>>, kube::Error> {
        let kind = self.kinds.find(&identity.api_version, &identity.kind).await?;
        Ok(kind.map(|kind| self.api(&kind, &identity.namespace)))
    }

    fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        if kind.namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &kind.api)
        } else {
            Api::all_with(self.client.clone(), &kind.api)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings the objects of one kind into the graph for as long as it is polled.
async fn watch(
    api: Api<PartialObjectMeta<DynamicObject>>,
    kind: Kind,
    graph: Arc<Mutex<Graph>>,
    queue: Queue<String>,
    on_going: OnGoing,
) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let apply = |object: &PartialObjectMeta<DynamicObject>| {
        if object.metadata.deletion_timestamp.is_some() {
            on_going(object.metadata.namespace.as_deref().unwrap_or_default());
        }
        lock(&graph).apply(Member::new(&kind.api.api_version, &kind.api.kind, &object.metadata))
    };
    follow(api, None, |news| {
        let affected: Vec<String> = match news {
            News::All(objects) => {
                let listed: BTreeSet<String> = objects.iter().map(uid).collect();
                let applied = objects.iter().flat_map(apply).collect::<Vec<_>>();
                let gone = known.difference(&listed).flat_map(|uid| lock(&graph).remove(uid)).collect::<Vec<_>>();
                known = listed;
                [applied, gone].concat()
            }
            News::Applied(object) => {
                known.insert(uid(&object));
                apply(&object)
            }
            News::Deleted(object) => {
                let uid = uid(&object);
                known.remove(&uid);
                let affected = lock(&graph).remove(&uid);
                on_going(object.metadata.namespace.as_deref().unwrap_or_default());
                affected
            }
        };
        for uid in affected {
            queue.add(uid);
        }
    })
    .await;
}

fn lock(graph: &Mutex<Graph>) -> MutexGuard<'_, Graph> {
    graph.lock().unwrap_or_else(PoisonError::into_inner)
}

fn uid(object: &PartialObjectMeta<DynamicObject>) -> String {
    object.metadata.uid.clone().unwrap_or_default()
}

/// Gone or replaced already: nothing is left to do.
fn forgive(answer: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        answer => answer,
    }
}

fn forgive_to_none<T>(answer: Result<Option<T>, kube::Error>) -> Result<Option<T>, kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        answer => answer,
    }
}
