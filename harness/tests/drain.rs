//! A thousand Pods that drain at once, half of them held by a finalizer and half by the eviction gate: everybody's turn
//! comes, no more is under way than is allowed, and whoever has no connections is let go within a second.
//!
//! Every request to the API server takes ten milliseconds here: the times are those of a controller that waits for its
//! answers, not of one whose API server knows everything at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "figures are for people")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{EvictParams, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use slipway::cluster::Cluster as _;
use slipway::cluster::embedded::Cluster;
use slipway::scenario::node::NodeSpec;
use slipway::sli::exposition::Scrape;
use slipway::sli::selector::Selector;
use slipway_operator::api::drain::{FINALIZER, REQUESTED_AT, REQUESTED_BY};
use slipway_operator::kit::clock::Clock;
use slipway_operator::runtime::{self, Controller, Doors, Settings};
use tokio_util::sync::CancellationToken;

const EPOCH: &str = "2026-01-01T00:00:00Z";
const NODES: usize = 20;
/// Pods without connections.
const IDLE: usize = 1_000;
/// Pods whose connections never end. They are asked again and again meanwhile.
const BUSY: usize = 50;
/// What holds them, by turns.
const MECHANISMS: [&str; 2] = ["finalizer", "eviction-gate"];
/// How long a busy Pod is given.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long every answer of the API server takes.
const LATENCY: Duration = Duration::from_millis(10);

fn epoch() -> Timestamp {
    EPOCH.parse().unwrap()
}

/// How many requests are under way, and how many there have been at most.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A client whose every answer takes its time.
fn distant(client: Client, load: Arc<Load>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, load) = (client.clone(), Arc::clone(&load));
        async move {
            load.most.fetch_max(load.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(LATENCY).await;
            let answer = client.send(request).await;
            load.now.fetch_sub(1, Ordering::Relaxed);
            answer
        }
    });
    Client::new(service, "default")
}

/// What holds a Pod.
fn mechanism(number: usize) -> &'static str {
    MECHANISMS[number % MECHANISMS.len()]
}

fn pod(number: usize) -> Pod {
    // One in twenty-one is busy.
    let connections = u32::from(number.is_multiple_of(21)) * 2;
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("web-{number}"),
            "annotations": {
                "vpa-managed": "true",
                "drain.slipway.dev/mechanisms": mechanism(number),
                "drain.slipway.dev/drain-timeout-seconds": PATIENCE.as_secs().to_string(),
            },
        },
        "spec": {
            "nodeName": format!("node-{}", number % NODES),
            "terminationGracePeriodSeconds": 3600,
            // Nobody asks for one here, and there are many.
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "web", "image": "slipway.dev/http-server:1", "ports": [{ "containerPort": 8080 }],
                "env": [
                    { "name": "CONNECTIONS", "value": connections.to_string() },
                    { "name": "DRAIN_SECONDS", "value": "stuck" },
                    { "name": "ON_TERM", "value": "ignore" },
                ],
            }],
        },
    }))
    .unwrap()
}

/// The cluster with its Pods and the operator, with every Pod known.
struct World {
    cluster: Cluster,
    doors: Doors,
    stop: CancellationToken,
    operator: tokio::task::JoinHandle<Result<(), runtime::RunError>>,
    load: Arc<Load>,
}

impl World {
    async fn new() -> Self {
        let nodes = (0..NODES).map(|number| NodeSpec { name: format!("node-{number}"), ..NodeSpec::default() });
        let cluster = Cluster::launch(epoch(), 0, nodes.collect(), slipway::target::programs(&[])).await.unwrap();
        let pods: Api<Pod> = Api::default_namespaced(cluster.client());
        for number in 0..IDLE + BUSY {
            pods.create(&PostParams::default(), &pod(number)).await.unwrap();
        }
        let (doors, stop, load) = (Doors::default(), CancellationToken::new(), Arc::<Load>::default());
        let settings = Settings { controllers: [Controller::Drain].into(), ..Settings::default() };
        let client = distant(cluster.client(), Arc::clone(&load));
        let stopped = stop.clone().cancelled_owned();
        let run = runtime::run(client, settings, Clock::starting_at(epoch()), doors.clone(), stopped);
        let operator = tokio::spawn(run);
        // By then every container runs, and every Pod is guarded that is to be.
        tokio::time::sleep(Duration::from_mins(1)).await;
        Self { cluster, doors, stop, operator, load }
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.cluster.client())
    }

    async fn scrape(&self) -> Scrape {
        let request = Request::get("/metrics").body(Vec::new()).unwrap().map(Into::into);
        let answer = self.doors.metrics.call(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Scrape::parse(std::str::from_utf8(&body).unwrap()).unwrap()
    }

    /// The sum of the series that are meant.
    async fn sum(&self, series: &str) -> f64 {
        series.parse::<Selector>().unwrap().sum(&self.scrape().await).unwrap_or_default()
    }

    async fn end(self) {
        self.stop.cancel();
        self.operator.await.unwrap().unwrap();
    }
}

