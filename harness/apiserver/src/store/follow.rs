//! A reader of a collection's history, at its own pace.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Compacted, Event, GroupResource, Store};

/// A position in a collection's history. It holds no events, so a slow reader costs nothing; one that is overtaken by
/// compaction is told so.
#[derive(Debug)]
pub struct Follower {
    pub(super) resource: GroupResource,
    pub(super) seen: u64,
    pub(super) latest: watch::Receiver<u64>,
}

impl Follower {
    /// The events since the last call, waiting for at least one.
    ///
    /// # Errors
    /// [`Compacted`] when some are no longer kept.
    pub async fn next(&mut self, store: &Store) -> Result<Vec<Arc<Event>>, Compacted> {
        loop {
            self.latest.mark_unchanged();
            let events = self.pending(store)?;
            if !events.is_empty() {
                return Ok(events);
            }
            if self.latest.changed().await.is_err() {
                // The store is gone, and nothing will ever happen again.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The events since the last call.
    ///
    /// # Errors
    /// [`Compacted`] when some are no longer kept.
    pub fn pending(&mut self, store: &Store) -> Result<Vec<Arc<Event>>, Compacted> {
        let state = store.read();
        let Some(collection) = state.collections.get(&self.resource) else { return Ok(Vec::new()) };
        if self.seen < collection.compacted {
            return Err(Compacted { oldest: collection.compacted });
        }
        let events: Vec<_> = collection.since(self.seen).map(Arc::clone).collect();
        if let Some(last) = events.last() {
            self.seen = last.revision();
        }
        Ok(events)
    }

    /// The revision up to which everything is seen.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The store's revision, if the collection has no event up to it that is not yet seen.
    pub fn caught_up(&mut self, store: &Store) -> Option<u64> {
        let state = store.read();
        let collection = state.collections.get(&self.resource)?;
        if self.seen < collection.compacted || collection.since(self.seen).next().is_some() {
            return None;
        }
        self.seen = self.seen.max(state.revision);
        Some(state.revision)
    }
}
