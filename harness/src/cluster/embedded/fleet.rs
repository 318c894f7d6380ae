//! The simulated nodes of a cluster, whoever's API server it has: their machines, their kubelets, and what those share.
//!
//! It needs no more of the cluster than a client. Where the cluster's controllers share one cache of Pods, the kubelets
//! hear of theirs from it; elsewhere each asks for the Pods of its own node and never sees another one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use slipway_apiserver::clock::Clock;
use thiserror::Error;
use tokio::task::JoinSet;

use super::controllers::informer::{Informer, Key};
use super::controllers::workload::ownership;
use super::disks::Disks;
use super::node::containers::Containers;
use super::node::gateway::Gateway;
use super::node::kubelet::{KubeletConfig, Kubelets};
use super::node::log::Logs;
use super::node::machine::{Machine, MachineError};
use super::node::program::Programs;
use super::node::tcp::{Medium, Tcp};
use super::node::{images, lease, registration};
use crate::cluster::Connection;
use crate::scenario::node::{Isolation, NodeSpec};

/// Where clients of Services come from: outside of the cluster.
const CLIENTS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

/// What the nodes of a cluster have in common.
pub(in crate::cluster) struct FleetConfig {
    /// The time they go by.
    pub(in crate::cluster) clock: Clock,
    /// What images there are beside the built-in ones, and what they run.
    pub(in crate::cluster) programs: Programs,
    /// What connections to Pods are made of.
    pub(in crate::cluster) medium: Medium,
    /// What the nodes' networks are made of.
    pub(in crate::cluster) isolation: Isolation,
    /// How often each node renews its Lease; none keeps no Leases.
    pub(in crate::cluster) lease_renewal: Option<Duration>,
    /// Labels of every Lease.
    pub(in crate::cluster) labels: BTreeMap<String, String>,
    /// The cache of all Pods, where there is one.
    pub(in crate::cluster) pods: Option<Informer<Pod>>,
}

/// Why a node did not become part of a cluster, or did not leave it.
#[derive(Debug, Error)]
pub enum FleetError {
    /// A node cannot be built as it is described.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Two nodes have one name.
    #[error("two nodes are called {0}")]
    Duplicate(String),
    /// The cluster has a node of this name that is not ours.
    #[error("the cluster has a node {0} already, which is not simulated by this run")]
    Taken(String),
    /// Its Node object could not be made or removed.
    #[error("cannot {verb} node {node}")]
    Register {
        /// `register` or `remove`.
        verb: &'static str,
        /// The node's name.
        node: String,
        /// The API server's answer.
        #[source]
        source: kube::Error,
    },
}

/// The nodes of a cluster.
pub(in crate::cluster) struct Fleet {
    config: FleetConfig,
    seats: Mutex<Seats>,
    kubelets: Kubelets,
    logs: Logs,
    containers: Containers,
    tcp: Tcp,
    disks: Disks,
}

/// The machines, and how many there have been.
#[derive(Default)]
struct Seats {
    taken: BTreeMap<String, Seat>,
    made: u32,
}

/// A node, and what is done for it until it leaves.
struct Seat {
    machine: Arc<Machine>,
    /// Ends with the seat.
    tasks: JoinSet<()>,
}

impl Fleet {
    /// No nodes yet.
    pub(in crate::cluster) fn new(config: FleetConfig) -> Self {
        let logs = Logs::default();
        let kubelets = Kubelets::default();
        if let Some(pods) = &config.pods {
            kubelets.listen_to(pods, logs.clone());
        }
        Self {
            tcp: Tcp::new(config.medium),
            config: FleetConfig { programs: images::all(config.programs), ..config },
            seats: Mutex::default(),
            kubelets,
            logs,
            containers: Containers::default(),
            disks: Disks::default(),
        }
    }

