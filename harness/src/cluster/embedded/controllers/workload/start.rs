//! Starts the controllers of the workload kinds with the caches that they alone need.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use slipway_apiserver::clock::Clock;
use tokio::task::JoinSet;

use super::super::deployment::DeploymentController;
use super::super::informer::Informer;
use super::super::replicaset::ReplicaSetController;
use super::ownership;

/// Starts them. They hear of Pods from a cache that is not running yet.
pub(in crate::cluster::embedded) fn all(tasks: &mut JoinSet<()>, client: &Client, clock: Clock, pods: &Informer<Pod>) {
    let deployments: Informer<Deployment> = Informer::new(|_| None);
    let sets: Informer<ReplicaSet> = Informer::new(ownership::index);

    let replicas = ReplicaSetController::new(client.clone(), clock, sets.clone(), pods.clone());
    tasks.spawn(replicas.run());
    let rollouts = DeploymentController::new(client.clone(), clock, deployments.clone(), sets.clone(), pods.clone());
    tasks.spawn(rollouts.run());

    tasks.spawn(deployments.run(Api::all(client.clone())));
    tasks.spawn(sets.run(Api::all(client.clone())));
}
