//! A verdict in plain language: what is wrong, by how much, against what, and what to do about it.

use super::checks::Direction;
use super::json::JsonError;
use super::measurement::MeasurementError;
use super::policy::{Policy, PolicyError};
use super::verdict::{
    BaselineStatus, Category, Check, CheckStatus, Grade, MeasurementStatus, Observed, Reason, Verdict,
};
use super::{Case, Found};
use crate::sli::amount;

/// What went wrong with the files, kept from a [`Case`] before it is judged.
#[derive(Debug, Default)]
pub struct Troubles {
    policy: Option<String>,
    measurement: Option<String>,
    /// What to do about it.
    remedy: &'static str,
    /// Why collecting failed, as the measurement says.
    blocked: String,
    baseline: Option<String>,
    /// Which way the indicators of the policy's rules get better.
    directions: Vec<(String, Direction)>,
    /// What the indicators count.
    units: Vec<(String, String)>,
    /// Where the rules stand in the policy, by name and by indicator.
    lines: Vec<(String, String, usize)>,
}

impl Troubles {
    /// What is wrong with the files of a case.
    pub fn of(case: &Case) -> Self {
        let measurement = |found: &Found<Result<_, MeasurementError>>| match found {
            Found::Read(Err(error)) => Some(chain(error)),
            Found::Unreadable(why) => Some(why.clone()),
            Found::Read(Ok(_)) | Found::Missing => None,
        };
        let remedy = match &case.measurement {
            Found::Read(Err(error)) => remedy(error),
            _ => "let the tests write it anew, where it can be read",
        };
        let policy = match &case.policy {
            Found::Read((Err(error), _)) => Some(match error {
                PolicyError::Yaml(error) => format!("{}: {error}", case.inputs.policy_file),
                other => other.to_string(),
            }),
            Found::Unreadable(why) => Some(why.clone()),
            Found::Read((Ok(_), _)) | Found::Missing => None,
        };
        let directions = match &case.policy {
            Found::Read((Ok(Policy { thresholds, .. }), _)) => {
                thresholds.iter().map(|rule| (rule.metric.clone(), rule.direction())).collect()
            }
            _ => Vec::new(),
        };
        let lines = match &case.policy {
            Found::Read((Ok(Policy { thresholds, .. }), _)) => {
                thresholds.iter().map(|rule| (rule.name.clone(), rule.metric.clone(), rule.line.0)).collect()
            }
            _ => Vec::new(),
        };
        let units = match &case.measurement {
            Found::Read(Ok(measured)) => {
                measured.indicators.iter().map(|one| (one.id.clone(), one.unit.clone())).collect()
            }
            _ => Vec::new(),
        };
        let blocked = match &case.measurement {
            Found::Read(Ok(measured)) => measured.blocked_reason.clone(),
            _ => String::new(),
        };
        Self {
            policy,
            units,
            remedy,
            blocked,
            measurement: measurement(&case.measurement),
            baseline: case.baseline.as_ref().and_then(measurement),
            directions,
            lines,
        }
    }

    /// The line of the policy that a check is about.
    pub(super) fn line(&self, check: &Check) -> Option<usize> {
        let by_name = |(name, metric, _): &&(String, String, usize)| *name == check.name && *metric == check.metric;
        let by_metric = |(_, metric, _): &&(String, String, usize)| !metric.is_empty() && *metric == check.metric;
        let found = self.lines.iter().find(by_name).or_else(|| self.lines.iter().find(by_metric));
        found.map(|(.., line)| *line).filter(|line| *line > 0)
    }

    /// What an indicator counts; nothing where that is not said.
    pub(super) fn unit(&self, metric: &str) -> &str {
        self.units.iter().find(|(id, _)| id == metric).map_or("", |(_, unit)| unit)
    }

    fn direction(&self, metric: &str) -> Direction {
        self.directions.iter().find(|(id, _)| id == metric).map_or(Direction::Neither, |(_, direction)| *direction)
    }
}

