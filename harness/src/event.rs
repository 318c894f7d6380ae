//! What happened in a run, as one closed enum: everything that reports read. Times are on the scenario's clock unless
//! they say `wall`.

use std::time::Duration;

use serde_json::Value;

use crate::scenario::diagnostic::Place;

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// A scenario began.
    ScenarioStarted {
        /// Which.
        scenario: usize,
    },
    /// A step began.
    StepStarted {
        /// Of which scenario.
        scenario: usize,
        /// Which step.
        step: usize,
        /// When.
        at: Duration,
    },
    /// A step ended.
    StepFinished {
        /// Of which scenario.
        scenario: usize,
        /// What came of it.
        record: StepRecord,
    },
    /// A scenario ended.
    ScenarioFinished {
        /// Which.
        scenario: usize,
        /// How.
        outcome: Outcome,
        /// How long it took on its clock.
        took: Duration,
    },
}

/// What came of a step.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// Which step.
    pub step: usize,
    /// What it is called.
    pub title: String,
    /// When it began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Whether it did what it was to do.
    pub passed: bool,
    /// What it has to say.
    pub output: Option<Output>,
}

/// What a step has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// For people: a script's output, or what became of requests.
    pub text: String,
    /// For programs: what the step has counted, by name.
    pub counters: Option<Value>,
}

/// How a scenario ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every step did what it was to do.
    Passed,
    /// One did not.
    Failed(Box<Failure>),
    /// It was cut short by a signal.
    Interrupted,
    /// It cannot run on this cluster, for this reason.
    Skipped(String),
    /// It was never begun: another one failed and the run was to stop, or a signal came first.
    NotRun,
}

/// Why a scenario failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In one sentence.
    pub message: String,
    /// The step's title.
    pub step: Option<String>,
    /// Where the step stands.
    pub place: Option<Place>,
    /// What helps to find the cause, in the order it is worth reading.
    pub sections: Vec<Section>,
}

/// A part of a failure's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub title: String,
    /// Its lines.
    pub lines: Vec<String>,
}

impl Section {
    /// A section; none where it would be empty.
    pub fn new(title: impl Into<String>, lines: Vec<String>) -> Option<Self> {
        (!lines.is_empty()).then(|| Self { title: title.into(), lines })
    }
}

impl Failure {
    /// A failure that is not a step's.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), step: None, place: None, sections: Vec::new() }
    }
}

impl Outcome {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Interrupted => "interrupted",
            Self::Skipped(_) => "skipped",
            Self::NotRun => "not run",
        }
    }
}
