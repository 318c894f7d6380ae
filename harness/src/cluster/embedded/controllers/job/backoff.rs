//! How long a Job waits before it replaces a failed Pod. Pure.

use std::time::Duration;

use jiff::Timestamp;

/// The wait after the first failure.
const BASE: Duration = Duration::from_secs(10);

/// The longest wait.
const MAX: Duration = Duration::from_mins(10);

/// What a Job remembers of its failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    /// Failures since the last success.
    failures: u32,
    /// When the last of them was.
    last: Option<Timestamp>,
}

impl Backoff {
    /// Takes in Pods that have ended: when each did, and whether it succeeded.
    pub(super) fn after(mut self, mut ended: Vec<(Timestamp, bool)>) -> Self {
        ended.sort_unstable();
        for (at, succeeded) in ended {
            if succeeded {
                self = Self::default();
            } else {
                self.failures += 1;
                self.last = Some(at);
            }
        }
        self
    }

    /// How much of the wait is left: 10 s after the first failure, twice as long after each further one.
    pub(super) fn remaining(&self, now: Timestamp) -> Duration {
        let Some(last) = self.last.filter(|_| self.failures > 0) else { return Duration::ZERO };
        let doublings = (self.failures - 1).min(16);
        let wait = BASE.saturating_mul(1 << doublings).min(MAX);
        let passed = Duration::try_from(now.duration_since(last)).unwrap_or(Duration::ZERO);
        wait.saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_failing_job_waits_ten_seconds_and_twice_as_long_each_time_up_to_ten_minutes() {
        for (failures, seconds) in [(0, 0), (1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (60, 600)] {
            let ended = (0..failures).map(|_| (at(100), false)).collect();
            assert_eq!(Backoff::default().after(ended).remaining(at(100)).as_secs(), seconds, "{failures} failures");
        }
    }

    #[test]
    fn the_wait_counts_from_when_the_pod_ended_and_a_success_ends_it() {
        let once = Backoff::default().after(vec![(at(100), false)]);
        assert_eq!(once.remaining(at(107)).as_secs(), 3);
        assert_eq!(once.remaining(at(111)).as_secs(), 0);
        let success_between = Backoff::default().after(vec![(at(3), false), (at(1), false), (at(2), true)]);
        assert_eq!(success_between, Backoff { failures: 1, last: Some(at(3)) });
    }
}
