//! What the drain controller counts and measures. Names and meanings stand in `docs/reference/metrics.md`.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, HistogramVec, IntCounterVec};

use crate::api::drain::Outcome;
use crate::kit::metrics::Metrics;

use super::connections;
use super::gate::VERDICTS;

/// Seconds. A drain takes no time, or as long as a connection stays, or until its deadline.
const DURATION_BUCKETS: [f64; 14] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

/// What holds a Pod, in labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum By {
    /// The finalizer.
    Finalizer,
    /// The eviction gate.
    EvictionGate,
}

impl By {
    /// Every one there is.
    pub(super) const ALL: [Self; 2] = [Self::Finalizer, Self::EvictionGate];

    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Finalizer => "finalizer",
            Self::EvictionGate => "eviction-gate",
        }
    }
}

/// What became of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// It is in force.
    Accepted,
    /// It is not.
    Refused,
}

impl Reload {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

/// The series. Clones share them.
#[derive(Clone)]
pub(super) struct Measures {
    duration: HistogramVec,
    pods: GaugeVec,
    reloads: IntCounterVec,
    configuration_good: Gauge,
    bad_overrides: IntCounterVec,
    verdicts: IntCounterVec,
    probe_failures: IntCounterVec,
}

impl Measures {
    /// New series.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let measures = Self {
            duration: metrics.histogram(
                "slipway_drain_duration_seconds",
                "Time of a drain, from the request to the release.",
                &["mechanism", "outcome"],
                DURATION_BUCKETS.into(),
            ),
            pods: metrics.gauge("slipway_drain_pods", "Pods that are held at the moment.", &["mechanism"]),
            reloads: metrics.counter(
                "slipway_drain_configuration_reloads_total",
                "Configurations that were read, by what became of them.",
                &["result"],
            ),
            configuration_good: metrics.plain_gauge(
                "slipway_drain_configuration_good",
                "1 while the newest configuration is in force, 0 while an earlier one or none is.",
            ),
            bad_overrides: metrics.counter(
                "slipway_drain_bad_overrides_total",
                "Annotations of Pods that were refused, each once a Pod.",
                &["annotation"],
            ),
            verdicts: metrics.counter(
                "slipway_drain_evictions_total",
                "Evictions that the gate was asked about, by what it said.",
                &["verdict"],
            ),
            probe_failures: metrics.counter(
                "slipway_drain_probe_failures_total",
                "Sources of connections that should have said something, and did not.",
                &["source"],
            ),
        };
        // A rate needs a beginning: everything that can happen has happened no times yet.
        for by in By::ALL {
            measures.held(by, 0);
            for outcome in Outcome::ALL {
                measures.duration.with_label_values(&[by.as_str(), outcome.as_str()]);
            }
        }
        for verdict in VERDICTS {
            measures.verdicts.with_label_values(&[verdict]);
        }
        for source in connections::Kind::ALL {
            measures.probe_failures.with_label_values(&[source.as_str()]);
        }
        for reload in [Reload::Accepted, Reload::Refused] {
            measures.reloads.with_label_values(&[reload.as_str()]);
        }
        measures
    }

    /// A drain has ended, `took` after it was asked for.
    pub(super) fn drained(&self, by: By, outcome: Outcome, took: Duration) {
        self.duration.with_label_values(&[by.as_str(), outcome.as_str()]).observe(took.as_secs_f64());
    }

    /// How many Pods are held at the moment.
    pub(super) fn held(&self, by: By, pods: u32) {
        self.pods.with_label_values(&[by.as_str()]).set(pods.into());
    }

    /// A configuration was read.
    pub(super) fn reloaded(&self, reload: Reload) {
        self.reloads.with_label_values(&[reload.as_str()]).inc();
        self.configuration_good.set(f64::from(u8::from(reload == Reload::Accepted)));
    }

    /// The gate was asked about an eviction.
    pub(super) fn judged(&self, verdict: &str) {
        self.verdicts.with_label_values(&[verdict]).inc();
    }

    /// A Pod's connections were looked for.
    pub(super) fn probed(&self, reading: &connections::Reading) {
        for failure in reading.failures() {
            self.probe_failures.with_label_values(&[failure.source.as_str()]).inc();
        }
    }

    /// An annotation was refused.
    pub(super) fn bad_override(&self, annotation: &str) {
        self.bad_overrides.with_label_values(&[annotation]).inc();
    }
}
