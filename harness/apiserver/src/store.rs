//! Revisioned objects with history; the bytes of a revision are serialised once and shared.
//!
//! One revision counter for all resources, as etcd has it: each write is one revision, and a revision is visible only
//! with all that came before it. Every collection keeps its last events; from them the store answers lists as of an
//! old revision and watches that resume. What was compacted away is [`Compacted`], never a silent gap.

mod follow;
mod object;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;
use tokio::sync::watch;

use crate::observe::Observed;

pub use self::follow::Follower;
pub use self::object::{GroupResource, Key, Stored, encode};

/// What a write did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It was there before.
    Updated,
    /// It is gone; the event's object is its last state, with the revision of the deletion.
    Deleted,
}

/// One write.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// To which object.
    pub key: Key,
    /// The object after the write.
    pub object: Arc<Stored>,
    /// The object before the write; none when it was created.
    pub previous: Option<Arc<Stored>>,
}

impl Event {
    /// The revision of the write.
    pub fn revision(&self) -> u64 {
        self.object.revision
    }
}

/// Why a write was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An object of that name is there.
    #[error("the object exists already")]
    Exists,
    /// The object is no longer, or not at the revision it was read at.
    #[error("the object has changed")]
    Changed,
}

/// The history that was asked for is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revision was compacted; the oldest that is kept is {oldest}")]
pub struct Compacted {
    /// The oldest revision that can still be asked for.
    pub oldest: u64,
}

/// A consistent view of a collection.
#[derive(Debug)]
pub struct Snapshot {
    /// The revision it is of.
    pub revision: u64,
    /// The objects in the order of their keys.
    pub objects: Vec<Arc<Stored>>,
}

/// All objects of a server.
#[derive(Debug)]
pub struct Store {
    state: RwLock<State>,
    history: usize,
    revision: watch::Sender<u64>,
    observed: Observed,
}

#[derive(Debug)]
struct State {
    revision: u64,
    collections: HashMap<GroupResource, Collection>,
}

#[derive(Debug)]
struct Collection {
    objects: BTreeMap<Key, Arc<Stored>>,
    events: VecDeque<Arc<Event>>,
    /// Events up to this revision are no longer kept.
    compacted: u64,
    latest: watch::Sender<u64>,
}

impl Collection {
    fn new() -> Self {
        Self { objects: BTreeMap::new(), events: VecDeque::new(), compacted: 0, latest: watch::Sender::new(0) }
    }

    fn record(&mut self, event: Event, history: usize) {
        self.events.push_back(Arc::new(event));
        while self.events.len() > history {
            if let Some(oldest) = self.events.pop_front() {
                self.compacted = oldest.revision();
            }
        }
    }

    /// Events after `revision`, oldest first.
    fn since(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        let start = self.events.partition_point(|e| e.revision() <= revision);
        self.events.range(start..)
    }
}

impl Store {
    /// An empty store that keeps `history` events per resource.
    pub fn new(history: usize) -> Self {
        // An empty etcd is at revision 1.
        Self {
            state: RwLock::new(State { revision: 1, collections: HashMap::new() }),
            history: history.max(1),
            revision: watch::Sender::new(1),
            observed: Observed::default(),
        }
    }

    /// The same store, with somebody who may look on.
    #[must_use]
    pub(crate) fn observed_by(self, observed: Observed) -> Self {
        Self { observed, ..self }
    }

