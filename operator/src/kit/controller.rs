//! Runs a controller: everything around its reconcile that is the same for all of them.
//!
//! It is kube-runtime's `Controller` with the operator's own streams, and every reconcile gets a span, an id, a time-out,
//! measurement, a wait after failures that grows, and a place in the logs. A reconcile that panics has failed like any
//! other.
//!
//! Reconciles are polled by the controller's own future: dropping it ends them where they are, which is what losing the
//! lease asks for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, Stream, StreamExt};
use kube::runtime::controller::{self, Action, ReconcileRequest};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::Instrument;

use super::backoff::Backoff;
use super::error::chain;
use super::manager::Manager;
use super::queue::Queue;

/// How reconciles end, in controller-runtime's words.
const OUTCOMES: [&str; 4] = ["success", "requeue_after", "requeue", "error"];

/// An error of a reconcile.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// The step that failed, for metrics and logs. From a closed set.
    fn category(&self) -> &'static str;

    /// The object was changed while it was looked at. That is no failure: it is looked at again.
    fn is_conflict(&self) -> bool;
}

/// How a controller works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many objects are reconciled at the same time.
    pub concurrency: u16,
    /// How long a reconcile may take before it has failed.
    pub timeout: Duration,
    /// Waits between reconciles of an object that fail; after a conflict, its `min`.
    pub backoff: Backoff,
}

/// Why a reconcile did not succeed.
#[derive(Debug, thiserror::Error)]
enum Failed<E: std::error::Error + 'static> {
    #[error(transparent)]
    Reconcile(E),
    #[error("gave up after {0:?}")]
    TimedOut(Duration),
    #[error("panicked: {0}")]
    Panicked(String),
}

impl<E: Failure> Failed<E> {
    fn category(&self) -> &'static str {
        match self {
            Self::Reconcile(error) => error.category(),
            Self::TimedOut(_) => "timeout",
            Self::Panicked(_) => "panic",
        }
    }

    fn is_conflict(&self) -> bool {
        matches!(self, Self::Reconcile(error) if error.is_conflict())
    }
}

/// A controller that is being put together: what wakes it, and for whom.
pub struct Controller<K: Resource<DynamicType = ()> + Clone + 'static> {
    name: &'static str,
    manager: Manager,
    store: Store<K>,
    triggers: SelectAll<BoxStream<'static, ReconcileRequest<K>>>,
}

