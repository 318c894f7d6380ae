//! The server's only source of time.
//!
//! It follows tokio's clock, so pausing that clock puts the whole server into virtual time.

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

    /// The time it is, as Kubernetes writes it: RFC 3339 in whole seconds.
    pub fn now_text(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}