    /// Builds a node's machine and makes it part of the cluster: registered and ready when this returns.
    pub(in crate::cluster) async fn join(&self, client: Client, spec: NodeSpec) -> Result<(), FleetError> {
        let machine = Arc::new(Machine::new(spec, self.config.isolation)?);
        let name = machine.spec().name.clone();
        let number = {
            let mut seats = self.lock();
            if seats.taken.contains_key(&name) {
                return Err(FleetError::Duplicate(name));
            }
            seats.taken.insert(name.clone(), Seat { machine: Arc::clone(&machine), tasks: JoinSet::new() });
            seats.made += 1;
            seats.made - 1
        };
        let ip = registration::address(machine.spec(), number);
        let registered = register(&client, &registration::node(&machine, &ip, self.config.clock.now())).await;
        if let Err(source) = registered {
            self.lock().taken.remove(&name);
            return Err(match source {
                kube::Error::Api(status) if status.is_already_exists() => FleetError::Taken(name),
                source => FleetError::Register { verb: "register", node: name, source },
            });
        }
        let pods = self.attend(&client, &name);
        self.kubelets.add(KubeletConfig {
            machine,
            ip,
            pod_subnet: number,
            client,
            clock: self.config.clock,
            programs: self.config.programs.clone(),
            logs: self.logs.clone(),
            containers: self.containers.clone(),
            tcp: self.tcp.clone(),
            disks: self.disks.clone(),
            pods,
        });
        Ok(())
    }

    /// Starts what is done for a node beside its kubelet, and says where that hears of its Pods.
    fn attend(&self, client: &Client, name: &str) -> Informer<Pod> {
        let mut seats = self.lock();
        let mut unseated = JoinSet::new();
        let tasks = seats.taken.get_mut(name).map_or(&mut unseated, |seat| &mut seat.tasks);
        if let Some(every) = self.config.lease_renewal {
            let labels = self.config.labels.clone();
            tasks.spawn(lease::keep(client.clone(), self.config.clock, name.to_owned(), labels, every));
        }
        if let Some(shared) = &self.config.pods {
            return shared.clone();
        }
        let own = Informer::new(ownership::index);
        self.kubelets.listen_to(&own, self.logs.clone());
        let fields = format!("spec.nodeName={name}");
        tasks.spawn(own.clone().run_selected(Api::all(client.clone()), fields));
        own
    }

    /// Switches a node off, forgets its machine and removes its Node object.
    pub(in crate::cluster) async fn leave(&self, client: Client, name: &str) -> Result<(), FleetError> {
        self.kubelets.remove(name);
        self.lock().taken.remove(name);
        let now = DeleteParams::default();
        let mut answers = vec![Api::<Node>::all(client.clone()).delete(name, &now).await.map(drop)];
        if self.config.lease_renewal.is_some() {
            answers.push(Api::<Lease>::namespaced(client, lease::NAMESPACE).delete(name, &now).await.map(drop));
        }
        for answer in answers {
            match answer {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(source) => return Err(FleetError::Register { verb: "remove", node: name.to_owned(), source }),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// A node's machine.
    pub(in crate::cluster) fn machine(&self, name: &str) -> Option<Arc<Machine>> {
        self.lock().taken.get(name).map(|seat| Arc::clone(&seat.machine))
    }

    /// The nodes' names.
    pub(in crate::cluster) fn names(&self) -> Vec<String> {
        self.lock().taken.keys().cloned().collect()
    }

    /// What a container has written: the current attempt or the one before, of one container or of all.
    pub(in crate::cluster) fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        previous: bool,
    ) -> Option<String> {
        let key = Key { namespace: namespace.to_owned(), name: pod.to_owned() };
        self.logs.read(&key, container, previous)
    }

    /// Whether there is a program for an image, and not only something that stands in for it.
    pub(in crate::cluster) fn runs(&self, image: &str) -> bool {
        self.config.programs.knows(image)
    }

    /// Connects to a Pod from outside of the cluster.
    pub(in crate::cluster) fn dial(&self, to: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Connection>>> {
        let connect = self.tcp.connect(CLIENTS, to);
        connect.map_ok(|stream| Box::new(stream) as Box<dyn Connection>).boxed()
    }

    /// An API server's way to what runs in the Pods.
    pub(super) fn gateway(&self) -> Gateway {
        Gateway { logs: self.logs.clone(), containers: self.containers.clone(), tcp: self.tcp.clone() }
    }

    /// What Pods write to persistent volumes.
    pub(super) fn disks(&self) -> &Disks {
        &self.disks
    }

    /// Switches every node off at once.
    pub(in crate::cluster) fn power_off(&self) {
        self.kubelets.power_off();
        self.lock().taken.clear();
    }

    /// Switches every node off and waits until what they ran has ended.
    pub(super) async fn stop(&self) {
        self.kubelets.stop().await;
        self.lock().taken.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a Node object.
async fn register(client: &Client, node: &serde_json::Value) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(node.clone()).map_err(kube::Error::SerdeError)?;
    api.create(&PostParams::default(), &node).await.map(drop)
}
