//! The fence around writes: only the leader writes, and only as long as it knows that it leads.
//!
//! Whoever keeps the lease moves the moment up to which writes may begin. Nothing has to notice that the moment has
//! passed: a write asks, and is refused. So a replica that is slow, suspended or cut off stops writing by itself.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Whether writes may begin. Clones are the same fence.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Open,
    OpenUntil(Instant),
    Closed,
}

/// This replica does not lead, or does not know that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead, so it does not write")]
pub struct NotLeading;

impl Fence {
    /// A fence that is open for good: there is only one replica.
    pub fn open() -> Self {
        Self(Arc::new(Mutex::new(State::Open)))
    }

    /// A fence that is closed.
    pub fn closed() -> Self {
        Self(Arc::new(Mutex::new(State::Closed)))
    }

    /// Lets writes begin until `until`.
    pub fn open_until(&self, until: Instant) {
        self.set(State::OpenUntil(until));
    }

    /// Lets no write begin any more.
    pub fn close(&self) {
        self.set(State::Closed);
    }

    /// Whether a write may begin now.
    ///
    /// # Errors
    /// [`NotLeading`] when it may not.
    pub fn check(&self) -> Result<(), NotLeading> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Open => Ok(()),
            State::OpenUntil(until) if Instant::now() < until => Ok(()),
            State::OpenUntil(_) | State::Closed => Err(NotLeading),
        }
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_hears_nothing_stops_writing_by_itself() {
        let fence = Fence::closed();
        assert_eq!(fence.check(), Err(NotLeading));
        fence.open_until(Instant::now() + Duration::from_secs(10));
        assert_eq!(fence.check(), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(fence.check(), Err(NotLeading));
        fence.open_until(Instant::now() + Duration::from_secs(10));
        fence.close();
        assert_eq!(fence.check(), Err(NotLeading));
        assert_eq!(Fence::open().check(), Ok(()));
    }
}
