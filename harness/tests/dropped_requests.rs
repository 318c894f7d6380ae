//! What the eviction gate is for, as a number: how many requests users lose while an autoscaler evicts the Pods that
//! answer them. The scenario says how; here its counters are compared and printed.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking, and tells its figures")]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use slipway::event::{Event, Outcome};
use slipway::runner::report::terminal::explain;
use slipway::runner::report::{Record, Report};
use slipway::runner::{self, Options};
use slipway::scenario::load::load;
use slipway::scenario::model::Time;
use slipway::sim::seed::RunSeed;
use slipway::target::{BuiltIn, Stage};
use tokio_util::sync::CancellationToken;

/// Requests that nobody answered: without the controller, with the finalizer alone, with the eviction gate.
#[derive(Debug, PartialEq, Eq)]
struct Dropped {
    without: u64,
    finalizer: u64,
    gate: u64,
}

/// Runs the scenario, prints what became of the requests, and counts those that were dropped.
fn measure(time: Time) -> Dropped {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/drain/dropped-requests.yaml");
    let suite = load(&[file], &slipway::cli::commands::vocabulary()).expect("a scenario");
    let options = Options {
        jobs: NonZeroUsize::MIN,
        fail_fast: false,
        seed: RunSeed(0),
        time: Some(time),
        wall_clock_limit: Duration::from_mins(2),
        interrupt: CancellationToken::new(),
        outside: Arc::default(),
        specs: Arc::default(),
        endpoint: None,
        witness: false,
    };
    let stage: Arc<dyn Stage> = Arc::new(BuiltIn);
    let summary = runner::run(suite.plans, &stage, &options, &mut Silent);
    let record = summary.records.first().expect("the scenario ran");
    if let Some(Outcome::Failed(failure)) = &record.outcome {
        println!("{}", explain(failure, false).join("\n"));
    }
    let outputs = record.steps.iter().filter_map(|step| Some((&step.title, step.output.as_ref()?)));
    let counted = outputs.filter_map(|(title, output)| Some((title, &output.text, output.counters.as_ref()?)));
    let dropped: Vec<u64> = counted
        .map(|(title, text, counters)| {
            println!("{title}, in {time:?} time: {text}");
            counters["dropped"].as_u64().expect("a counter")
        })
        .collect();
    assert!(matches!(record.outcome, Some(Outcome::Passed)), "the scenario did not pass: {:?}", record.outcome);
    let [without, finalizer, gate] = dropped.try_into().expect("three ways to be evicted");
    Dropped { without, finalizer, gate }
}

#[test]
fn on_sockets_the_eviction_gate_saves_users_at_least_four_of_five_requests() {
    let Dropped { without, finalizer: _, gate } = measure(Time::Real);
    assert!(without > 0, "there is nothing to save");
    assert!(gate * 5 <= without, "{gate} requests were dropped with the gate, {without} without");
}

#[test]
fn in_virtual_time_the_eviction_gate_saves_every_request_and_the_finalizer_none() {
    let Dropped { without, finalizer, gate } = measure(Time::Virtual);
    assert!(without > 0 && finalizer > 0, "{without} and {finalizer} were dropped");
    assert_eq!(gate, 0);
}

/// The test harness reports.
struct Silent;

impl Report for Silent {
    fn tell(&mut self, _: &Event, _: &[Record]) {}
}