    // A panic while the lock is held would have been in serde_json or an allocation; the state is complete between
    // statements that can fail, so a poisoned lock is taken over.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.read().revision
    }

    /// Waits until the store has reached `revision`.
    pub async fn reached(&self, revision: u64) {
        // The sender lives as long as `self`, so the wait can only end by reaching it.
        let _ = self.revision.subscribe().wait_for(|now| *now >= revision).await;
    }

    /// An object as it is now.
    pub fn get(&self, resource: &GroupResource, key: &Key) -> Option<Arc<Stored>> {
        self.read().collections.get(resource)?.objects.get(key).cloned()
    }

    /// Stores a new object.
    ///
    /// # Errors
    /// [`Refused::Exists`] when one of that name is there.
    pub fn create(&self, resource: &GroupResource, key: Key, value: Value) -> Result<Arc<Stored>, Refused> {
        self.commit(resource, key, |revision, before| {
            if before.is_some() {
                return Err(Refused::Exists);
            }
            Ok((Change::Created, Stored::new(value, revision)))
        })
    }

    /// Replaces an object that is still at revision `expected`.
    ///
    /// # Errors
    /// [`Refused::Changed`] when it is not.
    pub fn update(
        &self,
        resource: &GroupResource,
        key: Key,
        expected: u64,
        value: Value,
    ) -> Result<Arc<Stored>, Refused> {
        self.commit(resource, key, |revision, before| match before {
            Some(before) if before.revision == expected => Ok((Change::Updated, Stored::new(value, revision))),
            _ => Err(Refused::Changed),
        })
    }

    /// Removes an object that is still at revision `expected`; returns its last state with the revision of the
    /// deletion.
    ///
    /// # Errors
    /// [`Refused::Changed`] when it is not.
    pub fn delete(&self, resource: &GroupResource, key: Key, expected: u64) -> Result<Arc<Stored>, Refused> {
        self.commit(resource, key, |revision, before| match before {
            Some(before) if before.revision == expected => {
                Ok((Change::Deleted, Stored::new(before.value.clone(), revision)))
            }
            _ => Err(Refused::Changed),
        })
    }

    fn commit(
        &self,
        resource: &GroupResource,
        key: Key,
        decide: impl FnOnce(u64, Option<&Arc<Stored>>) -> Result<(Change, Stored), Refused>,
    ) -> Result<Arc<Stored>, Refused> {
        let mut state = self.write();
        let state = &mut *state;
        let revision = state.revision + 1;
        let collection = state.collections.entry(resource.clone()).or_insert_with(Collection::new);
        let (change, object) = decide(revision, collection.objects.get(&key))?;
        let object = Arc::new(object);
        let previous = if change == Change::Deleted {
            collection.objects.remove(&key)
        } else {
            collection.objects.insert(key.clone(), Arc::clone(&object))
        };
        let event = Event { change, key, object: Arc::clone(&object), previous };
        if let Some(observer) = self.observed.get() {
            observer.stored(resource, &event);
        }
        collection.record(event, self.history);
        state.revision = revision;
        // Both are sent under the lock, so that no waiter sees a revision before its events.
        collection.latest.send_replace(revision);
        self.revision.send_replace(revision);
        Ok(object)
    }

    /// A collection, or one namespace of it, as it is now or was at revision `at`.
    ///
    /// # Errors
    /// [`Compacted`] when the history no longer reaches back to `at`.
    pub fn list(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
        at: Option<u64>,
    ) -> Result<Snapshot, Compacted> {
        let state = self.read();
        let revision = at.unwrap_or(state.revision);
        let Some(collection) = state.collections.get(resource) else {
            return Ok(Snapshot { revision, objects: Vec::new() });
        };
        if revision < collection.compacted {
            return Err(Compacted { oldest: collection.compacted });
        }
        let inside = |key: &Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let from = Key::new(namespace.unwrap_or_default(), "");
        let range = collection.objects.range((Bound::Included(from), Bound::Unbounded));
        let now = range.take_while(|(key, _)| inside(key));
        let mut later = collection.since(revision).filter(|e| inside(&e.key)).peekable();
        if later.peek().is_none() {
            return Ok(Snapshot { revision, objects: now.map(|(_, object)| Arc::clone(object)).collect() });
        }
        // Undo what came later, newest first.
        let mut then: BTreeMap<&Key, &Arc<Stored>> = now.collect();
        for event in later.rev() {
            match &event.previous {
                Some(previous) => then.insert(&event.key, previous),
                None => then.remove(&event.key),
            };
        }
        Ok(Snapshot { revision, objects: then.into_values().map(Arc::clone).collect() })
    }

    /// Follows a collection from after revision `since`, at the reader's own pace.
    pub fn follow(&self, resource: &GroupResource, since: u64) -> Follower {
        let mut state = self.write();
        let collection = state.collections.entry(resource.clone()).or_insert_with(Collection::new);
        Follower { resource: resource.clone(), seen: since, latest: collection.latest.subscribe() }
    }

    /// Every resource that has objects, in order.
    pub fn resources(&self) -> Vec<GroupResource> {
        let state = self.read();
        let mut found: Vec<_> =
            state.collections.iter().filter(|(_, c)| !c.objects.is_empty()).map(|(r, _)| r.clone()).collect();
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn things() -> GroupResource {
        GroupResource::new("example.com", "things")
    }

    fn thing(i: u64) -> Value {
        json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"i": i}})
    }

    fn names(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.objects.iter().map(|o| o.value["metadata"]["name"].as_str().unwrap()).collect()
    }

    fn put(store: &Store, namespace: &str, name: &str) -> u64 {
        let value = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": name, "namespace": namespace}});
        store.create(&things(), Key::new(namespace, name), value).unwrap().revision
    }

    #[test]
    fn the_bytes_of_a_revision_are_the_object_and_can_be_given_another_head() {
        let store = Store::new(10);
        let stored = store.create(&things(), Key::new("", "t"), thing(1)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&stored.json()).unwrap(), stored.value);
        let other = [br#"{"apiVersion":"v2","kind":"Thing","#.as_slice(), &stored.fields()].concat();
        let mut expected = stored.value.clone();
        expected["apiVersion"] = "v2".into();
        assert_eq!(serde_json::from_slice::<Value>(&other).unwrap(), expected);
        let again = store.get(&things(), &Key::new("", "t")).unwrap();
        assert_eq!(again.json().as_ptr(), stored.json().as_ptr(), "readers share one serialisation");
    }

    #[test]
    fn every_write_is_one_revision_of_the_whole_store() {
        let store = Store::new(10);
        let first = put(&store, "a", "x");
        let other = GroupResource::new("", "others");
        let second = store.create(&other, Key::new("", "t"), thing(1)).unwrap().revision;
        let third = store.update(&other, Key::new("", "t"), second, thing(2)).unwrap().revision;
        let last = store.delete(&other, Key::new("", "t"), third).unwrap();
        assert_eq!([second, third, last.revision], [first + 1, first + 2, first + 3]);
        assert_eq!(last.value["metadata"]["resourceVersion"], last.revision.to_string());
        assert_eq!(store.revision(), last.revision);
    }

    #[test]
    fn a_write_based_on_an_old_revision_is_refused() {
        let store = Store::new(10);
        let key = || Key::new("", "t");
        let first = store.create(&things(), key(), thing(1)).unwrap().revision;
        store.update(&things(), key(), first, thing(2)).unwrap();
        assert_eq!(store.update(&things(), key(), first, thing(3)).unwrap_err(), Refused::Changed);
        assert_eq!(store.delete(&things(), key(), first).unwrap_err(), Refused::Changed);
        assert_eq!(store.create(&things(), key(), thing(3)).unwrap_err(), Refused::Exists);
        assert_eq!(store.get(&things(), &key()).unwrap().value["spec"]["i"], 2);
    }

    #[test]
    fn a_list_is_as_of_the_revision_that_was_asked_for() {
        let store = Store::new(10);
        let first = put(&store, "a", "x");
        let second = put(&store, "b", "y");
        let third = store.delete(&things(), Key::new("a", "x"), first).unwrap().revision;
        let at = |revision| store.list(&things(), None, Some(revision)).unwrap();
        assert_eq!(names(&at(first)), ["x"]);
        assert_eq!(names(&at(second)), ["x", "y"]);
        assert_eq!(names(&at(third)), ["y"]);
        assert_eq!(names(&store.list(&things(), Some("a"), Some(second)).unwrap()), ["x"]);
        assert_eq!(names(&store.list(&things(), Some("a"), None).unwrap()), Vec::<&str>::new());
    }

    #[test]
    fn what_was_compacted_is_said_to_be_gone() {
        let store = Store::new(2);
        let first = put(&store, "a", "x");
        let second = put(&store, "a", "y");
        put(&store, "a", "z");
        assert_eq!(names(&store.list(&things(), None, Some(first)).unwrap()), ["x"]);
        put(&store, "a", "zz");
        let gone = store.list(&things(), None, Some(first)).unwrap_err();
        assert_eq!(gone, Compacted { oldest: second });
        assert_eq!(store.follow(&things(), first).pending(&store).unwrap_err(), Compacted { oldest: second });
        assert_eq!(store.follow(&things(), second).pending(&store).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn concurrent_writers_lose_no_update_and_a_follower_sees_each_once_in_order() {
        const WRITERS: u64 = 4;
        const WRITES: u64 = 50;
        let store = Arc::new(Store::new(1000));
        let key = || Key::new("", "t");
        let start = store.create(&things(), key(), thing(0)).unwrap().revision;
        let mut follower = store.follow(&things(), start);
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let store = Arc::clone(&store);
                std::thread::spawn(move || {
                    for _ in 0..WRITES {
                        loop {
                            let live = store.get(&things(), &key()).unwrap();
                            let next = thing(live.value["spec"]["i"].as_u64().unwrap() + 1);
                            if store.update(&things(), key(), live.revision, next).is_ok() {
                                break;
                            }
                        }
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        let mut seen = Vec::new();
        while seen.len() < usize::try_from(WRITERS * WRITES).unwrap() {
            for event in follower.next(&store).await.unwrap() {
                seen.push((event.revision(), event.object.value["spec"]["i"].as_u64().unwrap()));
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
        let expected: Vec<_> = (1..=WRITERS * WRITES).map(|i| (start + i, i)).collect();
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_follower_sleeps_until_there_is_something_to_see() {
        let store = Store::new(10);
        let mut follower = store.follow(&things(), store.revision());
        let mut waiting = std::pin::pin!(follower.next(&store));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        store.create(&GroupResource::new("", "others"), Key::new("", "t"), thing(1)).unwrap();
        assert!(futures::poll!(waiting.as_mut()).is_pending(), "other resources wake nobody");
        put(&store, "a", "x");
        assert_eq!(waiting.await.unwrap().len(), 1);
    }
}