/// What to do about a measurement that cannot be used.
fn remedy(error: &MeasurementError) -> &'static str {
    match error {
        MeasurementError::Corrupt(JsonError::Syntax(error)) if error.is_eof() => {
            "measure again; a run that was cut short leaves half a file"
        }
        MeasurementError::Corrupt(JsonError::Syntax(_)) => "measure again; NaN and infinities are no numbers of JSON",
        MeasurementError::Schema(_) => "name the summary of a measurement with --summary",
        MeasurementError::DuplicateId(_) => "give each indicator a name of its own, and measure again",
        _ => "correct what writes it, and measure again",
    }
}

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// One line for each thing that is not as it should be, with advice below it; a single line where all is well.
pub fn explain(verdict: &Verdict, troubles: &Troubles) -> Vec<String> {
    let inputs = inputs(verdict, troubles);
    let mut lines = vec![headline(verdict, inputs.is_empty())];
    lines.extend(inputs.into_iter().flat_map(|(what, todo)| [format!("  ✗ {what}"), format!("      {todo}")]));
    let told: Vec<&Check> = verdict.checks.iter().filter(|check| check.status != CheckStatus::Pass).collect();
    for (at, check) in told.iter().enumerate() {
        // What was left out for one reason is told once.
        let alike = |other: &&&Check| left_out(other) && other.message == check.message;
        if left_out(check) && told[..at].iter().any(|other| alike(&other)) {
            continue;
        }
        let all: Vec<&str> = told[at..].iter().filter(alike).map(|check| check.metric.as_str()).collect();
        if left_out(check) && all.len() > 1 {
            let (count, why) = (all.len(), because(&check.message));
            lines.push(format!("  {} {count} indicators were left out when they were measured{why}", sign(check)));
            lines.push(format!("      {}", all.join(", ")));
        } else {
            lines.push(format!("  {} {}", sign(check), sentence(check, troubles)));
            lines.push(advice(check));
        }
    }
    lines
}

/// Whether a check is about an indicator that could not be measured.
fn left_out(check: &Check) -> bool {
    check.category == Category::ResultStatus && check.status == CheckStatus::NoGrade
}

/// A reason behind what it is the reason of.
fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

fn headline(verdict: &Verdict, is_whole: bool) -> String {
    let passed = verdict.checks.iter().filter(|check| check.status == CheckStatus::Pass).count();
    let all = verdict.checks.len();
    match verdict.gate_result {
        Grade::Pass if is_whole => format!("PASS: {passed} checks, nothing to complain about"),
        Grade::Pass => format!("PASS: {passed} checks; nothing was compared, as the policy does not ask for it"),
        Grade::Warn => format!("WARN: {passed} of {all} checks passed, nothing blocks"),
        Grade::Fail => format!("FAIL: {passed} of {all} checks passed"),
        Grade::NoGrade if all == 0 => "NO_GRADE: nothing could be judged".to_owned(),
        Grade::NoGrade => format!("NO_GRADE: {passed} of {all} checks passed, others could not be made"),
    }
}

/// What is wrong with the files, each with what to do about it.
pub(super) fn inputs(verdict: &Verdict, troubles: &Troubles) -> Vec<(String, &'static str)> {
    let files = &verdict.input_refs;
    let baseline = files.baseline_file.as_deref().unwrap_or_default();
    let because = |why: &Option<String>| because(why.as_deref().unwrap_or_default());
    let mut lines = Vec::new();
    let mut say = |what: String, todo: &'static str| lines.push((what, todo));
    for reason in &verdict.reasons {
        match reason {
            Reason::PolicyMissing => {
                say(format!("there is no policy at {}", files.policy_file), "write one, or name it with --policy");
            }
            Reason::PolicyInvalid if verdict.checks.is_empty() => say(
                format!("the policy {} cannot be used{}", files.policy_file, because(&troubles.policy)),
                "correct it; nothing is judged by half a policy",
            ),
            Reason::MeasurementInputMissing if verdict.measurement_status == MeasurementStatus::Missing => say(
                format!("there is no measurement at {}", files.measurement_summary),
                "let the tests write it before the gate runs, or name it with --summary",
            ),
            Reason::MeasurementInputCorrupt | Reason::MeasurementSchemaUnsupported => say(
                format!(
                    "the measurement {} cannot be used{}",
                    files.measurement_summary,
                    because(&troubles.measurement)
                ),
                troubles.remedy,
            ),
            Reason::BaselineUnavailable => say(
                format!("there is no baseline at {baseline}"),
                "fetch it; a baseline is the summary of a run that was good",
            ),
            Reason::BaselineCorrupt => say(
                format!("the baseline {baseline} cannot be used{}", because(&troubles.baseline)),
                "take the summary of a run that was good in its place",
            ),
            Reason::BaselineRequired if verdict.baseline_status == BaselineStatus::AbsentFirstRun => say(
                "the policy asks for a baseline, and none was named".to_owned(),
                "name it with --baseline; `slipway baseline approve` makes one",
            ),
            Reason::BaselineAbsentFirstRun if verdict.baseline_status == BaselineStatus::AbsentFirstRun => say(
                "the policy compares with a baseline, and none was named".to_owned(),
                "keep the summary of a run that was good, and name it with --baseline from then on",
            ),
            _ => {}
        }
    }
    lines
}

