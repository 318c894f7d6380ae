//! A work queue: each key waits once, at once or at a time, and failures wait longer each time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The first wait after a failure, as client-go's rate limiter has it.
const BACKOFF_BASE: Duration = Duration::from_millis(5);

/// The longest wait after failures: short enough that a test sees the next try.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A queue of keys; clones are the same queue.
#[derive(Debug)]
pub(in crate::cluster::embedded) struct Queue<T>(Arc<Shared<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Waiting<T> {
    ready: VecDeque<T>,
    queued: BTreeSet<T>,
    later: BTreeSet<(Instant, T)>,
    failures: HashMap<T, u32>,
}

impl<T: Clone + Ord + Hash> Queue<T> {
    /// An empty queue.
    pub(in crate::cluster::embedded) fn new() -> Self {
        let waiting = Waiting {
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            later: BTreeSet::new(),
            failures: HashMap::new(),
        };
        Self(Arc::new(Shared { waiting: Mutex::new(waiting), arrived: Notify::new() }))
    }

    /// Adds a key, unless it waits already.
    pub(in crate::cluster::embedded) fn add(&self, key: T) {
        self.lock().push(key);
        self.0.arrived.notify_one();
    }

    /// Adds a key after a while.
    pub(in crate::cluster::embedded) fn add_after(&self, key: T, wait: Duration) {
        if wait.is_zero() {
            return self.add(key);
        }
        self.lock().later.insert((Instant::now() + wait, key));
        self.0.arrived.notify_one();
    }

    /// Adds a key whose work failed: later each time.
    pub(in crate::cluster::embedded) fn retry(&self, key: T) {
        let wait = {
            let mut waiting = self.lock();
            let failures = waiting.failures.entry(key.clone()).or_insert(0);
            let wait = BACKOFF_BASE.saturating_mul(1 << (*failures).min(16)).min(BACKOFF_MAX);
            *failures += 1;
            wait
        };
        self.add_after(key, wait);
    }

    /// The work on a key went well: its next failure waits briefly again.
    pub(in crate::cluster::embedded) fn forget(&self, key: &T) {
        self.lock().failures.remove(key);
    }

    /// Waits for the next key.
    pub(in crate::cluster::embedded) async fn next(&self) -> T {
        loop {
            let arrived = self.0.arrived.notified();
            let due = {
                let mut waiting = self.lock();
                waiting.move_due(Instant::now());
                if let Some(key) = waiting.ready.pop_front() {
                    waiting.queued.remove(&key);
                    return key;
                }
                waiting.later.first().map(|(due, _)| *due)
            };
            match due {
                Some(due) => tokio::select! {
                    () = arrived => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                None => arrived.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Ord> Waiting<T> {
    fn push(&mut self, key: T) {
        if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn move_due(&mut self, now: Instant) {
        while self.later.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.later.pop_first() else { break };
            self.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_added_often_is_worked_on_once() {
        let queue = Queue::new();
        for key in ["a", "b", "a"] {
            queue.add(key);
        }
        assert_eq!((queue.next().await, queue.next().await), ("a", "b"));
        let nothing = tokio::time::timeout(Duration::from_secs(1), queue.next()).await;
        assert!(nothing.is_err(), "the second `a` was the same work: {nothing:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn failed_work_comes_back_later_each_time_until_it_succeeds() {
        let queue = Queue::new();
        let mut waits = Vec::new();
        for _ in 0..3 {
            let before = Instant::now();
            queue.retry("a");
            queue.next().await;
            waits.push((Instant::now() - before).as_millis());
        }
        assert_eq!(waits, [5, 10, 20]);
        queue.forget(&"a");
        let before = Instant::now();
        queue.retry("a");
        queue.next().await;
        assert_eq!((Instant::now() - before).as_millis(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_first_comes_first_and_new_work_does_not_wait_for_it() {
        let queue = Queue::new();
        queue.add_after("later", Duration::from_secs(20));
        queue.add_after("sooner", Duration::from_secs(10));
        let adder = queue.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            adder.add("now");
        });
        let began = Instant::now();
        let mut order = Vec::new();
        for _ in 0..3 {
            let key = queue.next().await;
            order.push((key, (Instant::now() - began).as_secs()));
        }
        assert_eq!(order, [("now", 1), ("sooner", 10), ("later", 20)]);
    }
}