impl<K> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// The controller of a kind, woken by its objects. `name` is what it is called in logs and metrics.
    pub fn new(manager: &Manager, name: &'static str, api: Api<K>, config: watcher::Config) -> Self {
        let (store, writer) = reflector::store();
        let objects = reflector::reflector(writer, manager.changes(name, api, config)).applied_objects();
        let mut triggers = SelectAll::new();
        triggers.push(controller::trigger_self(only_ok(objects), ()).filter_map(no_error).boxed());
        Self { name, manager: manager.clone(), store, triggers }
    }

    /// The controller of a kind of which there are many, and most of them of no interest: a change or deletion of an
    /// object wakes those that `wakes` names. All of them are kept, so their type says what is kept of them.
    pub fn of_many<I>(
        manager: &Manager,
        name: &'static str,
        api: Api<K>,
        config: watcher::Config,
        wakes: impl Fn(&Store<K>, &K) -> I + Send + 'static,
    ) -> Self
    where
        I: IntoIterator<Item = ObjectRef<K>>,
        I::IntoIter: Send + 'static,
    {
        let (store, writer) = reflector::store();
        let objects = reflector::reflector(writer, manager.changes(name, api, config)).touched_objects();
        let reader = store.clone();
        let woken = objects.flat_map(move |object| {
            let woken = object.ok().map(|object| wakes(&reader, &object).into_iter());
            futures::stream::iter(woken.into_iter().flatten())
        });
        Self { name, manager: manager.clone(), store, triggers: SelectAll::new() }.wakes(woken)
    }

    /// Every object of the kind, as the stream of changes has it.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Woken by objects of another kind too, for those that `mapper` names. Deletions wake as well.
    #[must_use]
    pub fn watches<O, I>(
        self,
        api: Api<O>,
        config: watcher::Config,
        mapper: impl Fn(O) -> I + Send + Sync + 'static,
    ) -> Self
    where
        O: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        I: IntoIterator<Item = ObjectRef<K>> + 'static,
        I::IntoIter: Send,
    {
        let others = self.manager.changes(self.name, api, config).touched_objects();
        let woken = controller::trigger_with(only_ok(others), mapper).filter_map(no_error).boxed();
        self.wakes(woken.map(|request: ReconcileRequest<K>| request.obj_ref))
    }

    /// Woken by `stream` too, for whomever it names.
    #[must_use]
    pub fn wakes(mut self, stream: impl Stream<Item = ObjectRef<K>> + Send + 'static) -> Self {
        self.triggers.push(stream.map(ReconcileRequest::from).boxed());
        self
    }

    /// Runs until the manager says stop, and then until the reconciles that are under way have ended.
    pub async fn run<R, F, E>(self, limits: Limits, reconcile: R)
    where
        R: Fn(Arc<K>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Action, E>> + Send + 'static,
        E: Failure,
    {
        let Self { name, manager, store, triggers } = self;
        let series = &manager.metrics.controllers;
        series.concurrency.with_label_values(&[name]).set(limits.concurrency.into());
        // What has not happened yet is 0, and not missing.
        for outcome in OUTCOMES {
            series.reconciles.with_label_values(&[name, outcome]);
        }
        series.errors.with_label_values(&[name]);
        series.panics.with_label_values(&[name]);
        let queue = Queue::new(name, &manager.metrics);
        let tapped = {
            let queue = Arc::clone(&queue);
            triggers.map(move |request| {
                queue.added(&key(&request.obj_ref));
                Ok::<_, Infallible>(request)
            })
        };
        let work = Arc::new(Work {
            name,
            manager: manager.clone(),
            queue: Arc::clone(&queue),
            limits: limits.clone(),
            failures: Mutex::default(),
            attempts: AtomicU64::new(1),
        });
        tracing::info!(controller = name, concurrency = limits.concurrency, "starting controller");
        let too_early = {
            let (store, shutdown) = (store.clone(), manager.shutdown.clone());
            async move {
                shutdown.await;
                // No reconcile begins before every object is known, and once it is told to stop none will be any more.
                if store.wait_until_ready().now_or_never().is_some() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let work = controller::applier(
            move |object, work: Arc<Work>| {
                let reconcile = reconcile(Arc::clone(&object));
                work.attempt(object, reconcile).boxed()
            },
            |object, failed, work: Arc<Work>| work.failed(&*object, failed),
            work,
            store,
            tapped.take_until(manager.shutdown.clone()),
            controller::Config::default().concurrency(limits.concurrency),
        )
        .for_each(|result| {
            match result {
                // Woken for an object that has gone since, or was never there.
                Err(controller::Error::ObjectNotFound(object)) => {
                    queue.gone(&key(&object));
                    tracing::debug!(controller = name, %object, "object is gone");
                }
                Err(controller::Error::RunnerError(error)) => {
                    tracing::warn!(controller = name, error = %chain(&error), "controller cannot start");
                }
                // Told about where it happened.
                Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
                Err(controller::Error::QueueError(never)) => match never {},
            }
            std::future::ready(())
        });
        tokio::select! {
            () = work => {}
            () = too_early => {}
        }
        queue.clear();
        tracing::info!(controller = name, "stopped controller");
    }
}

/// What all reconciles of a controller share.
struct Work {
    name: &'static str,
    manager: Manager,
    queue: Arc<Queue>,
    limits: Limits,
    /// How often each object has failed in a row.
    failures: Mutex<HashMap<String, u32>>,
    /// The number of the next reconcile.
    attempts: AtomicU64,
}

impl Work {
    /// One reconcile, with everything around it.
    async fn attempt<K, F, E>(self: Arc<Self>, object: Arc<K>, reconcile: F) -> Result<Action, Failed<E>>
    where
        K: Resource<DynamicType = ()>,
        F: Future<Output = Result<Action, E>> + Send,
        E: Failure,
    {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let key = format!("{namespace}/{name}");
        let span = tracing::info_span!(
            "reconcile",
            controller = self.name,
            object.namespace = namespace,
            object.name = name,
            reconcileID = self.id(&key),
            error = tracing::field::Empty,
        );
        async {
            tracing::info!("reconcile hit");
            let result = self.measured(&key, reconcile).await;
            match &result {
                Ok(_) => self.forget(&key),
                Err(error) if error.is_conflict() => tracing::debug!("object has changed meanwhile"),
                Err(error) => {
                    tracing::Span::current().record("error", error.category());
                    tracing::warn!(category = error.category(), error = %chain(error), "reconcile failed");
                }
            }
            result
        }
        .instrument(span)
        .await
    }

    async fn measured<F, E>(&self, key: &str, reconcile: F) -> Result<Action, Failed<E>>
    where
        F: Future<Output = Result<Action, E>> + Send,
        E: Failure,
    {
        let series = &self.manager.metrics.controllers;
        self.queue.started(key);
        let busy = Busy::new(series.workers.with_label_values(&[self.name]));
        let guarded = AssertUnwindSafe(tokio::time::timeout(self.limits.timeout, reconcile)).catch_unwind();
        let result = match guarded.await {
            Ok(Ok(done)) => done.map_err(Failed::Reconcile),
            Ok(Err(_)) => Err(Failed::TimedOut(self.limits.timeout)),
            Err(panic) => Err(Failed::Panicked(panic_message(&*panic))),
        };
        drop(busy);
        let took = self.queue.finished(key);
        series.time.with_label_values(&[self.name]).observe(took.as_secs_f64());
        let outcome = match &result {
            Ok(action) if *action == Action::await_change() => "success",
            Ok(_) => "requeue_after",
            Err(error) if error.is_conflict() => "requeue",
            Err(error) => {
                series.errors.with_label_values(&[self.name]).inc();
                series.failures.with_label_values(&[self.name, error.category()]).inc();
                if matches!(error, Failed::Panicked(_)) {
                    series.panics.with_label_values(&[self.name]).inc();
                }
                "error"
            }
        };
        series.reconciles.with_label_values(&[self.name, outcome]).inc();
        result
    }

    /// When to look again after a failure.
    fn failed<K: Resource<DynamicType = ()>, E: Failure>(&self, object: &K, error: &Failed<E>) -> Action {
        self.queue.retried();
        if error.is_conflict() {
            return Action::requeue(self.limits.backoff.min);
        }
        let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        Action::requeue(self.limits.backoff.delay(*count, &key))
    }

    fn forget(&self, key: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// The same in every run of the same history, and different for every reconcile of every replica that starts at
    /// another moment.
    fn id(&self, key: &str) -> String {
        let mut hasher = DefaultHasher::new();
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        (self.name, key, number, self.manager.clock.now().as_nanosecond()).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// A worker that is busy until this is dropped.
struct Busy(prometheus::IntGauge);

impl Busy {
    fn new(workers: prometheus::IntGauge) -> Self {
        workers.inc();
        Self(workers)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

fn key<K: reflector::Lookup>(object: &ObjectRef<K>) -> String
where
    K::DynamicType: Debug + Eq + Hash + Clone,
{
    format!("{}/{}", object.namespace.as_deref().unwrap_or_default(), object.name)
}

/// What went wrong was told about by [`Manager::changes`], and the stream goes on.
fn only_ok<T: Send>(
    stream: impl Stream<Item = watcher::Result<T>> + Send,
) -> impl Stream<Item = Result<T, Infallible>> {
    stream.filter_map(|item| std::future::ready(item.ok().map(Ok)))
}

fn no_error<T>(item: Result<T, Infallible>) -> std::future::Ready<Option<T>> {
    std::future::ready(item.ok())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::reconcile_that_asks_once;
