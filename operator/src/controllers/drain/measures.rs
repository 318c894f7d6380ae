//! What the drain controller counts and measures. Names and meanings stand in `docs/reference/metrics.md`.

use std::time::Duration;

use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::api::drain::Outcome;
use crate::kit::error::chain;

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
pub(super) struct Measures(Option<Series>);

#[derive(Clone)]
struct Series {
    duration: HistogramVec,
    draining: IntGaugeVec,
    reloads: IntCounterVec,
    configuration_good: Gauge,
    bad_overrides: IntCounterVec,
    verdicts: IntCounterVec,
    probe_failures: IntCounterVec,
}

impl Series {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "How long drains took, in seconds, from the request to the release.";
        let opts = HistogramOpts::new("slipway_drain_duration_seconds", help).buckets(DURATION_BUCKETS.into());
        let series = Self {
            duration: HistogramVec::new(opts, &["mechanism", "outcome"])?,
            draining: IntGaugeVec::new(
                Opts::new("slipway_drain_pods", "How many Pods are held at the moment."),
                &["mechanism"],
            )?,
            reloads: IntCounterVec::new(
                Opts::new("slipway_drain_configuration_reloads_total", "Configurations that were read."),
                &["result"],
            )?,
            configuration_good: Gauge::new(
                "slipway_drain_configuration_good",
                "1 while the newest configuration is in force, 0 while an earlier one or none is.",
            )?,
            bad_overrides: IntCounterVec::new(
                Opts::new("slipway_drain_bad_overrides_total", "Annotations of Pods that were refused."),
                &["annotation"],
            )?,
            verdicts: IntCounterVec::new(
                Opts::new("slipway_drain_evictions_total", "Evictions that the gate was asked about."),
                &["verdict"],
            )?,
            probe_failures: IntCounterVec::new(
                Opts::new("slipway_drain_probe_failures_total", "Sources of connections that could not be read."),
                &["source"],
            )?,
        };
        registry.register(Box::new(series.duration.clone()))?;
        registry.register(Box::new(series.draining.clone()))?;
        registry.register(Box::new(series.reloads.clone()))?;
        registry.register(Box::new(series.configuration_good.clone()))?;
        registry.register(Box::new(series.bad_overrides.clone()))?;
        registry.register(Box::new(series.verdicts.clone()))?;
        registry.register(Box::new(series.probe_failures.clone()))?;
        // A rate needs a beginning: everything that can happen has happened no times yet.
        for by in By::ALL {
            series.draining.with_label_values(&[by.as_str()]).set(0);
            for outcome in Outcome::ALL {
                series.duration.with_label_values(&[by.as_str(), outcome.as_str()]);
            }
        }
        for verdict in VERDICTS {
            series.verdicts.with_label_values(&[verdict]);
        }
        for source in connections::Kind::ALL {
            series.probe_failures.with_label_values(&[source.as_str()]);
        }
        for reload in [Reload::Accepted, Reload::Refused] {
            series.reloads.with_label_values(&[reload.as_str()]);
        }
        Ok(series)
    }
}

impl Measures {
    /// New series, in the registry. Where that has such series already, what is counted here is not shown.
    pub(super) fn new(registry: &Registry) -> Self {
        let series = Series::register(registry);
        Self(series.map_err(|error| tracing::error!(error = %chain(&error), "drains are not measured")).ok())
    }

    /// A drain has ended, `took` after it was asked for.
    pub(super) fn drained(&self, by: By, outcome: Outcome, took: Duration) {
        let Some(series) = &self.0 else { return };
        series.duration.with_label_values(&[by.as_str(), outcome.as_str()]).observe(took.as_secs_f64());
    }

    /// How many Pods are held at the moment.
    pub(super) fn draining(&self, by: By, pods: usize) {
        let Some(series) = &self.0 else { return };
        series.draining.with_label_values(&[by.as_str()]).set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    /// A configuration was read.
    pub(super) fn reloaded(&self, reload: Reload) {
        let Some(series) = &self.0 else { return };
        series.reloads.with_label_values(&[reload.as_str()]).inc();
        series.configuration_good.set(f64::from(u8::from(reload == Reload::Accepted)));
    }

    /// The gate was asked about an eviction.
    pub(super) fn judged(&self, verdict: &str) {
        let Some(series) = &self.0 else { return };
        series.verdicts.with_label_values(&[verdict]).inc();
    }

    /// A Pod's connections were looked for.
    pub(super) fn probed(&self, reading: &connections::Reading) {
        let Some(series) = &self.0 else { return };
        for failure in reading.failures() {
            series.probe_failures.with_label_values(&[failure.source.as_str()]).inc();
        }
    }

    /// An annotation was refused.
    pub(super) fn bad_override(&self, annotation: &str) {
        let Some(series) = &self.0 else { return };
        series.bad_overrides.with_label_values(&[annotation]).inc();
    }
}
