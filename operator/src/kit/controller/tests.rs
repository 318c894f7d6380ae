use std::sync::atomic::AtomicU32;

use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::clock::Clock;
use super::super::health::State;
use super::*;

const BACKOFF: Backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_mins(1) };

#[derive(Debug, thiserror::Error)]
#[error("it does not work")]
struct Broken {
    conflict: bool,
}

impl Failure for Broken {
    fn category(&self) -> &'static str {
        "observe"
    }

    fn is_conflict(&self) -> bool {
        self.conflict
    }
}

/// An API server with these objects, in which nothing ever changes.
fn api_server(names: &'static [&'static str]) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| async move {
        if request.uri().query().unwrap_or_default().contains("watch=") {
            return std::future::pending().await;
        }
        let managed = json!([{ "manager": "someone", "operation": "Apply", "apiVersion": "v1" }]);
        let item = |name| {
            json!({ "metadata": {
                "name": name, "namespace": "ns", "uid": name, "resourceVersion": "1", "managedFields": managed,
            }})
        };
        let items: Vec<_> = names.iter().map(item).collect();
        let list = json!({ "metadata": { "resourceVersion": "1" }, "items": items });
        Ok::<_, Infallible>(Response::new(Body::from(list.to_string().into_bytes())))
    });
    Client::new(service, "ns")
}

/// Runs a controller of these objects until `minutes` have passed, and gives what it has counted.
async fn run<F>(
    names: &'static [&'static str],
    minutes: u64,
    reconcile: impl Fn(String) -> F + Send + Sync + 'static,
) -> Manager
where
    F: Future<Output = Result<Action, Broken>> + Send + 'static,
{
    let stop = CancellationToken::new();
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let manager = Manager::new(api_server(names), clock, stop.clone().cancelled_owned());
    let controller: Controller<ConfigMap> =
        Controller::new(&manager, "maps", Api::all(manager.client.clone()), watcher::Config::default());
    let limits = Limits { concurrency: 2, timeout: Duration::from_secs(30), backoff: BACKOFF };
    let running = controller.run(limits, move |object| {
        assert!(object.managed_fields().is_empty(), "nobody reads them");
        reconcile(object.name_any())
    });
    let stopping = async {
        tokio::time::sleep(Duration::from_mins(minutes)).await;
        stop.cancel();
    };
    futures::future::join(running, stopping).await;
    manager
}

#[track_caller]
fn has(manager: &Manager, line: &str) {
    let text = manager.metrics.text().unwrap();
    assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
}

#[tokio::test(start_paused = true)]
async fn every_object_is_reconciled_once_and_counted() {
    let manager = run(&["a", "b", "c"], 5, async |_| Ok(Action::await_change())).await;
    for line in [
        r#"controller_runtime_reconcile_total{controller="maps",result="success"} 3"#,
        r#"controller_runtime_reconcile_time_seconds_count{controller="maps"} 3"#,
        r#"controller_runtime_max_concurrent_reconciles{controller="maps"} 2"#,
        r#"controller_runtime_active_workers{controller="maps"} 0"#,
        r#"workqueue_adds_total{controller="maps",name="maps"} 3"#,
        r#"workqueue_depth{controller="maps",name="maps"} 0"#,
    ] {
        has(&manager, line);
    }
}

