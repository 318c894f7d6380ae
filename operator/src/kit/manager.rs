//! What every controller is given to run with. Cheap to clone.

use std::future::Future;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};

use super::clock::Clock;
use super::health::Health;
use super::metrics::Metrics;
use super::source::Source;

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
}
