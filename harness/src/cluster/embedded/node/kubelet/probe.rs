//! Probes: whether a container has started, is alive, is ready.
//!
//! Each goes by its own period on the cluster's clock. A result is written when it changes, and an Event when an attempt
//! fails that did not fail before in the same words: a container that stays as it is costs no write.

use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::action::Scene;
use super::board::Slot;
use crate::cluster::embedded::controllers::recorder::Severity;

/// How often a probe asks unless it says so.
const PERIOD_SECONDS: i32 = 10;

/// How many failures count unless it says so.
const FAILURES: i32 = 3;

/// Why a container is to be killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unhealthy {
    /// `liveness` or `startup`.
    pub(super) kind: &'static str,
    /// How long it may take to end, where the probe has its own opinion.
    pub(super) grace: Option<Duration>,
}

/// Which probe it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    /// At the beginning of a sentence.
    fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Asks whether a container has started and then whether it lives; returns when it does not.
pub(super) async fn health(scene: Scene<'_>, slot: Slot, started: &CancellationToken) -> Unhealthy {
    if let Some(probe) = &scene.container.startup_probe {
        let mut outcome = Outcome::unknown(probe);
        loop_until(scene, Kind::Startup, probe, &mut outcome, |verdict| verdict.is_some()).await;
        if outcome.verdict == Some(false) {
            return unhealthy("startup", probe);
        }
        let ready = scene.container.readiness_probe.is_none();
        scene.sandbox.board.set(slot, |status| {
            status.started = Some(true);
            status.ready = ready && matches!(slot, Slot::Main(_)) || status.ready;
        });
    }
    started.cancel();
    let Some(probe) = &scene.container.liveness_probe else { return std::future::pending().await };
    let mut outcome = Outcome { verdict: Some(true), ..Outcome::unknown(probe) };
    loop_until(scene, Kind::Liveness, probe, &mut outcome, |verdict| verdict == Some(false)).await;
    unhealthy("liveness", probe)
}

fn unhealthy(kind: &'static str, probe: &Probe) -> Unhealthy {
    let grace = probe.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Unhealthy { kind, grace: grace.map(Duration::from_secs) }
}

/// Shows whether a container is ready, for as long as it runs.
pub(super) async fn readiness(scene: Scene<'_>, slot: Slot, started: &CancellationToken) -> Infallible {
    started.cancelled().await;
    let Some(probe) = &scene.container.readiness_probe else { return std::future::pending().await };
    let mut outcome = Outcome { verdict: Some(false), ..Outcome::unknown(probe) };
    loop {
        let before = outcome.verdict;
        loop_until(scene, Kind::Readiness, probe, &mut outcome, |verdict| verdict != before).await;
        let ready = outcome.verdict == Some(true);
        scene.sandbox.board.set(slot, |status| status.ready = ready);
    }
}

/// What the attempts so far have come to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    verdict: Option<bool>,
    successes: i32,
    failures: i32,
    /// What the last failure said.
    complaint: Option<String>,
    /// When the next attempt is due.
    next: Instant,
    needed: (i32, i32),
}

impl Outcome {
    fn unknown(probe: &Probe) -> Self {
        let delay = probe.initial_delay_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        Self {
            verdict: None,
            successes: 0,
            failures: 0,
            complaint: None,
            next: Instant::now() + Duration::from_secs(delay),
            needed: (probe.success_threshold.unwrap_or(1).max(1), probe.failure_threshold.unwrap_or(FAILURES).max(1)),
        }
    }

    /// Takes an attempt in; whether it failed in words that were not said last time.
    fn count(&mut self, attempt: &Result<(), String>) -> bool {
        match attempt {
            Ok(()) => {
                (self.successes, self.failures, self.complaint) = (self.successes.saturating_add(1), 0, None);
                if self.successes >= self.needed.0 {
                    self.verdict = Some(true);
                }
                false
            }
            Err(why) => {
                (self.successes, self.failures) = (0, self.failures.saturating_add(1));
                if self.failures >= self.needed.1 {
                    self.verdict = Some(false);
                }
                self.complaint.replace(why.clone()).as_ref() != Some(why)
            }
        }
    }
}

/// Asks again and again until the verdict is what is waited for.
async fn loop_until(
    scene: Scene<'_>,
    kind: Kind,
    probe: &Probe,
    outcome: &mut Outcome,
    reached: impl Fn(Option<bool>) -> bool,
) {
    let period = probe.period_seconds.unwrap_or(PERIOD_SECONDS).max(1);
    let period = Duration::from_secs(u64::try_from(period).unwrap_or(1));
    let mut ticks = interval_at(outcome.next, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let at = ticks.tick().await;
        outcome.next = at + period;
        let attempt = scene.probe(probe).await;
        if outcome.count(&attempt)
            && let Err(why) = attempt
        {
            let message = format!("{} probe failed: {why}", kind.title());
            scene.sandbox.event(Severity::Warning, "Unhealthy", message).await;
        }
        if reached(outcome.verdict) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_verdict_needs_as_many_attempts_in_a_row_as_the_probe_says() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let cases = [
            ("ss", Some(true)),
            ("sfs", None),
            ("ff", None),
            ("fff", Some(false)),
            ("ssff", Some(true)),
            ("ssfff", Some(false)),
            ("fffs", Some(false)),
            ("fffss", Some(true)),
        ];
        for (attempts, expected) in cases {
            let mut outcome = Outcome::unknown(&probe);
            for attempt in attempts.chars() {
                outcome.count(&if attempt == 's' { Ok(()) } else { Err("no".to_owned()) });
            }
            assert_eq!(outcome.verdict, expected, "{attempts}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_complaint_is_told_once() {
        let mut outcome = Outcome::unknown(&Probe::default());
        let said: Vec<bool> = ["no", "no", "never", "never", "", "never"]
            .into_iter()
            .map(|why| outcome.count(&if why.is_empty() { Ok(()) } else { Err(why.to_owned()) }))
            .collect();
        assert_eq!(said, [true, false, true, false, false, true]);
    }
}
