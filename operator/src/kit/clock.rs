//! The operator's only source of time.
//!
//! It follows tokio's clock, so pausing that clock puts every controller into virtual time.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A clock that starts at a given wall time and advances with tokio's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that shows `epoch` now.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { epoch, started: Instant::now() }
    }

    /// A clock that shows the machine's time now.
    pub fn system() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// The time it is.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.epoch.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_the_paused_clock_of_the_runtime() {
        let epoch: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let clock = Clock::starting_at(epoch);
        assert_eq!(clock.now(), epoch);
        tokio::time::advance(std::time::Duration::from_hours(1)).await;
        assert_eq!(clock.now().to_string(), "2026-01-02T04:04:05Z");
    }
}
