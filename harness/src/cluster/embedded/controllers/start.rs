//! Starts the controllers of a cluster, with the caches that they share.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use slipway_apiserver::clock::Clock;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::aggregation::AggregationController;
use super::disruption::DisruptionController;
use super::endpointslice::{self, EndpointSliceController};
use super::garbage::GarbageCollector;
use super::informer::Informer;
use super::job::JobController;
use super::kinds::Kinds;
use super::namespace::NamespaceController;
use super::orphans::OrphanCollector;
use super::scheduler::Scheduler;
use super::serviceaccount;
use super::volumes::VolumeBinder;
use super::workload::{self, ownership};
use crate::cluster::embedded::disks::Disks;

/// What the controllers work with.
pub(in crate::cluster::embedded) struct Surroundings {
    /// With the controller manager's rights.
    pub(in crate::cluster::embedded) manager: Client,
    /// With the scheduler's; without it somebody else schedules.
    pub(in crate::cluster::embedded) scheduler: Option<Client>,
    /// The time they go by.
    pub(in crate::cluster::embedded) clock: Clock,
    /// Who knows what kinds there are.
    pub(in crate::cluster::embedded) kinds: Kinds,
    /// The cache of Pods, which kubelets share.
    pub(in crate::cluster::embedded) pods: Informer<Pod>,
    /// Where volumes are.
    pub(in crate::cluster::embedded) disks: Disks,
    /// By which Pods know the API server; without it namespaces have no service accounts of their own.
    pub(in crate::cluster::embedded) certificate: Option<String>,
}

/// Starts the caches and the controllers.
pub(in crate::cluster::embedded) fn start(surroundings: Surroundings) -> JoinSet<()> {
    let Surroundings { manager, scheduler, clock, kinds, pods, disks, certificate } = surroundings;
    let jobs: Informer<Job> = Informer::new(ownership::index);
    let nodes: Informer<Node> = Informer::new(|_| None);
    let claims: Informer<PersistentVolumeClaim> = Informer::new(|_| None);
    let services: Informer<Service> = Informer::new(|_| None);
    let slices: Informer<EndpointSlice> = Informer::new(endpointslice::service_of);
    let namespaces: Informer<Namespace> = Informer::new(|_| None);
    let budgets: Informer<PodDisruptionBudget> = Informer::new(|_| None);
    let definitions: Informer<CustomResourceDefinition> = Informer::new(|_| None);
    let kinds_changed = Arc::new(Notify::new());
    let changed = Arc::clone(&kinds_changed);
    definitions.on_change(move |_| changed.notify_one());

    let mut tasks = JoinSet::new();
    let job = JobController::new(manager.clone(), clock, jobs.clone(), pods.clone());
    tasks.spawn(job.run());
    if let Some(client) = scheduler {
        tasks.spawn(Scheduler::new(client, clock, nodes.clone(), pods.clone(), claims.clone()).run());
    }
    let orphans = OrphanCollector::new(manager.clone(), clock, nodes.clone(), pods.clone());
    tasks.spawn(orphans.run());
    let (of_pods, on_nodes) = (pods.clone(), nodes.clone());
    let endpoints = EndpointSliceController::new(manager.clone(), services.clone(), of_pods, on_nodes, slices.clone());
    tasks.spawn(endpoints.run());
    let disruption = DisruptionController::new(kinds.clone(), manager.clone(), clock, budgets.clone(), pods.clone());
    tasks.spawn(disruption.run());
    let binder = VolumeBinder::new(manager.clone(), claims.clone(), disks);
    tasks.spawn(binder.run());
    let (of_pods, on_nodes) = (pods.clone(), nodes.clone());
    let shared = workload::start::Shared { pods: of_pods, nodes: on_nodes, jobs: jobs.clone(), claims: claims.clone() };
    workload::start::all(&mut tasks, &manager, clock, &shared);
    if let Some(certificate) = certificate {
        serviceaccount::start(&mut tasks, &manager, certificate, namespaces.clone());
    }
    let roles: Informer<ClusterRole> = Informer::new(|_| None);
    tasks.spawn(AggregationController::new(manager.clone(), roles.clone()).run());
    tasks.spawn(roles.run(Api::all(manager.clone())));
    let namespace = NamespaceController::new(kinds.clone(), manager.clone(), clock, namespaces.clone());
    let garbage = GarbageCollector::new(kinds, manager.clone(), kinds_changed, namespace.when_objects_go());
    tasks.spawn(namespace.run());
    tasks.spawn(garbage.run());
    // The caches last: every handler hears every event.
    tasks.spawn(pods.run(Api::all(manager.clone())));
    tasks.spawn(jobs.run(Api::all(manager.clone())));
    tasks.spawn(claims.run(Api::all(manager.clone())));
    tasks.spawn(services.run(Api::all(manager.clone())));
    tasks.spawn(slices.run(Api::all(manager.clone())));
    tasks.spawn(budgets.run(Api::all(manager.clone())));
    tasks.spawn(nodes.run(Api::all(manager.clone())));
    tasks.spawn(namespaces.run(Api::all(manager.clone())));
    tasks.spawn(definitions.run(Api::all(manager)));
    tasks
}