fn sign(check: &Check) -> char {
    match check.status {
        CheckStatus::Pass => '✓',
        CheckStatus::Warn => '!',
        CheckStatus::Fail => '✗',
        CheckStatus::NoGrade => '?',
        CheckStatus::Info => 'i',
    }
}

/// What is not as it should be about a check.
pub(super) fn sentence(check: &Check, troubles: &Troubles) -> String {
    let metric = &check.metric;
    match (check.category, check.status, &check.observed) {
        (Category::Threshold, CheckStatus::Fail | CheckStatus::Warn | CheckStatus::Info, Observed::Number(value)) => {
            format!("{}: {metric} {}", check.name, missed(*value, &check.expected, troubles.unit(metric)))
        }
        (Category::Threshold, _, Observed::Number(_)) => {
            format!("{}: {:?} is no rule; <=, >=, <, > and == are known operators", check.name, check.expected)
        }
        (Category::Threshold, ..) => format!("{}: {metric:?} was not measured", check.name),
        // Comparisons beyond slint-gate say in their own words what they found.
        (Category::Regression, _, Observed::Number(_)) if !check.expected.starts_with("abs(") => {
            format!("{metric}: {}; allowed is {}", check.message, check.expected)
        }
        (Category::Regression, CheckStatus::Fail, Observed::Number(percent)) => {
            let allowed = check.expected.rsplit(' ').next().unwrap_or_default();
            let better = match troubles.direction(metric) {
                Direction::Lower => ", and lower is better",
                Direction::Higher => ", and higher is better",
                Direction::Neither => "",
            };
            let off = amount::percent(*percent);
            let from = if off.ends_with('%') { "from" } else { "as" };
            format!("{metric} is {off} {from} its baseline{better}; {allowed} % is allowed")
        }
        (Category::Regression, CheckStatus::Fail, _) => format!("{metric} was 0 in the baseline, and is not any more"),
        (Category::Regression, ..) => format!("{metric} is not in both, this measurement and the baseline"),
        (Category::Reliability, CheckStatus::NoGrade, _) => {
            format!("the measurement says that it failed{}", because(&troubles.blocked))
        }
        (Category::Reliability, ..) => format!(
            "the measurement says it is {}; the policy asks for {}",
            if check.observed == Observed::Nothing { "nothing".to_owned() } else { check.observed.text() },
            check.expected.trim_start_matches(">= ")
        ),
        (Category::ResultStatus, status, _) => {
            let reason = because(&check.message);
            let how = match status {
                CheckStatus::NoGrade => "was left out",
                CheckStatus::Warn => "had a warning",
                CheckStatus::Fail | CheckStatus::Pass | CheckStatus::Info => "failed",
            };
            format!("{metric} {how} when it was measured{reason}")
        }
        (Category::Coverage, ..) => format!("{metric} is measured, and the policy has no rule for it"),
        (Category::Freshness, ..) => format!("the measurement is not of now: {}", check.message),
        (Category::RunId, ..) => check.message.clone(),
        (Category::Baseline, ..) => format!("{metric} is not in the baseline, and the policy wants it there"),
    }
}

