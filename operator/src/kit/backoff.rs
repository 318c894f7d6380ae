//! How long to wait before the next try: exponential, with a ceiling, and jitter that is the same in every run.
//!
//! The jitter comes from what is retried and how often, not from a random number: it spreads objects that failed
//! together, and a run can still be repeated. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds of a back-off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backoff {
    /// Before the second try.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub min: Duration,
    /// Before every later try, at most.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub max: Duration,
}

/// A try waits up to this much longer than its share, as a fraction of it.
const JITTER_DIVISOR: u32 = 10;

/// Doubling stops here; by then every sensible ceiling has been reached.
const DOUBLINGS_MAX: u32 = 30;

impl Backoff {
    /// The wait after `failures` failures in a row, of which there was at least one, of the thing called `key`.
    pub fn delay(&self, failures: u32, key: &str) -> Duration {
        let share = self.share(failures);
        let mut hasher = DefaultHasher::new();
        (key, failures).hash(&mut hasher);
        let spread = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        share.saturating_add((share / JITTER_DIVISOR).mul_f64(spread)).min(self.max)
    }

    /// The wait without jitter.
    fn share(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }
}

/// Waits of a stream that fails: half a second, doubling up to half a minute, and from the beginning once it works.
///
/// kube's own draws its jitter; a stream has nobody to collide with, so this one has none and a run can be repeated.
#[derive(Clone, Debug, Default)]
pub struct Again {
    failures: u32,
}

const AGAIN: Backoff = Backoff { min: Duration::from_millis(500), max: Duration::from_secs(30) };

impl Iterator for Again {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        Some(AGAIN.share(self.failures))
    }
}

impl kube::runtime::utils::Backoff for Again {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling_and_are_the_same_in_every_run() {
        let backoff = Backoff { min: Duration::from_secs(10), max: Duration::from_mins(5) };
        for (failures, least, most) in
            [(1, 10, 11), (2, 20, 22), (3, 40, 44), (5, 160, 176), (6, 300, 300), (4000, 300, 300)]
        {
            let delay = backoff.delay(failures, "uid");
            assert!(delay >= Duration::from_secs(least) && delay <= Duration::from_secs(most), "{failures}: {delay:?}");
            assert_eq!(delay, backoff.delay(failures, "uid"));
        }
        assert_ne!(backoff.delay(1, "one"), backoff.delay(1, "other"), "objects that failed together are spread");
    }
}
