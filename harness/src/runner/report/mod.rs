//! What a run is told as. Reports read events and records, and nothing else.

pub mod indicators;
pub mod json;
pub mod junit;
pub mod terminal;

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, Outcome, StepRecord};
use crate::parity::Witness;
use crate::scenario::plan::Plan;
use crate::sim::seed::RunSeed;
use crate::sli::session::Session;

/// Hears of everything that happens in a run, while it happens.
pub trait Report {
    /// Something happened; the records are those of all scenarios, up to and with this event.
    fn tell(&mut self, event: &Event, records: &[Record]);
}

/// What became of one scenario.
#[derive(Debug)]
pub struct Record {
    /// The scenario.
    pub plan: Arc<Plan>,
    /// The seed it ran with.
    pub seed: u64,
    /// Its steps, as far as it came.
    pub steps: Vec<StepRecord>,
    /// How it ended; none while it runs.
    pub outcome: Option<Outcome>,
    /// How long it took on its clock.
    pub took: Duration,
    /// How long it took on the machine's clock.
    pub wall: Duration,
    /// What was measured; none where it did not begin.
    pub session: Option<Session>,
    /// What it left; none where nobody looked.
    pub witness: Option<Witness>,
}

impl Record {
    /// A scenario that has not run.
    pub fn new(plan: Arc<Plan>, seed: u64) -> Self {
        Self {
            plan,
            seed,
            steps: Vec::new(),
            outcome: None,
            took: Duration::ZERO,
            wall: Duration::ZERO,
            session: None,
            witness: None,
        }
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Summary {
    /// The seed.
    pub seed: RunSeed,
    /// Whether it was cut short.
    pub interrupted: bool,
    /// How long it took on the machine's clock.
    pub took: Duration,
    /// Every scenario.
    pub records: Vec<Record>,
}

/// How many scenarios ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Cut short.
    pub interrupted: usize,
    /// Not for this cluster.
    pub skipped: usize,
    /// Never begun.
    pub not_run: usize,
}

impl Summary {
    /// Counts the scenarios by how they ended.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for record in &self.records {
            match record.outcome {
                Some(Outcome::Passed) => tally.passed += 1,
                Some(Outcome::Failed(_)) => tally.failed += 1,
                Some(Outcome::Interrupted) => tally.interrupted += 1,
                Some(Outcome::Skipped(_)) => tally.skipped += 1,
                Some(Outcome::NotRun) | None => tally.not_run += 1,
            }
        }
        tally
    }

    /// Whether every scenario passed, but for those that the cluster is not for.
    pub fn is_good(&self) -> bool {
        let tally = self.tally();
        !self.interrupted && tally.passed + tally.skipped == self.records.len()
    }
}