/// What a value is, what it should be, and how far it is from that.
fn missed(value: f64, expected: &str, unit: &str) -> String {
    let target = expected.rsplit_once(' ').and_then(|(sign, text)| Some((sign, text.parse::<f64>().ok()?)));
    let Some((sign, target)) = target.filter(|(_, target)| target.is_finite()) else {
        return format!("is {}, and should be {expected}", amount::amount(value, unit));
    };
    let (is, should) = amount::apart(value, target, unit);
    let off = value - target;
    let share =
        if target == 0.0 { String::new() } else { format!(", {}", amount::percent(off / target.abs() * 100.0)) };
    format!("is {is}, and should be {sign} {should} ({}{share})", amount::signed(off, unit))
}

/// Whether a comparison could not tell for want of runs.
fn too_few(check: &Check) -> bool {
    check.comparison.as_ref().is_some_and(|figures| figures.p_value > figures.p_limit)
}

fn advice(check: &Check) -> String {
    let advice = match (check.category, check.status) {
        (Category::Threshold, CheckStatus::Fail | CheckStatus::Warn | CheckStatus::Info) => {
            "find what changed, or change the rule if this is how it should be"
        }
        (Category::Threshold, _) => "correct the rule, or measure what it asks for",
        (Category::Regression, _) if too_few(check) => "measure more often, or compare by difference",
        (Category::Regression, CheckStatus::Fail | CheckStatus::Warn | CheckStatus::Info) => {
            "find what made it worse; if it is meant, make this run the new baseline"
        }
        (Category::Regression, _) => "take a baseline that has it",
        (Category::Reliability, _) => "see what the measurement says was missing, and measure again",
        (Category::ResultStatus, _) => "see the indicator's reason in the measurement",
        (Category::Coverage, _) => "give it a rule, or list it under coverage.informational",
        (Category::Freshness, _) => "measure again, and let the gate run right after",
        (Category::RunId, _) => "name the summary of this run, and a baseline of another",
        (Category::Baseline, _) => "approve a baseline that has it",
    };
    format!("      {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(category: Category, status: CheckStatus, observed: Observed, expected: &str) -> Check {
        Check {
            name: "rule".to_owned(),
            category,
            status,
            metric: "latency".to_owned(),
            observed,
            expected: expected.to_owned(),
            message: String::new(),
            severity: None,
            comparison: None,
        }
    }

    #[test]
    fn a_miss_says_by_how_much_and_against_what() {
        let troubles = Troubles {
            directions: vec![("latency".to_owned(), Direction::Lower)],
            units: vec![("latency".to_owned(), "seconds".to_owned())],
            ..Troubles::default()
        };
        for (check, expected) in [
            (
                check(Category::Threshold, CheckStatus::Fail, Observed::Number(12.0), "<= 10"),
                "rule: latency is 12 s, and should be <= 10 s (+2 s, +20 %)",
            ),
            (
                check(Category::Threshold, CheckStatus::Fail, Observed::Number(0.200_063), "<= 0.1"),
                "rule: latency is 200 ms, and should be <= 100 ms (+100 ms, +100.1 %)",
            ),
            (
                check(Category::Threshold, CheckStatus::Fail, Observed::Number(3.0), "== 0"),
                "rule: latency is 3 s, and should be == 0 s (+3 s)",
            ),
            (
                check(Category::Threshold, CheckStatus::NoGrade, Observed::Nothing, "<= 10"),
                "rule: \"latency\" was not measured",
            ),
            (
                check(Category::Regression, CheckStatus::Fail, Observed::Number(34.21), "abs(delta_percent) <= 12.5"),
                "latency is +34.2 % from its baseline, and lower is better; 12.5 % is allowed",
            ),
            (
                check(Category::Coverage, CheckStatus::Warn, Observed::Number(1.0), "…"),
                "latency is measured, and the policy has no rule for it",
            ),
        ] {
            assert_eq!(sentence(&check, &troubles), expected);
        }
    }
}
