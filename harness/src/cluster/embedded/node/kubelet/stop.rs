//! How a Pod is told to stop: a signal first, and when the grace period is over, no more asking.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One Pod's stop.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    signal: CancellationToken,
    kill_at: watch::Sender<Option<Instant>>,
}

impl Stop {
    /// Nobody has said anything yet.
    pub(super) fn new() -> Self {
        Self { signal: CancellationToken::new(), kill_at: watch::Sender::new(None) }
    }

    /// Asks to stop within a while; who asks again can only shorten it.
    pub(super) fn ask(&self, grace: Duration) {
        let at = Instant::now() + grace;
        self.kill_at.send_if_modified(|kill_at| {
            let sooner = kill_at.is_none_or(|before| at < before);
            if sooner {
                *kill_at = Some(at);
            }
            sooner
        });
        self.signal.cancel();
    }

    /// Whether it was asked.
    pub(super) fn is_asked(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Waits until it is asked.
    pub(super) async fn asked(&self) {
        self.signal.cancelled().await;
    }

    /// Waits until the grace period is over.
    pub(super) async fn killed(&self) {
        let mut heard = self.kill_at.subscribe();
        loop {
            let at = *heard.borrow_and_update();
            let over = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                // The sender lives in `self`.
                _ = heard.changed() => {}
            }
        }
    }

    /// Sleeps, and says whether nobody asked meanwhile.
    pub(super) async fn sleep(&self, wait: Duration) -> bool {
        tokio::select! {
            () = self.asked() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }
}
