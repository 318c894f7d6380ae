//! The gate: may a release pass, given what was measured, what is asked, and what it was before?
//!
//! A function of (summary, policy, baseline) → verdict. It agrees with slint-gate 1.7.1 on every input: grade, reasons,
//! checks, their order, and numbers as text. What goes beyond that tool ([`extension`], [`superset`], [`noise`]) is asked
//! for by name, in policies of another schema. It touches no file and knows nothing of scenarios or clusters; a measurement
//! that cannot be trusted is never a pass.

pub mod checks;
pub mod combine;
pub mod difference;
pub mod explain;
pub mod extension;
pub mod json;
pub mod markdown;
pub mod measurement;
pub mod merge;
pub mod noise;
pub mod number;
pub mod policy;
pub mod recommend;
pub mod report;
pub mod sarif;
pub mod superset;
pub mod verdict;
pub mod yaml;

use jiff::Timestamp;

use self::checks::{Finding, Values, Weight};
use self::extension::Extension;
use self::measurement::{Measurement, MeasurementError};
use self::policy::{Policy, Reading};
use self::superset::Chance;
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
    /// The run that the measurement must be of, where one was named.
    pub run_id: Option<String>,
}

/// Judges a case. Policies that resample draw from `chance`, by the name of each indicator.
pub fn judge(case: Case, now: Timestamp, chance: &Chance<'_>) -> Verdict {
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
    let sides = Sides { measurement: &measurement, baseline: baseline.as_ref(), run_id: case.run_id.as_deref(), now };
    grade(&mut verdict, &policy, &sides, chance);
    verdict
}

/// What is held against the policy.
struct Sides<'a> {
    measurement: &'a Measurement,
    baseline: Option<&'a Measurement>,
    run_id: Option<&'a str>,
    now: Timestamp,
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
fn grade(verdict: &mut Verdict, policy: &Policy, sides: &Sides<'_>, chance: &Chance<'_>) {
    let &Sides { measurement, baseline, run_id, now } = sides;
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
        note(verdict, superset::weigh(checks::threshold(policy, rule, &values), rule.severity));
    }
    let asked = policy.extension.as_ref();
    let mut comparison = Weight::None;
    if policy.regression.enabled {
        match (verdict.baseline_status, baseline, asked) {
            (BaselineStatus::Present, Some(baseline), None) => {
                let before: Values<'_> = baseline.values();
                for rule in policy.thresholds.iter().filter(|rule| !rule.metric.is_empty()) {
                    note(verdict, checks::regression(policy, rule, &values, &before));
                }
            }
            (BaselineStatus::Present, Some(baseline), Some(asked)) => {
                for finding in superset::regressions(policy, asked, measurement, baseline, chance) {
                    note(verdict, finding);
                }
            }
            (BaselineStatus::AbsentFirstRun, ..) => {
                verdict.because(Reason::BaselineAbsentFirstRun);
                comparison = Weight::Warn;
            }
            _ => comparison = Weight::NoGrade,
        }
    }
    if asked.is_some_and(|asked| asked.baseline_required) && baseline.is_none() {
        verdict.because(Reason::BaselineRequired);
        comparison = Weight::NoGrade;
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
    let nothing = Extension::default();
    let asked = asked.unwrap_or(&nothing);
    for finding in superset::freshness(asked, measurement, now)
        .into_iter()
        .chain(superset::run_id(asked, run_id, measurement, baseline))
        .chain(baseline.map_or_else(Vec::new, |baseline| superset::required(asked, baseline)))
    {
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
