//! Starts the controllers of the workload kinds with the caches that they alone need.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::{Api, Client};
use slipway_apiserver::clock::Clock;
use tokio::task::JoinSet;

use super::super::cronjob::CronJobController;
use super::super::daemonset::{self, DaemonSetController};
use super::super::deployment::DeploymentController;
use super::super::informer::Informer;
use super::super::replicaset::ReplicaSetController;
use super::super::statefulset::{self, StatefulSetController};
use super::ownership;

/// Caches that others use too; they are not running yet.
pub(in crate::cluster::embedded) struct Shared {
    /// Pods, by the uid of what controls them.
    pub(in crate::cluster::embedded) pods: Informer<Pod>,
    /// Nodes.
    pub(in crate::cluster::embedded) nodes: Informer<Node>,
    /// Jobs, by the uid of what controls them.
    pub(in crate::cluster::embedded) jobs: Informer<Job>,
    /// Claims of volumes.
    pub(in crate::cluster::embedded) claims: Informer<PersistentVolumeClaim>,
}

/// Starts them.
pub(in crate::cluster::embedded) fn all(tasks: &mut JoinSet<()>, client: &Client, clock: Clock, shared: &Shared) {
    let Shared { pods, nodes, jobs, claims } = shared;
    let deployments: Informer<Deployment> = Informer::new(|_| None);
    let replica_sets: Informer<ReplicaSet> = Informer::new(ownership::index);
    let stateful_sets: Informer<StatefulSet> = Informer::new(|_| None);
    let daemon_sets: Informer<DaemonSet> = Informer::new(|_| None);
    let cron_jobs: Informer<CronJob> = Informer::new(|_| None);
    let revisions: Informer<ControllerRevision> = Informer::new(ownership::index);

    let replicas = ReplicaSetController::new(client.clone(), clock, replica_sets.clone(), pods.clone());
    tasks.spawn(replicas.run());
    let rollouts =
        DeploymentController::new(client.clone(), clock, deployments.clone(), replica_sets.clone(), pods.clone());
    tasks.spawn(rollouts.run());
    let caches = statefulset::Caches {
        sets: stateful_sets.clone(),
        pods: pods.clone(),
        claims: claims.clone(),
        revisions: revisions.clone(),
    };
    tasks.spawn(StatefulSetController::new(client.clone(), clock, caches).run());
    let caches = daemonset::Caches {
        sets: daemon_sets.clone(),
        nodes: nodes.clone(),
        pods: pods.clone(),
        revisions: revisions.clone(),
    };
    tasks.spawn(DaemonSetController::new(client.clone(), clock, caches).run());
    tasks.spawn(CronJobController::new(client.clone(), clock, cron_jobs.clone(), jobs.clone()).run());

    tasks.spawn(deployments.run(Api::all(client.clone())));
    tasks.spawn(replica_sets.run(Api::all(client.clone())));
    tasks.spawn(stateful_sets.run(Api::all(client.clone())));
    tasks.spawn(daemon_sets.run(Api::all(client.clone())));
    tasks.spawn(cron_jobs.run(Api::all(client.clone())));
    tasks.spawn(revisions.run(Api::all(client.clone())));
}
