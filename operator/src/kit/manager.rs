//! What every controller is given to run with. Cheap to clone.

use std::fmt::Debug;
use std::future::Future;

use futures::future::{BoxFuture, Shared};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::backoff::Again;
use super::clock::Clock;
use super::error::chain;
use super::health::{Check, Health};
use super::metrics::Metrics;
use super::source::Source;

/// How many objects are asked for at once. A page is in memory as it arrives and as it is read, beside all that is kept.
const PAGE: u32 = 100;

/// Resolves when the operator is told to stop; any number of listeners.
pub type Shutdown = Shared<BoxFuture<'static, ()>>;

/// Client, time, metrics and the rest that controllers share.
#[derive(Clone)]
pub struct Manager {
    /// Talks to the cluster; writes only while this replica leads.
    pub client: Client,
    /// Talks to the cluster and writes from every replica: for reviewers, which answer on all of them.
    pub unfenced: Client,
    /// The only namespace that is looked at; all of them where there is none.
    pub namespace: Option<String>,
    /// The only source of time.
    pub clock: Clock,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// How controllers hear of changes.
    pub source: Source,
    /// What the operator's readiness depends on.
    pub health: Health,
    /// Resolves when it is time to stop.
    pub shutdown: Shutdown,
}

impl Manager {
    /// A manager of all namespaces that watches.
    pub fn new(client: Client, clock: Clock, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            unfenced: client.clone(),
            client,
            namespace: None,
            clock,
            metrics: Metrics::new(),
            source: Source::Watch,
            health: Health::default(),
            shutdown: shutdown.boxed().shared(),
        }
    }

    /// Objects of a kind, as far as this operator looks.
    pub fn scope<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The changes of a kind for a controller, by a watch or by polling. Each stream waits longer and longer after
    /// errors, which it logs and counts, holds the operator's readiness until it knows everything there is, and leaves
    /// out `managedFields`, which are a good part of an object and of no use here.
    pub fn changes<K>(
        &self,
        controller: &'static str,
        api: Api<K>,
        config: watcher::Config,
    ) -> BoxStream<'static, watcher::Result<Event<K>>>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let kind = K::plural(&()).into_owned();
        let cache = Cache {
            check: self.health.check(format!("{controller}: {kind}")),
            errors: self.metrics.controllers.watch_errors.with_label_values(&[controller, &kind]),
            controller,
            kind,
            synced: false,
        };
        cache.check.waiting("has not been listed yet");
        let config = watcher::Config { page_size: Some(PAGE), ..config };
        let events = self.source.events(api, config).backoff(Again::default());
        events
            .scan(cache, |cache, event| {
                cache.observe(&event);
                std::future::ready(Some(event.map(slim)))
            })
            .boxed()
    }
}

/// Without what nobody here reads.
fn slim<K: Resource>(event: Event<K>) -> Event<K> {
    event.modify(|object| object.managed_fields_mut().clear())
}

/// How far a stream of changes has come.
struct Cache {
    controller: &'static str,
    kind: String,
    check: Check,
    errors: prometheus::IntCounter,
    synced: bool,
}

impl Cache {
    fn observe<K>(&mut self, event: &watcher::Result<Event<K>>) {
        match event {
            Ok(Event::InitDone) => {
                self.synced = true;
                self.check.ready();
            }
            Ok(_) if self.synced => self.check.ready(),
            Ok(_) => {}
            Err(error) => {
                let (controller, kind, error) = (self.controller, &self.kind, chain(error).to_string());
                tracing::warn!(controller, kind, error, "watch failed");
                self.errors.inc();
                // What is known stays known; it only grows old.
                if self.synced { self.check.noted(error) } else { self.check.waiting(error) }
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.check.withdraw();
    }
}
