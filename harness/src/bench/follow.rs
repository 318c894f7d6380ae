//! One phase: something is done to every object, and each is waited for on a watch.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{BenchError, Listener, PATIENCE, Phase, Progress};
use crate::sim::clock::Stopwatch;
use crate::sli::histogram::Histogram;

/// How an object stands, seen from a phase.
pub(super) enum Standing {
    /// Not there yet.
    Under,
    /// Done.
    Done,
    /// It will never be.
    Failed(Value),
}

/// What an object shows on a watch.
pub(super) enum Sight<'a> {
    /// It is like this.
    There(&'a DynamicObject),
    /// It is gone.
    Gone,
}

/// What a phase is made of.
pub(super) struct Task<'a> {
    /// What it is called.
    pub(super) phase: &'static str,
    /// The objects' names.
    pub(super) names: &'a [String],
    /// How many are asked for at one time.
    pub(super) at_once: usize,
    /// Where they are watched.
    pub(super) api: Api<DynamicObject>,
}

/// Does `act` to every object and waits until each has the standing that `judge` sees as done.
pub(super) async fn follow<A>(
    task: Task<'_>,
    listener: Listener<'_>,
    act: impl Fn(String) -> A,
    judge: impl Fn(Sight<'_>) -> Standing,
) -> Result<Phase, BenchError>
where
    A: Future<Output = Result<(), BenchError>>,
{
    listener(Progress::Began { phase: task.phase, objects: task.names.len() });
    let stopwatch = Stopwatch::start();
    let begun: Mutex<HashMap<String, Instant>> = Mutex::default();
    let begin = |name: &str| {
        begun.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Instant::now());
    };
    let mut events = pin!(watcher(task.api.clone(), watcher::Config::default()).default_backoff());
    // What is there before anything is asked for says nothing about it.
    while let Some(event) = events.next().await {
        if matches!(event, Ok(Event::InitDone)) {
            break;
        }
    }
    let asking = stream::iter(task.names.iter().cloned())
        .map(|name| {
            begin(&name);
            act(name)
        })
        .buffer_unordered(task.at_once.max(1))
        .try_collect::<Vec<()>>();
    let waiting = async {
        let mut latencies = Histogram::default();
        let mut left: std::collections::HashSet<&str> = task.names.iter().map(String::as_str).collect();
        while !left.is_empty() {
            let Ok(event) = timeout(PATIENCE, events.next()).await else {
                let example = left.iter().min().copied().unwrap_or_default().to_owned();
                return Err(BenchError::Stuck {
                    phase: task.phase,
                    left: left.len(),
                    objects: task.names.len(),
                    example,
                });
            };
            let (object, standing) = match event.ok_or(BenchError::Watch { phase: task.phase })? {
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    let standing = judge(Sight::There(&object));
                    (object, standing)
                }
                Ok(Event::Delete(object)) => (object, judge(Sight::Gone)),
                // The watch begins again by itself.
                Ok(Event::Init | Event::InitDone) | Err(_) => continue,
            };
            let name = object.name_any();
            let Some(since) = begun.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied() else {
                continue;
            };
            match standing {
                Standing::Under => {}
                Standing::Failed(state) => return Err(BenchError::Failed { phase: task.phase, name, state }),
                Standing::Done => {
                    if left.remove(name.as_str()) {
                        latencies.record(since.elapsed());
                        listener(Progress::Done(task.names.len() - left.len()));
                    }
                }
            }
        }
        Ok(latencies)
    };
    let (_, latencies) = tokio::try_join!(asking, waiting)?;
    let phase = Phase { name: task.phase, objects: task.names.len(), took: stopwatch.elapsed(), latencies };
    listener(Progress::Ended(&phase));
    Ok(phase)
}
