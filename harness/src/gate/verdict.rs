//! What the gate says, in the form of schema `slint.gate.v1`.

use serde::{Serialize, Serializer};

use super::extension::Severity;
use super::number;

/// The schema that is written.
pub const SCHEMA: &str = "slint.gate.v1";

/// Whether a release may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Grade {
    /// Everything is as asked.
    Pass,
    /// Nothing blocks, but somebody should look.
    Warn,
    /// Something is not as asked.
    Fail,
    /// It cannot be told.
    NoGrade,
}

impl Grade {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
            Self::NoGrade => "NO_GRADE",
        }
    }
}

/// How much could be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluation {
    /// Everything.
    Evaluated,
    /// Not everything.
    PartiallyEvaluated,
    /// Nothing.
    NotEvaluated,
}

/// How the measurement was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasurementStatus {
    /// It can be used.
    Ok,
    /// It is not there.
    Missing,
    /// It cannot be read.
    Corrupt,
    /// It is not complete enough.
    Insufficient,
    /// It is something else.
    UnsupportedSchema,
}

/// How the baseline was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BaselineStatus {
    /// It can be used.
    Present,
    /// None was named.
    AbsentFirstRun,
    /// It is not there.
    Unavailable,
    /// It cannot be read.
    Corrupt,
}

/// How the policy was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyStatus {
    /// It can be used.
    Ok,
    /// It is not there.
    Missing,
    /// It makes no sense.
    Invalid,
}

/// Why a grade is not better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// A rule does not hold.
    ThresholdMiss,
    /// A value is worse than its baseline.
    RegressionDetected,
    /// There is no baseline yet.
    BaselineAbsentFirstRun,
    /// The baseline is not there.
    BaselineUnavailable,
    /// The baseline cannot be read.
    BaselineCorrupt,
    /// The measurement, or a value that a rule asks for, is not there.
    MeasurementInputMissing,
    /// The measurement cannot be read.
    MeasurementInputCorrupt,
    /// The measurement is something else.
    MeasurementSchemaUnsupported,
    /// An indicator failed while it was measured.
    ResultStatusFail,
    /// The policy is not there.
    PolicyMissing,
    /// The policy, or a rule of it, makes no sense.
    PolicyInvalid,
    /// Less was collected than the policy asks for.
    ReliabilityInsufficient,
    /// Nothing could be collected.
    CollectionFailed,
    /// An indicator has no rule.
    CoverageGap,
    /// The measurement is older than the policy allows, or from the future.
    MeasurementStale,
    /// The measurement is of another run than it should be.
    RunMismatch,
    /// The policy asks for a baseline that is not there.
    BaselineRequired,
    /// There are too few runs to tell a change from noise.
    RunsInsufficient,
    /// The noise is too large to tell.
    RegressionInconclusive,
}

impl Reason {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThresholdMiss => "THRESHOLD_MISS",
            Self::RegressionDetected => "REGRESSION_DETECTED",
            Self::BaselineAbsentFirstRun => "BASELINE_ABSENT_FIRST_RUN",
            Self::BaselineUnavailable => "BASELINE_UNAVAILABLE",
            Self::BaselineCorrupt => "BASELINE_CORRUPT",
            Self::MeasurementInputMissing => "MEASUREMENT_INPUT_MISSING",
            Self::MeasurementInputCorrupt => "MEASUREMENT_INPUT_CORRUPT",
            Self::MeasurementSchemaUnsupported => "MEASUREMENT_SCHEMA_UNSUPPORTED",
            Self::ResultStatusFail => "RESULT_STATUS_FAIL",
            Self::PolicyMissing => "POLICY_MISSING",
            Self::PolicyInvalid => "POLICY_INVALID",
            Self::ReliabilityInsufficient => "RELIABILITY_INSUFFICIENT",
            Self::CollectionFailed => "COLLECTION_FAILED",
            Self::CoverageGap => "COVERAGE_GAP",
            Self::MeasurementStale => "MEASUREMENT_STALE",
            Self::RunMismatch => "RUN_MISMATCH",
            Self::BaselineRequired => "BASELINE_REQUIRED",
            Self::RunsInsufficient => "RUNS_INSUFFICIENT",
            Self::RegressionInconclusive => "REGRESSION_INCONCLUSIVE",
        }
    }
}

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A rule of the policy.
    Threshold,
    /// A comparison with the baseline.
    Regression,
    /// How complete the measurement is.
    Reliability,
    /// How an indicator fared while it was measured.
    ResultStatus,
    /// Whether an indicator has a rule.
    Coverage,
    /// How old the measurement is.
    Freshness,
    /// Of which run the measurement is.
    RunId,
    /// What the baseline must hold.
    Baseline,
}

