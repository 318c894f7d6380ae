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
        let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
        let share = self.min.saturating_mul(1 << doublings).min(self.max);
        let mut hasher = DefaultHasher::new();
        (key, failures).hash(&mut hasher);
        let spread = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        share.saturating_add((share / JITTER_DIVISOR).mul_f64(spread)).min(self.max)
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
