//! The embedded cluster: the API server with the controllers and nodes that make it a cluster.
//!
//! Everything runs on the ambient tokio runtime and goes by its clock, so pausing that clock puts the whole cluster
//! into virtual time. Nothing polls: an idle cluster does nothing, writes nothing and lets time jump.

mod client;
mod controllers;
mod disks;
pub mod door;
mod faults;
pub(super) mod fleet;
pub mod node;
mod observer;
pub mod services;
pub mod stand_in;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use jiff::Timestamp;
use slipway_apiserver::clock::Clock;
use slipway_apiserver::dial::ServicePort;
use slipway_apiserver::serve::{Authority, Certificate, ServeError};
use slipway_apiserver::service::{ApiServer, Config, User};
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::NodeError;
use crate::scenario::model::Fault;
use crate::scenario::node::{Isolation, NodeSpec, TaintSpec};
use crate::sli::observed::Recorder;
use controllers::informer::Informer;
use controllers::kinds::Kinds;
use controllers::start::{self, Surroundings};
use controllers::workload::ownership;
use door::{Door, DoorConfig, DoorError};
use fleet::{Fleet, FleetConfig, FleetError};
use node::program::Programs;
use node::tcp::Medium;
use observer::Onlooker;
use services::{Answerer, Services};

/// A clock that shows the machine's time.
pub(super) fn system_clock() -> Clock {
    Clock::system()
}

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
    /// Whether Pods run as service accounts, with tokens in their containers. Only what was recorded from a cluster
    /// without is compared with one without.
    pub service_accounts: bool,
    /// How often each node renews its Lease. Real kubelets do so every 10 s; by default no Lease is kept, so that an
    /// idle cluster writes nothing and virtual time need not stop at every renewal.
    pub lease_renewal: Option<Duration>,
    /// What connections to Pods are made of.
    pub medium: Medium,
    /// What the nodes' networks are made of.
    pub isolation: Isolation,
}

impl EmbeddedConfig {
    /// The nodes of a cluster for which none are described: a control plane with its taint, and two that take Pods.
    pub fn default_nodes() -> Vec<NodeSpec> {
        const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
        let node = |name: &str| NodeSpec { name: name.to_owned(), ..NodeSpec::default() };
        let taint = TaintSpec { key: CONTROL_PLANE.to_owned(), value: String::new(), effect: "NoSchedule".to_owned() };
        let control_plane = NodeSpec {
            labels: BTreeMap::from([(CONTROL_PLANE.to_owned(), String::new())]),
            taints: vec![taint],
            ..node("control-plane")
        };
        vec![control_plane, node("worker-1"), node("worker-2")]
    }

    /// A cluster without nodes and images.
    pub fn new(clock: Clock, seed: u64) -> Self {
        Self {
            clock,
            seed,
            nodes: Vec::new(),
            programs: Programs::new(),
            service_accounts: true,
            lease_renewal: None,
            medium: Medium::Memory,
            isolation: Isolation::Simulated,
        }
    }
}

