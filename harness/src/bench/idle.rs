//! The operator with nothing to do, beside a large cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DynamicObject;

use super::follow::{Sight, Standing, Task, follow};
use super::process::Process;
use super::theatre::{Calls, NAMESPACE, Theatre, kind};
use super::{BenchError, Listener, Memory, Phase, Progress, population};
use crate::scenario::model::Time;
use crate::sim::clock::Stopwatch;
use crate::sli::histogram::Histogram;
use crate::sli::session::Session;
use crate::target;

/// How many Pods are created at one time.
const AT_ONCE: usize = 64;

/// How long the operator may take until it has seen everything, in virtual time.
const SETTLES_WITHIN: Duration = Duration::from_mins(1);

/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A large cluster, and for how long the operator is looked at.
#[derive(Clone, Debug)]
pub struct IdleLoad {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many Pods there are.
    pub pods: usize,
    /// How much virtual time passes.
    pub quiet: Duration,
    /// The operator's program; without one, its memory is not looked at.
    pub operator: Option<PathBuf>,
    /// How long its process runs before it counts as idle, and again as long after that.
    pub settle: Duration,
    /// Where uids, names and jitter come from.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Idle {
    /// In virtual time.
    pub quiet: Rest,
    /// As a process; none where there is no program.
    pub process: Option<Resting>,
}

/// A while in which nothing was to be done.
#[derive(Debug)]
pub struct Rest {
    /// How long it was, on its clock.
    pub lasted: Duration,
    /// How long it took on the machine's.
    pub took: Duration,
    /// What the operator asked for until then.
    pub before: Vec<Calls>,
    /// What the operator asked for meanwhile.
    pub calls: Vec<Calls>,
    /// The indicators' raw material.
    pub session: Session,
}

impl Rest {
    /// How many of the requests could have changed something.
    pub fn writes(&self) -> u64 {
        let is_write = |verb: &str| !matches!(verb, "get" | "list" | "watch");
        self.calls.iter().filter(|((verb, _), _)| is_write(verb)).map(|(_, count)| count).sum()
    }
}

/// What a process did and held.
#[derive(Debug)]
pub struct Resting {
    /// While it was idle.
    pub rest: Rest,
    /// What it held at last, and at its highest.
    pub memory: Memory,
    /// How long it took to stop.
    pub stopped_within: Duration,
}

/// A while of virtual time with the operator in this process.
pub(super) async fn quiet(load: &IdleLoad, listener: Listener<'_>) -> Result<Rest, BenchError> {
    let mut theatre = build(load, Time::Virtual, listener).await?;
    theatre.start();
    let settled = theatre.perform(LOOK_EVERY, async {
        tokio::time::sleep(SETTLES_WITHIN).await;
        Ok(())
    });
    settled.await?;
    let (before, stopwatch) = (theatre.calls(), Stopwatch::start());
    let passed = theatre.perform(SETTLES_WITHIN, async {
        tokio::time::sleep(load.quiet).await;
        Ok(())
    });
    passed.await?;
    let calls = since(&before, theatre.calls());
    let outcome = theatre.outcome(Vec::new()).await;
    Ok(Rest { lasted: load.quiet, took: stopwatch.elapsed(), before, calls, session: outcome.session })
}

/// A while of real time with the operator as a process.
pub(super) async fn process(load: &IdleLoad, operator: &Path, listener: Listener<'_>) -> Result<Resting, BenchError> {
    let mut theatre = build(load, Time::Real, listener).await?;
    let mut process = Process::start(operator, theatre.cluster.as_ref(), &theatre.user()).await?;
    look(&mut process, load.settle, "settle", listener).await?;
    let (before, stopwatch) = (theatre.calls(), Stopwatch::start());
    look(&mut process, load.settle, "rest", listener).await?;
    let calls = since(&before, theatre.calls());
    let (memory, told) = (process.memory()?, process.metrics().await?);
    let stopped_within = process.stop().await?;
    theatre.told(told);
    let took = stopwatch.elapsed();
    let outcome = theatre.outcome(Vec::new()).await;
    let rest = Rest { lasted: load.settle, took, before, calls, session: outcome.session };
    Ok(Resting { rest, memory, stopped_within })
}

/// A cluster with all its Pods running, and no operator.
async fn build(load: &IdleLoad, time: Time, listener: Listener<'_>) -> Result<Theatre, BenchError> {
    let mut theatre = Theatre::build(&target::controllers(), population::nodes(load.nodes), time, load.seed).await?;
    let client = theatre.cluster.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let names: Vec<String> = (0..load.pods).map(population::name).collect();
    let api: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &kind("", "v1", "Pod", "pods"));
    let task = Task { phase: "start", names: &names, at_once: AT_ONCE, api };
    let running = |sight: Sight<'_>| match sight {
        Sight::There(pod) if pod.data["status"]["phase"] == "Running" => Standing::Done,
        Sight::There(_) | Sight::Gone => Standing::Under,
    };
    let start = follow(task, listener, |name| population::rest(&pods, name, load.nodes), running);
    theatre.perform(LOOK_EVERY, start).await?;
    Ok(theatre)
}

/// Looks at a process for a while.
async fn look(
    process: &mut Process,
    how_long: Duration,
    phase: &'static str,
    listener: Listener<'_>,
) -> Result<(), BenchError> {
    let seconds = usize::try_from(how_long.as_secs()).unwrap_or_default();
    listener(Progress::Began { phase, objects: seconds });
    let stopwatch = Stopwatch::start();
    for second in 0..seconds {
        tokio::time::sleep(LOOK_EVERY).await;
        process.memory()?;
        listener(Progress::Done(second + 1));
    }
    let took = stopwatch.elapsed();
    listener(Progress::Ended(&Phase { name: phase, objects: seconds, took, latencies: Histogram::default() }));
    Ok(())
}

/// What was asked for since.
fn since(before: &[Calls], now: Vec<Calls>) -> Vec<Calls> {
    let before: BTreeMap<_, _> = before.iter().cloned().collect();
    now.into_iter()
        .map(|(what, count)| {
            let more = count - before.get(&what).copied().unwrap_or_default();
            (what, more)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_since_counts_and_only_writes_are_writes() {
        let calls = |verb: &str, resource: &str, count| ((verb.to_owned(), resource.to_owned()), count);
        let before = [calls("list", "pods", 1), calls("patch", "pods", 2500)];
        let now = vec![calls("list", "pods", 1), calls("patch", "pods", 2501), calls("watch", "nodes", 3)];
        let rest = Rest {
            lasted: Duration::ZERO,
            took: Duration::ZERO,
            calls: since(&before, now),
            before: before.into(),
            session: Session::default(),
        };
        assert_eq!(rest.calls, [calls("patch", "pods", 1), calls("watch", "nodes", 3)]);
        assert_eq!(rest.writes(), 1);
    }
}
