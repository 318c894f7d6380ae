//! A node's Lease, where the cluster keeps Leases.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use slipway_apiserver::clock::Clock;

/// Where node Leases live.
pub(in crate::cluster::embedded) const NAMESPACE: &str = "kube-node-lease";

/// How long a Lease is good for without renewal.
const DURATION_SECONDS: i32 = 40;

/// Makes a node's Lease and renews it until it is dropped.
pub(in crate::cluster::embedded) async fn keep(
    client: Client,
    clock: Clock,
    node: String,
    labels: BTreeMap<String, String>,
    every: Duration,
) {
    let api: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let lease = json!({
        "metadata": {"name": node, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": MicroTime(clock.now()),
        },
    });
    let made = async {
        let lease: Lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
        api.create(&PostParams::default(), &lease).await
    };
    if let Err(error) = made.await {
        tracing::debug!(%error, node, "cannot make the lease");
    }
    loop {
        tokio::time::sleep(every).await;
        let renewal = json!({"spec": {"renewTime": MicroTime(clock.now())}});
        if let Err(error) = api.patch(&node, &PatchParams::default(), &Patch::Merge(renewal)).await {
            tracing::debug!(%error, node, "cannot renew the lease");
        }
    }
}
