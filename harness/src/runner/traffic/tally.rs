//! What became of requests, counted. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::duration::Span;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// It was answered with a status below 500.
    Succeeded,
    /// It was answered with 500 or above.
    Failed,
    /// Nobody listened where it was led to.
    Refused,
    /// The connection broke off before the answer was there.
    Reset,
    /// No answer came in time.
    TimedOut,
    /// The Service led nowhere.
    Unavailable,
}

/// How many requests met which fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::runner) struct Tally {
    fates: BTreeMap<Fate, u64>,
    /// How many answers took how many milliseconds.
    latencies: BTreeMap<u128, u64>,
}

impl Tally {
    /// Counts a request.
    pub(super) fn count(&mut self, fate: Fate, took: Duration) {
        *self.fates.entry(fate).or_default() += 1;
        if matches!(fate, Fate::Succeeded | Fate::Failed) {
            *self.latencies.entry(took.as_millis()).or_default() += 1;
        }
    }

    fn of(&self, fate: Fate) -> u64 {
        self.fates.get(&fate).copied().unwrap_or(0)
    }

    fn sent(&self) -> u64 {
        self.fates.values().sum()
    }

    /// Requests that nobody answered.
    fn dropped(&self) -> u64 {
        [Fate::Refused, Fate::Reset, Fate::TimedOut, Fate::Unavailable].into_iter().map(|fate| self.of(fate)).sum()
    }

    /// The latency that this part of the answers did not exceed, in milliseconds; 0 without answers.
    fn quantile(&self, part: (u64, u64)) -> u64 {
        let rank = (self.latencies.values().sum::<u64>() * part.0).div_ceil(part.1);
        let mut seen = 0;
        let found = self.latencies.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        found.map_or(0, |(latency, _)| u64::try_from(*latency).unwrap_or(u64::MAX))
    }

    /// As expressions see it.
    pub(in crate::runner) fn value(&self) -> Value {
        json!({
            "sent": self.sent(), "succeeded": self.of(Fate::Succeeded), "failed": self.of(Fate::Failed),
            "dropped": self.dropped(), "refused": self.of(Fate::Refused), "reset": self.of(Fate::Reset),
            "timedOut": self.of(Fate::TimedOut), "unavailable": self.of(Fate::Unavailable),
            "latency": {"p50": self.quantile((1, 2)), "p99": self.quantile((99, 100)), "max": self.quantile((1, 1))},
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |fate| self.of(fate);
        write!(
            f,
            "{} sent, {} succeeded, {} failed, {} dropped ({} refused, {} reset, {} timed out, {} without an endpoint)",
            self.sent(),
            of(Fate::Succeeded),
            of(Fate::Failed),
            self.dropped(),
            of(Fate::Refused),
            of(Fate::Reset),
            of(Fate::TimedOut),
            of(Fate::Unavailable),
        )?;
        let span = |part| Span(Duration::from_millis(self.quantile(part)));
        write!(f, "; latency {} median, {} for 99 %, {} at most", span((1, 2)), span((99, 100)), span((1, 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_answered_is_dropped_and_answers_are_ranked_by_what_they_took() {
        let mut tally = Tally::default();
        for took in 1..=100 {
            tally.count(Fate::Succeeded, Duration::from_millis(took));
        }
        for fate in [Fate::Refused, Fate::Reset, Fate::TimedOut, Fate::Unavailable, Fate::Failed] {
            tally.count(fate, Duration::from_millis(500));
        }
        let value = tally.value();
        assert_eq!((&value["sent"], &value["succeeded"], &value["dropped"]), (&json!(105), &json!(100), &json!(4)));
        assert_eq!(value["latency"], json!({"p50": 51, "p99": 100, "max": 500}));
        let text = tally.to_string();
        assert!(text.starts_with("105 sent, 100 succeeded, 1 failed, 4 dropped (1 refused, 1 reset"), "{text}");
        assert_eq!(Tally::default().value()["latency"]["p99"], 0);
    }
}
