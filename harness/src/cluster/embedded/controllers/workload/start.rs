//! Starts the controllers of the workload kinds with the caches that they alone need.

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, Client};
use slipway_apiserver::clock::Clock;
use tokio::task::JoinSet;

use super::super::deployment::DeploymentController;
use super::super::informer::Informer;
use super::super::replicaset::ReplicaSetController;
use super::super::statefulset::{self, StatefulSetController};
use super::ownership;

/// Starts them. They hear of Pods from a cache that is not running yet.
pub(in crate::cluster::embedded) fn all(tasks: &mut JoinSet<()>, client: &Client, clock: Clock, pods: &Informer<Pod>) {
    let deployments: Informer<Deployment> = Informer::new(|_| None);
    let sets: Informer<ReplicaSet> = Informer::new(ownership::index);
    let stateful: Informer<StatefulSet> = Informer::new(|_| None);
    let claims: Informer<PersistentVolumeClaim> = Informer::new(|_| None);
    let revisions: Informer<ControllerRevision> = Informer::new(ownership::index);

    let replicas = ReplicaSetController::new(client.clone(), clock, sets.clone(), pods.clone());
    tasks.spawn(replicas.run());
    let rollouts = DeploymentController::new(client.clone(), clock, deployments.clone(), sets.clone(), pods.clone());
    tasks.spawn(rollouts.run());
    let caches = statefulset::Caches {
        sets: stateful.clone(),
        pods: pods.clone(),
        claims: claims.clone(),
        revisions: revisions.clone(),
    };
    tasks.spawn(StatefulSetController::new(client.clone(), clock, caches).run());

    tasks.spawn(deployments.run(Api::all(client.clone())));
    tasks.spawn(sets.run(Api::all(client.clone())));
    tasks.spawn(stateful.run(Api::all(client.clone())));
    tasks.spawn(claims.run(Api::all(client.clone())));
    tasks.spawn(revisions.run(Api::all(client.clone())));
}
