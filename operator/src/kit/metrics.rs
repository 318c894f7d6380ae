//! What the operator counts and measures, under controller-runtime's names; our own carry the prefix `slipway_`.
//!
//! There is no global registry: several operators can run in one process. `docs/reference/metrics.md` describes every
//! series, and a test holds it and what is registered here together.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};

/// controller-runtime's buckets for the time of a reconcile, in seconds.
pub const RECONCILE_BUCKETS: [f64; 40] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5,
    1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0,
];

/// client-go's buckets for the time of a request, in seconds.
pub const REQUEST_BUCKETS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// What kind of number a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many were how long.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// A series as it is registered, for those who check that it is documented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels, in order.
    pub labels: Vec<String>,
    /// What it means.
    pub help: String,
}

/// Brings gauges up to date that are known only when somebody asks.
type Refresh = Box<dyn Fn() + Send + Sync>;

/// The series of one operator. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    described: Arc<Mutex<Vec<Description>>>,
    refreshes: Arc<Mutex<Vec<Refresh>>>,
    /// Of every controller.
    pub(super) controllers: ControllerSeries,
    /// Of the requests to the API server.
    pub(super) requests: RequestSeries,
    /// Of the webhook server.
    pub webhooks: WebhookSeries,
    /// 1 while this replica leads, by the Lease's name.
    pub leading: IntGaugeVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// What is measured of every controller.
#[derive(Clone)]
pub(super) struct ControllerSeries {
    pub(super) reconciles: IntCounterVec,
    pub(super) errors: IntCounterVec,
    pub(super) panics: IntCounterVec,
    pub(super) time: HistogramVec,
    pub(super) concurrency: IntGaugeVec,
    pub(super) workers: IntGaugeVec,
    pub(super) failures: IntCounterVec,
    pub(super) watch_errors: IntCounterVec,
    pub(super) depth: IntGaugeVec,
    pub(super) adds: IntCounterVec,
    pub(super) retries: IntCounterVec,
    pub(super) waited: HistogramVec,
    pub(super) worked: HistogramVec,
    pub(super) unfinished: GaugeVec,
    pub(super) longest: GaugeVec,
}

/// What is measured of requests to the API server.
#[derive(Clone)]
pub(super) struct RequestSeries {
    pub(super) total: IntCounterVec,
    pub(super) time: HistogramVec,
}

