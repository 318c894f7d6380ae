//! The embedded cluster's controllers and scheduler at an API server that is not ours and has none: they do by its API
//! what they do by the embedded one's.

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::{Api, Client};
use slipway_apiserver::clock::Clock;
use tokio::task::JoinSet;

use super::controllers::informer::Informer;
use super::controllers::kinds::Kinds;
use super::controllers::scheduler::Scheduler;
use super::controllers::start::{self, Surroundings};
use super::controllers::workload::ownership;
use super::disks::Disks;

/// Controllers that run until this is stopped or dropped.
#[derive(Debug, Default)]
pub struct StandIn {
    tasks: JoinSet<()>,
}

impl StandIn {
    /// For a controller manager and a scheduler. Pods trust the API server by `certificate`.
    pub fn for_both(client: &Client, certificate: String) -> Self {
        Self::managing(client, Some(client.clone()), certificate)
    }

    /// For a controller manager.
    pub fn for_controller_manager(client: &Client, certificate: String) -> Self {
        Self::managing(client, None, certificate)
    }

    fn managing(client: &Client, scheduler: Option<Client>, certificate: String) -> Self {
        let surroundings = Surroundings {
            manager: client.clone(),
            scheduler,
            clock: Clock::system(),
            kinds: Kinds::of(client.clone()),
            pods: Informer::new(ownership::index),
            disks: Disks::default(),
            certificate: Some(certificate),
        };
        Self { tasks: start::start(surroundings) }
    }

    /// For a scheduler.
    pub fn for_scheduler(client: &Client) -> Self {
        let mut tasks = JoinSet::new();
        let nodes: Informer<Node> = Informer::new(|_| None);
        let pods: Informer<Pod> = Informer::new(|_| None);
        let claims: Informer<PersistentVolumeClaim> = Informer::new(|_| None);
        let (of_nodes, of_pods, of_claims) = (nodes.clone(), pods.clone(), claims.clone());
        tasks.spawn(Scheduler::new(client.clone(), Clock::system(), of_nodes, of_pods, of_claims).run());
        tasks.spawn(pods.run(Api::all(client.clone())));
        tasks.spawn(claims.run(Api::all(client.clone())));
        tasks.spawn(nodes.run(Api::all(client.clone())));
        Self { tasks }
    }

    /// Ends them, and waits until they have ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