/// Why a cluster did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A node cannot be built, or could not be registered.
    #[error(transparent)]
    Node(#[from] FleetError),
    /// Nobody can vouch for the API server.
    #[error(transparent)]
    Authority(#[from] ServeError),
}

/// A cluster in this process.
pub struct Cluster {
    server: ApiServer,
    /// Vouches for the API server, inside the cluster and at its door.
    authority: Authority,
    fleet: Fleet,
    services: Services,
    /// Ends everything when it is dropped.
    tasks: Mutex<JoinSet<()>>,
    /// Opened when somebody outside this process wants in.
    door: OnceCell<Door>,
}

impl Cluster {
    /// Starts a cluster on the ambient runtime; its nodes are registered and ready when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: EmbeddedConfig) -> Result<Self, StartError> {
        let authority = Authority::new()?;
        let server = ApiServer::new(Config {
            clock: config.clock,
            seed: config.seed,
            service_accounts: config.service_accounts,
            ..Config::default()
        });
        let certificate = config.service_accounts.then(|| authority.pem());
        let pods = Informer::new(ownership::index);
        let fleet = Fleet::new(FleetConfig {
            clock: server.clock(),
            programs: config.programs,
            medium: config.medium,
            isolation: config.isolation,
            lease_renewal: config.lease_renewal,
            labels: BTreeMap::new(),
            pods: Some(pods.clone()),
        });
        server.set_pod_gateway(Arc::new(fleet.gateway()));
        let services = Services::default();
        server.set_service_dialer(Arc::new(services.clone()));
        let user = |name: &str| User::new(name, ["system:masters"]);
        let tasks = Mutex::new(start::start(Surroundings {
            manager: client::client(&server, user("system:kube-controller-manager"), "kube-controller-manager"),
            scheduler: Some(client::client(&server, user("system:kube-scheduler"), "kube-scheduler")),
            clock: server.clock(),
            kinds: Kinds::Registry(server.clone()),
            pods: pods.clone(),
            disks: fleet.disks().clone(),
            certificate,
        }));
        let cluster = Self { server, authority, fleet, services, tasks, door: OnceCell::new() };
        for spec in config.nodes {
            cluster.join(spec).await?;
        }
        Ok(cluster)
    }

    /// Makes a node part of the cluster.
    async fn join(&self, spec: NodeSpec) -> Result<(), FleetError> {
        let user = User::new(format!("system:node:{}", spec.name), ["system:nodes", "system:masters"]);
        self.fleet.join(client::client(&self.server, user, "kubelet"), spec).await
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
        Self::launch_on(Medium::Memory, Isolation::Simulated, epoch, seed, nodes, programs).await
    }

    /// The same, with connections and nodes' networks that are made of this.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn launch_on(
        medium: Medium,
        isolation: Isolation,
        epoch: Timestamp,
        seed: u64,
        nodes: Vec<NodeSpec>,
        programs: Programs,
    ) -> Result<Self, StartError> {
        let config = EmbeddedConfig::new(Clock::starting_at(epoch), seed);
        Self::start(EmbeddedConfig { nodes, programs, medium, isolation, ..config }).await
    }

    /// Who vouches for the API server.
    pub fn authority(&self) -> Authority {
        self.authority.clone()
    }

    /// The API server, to put a listener before it.
    pub fn server(&self) -> ApiServer {
        self.server.clone()
    }

    /// What goes wrong with requests from now on, and nothing else.
    pub fn set_faults(&self, faults: &[Fault]) {
        self.server.set_faults(faults.iter().map(faults::rule).collect());
    }

    /// What a container has written: the current attempt or the one before, of one container or of all; none where it
    /// has never started. Logs of Pods that are gone are kept for a while.
    pub fn log(&self, namespace: &str, pod: &str, container: Option<&str>, previous: bool) -> Option<String> {
        self.fleet.log(namespace, pod, container, previous)
    }

    /// Lets a program of this process answer for a Service's port, as the Pods behind it would.
    pub fn answer_for(&self, namespace: &str, service: &str, port: u16, answerer: Answerer) {
        let port = ServicePort { namespace: namespace.to_owned(), name: service.to_owned(), port };
        self.services.register(port, answerer);
    }

    /// The kubeconfig of the cluster's door, which is opened the first time.
    async fn open(&self) -> Result<PathBuf, DoorError> {
        let open = || {
            let certificate = Some(Certificate::Made(self.authority()));
            Door::open(self.server.clone(), DoorConfig { certificate, ..DoorConfig::loopback() })
        };
        self.door.get_or_try_init(open).await.map(|door| door.kubeconfig().to_owned())
    }

    /// Closes the door, ends every controller, kubelet and program, and waits until they have ended.
    pub async fn stop(mut self) {
        if let Some(door) = self.door.take()
            && let Err(error) = door.close().await
        {
            tracing::warn!(%error, "cannot remove the kubeconfig");
        }
        self.fleet.stop().await;
        let mut tasks = std::mem::take(&mut *self.lock_tasks());
        tasks.shutdown().await;
        self.server.close();
    }

    fn admin(&self) -> kube::Client {
        client::client(&self.server, User::admin(), "slipway")
    }

    fn lock_tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    /// What was not stopped is dropped: nothing outlives its cluster.
    fn drop(&mut self) {
        self.fleet.power_off();
        self.server.close();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.fleet.names()).finish_non_exhaustive()
    }
}

impl super::Cluster for Cluster {
    fn client(&self) -> kube::Client {
        self.admin()
    }

    fn client_as(&self, user: &str, groups: &[String]) -> kube::Client {
        client::client(&self.server, User::new(user, groups), "slipway")
    }

    fn node(&self, name: &str) -> Option<Arc<dyn super::Node>> {
        self.fleet.machine(name).map(|machine| machine as Arc<dyn super::Node>)
    }

    fn add_node(&self, spec: NodeSpec) -> BoxFuture<'_, Result<(), NodeError>> {
        let node = spec.name.clone();
        let failed = |source: FleetError| NodeError { action: "add", node, source: source.into() };
        self.join(spec).map_err(failed).boxed()
    }

    fn remove_node<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        let failed = |source: FleetError| NodeError { action: "remove", node: name.to_owned(), source: source.into() };
        self.fleet.leave(self.admin(), name).map_err(failed).boxed()
    }

    fn kubeconfig(&self) -> BoxFuture<'_, io::Result<PathBuf>> {
        self.open().map_err(io::Error::other).boxed()
    }

    fn observe(&self, recorder: Arc<Mutex<Recorder>>, operator: &str) {
        self.server.observe(Arc::new(Onlooker::new(recorder, operator, self.server.clock())));
    }

    fn dial(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn super::Connection>>> {
        self.fleet.dial(to)
    }

    fn runs(&self, image: &str) -> bool {
        self.fleet.runs(image)
    }

    fn pod_log(&self, namespace: &str, pod: &str) -> Option<String> {
        self.log(namespace, pod, None, false)
    }
}
