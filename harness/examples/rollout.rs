//! Rolls a Deployment out on the embedded cluster and prints what it took: `cargo run --release --example rollout --
//! 1000 100` for a thousand replicas on a hundred nodes.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::error::Error;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client};
use serde_json::{Value, from_value, json};
use slipway::cluster::Cluster as _;
use slipway::cluster::embedded::Cluster;
use slipway::cluster::embedded::node::program::Programs;
use slipway::scenario::node::NodeSpec;
use slipway::sim::clock::{ScenarioClock, Stopwatch, epoch};

const NAME: &str = "web";

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1);
    let mut number = |default: u32| numbers.next().map_or(Ok(default), |number| number.parse());
    let (replicas, nodes) = (number(1000)?, number(100)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(measure(replicas, nodes))
}

async fn measure(replicas: u32, nodes: u32) -> Result<(), Box<dyn Error>> {
    let nodes = (0..nodes).map(|number| NodeSpec { name: format!("node-{number:03}"), ..NodeSpec::default() });
    let cluster = Cluster::launch(epoch(true), 1, nodes.collect(), Programs::new()).await?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), "default");
    Box::pin(step("rolled out", &cluster.client(), &deployments, replicas, async {
        deployments.create(&PostParams::default(), &deployment(replicas)?).await?;
        Ok(())
    }))
    .await?;
    Box::pin(step("replaced", &cluster.client(), &deployments, replicas, async {
        let change = json!({"spec": {"template": {"metadata": {"annotations": {"again": "1"}}}}});
        deployments.patch(NAME, &PatchParams::default(), &Patch::Merge(change)).await?;
        Ok(())
    }))
    .await?;
    cluster.stop().await;
    Ok(())
}

/// Does something to the Deployment, and prints what it took until every replica is up to date and available.
async fn step(
    what: &str,
    client: &Client,
    deployments: &Api<Deployment>,
    replicas: u32,
    act: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<(), Box<dyn Error>> {
    let (watch, clock, before) = (Stopwatch::start(), ScenarioClock::start(), writes(client).await?);
    act.await?;
    await_condition(deployments.clone(), NAME, is_complete(replicas)).await?;
    let (wall, passed) = (watch.elapsed(), clock.elapsed());
    // What is still to be said about it is part of it.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let written = writes(client).await? - before;
    println!(
        "{replicas} replicas {what} in {:.2} s ({:.1} s of the cluster's time), {written} writes, {:.1} a replica",
        wall.as_secs_f64(),
        passed.as_secs_f64(),
        f64::from(written) / f64::from(replicas)
    );
    Ok(())
}

/// How much has been written since the cluster began: every write counts the store's revision up by one.
async fn writes(client: &Client) -> Result<u32, Box<dyn Error>> {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let list = deployments.list_metadata(&ListParams::default()).await?;
    Ok(list.metadata.resource_version.unwrap_or_default().parse()?)
}

fn deployment(replicas: u32) -> Result<Deployment, serde_json::Error> {
    let labels: Value = json!({"app": NAME});
    from_value(json!({
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "web", "image": "slipway.dev/pause:1"}],
                },
            },
        },
    }))
}

fn is_complete(replicas: u32) -> impl Condition<Deployment> {
    let all = i32::try_from(replicas).ok();
    move |deployment: Option<&Deployment>| {
        deployment.is_some_and(|deployment| {
            let status = deployment.status.clone().unwrap_or_default();
            status.observed_generation == deployment.metadata.generation
                && [status.replicas, status.updated_replicas, status.available_replicas]
                    .iter()
                    .all(|count| *count == all)
        })
    }
}
