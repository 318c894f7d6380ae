//! Scale runs: the operator beside more objects than a scenario has, and what it takes of time, requests and memory.
//!
//! A run has phases; in each something is asked for of every object, and every object is waited for. Two clocks look on:
//! a phase's own, from the request to the watch that shows the result, as a user has it, and that of the indicators
//! ([`crate::sli`]), on the server's side. On the machine's clock both say how fast it is. On a virtual one nothing takes
//! time but what waits for it, and what is left is exact: how many requests, and how long somebody was made to wait.

mod drain;
mod follow;
mod idle;
mod memory;
mod multinic;
mod population;
mod process;
mod theatre;

use std::time::Duration;

use serde_json::Value;

pub use self::drain::Mechanisms;
pub use self::idle::{Idle, IdleLoad, Rest, Resting};
pub use self::memory::Memory;
pub use self::theatre::Calls;
use crate::scenario::model::Time;
use crate::sli::histogram::Histogram;
use crate::sli::session::Session;

/// How long a phase may go on without a single object that is done.
const PATIENCE: Duration = Duration::from_mins(10);

/// What is put on the cluster, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many objects the operator has to look after.
    pub objects: usize,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many requests of the run's own are under way at one time.
    pub at_once: usize,
    /// The clock.
    pub time: Time,
    /// Where uids, names and jitter come from.
    pub seed: u64,
}

/// What a run tells while it is under way.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A phase began, with this many objects to wait for.
    Began {
        /// What it is called.
        phase: &'static str,
        /// How many objects there are.
        objects: usize,
    },
    /// Of the phase under way this many objects are done.
    Done(usize),
    /// The phase ended.
    Ended(&'a Phase),
}

/// Hears what a run tells.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// A phase that has ended.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What it is called.
    pub name: &'static str,
    /// How many objects there were.
    pub objects: usize,
    /// How long it took on the machine's clock.
    pub took: Duration,
    /// Per object: from the request to the watch that shows the result, on the run's clock.
    pub latencies: Histogram,
}

impl Phase {
    /// Objects a second of the machine's clock.
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2⁵³ objects")]
    pub fn throughput(&self) -> f64 {
        self.objects as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The phases, in their order.
    pub phases: Vec<Phase>,
    /// The indicators' raw material.
    pub session: Session,
    /// What this process held: operator, cluster and run together.
    pub memory: Memory,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No runtime could be made.
    #[error("cannot make a runtime")]
    Runtime(#[source] std::io::Error),
    /// The cluster, or what belongs on it, is not there.
    #[error("cannot prepare the cluster")]
    Stage(#[from] crate::target::RaiseError),
    /// The API server refused what the run itself asked for.
    #[error("the API server refused to {what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object ended in a state from which it does not come back.
    #[error("{phase}: {name} failed: {state}")]
    Failed {
        /// In which phase.
        phase: &'static str,
        /// The object.
        name: String,
        /// How it is.
        state: Value,
    },
    /// Nothing has come for a long time.
    #[error(
        "{phase}: {left} of {objects} objects are not done, {example} among them, and none was within {PATIENCE:?}"
    )]
    Stuck {
        /// In which phase.
        phase: &'static str,
        /// How many are left.
        left: usize,
        /// Of how many.
        objects: usize,
        /// One that is left.
        example: String,
    },
    /// The watch broke.
    #[error("{phase}: the watch ended")]
    Watch {
        /// In which phase.
        phase: &'static str,
    },
    /// The operator is gone.
    #[error("{0}")]
    Operator(String),
    /// The operator's process could not be started, or looked at.
    #[error("cannot {what}")]
    Process {
        /// What was tried.
        what: String,
        /// Why it did not work.
        #[source]
        source: std::io::Error,
    },
    /// What the operator tells cannot be had.
    #[error("cannot read the operator's metrics: {0}")]
    Metrics(String),
}

/// Configures, changes and cleans up interfaces on as many nodes as there are objects.
///
/// # Errors
/// See [`BenchError`].
pub fn multinic(load: Load, listener: Listener<'_>) -> Result<Outcome, BenchError> {
    on(load.time, multinic::run(load, listener))
}

/// Evicts as many Pods as there are objects, all of them at once, as the autoscaler does.
///
/// # Errors
/// See [`BenchError`].
pub fn drain(load: Load, mechanisms: Mechanisms, listener: Listener<'_>) -> Result<Outcome, BenchError> {
    on(load.time, drain::run(load, mechanisms, listener))
}

/// Lets the operator do nothing beside a large cluster: in this process for a while of virtual time, and as a process of
/// its own, whose memory is nothing but its own.
///
/// # Errors
/// See [`BenchError`].
pub fn idle(load: &IdleLoad, listener: Listener<'_>) -> Result<Idle, BenchError> {
    let quiet = on(Time::Virtual, idle::quiet(load, listener))?;
    let process = match &load.operator {
        Some(operator) => Some(on(Time::Real, idle::process(load, operator, listener))?),
        None => None,
    };
    Ok(Idle { quiet, process })
}

/// The operator's requests by verb and resource, the most frequent first.
pub fn calls(session: &Session) -> Vec<Calls> {
    theatre::calls(&session.seen.counts)
}

/// How long the programs of a cluster's nodes may take to be dropped; they need a moment for each thousand.
const FAREWELL: Duration = Duration::from_mins(1);

/// For `map_err`: what the API server refused.
fn refused(what: &str, name: &str) -> impl FnOnce(kube::Error) -> BenchError + use<> {
    let what = format!("{what} {name}");
    move |error| BenchError::Refused { what, source: Box::new(error) }
}

/// Runs on a runtime of its own: a virtual clock needs a single thread, the machine's is for every core.
fn on<T>(time: Time, run: impl Future<Output = Result<T, BenchError>>) -> Result<T, BenchError> {
    let mut builder = match time {
        Time::Virtual => tokio::runtime::Builder::new_current_thread(),
        Time::Real => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().start_paused(time == Time::Virtual).build().map_err(BenchError::Runtime)?;
    let done = runtime.block_on(run);
    // What runs in the cluster is dropped before this process ends, and its directories with it.
    runtime.shutdown_timeout(FAREWELL);
    done
}

#[cfg(test)]
mod tests;
