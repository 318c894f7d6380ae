//! What is known of a controller's work queue, as `workqueue_*` series.
//!
//! The queue itself is inside kube-runtime, which says nothing about it. It is measured from outside, at its two ends:
//! where objects come in because something changed, and where a reconcile starts and ends. An object that comes in
//! again while it waits is one object, in kube-runtime as here. What cannot be known:
//!
//! - An object that comes back by a timer (a requeue, a retry) comes in inside kube-runtime. It counts as added when its
//!   reconcile starts, and how long it waited for a free worker after its timer is not measured.
//! - So the depth is that of objects that wait because of a change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::metrics::{ControllerSeries, Metrics};

/// The queue of one controller, seen from outside.
pub(super) struct Queue {
    controller: &'static str,
    series: ControllerSeries,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Waiting, since when.
    waiting: HashMap<String, Instant>,
    /// Under way, since when.
    working: HashMap<String, Instant>,
}

impl Queue {
    pub(super) fn new(controller: &'static str, metrics: &Metrics) -> Arc<Self> {
        let queue = Arc::new(Self { controller, series: metrics.controllers.clone(), state: Mutex::default() });
        // What has not happened yet is 0, and not missing.
        queue.series.adds.with_label_values(&queue.labels());
        queue.series.retries.with_label_values(&queue.labels());
        let weak = Arc::downgrade(&queue);
        metrics.before_scrape(move || {
            if let Some(queue) = weak.upgrade() {
                queue.refresh();
            }
        });
        queue
    }

    /// A change asks for a reconcile of `key`.
    pub(super) fn added(&self, key: &str) {
        let mut state = self.state();
        if !state.waiting.contains_key(key) {
            state.waiting.insert(key.to_owned(), Instant::now());
            self.series.adds.with_label_values(&self.labels()).inc();
        }
    }

    /// A reconcile of `key` starts.
    pub(super) fn started(&self, key: &str) {
        let mut state = self.state();
        match state.waiting.remove(key) {
            Some(since) => self.series.waited.with_label_values(&self.labels()).observe(since.elapsed().as_secs_f64()),
            // A timer brought it back.
            None => self.series.adds.with_label_values(&self.labels()).inc(),
        }
        state.working.insert(key.to_owned(), Instant::now());
    }

    /// The reconcile of `key` has ended. Gives how long it took.
    pub(super) fn finished(&self, key: &str) -> Duration {
        let since = self.state().working.remove(key);
        let took = since.map(|since| since.elapsed()).unwrap_or_default();
        self.series.worked.with_label_values(&self.labels()).observe(took.as_secs_f64());
        took
    }

    /// `key` comes back because it has failed.
    pub(super) fn retried(&self) {
        self.series.retries.with_label_values(&self.labels()).inc();
    }

    /// There is no object `key` any more.
    pub(super) fn gone(&self, key: &str) {
        self.state().waiting.remove(key);
    }

    /// Everything that waited waits no more: the controller has ended.
    pub(super) fn clear(&self) {
        *self.state() = State::default();
        self.refresh();
    }

    fn refresh(&self) {
        let state = self.state();
        let under_way = || state.working.values().map(|since| since.elapsed().as_secs_f64());
        let depth = i64::try_from(state.waiting.len()).unwrap_or(i64::MAX);
        self.series.depth.with_label_values(&self.labels()).set(depth);
        self.series.unfinished.with_label_values(&self.labels()).set(under_way().sum());
        self.series.longest.with_label_values(&self.labels()).set(under_way().fold(0.0, f64::max));
    }

    fn labels(&self) -> [&'static str; 2] {
        [self.controller, self.controller]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_measured_at_both_its_ends() {
        let metrics = Metrics::new();
        let queue = Queue::new("hello", &metrics);
        let value = |name: &str| {
            let text = metrics.text().unwrap();
            let series = format!("{name}{{controller=\"hello\",name=\"hello\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&series).map(str::to_owned));
            line.map(|value| value.parse::<f64>().unwrap())
        };
        assert_eq!((value("workqueue_adds_total"), value("workqueue_retries_total")), (Some(0.0), Some(0.0)));
        queue.added("ns/a");
        queue.added("ns/a");
        queue.added("ns/b");
        queue.added("ns/c");
        assert_eq!((value("workqueue_depth"), value("workqueue_adds_total")), (Some(3.0), Some(3.0)));
        tokio::time::advance(Duration::from_secs(2)).await;
        queue.started("ns/a");
        queue.gone("ns/c");
        tokio::time::advance(Duration::from_secs(3)).await;
        queue.started("ns/b");
        assert_eq!(value("workqueue_depth"), Some(0.0));
        assert_eq!(value("workqueue_queue_duration_seconds_sum"), Some(7.0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(value("workqueue_unfinished_work_seconds"), Some(5.0));
        assert_eq!(value("workqueue_longest_running_processor_seconds"), Some(4.0));
        assert_eq!(queue.finished("ns/a"), Duration::from_secs(4));
        queue.retried();
        queue.started("ns/a");
        assert_eq!(value("workqueue_adds_total"), Some(4.0), "a timer brought it back");
        assert_eq!(value("workqueue_retries_total"), Some(1.0));
        assert_eq!(value("workqueue_work_duration_seconds_count"), Some(1.0));
    }
}
