//! The namespace controller: empties a namespace that is being deleted, says what holds it, and lets it go.
//!
//! The garbage collector, which watches every kind anyway, tells it when an object goes.

mod decide;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams, PropagationPolicy};
use kube::{Api, Client, ResourceExt};
use slipway_apiserver::clock::Clock;

use super::informer::{Informer, Key};
use super::kinds::{Kind, Kinds};
use super::queue::Queue;
use decide::Left;

/// What the namespace's own finalizer is called.
const FINALIZER: &str = "kubernetes";

/// The controller.
pub(in crate::cluster::embedded) struct NamespaceController {
    kinds: Kinds,
    client: Client,
    clock: Clock,
    namespaces: Informer<Namespace>,
    queue: Queue<Key>,
}

impl NamespaceController {
    /// A controller that hears of namespaces from the cache.
    pub(in crate::cluster::embedded) fn new(
        kinds: Kinds,
        client: Client,
        clock: Clock,
        namespaces: Informer<Namespace>,
    ) -> Self {
        let queue = Queue::new();
        let heard = queue.clone();
        namespaces.on_change(move |change| {
            if change.object().metadata.deletion_timestamp.is_some() {
                heard.add(Key::of(change.object().as_ref()));
            }
        });
        Self { kinds, client, clock, namespaces, queue }
    }

    /// Told of an object that goes, looks again at its namespace where that is being deleted.
    pub(in crate::cluster::embedded) fn when_objects_go(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let (namespaces, queue) = (self.namespaces.clone(), self.queue.clone());
        move |namespace| {
            let key = Key { namespace: String::new(), name: namespace.to_owned() };
            if namespaces.get(&key).is_some_and(|found| found.metadata.deletion_timestamp.is_some()) {
                queue.add(key);
            }
        }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.namespaces.ready().await;
        loop {
            let key = self.queue.next().await;
            match self.sync(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "will be emptied later");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn sync(&self, key: &Key) -> Result<(), kube::Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let deleting = |namespace: &Namespace| namespace.metadata.deletion_timestamp.is_some();
        let Some(namespace) = api.get_opt(&key.name).await?.filter(deleting) else { return Ok(()) };
        let held = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
        if !held.is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == FINALIZER)) {
            return Ok(());
        }
        let left = self.empty(&key.name).await?;
        let namespace = self.say(&api, namespace, &left).await?;
        if left.is_nothing() { self.finalize(&api, namespace).await } else { Ok(()) }
    }

    /// Tells everything in a namespace to go, and returns what is left.
    async fn empty(&self, namespace: &str) -> Result<Left, kube::Error> {
        let mut left = Left::default();
        for kind in self.kinds.deletable().await?.into_iter().filter(|kind| kind.namespaced) {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind.api);
            let listed = api.list_metadata(&ListParams::default()).await;
            let objects = match listed {
                // A definition that has just gone took its objects with it.
                Err(kube::Error::Api(status)) if status.is_not_found() => continue,
                listed => listed?,
            };
            if objects.items.is_empty() {
                continue;
            }
            let params =
                DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
            for object in objects.items.iter().filter(|object| object.metadata.deletion_timestamp.is_none()) {
                match api.delete(&object.name_any(), &params).await {
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    Err(error) => left.failures.push(error.to_string()),
                    Ok(_) => {}
                }
            }
            let remaining = api.list_metadata(&ListParams::default()).await?;
            if !remaining.items.is_empty() {
                left.objects.insert(resource_name(&kind), remaining.items.len());
            }
            for finalizer in remaining.items.iter().flat_map(ResourceExt::finalizers) {
                *left.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
        }
        Ok(left)
    }

    /// Writes the status where it differs.
    async fn say(&self, api: &Api<Namespace>, mut namespace: Namespace, left: &Left) -> Result<Namespace, kube::Error> {
        let status = decide::status(namespace.status.as_ref(), left, self.clock.now());
        if namespace.status.as_ref() == Some(&status) {
            return Ok(namespace);
        }
        namespace.status = Some(status);
        api.replace_status(&namespace.name_any(), &PostParams::default(), &namespace).await
    }

    /// Takes the namespace's own finalizer away, which is what lets it go.
    async fn finalize(&self, api: &Api<Namespace>, mut namespace: Namespace) -> Result<(), kube::Error> {
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let name = namespace.name_any();
        let finalized = api.replace_subresource("finalize", &name, &PostParams::default(), &namespace).await;
        match finalized {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }
}

/// `configmaps.` and `jobs.batch`, as the controller manager writes them.
fn resource_name(kind: &Kind) -> String {
    format!("{}.{}", kind.api.plural, kind.api.group)
}
