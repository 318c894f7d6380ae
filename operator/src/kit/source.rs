//! How controllers hear of changes.

use std::fmt::Debug;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// How controllers hear of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The API server tells, the moment something changes.
    Watch,
}

impl Source {
    /// The changes of a kind, beginning with what is there.
    pub fn events<K>(&self, api: Api<K>, config: watcher::Config) -> BoxStream<'static, watcher::Result<Event<K>>>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        match self {
            Self::Watch => watcher::watcher(api, config).boxed(),
        }
    }
}
