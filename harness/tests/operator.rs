//! The operator as a whole on the embedded cluster: one writer of several replicas, the same results by polling, and
//! nothing done where there is nothing to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, Client};
use serde_json::{Value, json};
use slipway::cluster::Cluster as _;
use slipway::cluster::embedded::{Cluster, EmbeddedConfig};
use slipway::scenario::node::NodeSpec;
use slipway_operator::kit::clock::Clock;
use slipway_operator::kit::source::Source;
use slipway_operator::runtime::{self, Controller, Doors, LeaderElection, RunError, Settings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const EPOCH: &str = "2026-01-01T00:00:00Z";

fn epoch() -> Timestamp {
    EPOCH.parse().unwrap()
}

/// A cluster with the definitions of all controllers.
async fn cluster(nodes: Vec<NodeSpec>) -> Cluster {
    let cluster = Cluster::launch(epoch(), 0, nodes, slipway::target::programs(&[])).await.unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    for crd in Controller::ALL.into_iter().flat_map(Controller::crds) {
        let name = crd.metadata.name.clone().unwrap();
        definitions.create(&PostParams::default(), &crd).await.unwrap();
        await_condition(definitions.clone(), &name, is_crd_established()).await.unwrap();
    }
    cluster
}

struct Replica {
    doors: Doors,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Replica {
    fn start(client: Client, settings: Settings) -> Self {
        let (doors, stop) = (Doors::default(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        let run = runtime::run(client, settings, Clock::starting_at(epoch()), doors.clone(), stopped);
        Self { doors, stop, task: tokio::spawn(run) }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let request = Request::get(path).body(Vec::new()).unwrap().map(Into::into);
        let door = if path == "/metrics" { &self.doors.metrics } else { &self.doors.health };
        let answer = door.call(request).await.ok()?;
        let ready = answer.status().is_success();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        ready.then(|| String::from_utf8(body.to_vec()).unwrap())
    }

    /// The sum of a series over the labels that fit.
    async fn sum(&self, series: &str, fits: impl Fn(&str) -> bool) -> f64 {
        let text = self.get("/metrics").await.unwrap_or_default();
        let of_series = text.lines().filter_map(|line| line.strip_prefix(series)).filter(|line| fits(line));
        of_series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Requests that could have changed something.
    async fn writes(&self) -> f64 {
        self.sum("rest_client_requests_total", |labels| !labels.contains("method=\"GET\"")).await
    }

    async fn leads(&self) -> bool {
        self.sum("leader_election_master_status", |_| true).await > 0.0
    }
}

fn hellos(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("demo.example.com", "v1alpha1", "Hello");
    Api::namespaced_with(client, "default", &ApiResource::from_gvk_with_plural(&kind, "hellos"))
}

fn hello(name: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "demo.example.com/v1alpha1", "kind": "Hello", "metadata": { "name": name },
        "spec": { "foo": "hi" },
    }))
    .unwrap()
}

async fn is_greeted(client: &Client, name: &str) -> bool {
    let hello = hellos(client.clone()).get(name).await.unwrap();
    hello.data.get("status").is_some_and(|status| status["greeting"] != Value::Null)
}

fn on(controllers: &[Controller]) -> Settings {
    Settings { controllers: controllers.iter().copied().collect(), ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn of_two_replicas_one_writes_and_the_other_goes_on_when_it_is_gone() {
    let cluster = cluster(Vec::new()).await;
    let settings = |identity: &str| Settings {
        leader_election: LeaderElection {
            enabled: true,
            identity: Some(identity.to_owned()),
            namespace: Some("default".to_owned()),
            ..LeaderElection::default()
        },
        ..on(&[Controller::Hello])
    };
    let mut leader = Replica::start(cluster.client(), settings("one"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    // After a crash: the leaseDuration of 15 s, from when the follower last saw the Lease renewed to its next look.
    for (round, next) in ["two", "three", "four"].into_iter().enumerate() {
        let follower = Replica::start(cluster.client(), settings(next));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(leader.leads().await && !follower.leads().await);
        assert!(follower.get("/readyz").await.is_some(), "a follower that knows who leads is ready");

        let name = format!("while-{round}");
        hellos(cluster.client()).create(&PostParams::default(), &hello(&name)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(is_greeted(&cluster.client(), &name).await);
        assert!(follower.writes().await < 1.0, "it has written: {:?}", follower.get("/metrics").await);
        let (gone, waits) = (leader, if round == 0 { 4 } else { 20 });
        if round == 0 {
            gone.stop.cancel();
            gone.task.await.unwrap().unwrap();
        } else {
            // A crash gives nothing away.
            gone.task.abort();
        }
        tokio::task::yield_now().await;
        assert!(!gone.doors.health.is_open(), "nobody answers in its name");
        let name = format!("after-{round}");
        hellos(cluster.client()).create(&PostParams::default(), &hello(&name)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(waits)).await;
        assert!(follower.leads().await && is_greeted(&cluster.client(), &name).await, "after {waits} s");
        leader = follower;
    }
    // Somebody takes the lease away.
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(cluster.client(), "default");
    let mut lease = leases.get("slipway-operator").await.unwrap();
    lease.spec.as_mut().unwrap().holder_identity = Some("thief".to_owned());
    leases.replace("slipway-operator", &PostParams::default(), &lease).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(3), leader.task).await.expect("it ends at once").unwrap();
    assert!(matches!(ended, Err(RunError::LeaseLost)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_polls_sees_what_comes_changes_and_goes() {
    let cluster = cluster(Vec::new()).await;
    let source = Source::Poll { interval: Duration::from_secs(30) };
    let replica = Replica::start(cluster.client(), Settings { source, ..on(&[Controller::Hello]) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hellos = hellos(cluster.client());
    hellos.create(&PostParams::default(), &hello("polled")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(is_greeted(&cluster.client(), "polled").await);
    hellos.delete("polled", &kube::api::DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(hellos.get_opt("polled").await.unwrap().is_none(), "its finalizer is released");
    let text = replica.get("/metrics").await.unwrap();
    assert!(!text.contains("/watch"), "{text}");
    replica.stop.cancel();
    replica.task.await.unwrap().unwrap();
}

/// Pods that are there and do nothing.
async fn idle_pods(client: &Client, nodes: usize, pods: usize) {
    let api: Api<Pod> = Api::namespaced(client.clone(), "default");
    for number in 0..pods {
        let managed = if number % 2 == 0 { "true" } else { "false" };
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": format!("pod-{number}"),
                "labels": { "app": format!("app-{}", number % 50) },
                "annotations": { "vpa-managed": managed },
            },
            "spec": {
                "nodeName": format!("node-{}", number % nodes),
                "containers": [{ "name": "main", "image": "registry.example.com/shop/app:1.0" }],
            },
        }))
        .unwrap();
        api.create(&PostParams::default(), &pod).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_operator_writes_nothing_for_an_hour() {
    // `slipway bench idle` does the same beside a cluster ten times as large.
    const NODES: usize = 100;
    const PODS: usize = 500;
    let nodes = (0..NODES).map(|number| NodeSpec { name: format!("node-{number}"), ..NodeSpec::default() });
    let config = EmbeddedConfig {
        nodes: nodes.collect(),
        programs: slipway::target::programs(&[])
            .with_function("registry.example.com/*", async |_| std::future::pending().await),
        ..EmbeddedConfig::new(slipway_apiserver::clock::Clock::starting_at(epoch()), 0)
    };
    let cluster = Cluster::start(config).await.unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    for crd in Controller::ALL.into_iter().flat_map(Controller::crds) {
        definitions.create(&PostParams::default(), &crd).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    idle_pods(&cluster.client(), NODES, PODS).await;
    tokio::time::sleep(Duration::from_mins(1)).await;

    let replica = Replica::start(cluster.client(), Settings::default());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(replica.get("/readyz").await.is_some(), "it has seen everything");
    let settled = replica.writes().await;
    let version = || async {
        let list = Api::<Pod>::all(cluster.client()).list_metadata(&ListParams::default().limit(1)).await.unwrap();
        list.metadata.resource_version.unwrap()
    };
    let before = version().await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!((replica.writes().await - settled).abs() < 0.5, "{:?}", replica.get("/metrics").await);
    assert_eq!(version().await, before, "nobody has written anything");
    replica.stop.cancel();
    replica.task.await.unwrap().unwrap();
}