/// Nobody is to wait for a cluster that does not answer.
#[tokio::test(start_paused = true)]
async fn told_to_stop_before_it_knows_anything_it_stops_at_once() {
    let silent = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let stop = tokio::time::sleep(Duration::from_secs(10));
    let manager = Manager::new(Client::new(silent, "ns"), clock, stop);
    let maps: Api<ConfigMap> = Api::all(manager.client.clone());
    let controller = Controller::new(&manager, "maps", maps, watcher::Config::default());
    let limits = Limits { concurrency: 2, timeout: Duration::from_secs(30), backoff: BACKOFF };
    let began = Instant::now();
    controller.run(limits, async |_| Err(Broken { conflict: false })).await;
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_are_waited_for_longer_and_longer_and_a_success_ends_the_row() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let began = Instant::now();
    let seen = Arc::clone(&times);
    let manager = run(&["a"], 5, move |_| {
        let mut seen = seen.lock().unwrap();
        seen.push(began.elapsed());
        let tries = seen.len();
        async move {
            match tries {
                4 => Ok(Action::requeue(Duration::from_mins(1))),
                6 => Ok(Action::await_change()),
                _ => Err(Broken { conflict: false }),
            }
        }
    })
    .await;
    let times = times.lock().unwrap();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 60, 1], "{times:?}");
    has(&manager, r#"controller_runtime_reconcile_errors_total{controller="maps"} 4"#);
    has(&manager, r#"controller_runtime_reconcile_total{controller="maps",result="error"} 4"#);
    has(&manager, r#"controller_runtime_reconcile_total{controller="maps",result="requeue_after"} 1"#);
    has(&manager, r#"slipway_reconcile_failures_total{category="observe",controller="maps"} 4"#);
    has(&manager, r#"workqueue_retries_total{controller="maps",name="maps"} 4"#);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_looked_at_again_soon_and_counts_as_no_failure() {
    let tries = Arc::new(AtomicU32::new(0));
    let manager = run(&["a"], 1, move |_| {
        let number = tries.fetch_add(1, Ordering::Relaxed);
        async move { if number < 3 { Err(Broken { conflict: true }) } else { Ok(Action::await_change()) } }
    })
    .await;
    has(&manager, r#"controller_runtime_reconcile_total{controller="maps",result="requeue"} 3"#);
    has(&manager, r#"controller_runtime_reconcile_total{controller="maps",result="error"} 0"#);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_or_panics_does_not_hold_up_the_others() {
    let manager = run(&["hangs", "panics", "works"], 1, async |name| match name.as_str() {
        "hangs" => std::future::pending().await,
        "panics" => panic!("{name}"),
        _ => Ok(Action::await_change()),
    })
    .await;
    has(&manager, r#"controller_runtime_reconcile_total{controller="maps",result="success"} 1"#);
    has(&manager, r#"slipway_reconcile_failures_total{category="timeout",controller="maps"} 2"#);
    assert!(manager.metrics.controllers.panics.with_label_values(&["maps"]).get() > 3, "it is tried again");
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_the_first_list_and_says_why() {
    let service = tower::service_fn(async |_: Request<Body>| {
        let status =
            json!({ "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no" });
        Response::builder().status(403).body(Body::from(status.to_string().into_bytes()))
    });
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let manager = Manager::new(Client::new(service, "ns"), clock, std::future::pending());
    let changes = manager.changes::<ConfigMap>("maps", Api::all(manager.client.clone()), watcher::Config::default());
    assert!(!manager.health.report().is_ready());
    let mut changes = changes.skip_while(|event| std::future::ready(event.is_ok()));
    assert!(changes.next().await.unwrap().is_err());
    let report = manager.health.report();
    assert!(matches!(report.state("maps: configmaps"), Some(State::Waiting(why)) if why.contains("no")), "{report}");
    drop(changes);
    assert!(manager.health.report().is_ready(), "nobody waits for a stream that is not there");

    let manager = run(&["a"], 1, async |_| Ok(Action::await_change())).await;
    assert!(manager.health.report().is_ready());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_controller_ends_its_reconciles_where_they_are() {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let manager = Manager::new(api_server(&["a"]), clock, std::future::pending());
    let finished = Arc::new(AtomicU32::new(0));
    let controller: Controller<ConfigMap> =
        Controller::new(&manager, "maps", Api::all(manager.client.clone()), watcher::Config::default());
    let limits = Limits { concurrency: 2, timeout: Duration::from_mins(1), backoff: BACKOFF };
    let running = controller.run(limits, {
        let finished = Arc::clone(&finished);
        move |_| {
            let finished = Arc::clone(&finished);
            async move {
                tokio::time::sleep(Duration::from_secs(10)).await;
                finished.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Broken>(Action::await_change())
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap_err();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(finished.load(Ordering::Relaxed), 0);
    has(&manager, r#"controller_runtime_active_workers{controller="maps"} 0"#);
}

/// A controller with one object, `a`, whose reconcile asks for one other, and then stops.
pub(crate) async fn reconcile_that_asks_once(clock: Clock) {
    let stop = CancellationToken::new();
    let mut manager = Manager::new(api_server(&["a"]), clock, stop.clone().cancelled_owned());
    manager.client = super::super::traffic::observed(&manager.client, "api", &manager.metrics, None);
    let maps: Api<ConfigMap> = Api::namespaced(manager.client.clone(), "ns");
    let limits = Limits { concurrency: 1, timeout: Duration::from_secs(30), backoff: BACKOFF };
    let controller: Controller<ConfigMap> =
        Controller::new(&manager, "maps", Api::all(manager.client.clone()), watcher::Config::default());
    let reconcile = move |_| {
        let (maps, stop) = (maps.clone(), stop.clone());
        async move {
            // What it gets is a list, which is no object: it was asked for all the same.
            let _ = maps.get("asked").await;
            stop.cancel();
            Ok::<_, Broken>(Action::await_change())
        }
    };
    controller.run(limits, reconcile).await;
}
