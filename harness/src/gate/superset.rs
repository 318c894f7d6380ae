//! The checks of a policy that asks more than slint-gate knows: how old the measurement is, of which run, what the baseline
//! holds, and how values compare with it, run against run. Pure.

use jiff::{SignedDuration, Timestamp};

use super::checks::{Direction, Finding, Weight};
use super::extension::{Comparison as Asked, Extension, Method, Severity};
use super::measurement::Measurement;
use super::noise::{self, Answer, Outcome, Question, Tolerance, resample};
use super::number;
use super::policy::{Policy, Violation};
use super::verdict::{Category, Check, CheckStatus, Comparison, Observed, Reason};
use crate::sli::amount::{amount, apart, percent, signed};

/// How far clocks may be apart.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The chance of each comparison, by the name of its indicator.
pub type Chance<'a> = dyn Fn(&str) -> Box<noise::Draws<'static>> + 'a;

/// A finding that weighs as the policy says: no more than that, and a miss no less.
pub fn weigh(mut finding: Finding, severity: Option<Severity>) -> Finding {
    let Some(severity) = severity else { return finding };
    finding.check.severity = Some(severity);
    let violated = matches!(finding.weight, Weight::Fail | Weight::Warn);
    finding.weight = match (finding.weight, severity) {
        (Weight::None, _) | (_, Severity::Info) => Weight::None,
        (_, Severity::Warn) => Weight::Warn,
        (Weight::NoGrade, Severity::Fail) => Weight::NoGrade,
        (Weight::Warn | Weight::Fail, Severity::Fail) => Weight::Fail,
    };
    if violated {
        finding.check.status = match severity {
            Severity::Fail => CheckStatus::Fail,
            Severity::Warn => CheckStatus::Warn,
            Severity::Info => CheckStatus::Info,
        };
    }
    finding
}

fn check(category: Category, name: &str, status: CheckStatus, observed: Observed, expected: String) -> Check {
    Check {
        name: name.to_owned(),
        category,
        status,
        metric: String::new(),
        observed,
        expected,
        message: String::new(),
        severity: None,
        comparison: None,
    }
}

/// What cannot be told, and why.
fn open(check: Check, message: impl Into<String>, reason: Option<Reason>) -> Finding {
    let check = Check { status: CheckStatus::NoGrade, message: message.into(), ..check };
    Finding { check, weight: Weight::NoGrade, reason }
}

fn fine(check: Check, message: impl Into<String>) -> Finding {
    Finding { check: Check { message: message.into(), ..check }, weight: Weight::None, reason: None }
}

/// Whether the measurement is of now, where that is asked.
pub fn freshness(asked: &Extension, measurement: &Measurement, now: Timestamp) -> Option<Finding> {
    let max_age = asked.max_age?;
    let age = now.duration_since(measurement.generated_at);
    let observed = Observed::Word(measurement.generated_at.to_string());
    let check =
        check(Category::Freshness, "freshness", CheckStatus::Pass, observed, format!("age <= {}", length(max_age)));
    Some(if age > max_age {
        open(check, format!("measured {} ago", length(age)), Some(Reason::MeasurementStale))
    } else if age < -SKEW {
        open(check, format!("measured {} in the future", length(-age)), Some(Reason::MeasurementStale))
    } else {
        fine(check, "fresh enough")
    })
}