/// What is measured of admission reviews, by the reviewer's path.
#[derive(Clone)]
pub struct WebhookSeries {
    /// Answers, by HTTP status.
    pub total: IntCounterVec,
    /// How long they took.
    pub time: HistogramVec,
    /// Under way.
    pub in_flight: IntGaugeVec,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let new = Maker::default();
        Self {
            controllers: ControllerSeries::new(&new),
            requests: RequestSeries {
                total: new.counter(
                    "rest_client_requests_total",
                    "Requests to the API server, by HTTP status, method and host; `<error>` where no answer came.",
                    &["code", "method", "host"],
                ),
                time: new.histogram(
                    "rest_client_request_duration_seconds",
                    "Time until the head of the API server's answer.",
                    &["verb", "host"],
                    REQUEST_BUCKETS.to_vec(),
                ),
            },
            webhooks: WebhookSeries {
                total: new.counter(
                    "controller_runtime_webhook_requests_total",
                    "Admission reviews answered, by HTTP status.",
                    &["webhook", "code"],
                ),
                time: new.histogram(
                    "controller_runtime_webhook_latency_seconds",
                    "Time of an admission review.",
                    &["webhook"],
                    prometheus::DEFAULT_BUCKETS.to_vec(),
                ),
                in_flight: new.int_gauge(
                    "controller_runtime_webhook_requests_in_flight",
                    "Admission reviews under way.",
                    &["webhook"],
                ),
            },
            leading: new.int_gauge("leader_election_master_status", "1 while this replica leads, else 0.", &["name"]),
            registry: new.registry,
            described: Arc::new(new.described),
            refreshes: Arc::default(),
        }
    }

    /// Where controllers register series of their own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A new counter. Names must be new and valid: a series is made once, where its controller is.
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.maker(|new| new.counter(name, help, labels))
    }

    /// A new gauge, as [`Metrics::counter`].
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.maker(|new| new.gauge(name, help, labels))
    }

    /// A new histogram with these upper bounds, as [`Metrics::counter`].
    pub fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: Vec<f64>) -> HistogramVec {
        self.maker(|new| new.histogram(name, help, labels, buckets))
    }

    /// A new gauge without labels, as [`Metrics::counter`].
    pub fn plain_gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge(name, help, &[]).with_label_values::<&str>(&[])
    }

    /// A new counter of fractions without labels, as [`Metrics::counter`].
    pub fn plain_counter(&self, name: &str, help: &str) -> Counter {
        self.maker(|new| new.fractions(name, help)).with_label_values::<&str>(&[])
    }

    /// Calls `refresh` before every scrape.
    pub fn before_scrape(&self, refresh: impl Fn() + Send + Sync + 'static) {
        self.refreshes.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(refresh));
    }

    /// Everything that is registered, in order of names.
    pub fn descriptions(&self) -> Vec<Description> {
        let mut all = self.described.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Everything as Prometheus reads it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        for refresh in self.refreshes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            refresh();
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn maker<T>(&self, build: impl FnOnce(&Maker) -> T) -> T {
        let new = Maker { registry: self.registry.clone(), described: Mutex::default() };
        let made = build(&new);
        let described = new.described.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.described.lock().unwrap_or_else(PoisonError::into_inner).extend(described);
        made
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ControllerSeries {
    fn new(new: &Maker) -> Self {
        const OF: &[&str] = &["controller"];
        const QUEUE: &[&str] = &["name", "controller"];
        // client-go's: ten nanoseconds to a thousand seconds.
        let queue_buckets = || exponential_buckets(10e-9, 10.0, 12).unwrap_or_default();
        let counter = |name, help, labels: &[&str]| new.counter(name, help, labels);
        Self {
            reconciles: counter(
                "controller_runtime_reconcile_total",
                "Reconciles, by result.",
                &["controller", "result"],
            ),
            errors: counter("controller_runtime_reconcile_errors_total", "Reconciles that failed.", OF),
            panics: counter("controller_runtime_reconcile_panics_total", "Reconciles that panicked.", OF),
            time: new.histogram(
                "controller_runtime_reconcile_time_seconds",
                "Time of a reconcile.",
                OF,
                RECONCILE_BUCKETS.to_vec(),
            ),
            concurrency: new.int_gauge(
                "controller_runtime_max_concurrent_reconciles",
                "How many objects are reconciled at the same time at most.",
                OF,
            ),
            workers: new.int_gauge("controller_runtime_active_workers", "Reconciles under way.", OF),
            failures: counter(
                "slipway_reconcile_failures_total",
                "Reconciles that failed, by the step in which they did.",
                &["controller", "category"],
            ),
            watch_errors: counter(
                "slipway_watch_errors_total",
                "Lists and watches that failed, by the kind they were for.",
                &["controller", "kind"],
            ),
            depth: new.int_gauge("workqueue_depth", "Objects that wait for a reconcile.", QUEUE),
            adds: counter("workqueue_adds_total", "Objects put on the queue.", QUEUE),
            retries: counter("workqueue_retries_total", "Objects put on the queue again after a failure.", QUEUE),
            waited: new.histogram(
                "workqueue_queue_duration_seconds",
                "How long an object was on the queue.",
                QUEUE,
                queue_buckets(),
            ),
            worked: new.histogram(
                "workqueue_work_duration_seconds",
                "How long an object was worked on.",
                QUEUE,
                queue_buckets(),
            ),
            unfinished: new.gauge(
                "workqueue_unfinished_work_seconds",
                "How long the work under way has been under way, all together.",
                QUEUE,
            ),
            longest: new.gauge(
                "workqueue_longest_running_processor_seconds",
                "How long the longest work under way has been under way.",
                QUEUE,
            ),
        }
    }
}

/// Makes series, registers and describes them.
#[derive(Default)]
struct Maker {
    registry: Registry,
    described: Mutex<Vec<Description>>,
}

impl Maker {
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.made(Kind::Counter, IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn fractions(&self, name: &str, help: &str) -> CounterVec {
        self.made(Kind::Counter, CounterVec::new(Opts::new(name, help), &[]))
    }

    fn int_gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.made(Kind::Gauge, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.made(Kind::Gauge, GaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: Vec<f64>) -> HistogramVec {
        self.made(Kind::Histogram, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels))
    }

    #[expect(
        clippy::expect_used,
        reason = "names are constants, each in one place, and the test of docs/reference/metrics.md makes every one"
    )]
    fn made<T: Collector + Clone + 'static>(&self, kind: Kind, made: prometheus::Result<T>) -> T {
        let collector = made.expect("a valid name and valid labels");
        let describe = |desc: &prometheus::core::Desc| Description {
            name: desc.fq_name.clone(),
            kind,
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        };
        let described = collector.desc().into_iter().map(describe);
        self.described.lock().unwrap_or_else(PoisonError::into_inner).extend(described);
        self.registry.register(Box::new(collector.clone())).expect("a name that is new");
        collector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_in_one_process_count_for_themselves() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.controllers.reconciles.with_label_values(&["hello", "success"]).inc();
        assert!(
            one.text()
                .unwrap()
                .contains(r#"controller_runtime_reconcile_total{controller="hello",result="success"} 1"#)
        );
        assert!(!other.text().unwrap().contains("hello"));
    }

    #[test]
    fn what_is_known_only_when_asked_is_asked_for_at_every_scrape() {
        let metrics = Metrics::new();
        let gauge = metrics.plain_gauge("slipway_asked", "How often this was asked for.");
        metrics.before_scrape({
            let gauge = gauge.clone();
            move || gauge.inc()
        });
        for asked in ["slipway_asked 1", "slipway_asked 2"] {
            assert!(metrics.text().unwrap().contains(asked));
        }
    }
}
