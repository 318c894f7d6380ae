//! The gate: may a release pass, given what was measured, what is asked, and what it was before?
//!
//! A function of (summary, policy, baseline) → verdict. It agrees with slint-gate 1.7.1 on every input: grade, reasons,
//! checks, their order, and numbers as text. It touches no file and knows nothing of scenarios or clusters; a measurement
//! that cannot be trusted is never a pass.

pub mod checks;
pub mod explain;
pub mod json;
pub mod markdown;
pub mod measurement;
pub mod number;
pub mod policy;
pub mod verdict;
pub mod yaml;

use jiff::Timestamp;

use self::checks::{Finding, Values, Weight};
use self::measurement::{Measurement, MeasurementError};
use self::policy::{Policy, Reading};
use self::verdict::{
    BaselineStatus, CheckStatus, Evaluation, Grade, Inputs, MeasurementStatus, PolicyStatus, Reason, SCHEMA, Verdict,
};

/// A file that was looked for.
#[derive(Debug)]
pub enum Found<T> {
    /// It is there, and was read.
    Read(T),
    /// It is not there.
    Missing,
    /// It is there, and the machine would not let us read it, with its words.
    Unreadable(String),
}

impl<T> Found<T> {
    /// What is made of what was read.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Read(value) => Found::Read(make(value)),
            Self::Missing => Found::Missing,
            Self::Unreadable(why) => Found::Unreadable(why),
        }
    }
}

/// What the gate judges.
#[derive(Debug)]
pub struct Case {
    /// The names of the files.
    pub inputs: Inputs,
    /// What is asked.
    pub policy: Found<Reading>,
    /// What was measured.
    pub measurement: Found<Result<Measurement, MeasurementError>>,
    /// What it was before; none where no baseline was named.
    pub baseline: Option<Found<Result<Measurement, MeasurementError>>>,
}

/// Judges a case.
pub fn judge(case: Case, now: Timestamp) -> Verdict {
    let mut verdict = Verdict {
        schema_version: SCHEMA,
        gate_result: Grade::NoGrade,
        evaluation_status: Evaluation::NotEvaluated,
        measurement_status: MeasurementStatus::Ok,
        baseline_status: BaselineStatus::AbsentFirstRun,
        policy_status: PolicyStatus::Ok,
        reasons: Vec::new(),
        policy_warnings: Vec::new(),
        evaluated_at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        input_refs: case.inputs,
        checks: Vec::new(),
        overall_message: "Policy or measurement input unavailable; gate not evaluated.",
    };
    let policy = take_policy(&mut verdict, case.policy);
    let measurement = take_measurement(&mut verdict, case.measurement);
    let baseline = case.baseline.and_then(|baseline| take_baseline(&mut verdict, baseline));
    let (Some(policy), Some(measurement)) = (policy, measurement) else { return verdict };
    grade(&mut verdict, &policy, &measurement, baseline.as_ref());
    verdict
}

fn take_policy(verdict: &mut Verdict, found: Found<Reading>) -> Option<Policy> {
    match found {
        Found::Read((policy, warnings)) => {
            verdict.policy_warnings = warnings;
            if policy.is_err() {
                verdict.policy_status = PolicyStatus::Invalid;
                verdict.because(Reason::PolicyInvalid);
            }
            policy.ok()
        }
        Found::Missing => {
            verdict.policy_status = PolicyStatus::Missing;
            verdict.because(Reason::PolicyMissing);
            None
        }
        Found::Unreadable(why) => {
            verdict.policy_status = PolicyStatus::Invalid;
            verdict.because(Reason::PolicyInvalid);
            verdict.policy_warnings =
                vec![format!("could not read policy file {}: {why}", verdict.input_refs.policy_file)];
            None
        }
    }
}

fn take_measurement(verdict: &mut Verdict, found: Found<Result<Measurement, MeasurementError>>) -> Option<Measurement> {
    let (status, reason) = match found {
        Found::Read(Ok(measurement)) => return Some(measurement),
        Found::Missing => (MeasurementStatus::Missing, Reason::MeasurementInputMissing),
        Found::Read(Err(MeasurementError::Schema(_))) => {
            (MeasurementStatus::UnsupportedSchema, Reason::MeasurementSchemaUnsupported)
        }
        Found::Read(Err(_)) | Found::Unreadable(_) => (MeasurementStatus::Corrupt, Reason::MeasurementInputCorrupt),
    };
    verdict.measurement_status = status;
    verdict.because(reason);
    None
}

fn take_baseline(verdict: &mut Verdict, found: Found<Result<Measurement, MeasurementError>>) -> Option<Measurement> {
    match found {
        Found::Read(Ok(measurement)) => {
            verdict.baseline_status = BaselineStatus::Present;
            Some(measurement)
        }
        Found::Missing => {
            verdict.baseline_status = BaselineStatus::Unavailable;
            verdict.because(Reason::BaselineUnavailable);
            None
        }
        Found::Read(Err(_)) | Found::Unreadable(_) => {
            verdict.baseline_status = BaselineStatus::Corrupt;
            verdict.because(Reason::BaselineCorrupt);
            None
        }
    }
}

/// Holds the measurement against the policy, check by check.
fn grade(verdict: &mut Verdict, policy: &Policy, measurement: &Measurement, baseline: Option<&Measurement>) {
    let values = measurement.values();
    let mut weights = Vec::new();
    let mut note = |verdict: &mut Verdict, finding: Finding| {
        if let Some(reason) = finding.reason {
            verdict.because(reason);
        }
        weights.push(finding.weight);
        verdict.checks.push(finding.check);
    };
    for rule in &policy.thresholds {
        note(verdict, checks::threshold(policy, rule, &values));
    }
    let mut comparison = Weight::None;
    if policy.regression.enabled {
        match (verdict.baseline_status, baseline) {
            (BaselineStatus::Present, Some(baseline)) => {
                let before: Values<'_> = baseline.values();
                for rule in policy.thresholds.iter().filter(|rule| !rule.metric.is_empty()) {
                    note(verdict, checks::regression(policy, rule, &values, &before));
                }
            }
            (BaselineStatus::AbsentFirstRun, _) => {
                verdict.because(Reason::BaselineAbsentFirstRun);
                comparison = Weight::Warn;
            }
            _ => comparison = Weight::NoGrade,
        }
    }
    let reliability = checks::reliability(policy, measurement);
    if reliability.weight != Weight::None {
        verdict.measurement_status = MeasurementStatus::Insufficient;
    }
    note(verdict, reliability);
    for finding in measurement.indicators.iter().filter_map(checks::result_status) {
        note(verdict, finding);
    }
    for finding in checks::coverage(policy, measurement) {
        note(verdict, finding);
    }
    weights.push(comparison);
    let any = |weight| weights.contains(&weight);
    let open = any(Weight::NoGrade) || verdict.checks.iter().any(|check| check.status == CheckStatus::NoGrade);
    verdict.evaluation_status = if open { Evaluation::PartiallyEvaluated } else { Evaluation::Evaluated };
    (verdict.gate_result, verdict.overall_message) = if any(Weight::Fail) {
        (Grade::Fail, "Policy violation detected (threshold/regression/coverage).")
    } else if any(Weight::NoGrade) {
        (Grade::NoGrade, "Policy could not be fully evaluated.")
    } else if any(Weight::Warn) {
        (Grade::Warn, "Policy evaluated with non-blocking warnings.")
    } else {
        (Grade::Pass, "Policy checks passed.")
    };
}