/// A time in the unit that says most.
fn length(time: SignedDuration) -> String {
    let seconds = time.as_secs();
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Whether the measurement is of the run it should be of: the one that was named, and not the baseline's.
pub fn run_id(
    asked: &Extension,
    expected: Option<&str>,
    measurement: &Measurement,
    baseline: Option<&Measurement>,
) -> Option<Finding> {
    if !asked.run_id && expected.is_none() {
        return None;
    }
    let ids = &measurement.run_ids;
    let observed = if ids.is_empty() { Observed::Nothing } else { Observed::Word(ids.join(" ")) };
    let wanted = expected.map_or_else(|| "a run of its own".to_owned(), |id| format!("== {id}"));
    let check = check(Category::RunId, "run-id", CheckStatus::Pass, observed, wanted);
    let mismatch = |message: String| Some(open(check.clone(), message, Some(Reason::RunMismatch)));
    if ids.is_empty() {
        return mismatch("the measurement does not say of which run it is".to_owned());
    }
    if let Some(expected) = expected
        && let Some(other) = ids.iter().find(|id| *id != expected)
    {
        return mismatch(format!("it is of run {other}, and should be of {expected}"));
    }
    if let Some(twice) = ids.iter().enumerate().find_map(|(index, id)| ids[..index].contains(id).then_some(id)) {
        return mismatch(format!("run {twice} is counted twice"));
    }
    if let Some(same) = baseline.and_then(|baseline| baseline.run_ids.iter().find(|id| ids.contains(id))) {
        return mismatch(format!("run {same} would be compared with itself"));
    }
    Some(fine(check, "the run it should be"))
}

/// Whether the baseline holds what the policy wants it to.
pub fn required(asked: &Extension, baseline: &Measurement) -> Vec<Finding> {
    let values = baseline.values();
    let one = |id: &String| {
        let observed = values.get(id.as_str()).copied().into();
        let name = format!("baseline:{id}");
        let check = check(Category::Baseline, &name, CheckStatus::Pass, observed, "in the baseline".to_owned());
        let check = Check { metric: id.clone(), ..check };
        match values.get(id.as_str()) {
            Some(_) => fine(check, "the baseline has it"),
            None => open(check, "the baseline does not have it", Some(Reason::BaselineRequired)),
        }
    };
    asked.baseline_metrics.iter().map(one).collect()
}

/// The settings of a comparison, all of them.
struct Target {
    metric: String,
    better: Direction,
    method: Method,
    tolerance: Tolerance,
    severity: Option<Severity>,
    unit: String,
    before: Vec<f64>,
    now: Vec<f64>,
}

/// The indicators to compare: those that have a rule, in the order of the rules, and those that have a comparison.
fn targets(policy: &Policy, asked: &Extension, now: &Measurement, before: &Measurement) -> Vec<Target> {
    let mut metrics: Vec<&str> = Vec::new();
    let ruled = policy.thresholds.iter().map(|rule| rule.metric.as_str());
    for metric in ruled.chain(asked.comparisons.iter().map(|one| one.metric.as_str())) {
        if !metric.is_empty() && !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    let runs = |side: &Measurement, metric: &str| {
        side.indicators.iter().find(|one| one.id == metric).map_or_else(Vec::new, super::measurement::Indicator::runs)
    };
    let unit = |metric: &str| {
        let both = now.indicators.iter().chain(&before.indicators);
        both.filter(|one| one.id == metric)
            .map(|one| one.unit.clone())
            .find(|unit| !unit.is_empty())
            .unwrap_or_default()
    };
    let target = |metric: &str| {
        let default = Asked::default();
        let own = asked.comparisons.iter().find(|one| one.metric == metric).unwrap_or(&default);
        let rule = policy.thresholds.iter().find(|rule| rule.metric == metric);
        let better = own.better.or_else(|| rule.map(super::policy::Threshold::direction));
        // A tolerance of one kind alone means that kind alone.
        let percent = own.tolerance_percent.unwrap_or(policy.regression.tolerance_percent);
        let tolerance = Tolerance { percent, absolute: own.tolerance_absolute.unwrap_or_default() };
        Target {
            metric: metric.to_owned(),
            better: better.unwrap_or(Direction::Neither),
            method: own.method.unwrap_or(asked.method),
            tolerance,
            severity: own.severity,
            unit: unit(metric),
            before: runs(before, metric),
            now: runs(now, metric),
        }
    };
    metrics.into_iter().map(target).collect()
}

/// How the values compare with the baseline's.
pub fn regressions(
    policy: &Policy,
    asked: &Extension,
    now: &Measurement,
    before: &Measurement,
    chance: &Chance<'_>,
) -> Vec<Finding> {
    let targets = targets(policy, asked, now, before);
    let detect_percent = asked.detect_percent.unwrap_or(noise::DETECT_PERCENT);
    let in_noise = |target: &Target| target.method == Method::NoiseAware && target.is_measured();
    let noisy: Vec<&Target> = targets.iter().filter(|target| in_noise(target)).collect();
    let questions: Vec<Question<'_>> = noisy.iter().map(|target| target.question(detect_percent)).collect();
    let draws = |index: usize| chance(&noisy[index].metric);
    let mut answers = noise::judge(&questions, asked.alpha.unwrap_or(noise::ALPHA), &draws).into_iter();
    let fails = policy.fatal.contains(&Violation::RegressionDetected);
    let mut findings = Vec::new();
    for target in &targets {
        let finding = if !target.is_measured() {
            open(target.check(Observed::Nothing), "metric missing in current/baseline", None)
        } else if let Some(answer) = in_noise(target).then(|| answers.next()).flatten() {
            target.told(&answer, fails, asked.inconclusive.unwrap_or(Severity::Warn), detect_percent)
        } else {
            target.difference(fails)
        };
        findings.push(weigh(finding, target.severity));
    }
    findings
}

impl Target {
    /// A change as people read it.
    fn changed(&self, by: f64, in_percent: bool) -> String {
        if in_percent { percent(by) } else { signed(by, &self.unit) }
    }

    fn is_measured(&self) -> bool {
        !self.before.is_empty() && !self.now.is_empty()
    }

    fn question(&self, detect_percent: f64) -> Question<'_> {
        Question {
            before: &self.before,
            now: &self.now,
            better: self.better,
            tolerance: self.tolerance,
            detect_percent,
        }
    }

    fn check(&self, observed: Observed) -> Check {
        let Tolerance { percent, absolute } = self.tolerance;
        let within = match (percent > 0.0, absolute > 0.0) {
            (true, true) => format!("{} % or {}", number::text(percent), amount(absolute, &self.unit)),
            (false, true) => amount(absolute, &self.unit),
            _ => format!("{} %", number::text(percent)),
        };
        let way = match self.better {
            Direction::Lower => "at most higher by",
            Direction::Higher => "at most lower by",
            Direction::Neither => "at most different by",
        };
        let name = format!("regression:{}", self.metric);
        let check = check(Category::Regression, &name, CheckStatus::Pass, observed, format!("{way} {within}"));
        Check { metric: self.metric.clone(), ..check }
    }

    /// A violation weighs as the policy has it for all.
    fn worse(check: Check, message: String, fails: bool) -> Finding {
        let (status, weight) =
            if fails { (CheckStatus::Fail, Weight::Fail) } else { (CheckStatus::Warn, Weight::Warn) };
        Finding { check: Check { status, message, ..check }, weight, reason: Some(Reason::RegressionDetected) }
    }

    /// Median against median.
    fn difference(&self, fails: bool) -> Finding {
        let (before, now) = (resample::median(&self.before), resample::median(&self.now));
        let off = now - before;
        let worse = match self.better {
            Direction::Lower => off,
            Direction::Higher => -off,
            Direction::Neither => off.abs(),
        };
        let tolerated = self.tolerance.at(before);
        let observed = if before == 0.0 { off } else { off / before.abs() * 100.0 };
        let check = self.check(Observed::Number(observed));
        let (is, was) = apart(now, before, &self.unit);
        let message = format!("{is} against {was}: {}", self.changed(observed, before != 0.0));
        // What is a hair beyond is arithmetic.
        if worse > tolerated * (1.0 + 1e-12) { Self::worse(check, message, fails) } else { fine(check, message) }
    }

    /// Runs against runs.
    fn told(&self, answer: &Answer, fails: bool, inconclusive: Severity, detect_percent: f64) -> Finding {
        let Answer { change, p, limit, runs_needed, .. } = *answer;
        let [change_text, low, high] =
            [change.estimate, change.low, change.high].map(|x| self.changed(x, change.in_percent));
        let figures = format!(
            "{change_text} (between {low} and {high}) over {} and {} runs, p = {}",
            self.now.len(),
            self.before.len(),
            number::text(significant(p, 2))
        );
        let comparison = Comparison {
            runs: self.now.len(),
            baseline_runs: self.before.len(),
            median: resample::median(&self.now),
            baseline_median: resample::median(&self.before),
            change_in: if change.in_percent { "percent" } else { "units" },
            change: change.estimate,
            interval: [change.low, change.high],
            p_value: p,
            p_limit: limit,
            runs_needed,
        };
        let check = Check { comparison: Some(comparison), ..self.check(Observed::Number(change.estimate)) };
        let enough = match runs_needed {
            Some(runs) => format!("{runs} runs on each side would show a change by {} %", number::text(detect_percent)),
            None => format!("no number of runs that can be asked for would show {} %", number::text(detect_percent)),
        };
        match answer.outcome {
            Outcome::Worse => Self::worse(check, figures, fails),
            Outcome::Fine => fine(check, figures),
            Outcome::TooFew => {
                open(check, format!("too few runs: {enough}; {figures}"), Some(Reason::RunsInsufficient))
            }
            Outcome::Open => {
                let check = Check { status: CheckStatus::Warn, message: format!("{figures}; {enough}"), ..check };
                let reason = Some(Reason::RegressionInconclusive);
                let mut finding = weigh(Finding { check, weight: Weight::Warn, reason }, Some(inconclusive));
                finding.check.severity = None;
                finding
            }
        }
    }
}

/// A number to so many digits that count.
fn significant(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an exponent")]
    let scale = 10_f64.powi(digits - 1 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