fn duration(part: &str, mechanism: &str, outcome: &str) -> String {
    format!("slipway_drain_duration_seconds_{part}{{mechanism=\"{mechanism}\",outcome=\"{outcome}\"}}")
}

/// Whole numbers come as floating ones.
#[track_caller]
fn assert_is(value: f64, expected: usize, what: &str) {
    assert_eq!(format!("{value:.3}"), format!("{expected}.000"), "{what}");
}

/// Everybody without connections has been let go, and soon.
async fn the_idle_are_gone(world: &World, mechanism: &str) {
    let (all, busy) = (IDLE / MECHANISMS.len(), duration("count", mechanism, "timed-out"));
    let idle = world.sum(&duration("count", mechanism, "idle")).await;
    assert_is(idle, all, "everybody without connections is let go within five seconds");
    assert_is(world.sum(&busy).await, 0, "and nobody else is");
    let mean = world.sum(&duration("sum", mechanism, "idle")).await / idle;
    assert!(mean < 1.0, "the mean drain took {mean} s");
    let at_most = |seconds: &str| {
        let bucket = duration("bucket", mechanism, "idle").replace('}', &format!(",le=\"{seconds}\"}}"));
        async move { world.sum(&bucket).await }
    };
    assert_is(at_most("2.5").await, all, "nobody waited long for its turn");
    let under_a_second = at_most("1").await;
    println!("{mechanism}: {all} idle Pods drained, mean {mean:.3} s, {under_a_second} of them within 1 s");
}

/// The busy ones have been looked at in turn until their deadline, and none much later.
async fn the_busy_are_gone(world: &World, mechanism: &str) {
    let busy = world.sum(&duration("count", mechanism, "timed-out")).await;
    assert_is(busy, BUSY / MECHANISMS.len(), "deadlines are kept");
    let late = world.sum(&duration("sum", mechanism, "timed-out")).await / busy - PATIENCE.as_secs_f64();
    assert!((0.0..1.0).contains(&late), "deadlines were missed by {late} s");
    println!("{mechanism}: deadlines met within {late:.3} s");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_that_drain_at_once_are_let_go_without_anybody_waiting_for_the_busy_ones() {
    let world = World::new().await;
    let pods = world.pods();
    let guarded = |pod: &Pod| pod.finalizers().contains(&FINALIZER.to_owned());
    let guards = pods.list(&ListParams::default()).await.unwrap().iter().filter(|pod| guarded(pod)).count();
    assert_eq!(guards, (IDLE + BUSY) / MECHANISMS.len());
    world.load.most.store(0, Ordering::Relaxed);
    // As the gate notes it.
    let now = (epoch() + jiff::SignedDuration::from_mins(1)).to_string();
    let note = json!({ "metadata": { "annotations": { REQUESTED_AT: now, REQUESTED_BY: "me" } } });
    for number in 0..IDLE + BUSY {
        let name = format!("web-{number}");
        if mechanism(number) == "finalizer" {
            pods.evict(&name, &EvictParams::default()).await.unwrap();
        } else {
            pods.patch(&name, &PatchParams::default(), &Patch::<&Value>::Merge(&note)).await.unwrap();
        }
    }
    println!("{IDLE} idle Pods beside {BUSY} busy ones, {LATENCY:?} an API call");
    tokio::time::sleep(Duration::from_secs(5)).await;
    for mechanism in MECHANISMS {
        the_idle_are_gone(&world, mechanism).await;
    }
    tokio::time::sleep(PATIENCE).await;
    for mechanism in MECHANISMS {
        the_busy_are_gone(&world, mechanism).await;
    }
    let (most, limit) = (world.load.most.load(Ordering::Relaxed), usize::from(Settings::default().drain.concurrency));
    assert!(most <= limit, "{most} requests at a time");
    println!("{most} requests at a time at most");
    assert_is(world.sum("workqueue_depth{name=\"drain\"}").await, 0, "nobody waits any more");

    let left = pods.list(&ListParams::default()).await.unwrap();
    assert!(!left.iter().any(guarded));
    let outcome = |pod: Pod| pod.annotations().get("drain.slipway.dev/outcome").cloned();
    let held = left.into_iter().filter(|pod| pod.annotations().contains_key(REQUESTED_AT));
    let outcomes: Vec<_> = held.map(outcome).collect();
    assert_eq!(outcomes.len(), (IDLE + BUSY) / MECHANISMS.len());
    let outcomes: BTreeSet<_> = outcomes.into_iter().collect();
    assert_eq!(outcomes, BTreeSet::from([Some("idle".to_owned()), Some("timed-out".to_owned())]));
    world.end().await;
}