impl Category {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Regression => "regression",
            Self::Reliability => "reliability",
            Self::ResultStatus => "result_status",
            Self::Coverage => "coverage",
            Self::Freshness => "freshness",
            Self::RunId => "run_id",
            Self::Baseline => "baseline",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As asked.
    Pass,
    /// Somebody should look.
    Warn,
    /// Not as asked.
    Fail,
    /// It cannot be told.
    NoGrade,
    /// Not as asked, and only told; policies of slint-gate have none.
    Info,
}

impl CheckStatus {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::NoGrade => "no_grade",
            Self::Info => "info",
        }
    }
}

/// What a check saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// Nothing.
    Nothing,
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
}

impl Observed {
    /// In a sentence or a table; empty for nothing.
    pub fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Number(value) => number::text(*value),
            Self::Word(word) => word.clone(),
        }
    }
}

impl From<Option<f64>> for Observed {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Nothing, Self::Number)
    }
}

impl Serialize for Observed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            // `null` in its place would read as a value that was never there.
            Self::Number(value) if !value.is_finite() => {
                Err(serde::ser::Error::custom(format!("{} cannot be written as JSON", number::text(*value))))
            }
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Word(word) => serializer.serialize_str(word),
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What it is called.
    pub name: String,
    /// What it is about.
    pub category: Category,
    /// How it ended.
    pub status: CheckStatus,
    /// Which indicator it is about.
    pub metric: String,
    /// What it saw.
    pub observed: Observed,
    /// What was asked for.
    pub expected: String,
    /// What came of it.
    pub message: String,
    /// How heavily the policy has it weigh, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The figures of a comparison of several runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// Several runs held against several others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// How many runs of what is judged.
    pub runs: usize,
    /// How many runs of the baseline.
    pub baseline_runs: usize,
    /// The median of the runs.
    pub median: f64,
    /// The median of the baseline's runs.
    pub baseline_median: f64,
    /// What the change is given in: `percent`, or `units` where there is no ratio.
    pub change_in: &'static str,
    /// The change.
    pub change: f64,
    /// Between which bounds it lies in 95 of 100 cases.
    pub interval: [f64; 2],
    /// How probable this is where nothing is worse than tolerated.
    pub p_value: f64,
    /// What the probability must not exceed to be called a regression.
    pub p_limit: f64,
    /// How many runs on each side would show the change that the policy wants seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_needed: Option<usize>,
}

/// The files that were judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inputs {
    /// The measurement.
    pub measurement_summary: String,
    /// The policy.
    pub policy_file: String,
    /// The baseline, where one was named.
    pub baseline_file: Option<String>,
    /// More runs of what is judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_runs: Vec<String>,
    /// More runs of the baseline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_baseline_runs: Vec<String>,
}

/// What the gate says. Fields are in the order of the schema.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Always [`SCHEMA`].
    pub schema_version: &'static str,
    /// Whether the release may pass.
    pub gate_result: Grade,
    /// How much could be evaluated.
    pub evaluation_status: Evaluation,
    /// How the measurement was found.
    pub measurement_status: MeasurementStatus,
    /// How the baseline was found.
    pub baseline_status: BaselineStatus,
    /// How the policy was found.
    pub policy_status: PolicyStatus,
    /// Why the grade is not better, each reason once.
    pub reasons: Vec<Reason>,
    /// What is to be said about the policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_warnings: Vec<String>,
    /// When it was judged: RFC 3339 in whole seconds.
    pub evaluated_at: String,
    /// The files that were judged.
    pub input_refs: Inputs,
    /// Everything that was looked at, in order.
    pub checks: Vec<Check>,
    /// The grade in a sentence.
    pub overall_message: &'static str,
}

impl Verdict {
    /// The verdict as JSON.
    ///
    /// # Errors
    /// When a comparison came to infinity, which JSON cannot hold.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        number::pretty(self)
    }

    /// Notes a reason once.
    pub(super) fn because(&mut self, reason: Reason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}
