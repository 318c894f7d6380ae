//! The embedded cluster: the API server with the controllers and nodes that make it a cluster.
//!
//! Everything runs on the ambient tokio runtime and goes by its clock, so pausing that clock puts the whole cluster
//! into virtual time. Nothing polls: an idle cluster does nothing, writes nothing and lets time jump.

mod client;
pub mod node;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use jiff::Timestamp;
use slipway_apiserver::clock::Clock;
use slipway_apiserver::service::{ApiServer, Config, User};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::NodeError;
use crate::scenario::node::NodeSpec;
use node::machine::{Machine, MachineError};
use node::program::Programs;

/// What an embedded cluster is made from.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The time it goes by.
    pub clock: Clock,
    /// Where uids, generated names and every other choice come from.
    pub seed: u64,
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// What images there are and what they run.
    pub programs: Programs,
    /// Bearer tokens and whom they stand for, where a listener is put before it.
    pub tokens: Vec<(String, User)>,
    /// How often each node renews its Lease. Real kubelets do so every 10 s; by default no Lease is kept, so that an
    /// idle cluster writes nothing and virtual time need not stop at every renewal.
    pub lease_renewal: Option<Duration>,
}

impl EmbeddedConfig {
    /// A cluster without nodes and images.
    pub fn new(clock: Clock, seed: u64) -> Self {
        Self { clock, seed, nodes: Vec::new(), programs: Programs::new(), tokens: Vec::new(), lease_renewal: None }
    }
}

/// Why a cluster did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A node cannot be built as it is described.
    #[error(transparent)]
    Node(#[from] MachineError),
    /// Two nodes have one name.
    #[error("two nodes are called {0}")]
    DuplicateNode(String),
    /// A node could not be registered.
    #[error("cannot register node {node}")]
    Register {
        /// The node's name.
        node: String,
        /// The API server's answer.
        #[source]
        source: kube::Error,
    },
}

/// A cluster in this process.
#[derive(Debug)]
pub struct Cluster {
    server: ApiServer,
    machines: RwLock<BTreeMap<String, Arc<Machine>>>,
    stop: CancellationToken,
}

impl Cluster {
    /// Starts a cluster on the ambient runtime; its nodes are registered and ready when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: EmbeddedConfig) -> Result<Self, StartError> {
        let server = ApiServer::new(Config {
            clock: config.clock,
            seed: config.seed,
            tokens: config.tokens,
            ..Config::default()
        });
        let cluster = Self { server, machines: RwLock::default(), stop: CancellationToken::new() };
        for spec in config.nodes {
            cluster.join(spec).await?;
        }
        Ok(cluster)
    }

    /// Builds a node's machine and makes it part of the cluster.
    #[expect(clippy::unused_async, reason = "registering a node waits for the API server")]
    async fn join(&self, spec: NodeSpec) -> Result<(), StartError> {
        let machine = Arc::new(Machine::new(spec)?);
        let name = machine.spec().name.clone();
        let mut machines = self.machines.write().unwrap_or_else(PoisonError::into_inner);
        if machines.contains_key(&name) {
            return Err(StartError::DuplicateNode(name));
        }
        machines.insert(name, machine);
        Ok(())
    }

    /// Switches a node off and forgets its machine.
    #[expect(clippy::unused_async, reason = "deleting the Node object waits for the API server")]
    async fn leave(&self, name: &str) -> Result<(), StartError> {
        self.machines.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    /// Starts a cluster whose clock begins at a given time.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn launch(
        epoch: Timestamp,
        seed: u64,
        nodes: Vec<NodeSpec>,
        programs: Programs,
    ) -> Result<Self, StartError> {
        let config = EmbeddedConfig::new(Clock::starting_at(epoch), seed);
        Self::start(EmbeddedConfig { nodes, programs, ..config }).await
    }

    /// The API server, to put a listener before it.
    pub fn server(&self) -> ApiServer {
        self.server.clone()
    }

    /// Ends every controller, kubelet and program, and waits until they have ended.
    #[expect(clippy::unused_async, reason = "waits for the tasks")]
    pub async fn stop(self) {
        self.stop.cancel();
    }
}

impl super::Cluster for Cluster {
    fn client(&self) -> kube::Client {
        client::client(&self.server, User::admin(), "slipway")
    }

    fn client_as(&self, user: &str, groups: &[String]) -> kube::Client {
        client::client(&self.server, User::new(user, groups), "slipway")
    }

    fn node(&self, name: &str) -> Option<Arc<dyn super::Node>> {
        let machines = self.machines.read().unwrap_or_else(PoisonError::into_inner);
        machines.get(name).map(|machine| Arc::clone(machine) as Arc<dyn super::Node>)
    }

    fn add_node(&self, spec: NodeSpec) -> BoxFuture<'_, Result<(), NodeError>> {
        let node = spec.name.clone();
        let failed = |source: StartError| NodeError { action: "add", node, source: source.into() };
        self.join(spec).map_err(failed).boxed()
    }

    fn remove_node<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        let failed = |source: StartError| NodeError { action: "remove", node: name.to_owned(), source: source.into() };
        self.leave(name).map_err(failed).boxed()
    }

    fn kubeconfig(&self) -> BoxFuture<'_, io::Result<PathBuf>> {
        std::future::ready(Err(io::ErrorKind::Unsupported.into())).boxed()
    }

    fn pod_log(&self, _namespace: &str, _pod: &str) -> Option<String> {
        None
    }
}
