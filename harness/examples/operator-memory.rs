//! How much memory the operator needs beside a large, idle cluster: the embedded cluster in this process, the operator in
//! one of its own.
//!
//! ```text
//! cargo build --release -p slipway-operator
//! cargo run --release -p slipway --example operator-memory -- target/release/slipway-operator 1000 5000 60
//! ```
//!
//! The arguments are the operator, how many nodes and Pods there are, and how many seconds it is looked at. It prints
//! what the operator's process holds every five seconds and at its highest, and fails above 80 MB.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use slipway::cluster::Cluster as _;
use slipway::cluster::embedded::{Cluster, EmbeddedConfig};
use slipway::scenario::node::NodeSpec;
use slipway_operator::runtime::Controller;

/// What the operator may hold.
const MEGABYTES_MAX: f64 = 80.0;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [operator, nodes, pods, seconds] = arguments.as_slice() else {
        return Err("usage: operator-memory OPERATOR NODES PODS SECONDS".into());
    };
    let (nodes, pods, seconds): (usize, usize, u64) = (nodes.parse()?, pods.parse()?, seconds.parse()?);
    let cluster = Cluster::start(EmbeddedConfig {
        nodes: (0..nodes).map(|number| NodeSpec { name: format!("node-{number}"), ..NodeSpec::default() }).collect(),
        programs: slipway::target::programs()
            .with_function("registry.example.com/*", async |_| std::future::pending().await),
        ..EmbeddedConfig::new(slipway_apiserver::clock::Clock::starting_at(Timestamp::now()), 0)
    })
    .await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    for crd in Controller::ALL.into_iter().flat_map(Controller::crds) {
        definitions.create(&PostParams::default(), &crd).await?;
    }
    fill(&cluster.client(), nodes, pods).await?;
    let kubeconfig = cluster.kubeconfig().await?;
    let mut child = tokio::process::Command::new(operator)
        .args(["run", "--health-probe-bind-address=0", "--metrics-bind-address=0", "--webhook-bind-address=0"])
        .arg("--log=warn")
        .env("KUBECONFIG", &kubeconfig)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let status = format!("/proc/{}/status", child.id().ok_or("the operator has ended")?);
    let mut out = std::io::stdout();
    for waited in (0..seconds).step_by(5) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let held = megabytes(Path::new(&status), "VmRSS:")?;
        writeln!(out, "after {:>3} s: {held:.1} MB", waited + 5)?;
    }
    let highest = megabytes(Path::new(&status), "VmHWM:")?;
    writeln!(out, "{nodes} nodes, {pods} Pods: {highest:.1} MB at its highest")?;
    child.kill().await?;
    if highest > MEGABYTES_MAX { Err(format!("more than {MEGABYTES_MAX} MB").into()) } else { Ok(()) }
}

/// Pods as a cluster has them: with volumes, probes and an environment.
async fn fill(client: &Client, nodes: usize, pods: usize) -> Result<(), Box<dyn Error>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), "default");
    for number in 0..pods {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": format!("pod-{number}"),
                "labels": { "app": format!("app-{}", number % 50), "pod-template-hash": "5d78c9869d" },
                "annotations": { "vpa-managed": if number % 2 == 0 { "true" } else { "false" } },
            },
            "spec": {
                "nodeName": format!("node-{}", number % nodes),
                "containers": [{
                    "name": "main",
                    "image": "registry.example.com/shop/app:1.0",
                    "env": (0..10).map(|at| json!({ "name": format!("SETTING_{at}"), "value": "a value" })).collect::<Vec<_>>(),
                    "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
                    "ports": [{ "containerPort": 8080 }],
                    "volumeMounts": [{ "name": "scratch", "mountPath": "/scratch" }],
                }],
                "volumes": [{ "name": "scratch", "emptyDir": {} }],
            },
        }))?;
        api.create(&PostParams::default(), &pod).await?;
    }
    Ok(())
}

fn megabytes(status: &Path, name: &str) -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string(status)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let kilobytes: f64 = line.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(kilobytes / 1024.0)
}
