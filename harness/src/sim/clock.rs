//! The harness's only sources of time: a scenario's clock, which follows tokio's and may therefore be virtual, and a
//! stopwatch on the machine's own, for what people and guards must know about the run itself.

use std::time::Duration;

use jiff::Timestamp;

/// When virtual time begins, in seconds since 1970: 2026-01-01T00:00:00Z. Fixed, so that a run repeats to the letter.
const VIRTUAL_EPOCH_SECONDS: i64 = 1_767_225_600;

/// The time a scenario begins at on its clock.
pub fn epoch(is_virtual: bool) -> Timestamp {
    if is_virtual { Timestamp::from_second(VIRTUAL_EPOCH_SECONDS).unwrap_or_default() } else { Timestamp::now() }
}

/// The time since a scenario began, on its clock.
#[derive(Clone, Copy, Debug)]
pub struct ScenarioClock(tokio::time::Instant);

impl ScenarioClock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// How long ago that was.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The time since it was started, on the machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts a stopwatch.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// How long ago that was.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
