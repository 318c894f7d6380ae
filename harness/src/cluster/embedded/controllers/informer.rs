//! One watched cache per kind, shared by every controller and kubelet.
//!
//! Handlers are called in the order of the events and must return at once: they put keys into queues. The cache never
//! goes back: it holds what the watch has delivered, and [`Informer::until`] waits for a write to come back through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::follow::{News, follow};

/// How long a controller waits for its own write to come back before it goes on with what it knows: far longer than
/// any healthy watch takes.
const ECHO_WAIT_MAX: Duration = Duration::from_secs(10);

/// An object's namespace (empty at cluster scope) and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::cluster) struct Key {
    /// The namespace.
    pub(in crate::cluster) namespace: String,
    /// The name.
    pub(in crate::cluster) name: String,
}

impl Key {
    /// An object's key.
    pub(in crate::cluster) fn of<K: Resource>(object: &K) -> Self {
        Self {
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            name: object.meta().name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// What happened to an object.
#[derive(Debug)]
pub(in crate::cluster) enum Change<K> {
    /// It is new, or has changed.
    Applied {
        /// What it was.
        old: Option<Arc<K>>,
        /// What it is.
        new: Arc<K>,
    },
    /// It is gone; this is what it was.
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The newest that is known of the object.
    pub(in crate::cluster) fn object(&self) -> &Arc<K> {
        match self {
            Self::Applied { new, .. } => new,
            Self::Deleted(last) => last,
        }
    }
}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;
type Indexer<K> = fn(&K) -> Option<String>;

/// The cache of one kind; clones are the same cache.
pub(in crate::cluster) struct Informer<K>(Arc<Shared<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<K> {
    cache: Mutex<Cache<K>>,
    index: Indexer<K>,
    handlers: Mutex<Vec<Handler<K>>>,
    /// Counts events; 0 until the first list is complete.
    seen: watch::Sender<u64>,
}

struct Cache<K> {
    objects: BTreeMap<Key, Arc<K>>,
    by_index: BTreeMap<String, BTreeSet<Key>>,
}

impl<K> Informer<K>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + Sync + 'static,
{
    /// An empty cache, which finds objects by what `index` makes of them.
    pub(in crate::cluster) fn new(index: Indexer<K>) -> Self {
        Self(Arc::new(Shared {
            cache: Mutex::new(Cache { objects: BTreeMap::new(), by_index: BTreeMap::new() }),
            index,
            handlers: Mutex::new(Vec::new()),
            seen: watch::Sender::new(0),
        }))
    }

    /// Calls `handler` for every event from now on.
    pub(in crate::cluster) fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(handler));
    }

    /// Keeps the cache for as long as it is polled. Managed fields are dropped: no controller reads them.
    pub(in crate::cluster) async fn run(self, api: Api<K>) {
        self.keep(api, None).await;
    }

    /// As [`Informer::run`], of the objects with this name only.
    pub(in crate::cluster) async fn run_named(self, api: Api<K>, name: &str) {
        self.run_selected(api, format!("metadata.name={name}")).await;
    }

    /// As [`Informer::run`], of the objects that a field selector of one field selects.
    pub(in crate::cluster) async fn run_selected(self, api: Api<K>, fields: String) {
        self.keep(api, Some(&fields)).await;
    }

    async fn keep(self, api: Api<K>, fields: Option<&str>) {
        follow(api, fields, |news| match news {
            News::All(objects) => self.replace(objects),
            News::Applied(object) => self.apply(object),
            News::Deleted(object) => self.delete(&Key::of(&object)),
        })
        .await;
    }

    /// Takes in everything there is.
    fn replace(&self, objects: Vec<K>) {
        let listed: BTreeSet<Key> = objects.iter().map(Key::of).collect();
        let gone: Vec<Key> = self.lock().objects.keys().filter(|key| !listed.contains(key)).cloned().collect();
        for object in objects {
            self.apply(object);
        }
        for key in gone {
            self.delete(&key);
        }
        self.0.seen.send_modify(|seen| *seen += 1);
    }

    /// Waits until the first list is complete.
    pub(in crate::cluster) async fn ready(&self) {
        // The sender lives in `self`, so this ends with the list.
        let _ = self.0.seen.subscribe().wait_for(|seen| *seen > 0).await;
    }

    /// An object.
    pub(in crate::cluster) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.lock().objects.get(key).cloned()
    }

    /// Every object, by key.
    pub(in crate::cluster) fn all(&self) -> Vec<Arc<K>> {
        self.lock().objects.values().cloned().collect()
    }

    /// The objects that the index puts there, by key.
    pub(in crate::cluster) fn by_index(&self, value: &str) -> Vec<Arc<K>> {
        let cache = self.lock();
        let keys = cache.by_index.get(value);
        keys.into_iter().flatten().filter_map(|key| cache.objects.get(key).cloned()).collect()
    }

    /// The objects of a namespace, by name.
    pub(in crate::cluster) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let first = Key { namespace: namespace.to_owned(), name: String::new() };
        let cache = self.lock();
        let rest = cache.objects.range(first..).take_while(|(key, _)| key.namespace == namespace);
        rest.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Waits until the cache shows of an object what is wanted; gives up after a while, since a watch may be broken.
    pub(in crate::cluster) async fn until(&self, key: &Key, wanted: impl Fn(Option<&K>) -> bool) {
        let mut seen = self.0.seen.subscribe();
        let shown = seen.wait_for(|_| wanted(self.get(key).as_deref()));
        if tokio::time::timeout(ECHO_WAIT_MAX, shown).await.is_err() {
            tracing::debug!(%key, "the watch does not show a write");
        }
    }

    fn apply(&self, mut object: K) {
        object.managed_fields_mut().clear();
        let key = Key::of(&object);
        let new = Arc::new(object);
        let old = {
            let mut cache = self.lock();
            let old = cache.objects.insert(key.clone(), Arc::clone(&new));
            let (before, after) = (old.as_deref().and_then(self.0.index), (self.0.index)(&new));
            if before != after {
                cache.unindex(before, &key);
                if let Some(value) = after {
                    cache.by_index.entry(value).or_default().insert(key);
                }
            }
            old
        };
        self.tell(&Change::Applied { old, new });
    }

    fn delete(&self, key: &Key) {
        let removed = {
            let mut cache = self.lock();
            let Some(removed) = cache.objects.remove(key) else { return };
            cache.unindex((self.0.index)(&removed), key);
            removed
        };
        self.tell(&Change::Deleted(removed));
    }

    fn tell(&self, change: &Change<K>) {
        for handler in self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            handler(change);
        }
        // Until the first list is complete nobody is told that the cache is ready.
        self.0.seen.send_if_modified(|seen| {
            let ready = *seen > 0;
            *seen += u64::from(ready);
            ready
        });
    }

    fn lock(&self) -> MutexGuard<'_, Cache<K>> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Cache<K> {
    fn unindex(&mut self, value: Option<String>, key: &Key) {
        let Some(value) = value else { return };
        if let Some(keys) = self.by_index.get_mut(&value) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_index.remove(&value);
            }
        }
    }
}
