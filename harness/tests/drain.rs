//! A thousand Pods that drain at once: everybody's turn comes, no more is under way than is allowed, and whoever has no
//! connections is let go within a second.
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

fn pod(number: usize, connections: u32, mechanism: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("web-{number}"),
            "annotations": {
                "vpa-managed": "true",
                "drain.slipway.dev/mechanisms": mechanism,
                "drain.slipway.dev/drain-timeout-seconds": PATIENCE.as_secs().to_string(),
            },
        },
        "spec": {
            "nodeName": format!("node-{}", number % NODES),
            "terminationGracePeriodSeconds": 3600,
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
    async fn new(mechanism: &str) -> Self {
        let nodes = (0..NODES).map(|number| NodeSpec { name: format!("node-{number}"), ..NodeSpec::default() });
        let cluster = Cluster::launch(epoch(), 0, nodes.collect(), slipway::target::programs(&[])).await.unwrap();
        let pods: Api<Pod> = Api::default_namespaced(cluster.client());
        for number in 0..IDLE + BUSY {
            // One in twenty-one is busy.
            let connections = u32::from(number % 21 == 0) * 2;
            pods.create(&PostParams::default(), &pod(number, connections, mechanism)).await.unwrap();
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

/// What is held drains; the figures are printed.
async fn drains(world: &World, mechanism: &str) {
    world.load.most.store(0, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (idle, busy) =
        (world.sum(&duration("count", mechanism, "idle")).await, duration("count", mechanism, "timed-out"));
    assert_is(idle, IDLE, "everybody without connections is let go within five seconds");
    assert_is(world.sum(&busy).await, 0, "and nobody else is");
    let mean = world.sum(&duration("sum", mechanism, "idle")).await / idle;
    assert!(mean < 1.0, "the mean drain took {mean} s");
    let at_most = |seconds: &str| {
        let bucket = duration("bucket", mechanism, "idle").replace('}', &format!(",le=\"{seconds}\"}}"));
        async move { world.sum(&bucket).await }
    };
    assert_is(at_most("2.5").await, IDLE, "nobody waited long for its turn");

    // The busy ones are looked at in turn until their deadline, and none much later.
    tokio::time::sleep(PATIENCE).await;
    assert_is(world.sum(&busy).await, BUSY, "deadlines are kept");
    let late =
        world.sum(&duration("sum", mechanism, "timed-out")).await / world.sum(&busy).await - PATIENCE.as_secs_f64();
    assert!((0.0..1.0).contains(&late), "deadlines were missed by {late} s");

    let (most, limit) = (world.load.most.load(Ordering::Relaxed), usize::from(Settings::default().drain.concurrency));
    assert!(most <= limit, "{most} requests at a time");
    assert_is(world.sum("workqueue_depth{name=\"drain\"}").await, 0, "nobody waits any more");
    let under_a_second = at_most("1").await;
    println!(
        "{mechanism}: {IDLE} idle Pods drained beside {BUSY} busy ones, {LATENCY:?} an API call: mean {mean:.3} s, \
         {under_a_second} of them within 1 s, deadlines met within {late:.3} s, {most} requests at a time at most"
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_evicted_pods_are_let_go_without_anybody_waiting_for_the_busy_ones() {
    let world = World::new("finalizer").await;
    let pods = world.pods();
    let guarded = |pod: &Pod| pod.finalizers().contains(&FINALIZER.to_owned());
    assert!(pods.list(&ListParams::default()).await.unwrap().iter().all(guarded));
    for number in 0..IDLE + BUSY {
        pods.evict(&format!("web-{number}"), &EvictParams::default()).await.unwrap();
    }
    drains(&world, "finalizer").await;
    assert!(!pods.list(&ListParams::default()).await.unwrap().iter().any(guarded));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_held_evictions_may_pass_without_anybody_waiting_for_the_busy_ones() {
    let world = World::new("eviction-gate").await;
    let pods = world.pods();
    // As the gate notes it.
    let note =
        |at: Timestamp| json!({ "metadata": { "annotations": { REQUESTED_AT: at.to_string(), REQUESTED_BY: "me" } } });
    let now = epoch() + jiff::SignedDuration::from_mins(1);
    for number in 0..IDLE + BUSY {
        let name = format!("web-{number}");
        pods.patch(&name, &PatchParams::default(), &Patch::<Value>::Merge(note(now))).await.unwrap();
    }
    drains(&world, "eviction-gate").await;
    let outcome = |pod: Pod| pod.annotations().get("drain.slipway.dev/outcome").cloned();
    let outcomes: BTreeSet<_> = pods.list(&ListParams::default()).await.unwrap().into_iter().map(outcome).collect();
    assert_eq!(outcomes, BTreeSet::from([Some("idle".to_owned()), Some("timed-out".to_owned())]));
    world.end().await;
}
