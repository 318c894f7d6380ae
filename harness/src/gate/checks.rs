//! The checks: each looks at one side of a measurement and says what it saw. Pure.

use std::collections::{HashMap, HashSet};

use super::measurement::{Indicator, Measurement, Status};
use super::number;
use super::policy::{Level, Policy, Threshold, Violation};
use super::verdict::{Category, Check, CheckStatus, Observed, Reason};

/// Values by indicator.
pub type Values<'a> = HashMap<&'a str, f64>;

/// What a check means for the grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Nothing.
    None,
    /// It can be no better than a warning.
    Warn,
    /// It fails.
    Fail,
    /// It cannot be told, unless something else fails.
    NoGrade,
}

/// A check, what it means, and the reason it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// What it means for the grade.
    pub weight: Weight,
    /// The reason, where it gives one.
    pub reason: Option<Reason>,
}

/// How a rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtMost,
    AtLeast,
    Below,
    Above,
    Equal,
}

/// Which way an indicator gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Down.
    Lower,
    /// Up.
    Higher,
    /// Neither: any change counts.
    Neither,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "<=" | "=<" => Self::AtMost,
            ">=" | "=>" => Self::AtLeast,
            "<" => Self::Below,
            ">" => Self::Above,
            "==" | "=" => Self::Equal,
            _ => return None,
        })
    }

    #[expect(clippy::float_cmp, reason = "a rule that says == means it")]
    fn holds(self, value: f64, target: f64) -> bool {
        match self {
            Self::AtMost => value <= target,
            Self::AtLeast => value >= target,
            Self::Below => value < target,
            Self::Above => value > target,
            Self::Equal => value == target,
        }
    }
}

impl Threshold {
    /// Which way the rule's indicator gets better; a rule states the good side.
    pub fn direction(&self) -> Direction {
        match Operator::parse(&self.operator) {
            Some(Operator::AtMost | Operator::Below) => Direction::Lower,
            Some(Operator::AtLeast | Operator::Above) => Direction::Higher,
            Some(Operator::Equal) | None => Direction::Neither,
        }
    }
}

/// A violation fails the gate where the policy says so, and warns otherwise.
fn weigh(policy: &Policy, violation: Violation) -> Weight {
    if policy.fatal.contains(&violation) { Weight::Fail } else { Weight::Warn }
}

/// Whether a rule of the policy holds.
pub fn threshold(policy: &Policy, rule: &Threshold, values: &Values<'_>) -> Finding {
    let check = |status, observed, message: &str| Check {
        name: if rule.name.is_empty() { "unnamed-threshold".to_owned() } else { rule.name.clone() },
        category: Category::Threshold,
        status,
        metric: rule.metric.clone(),
        observed,
        expected: format!("{} {}", rule.operator, number::text(rule.value)),
        message: message.to_owned(),
        severity: None,
        comparison: None,
    };
    let Some(value) = values.get(rule.metric.as_str()).copied().filter(|_| !rule.metric.is_empty()) else {
        return Finding {
            check: check(CheckStatus::NoGrade, Observed::Nothing, "metric missing or invalid threshold target"),
            weight: Weight::NoGrade,
            reason: Some(Reason::MeasurementInputMissing),
        };
    };
    let observed = Observed::Number(value);
    match Operator::parse(&rule.operator).map(|operator| operator.holds(value, rule.value)) {
        None => Finding {
            check: check(CheckStatus::NoGrade, observed, "invalid operator"),
            weight: Weight::NoGrade,
            reason: Some(Reason::PolicyInvalid),
        },
        Some(true) => Finding {
            check: check(CheckStatus::Pass, observed, "within threshold"),
            weight: Weight::None,
            reason: None,
        },
        Some(false) => Finding {
            check: check(CheckStatus::Fail, observed, "threshold miss"),
            weight: weigh(policy, Violation::ThresholdMiss),
            reason: Some(Reason::ThresholdMiss),
        },
    }
}

/// Whether the indicator of a rule is worse than its baseline.
pub fn regression(policy: &Policy, rule: &Threshold, values: &Values<'_>, baseline: &Values<'_>) -> Finding {
    let tolerance = policy.regression.tolerance_percent;
    let check = |status, observed, message: &str| Check {
        name: format!("regression:{}", rule.metric),
        category: Category::Regression,
        status,
        metric: rule.metric.clone(),
        observed,
        expected: format!("abs(delta_percent) <= {}", number::text(tolerance)),
        message: message.to_owned(),
        severity: None,
        comparison: None,
    };
    let metric = rule.metric.as_str();
    let (Some(&now), Some(&before)) = (values.get(metric), baseline.get(metric)) else {
        return Finding {
            check: check(CheckStatus::NoGrade, Observed::Nothing, "metric missing in current/baseline"),
            weight: Weight::NoGrade,
            reason: None,
        };
    };
    let worse = |observed, message| Finding {
        check: check(CheckStatus::Fail, observed, message),
        weight: weigh(policy, Violation::RegressionDetected),
        reason: Some(Reason::RegressionDetected),
    };
    let fine = |observed, message| Finding {
        check: check(CheckStatus::Pass, observed, message),
        weight: Weight::None,
        reason: None,
    };
    if before == 0.0 && now != 0.0 {
        // There is no percentage of nothing.
        let observed = Observed::Word("baseline_zero_current_nonzero".to_owned());
        return match rule.direction() {
            Direction::Higher => fine(observed, "baseline is zero; current improved from zero"),
            Direction::Lower | Direction::Neither => {
                worse(observed, "regression detected: baseline is zero, current is non-zero")
            }
        };
    }
    let percent = if before == 0.0 { 0.0 } else { ((now - before) / before.abs()) * 100.0 };
    let is_worse = match rule.direction() {
        Direction::Lower => percent > tolerance,
        Direction::Higher => percent < -tolerance,
        Direction::Neither => percent.abs() > tolerance,
    };
    let observed = Observed::Number(percent);
    if is_worse { worse(observed, "regression detected") } else { fine(observed, "within regression tolerance") }
}

/// Whether enough was collected.
pub fn reliability(policy: &Policy, measurement: &Measurement) -> Finding {
    let status = measurement.collection_status.as_str();
    let required = &policy.reliability;
    let check = |status_of_check, message: &str| Check {
        name: "reliability-minimum".to_owned(),
        category: Category::Reliability,
        status: status_of_check,
        metric: "reliability.collectionStatus".to_owned(),
        observed: if status.is_empty() { Observed::Nothing } else { Observed::Word(status.to_owned()) },
        expected: format!(">= {}", required.min_level.as_str()),
        message: message.to_owned(),
        severity: None,
        comparison: None,
    };
    let reached = match status.trim().to_lowercase().as_str() {
        "complete" => Some(Level::Complete),
        "partial" => Some(Level::Partial),
        _ => None,
    };
    if status.to_lowercase() == "failed" {
        let message = "collection failed; measurement is not trustworthy";
        Finding {
            check: check(CheckStatus::NoGrade, message),
            weight: Weight::NoGrade,
            reason: Some(Reason::CollectionFailed),
        }
    } else if required.required && reached < Some(required.min_level) {
        Finding {
            check: check(CheckStatus::Warn, "reliability below required level"),
            weight: Weight::Warn,
            reason: Some(Reason::ReliabilityInsufficient),
        }
    } else {
        Finding {
            check: check(CheckStatus::Pass, "reliability requirement satisfied"),
            weight: Weight::None,
            reason: None,
        }
    }
}

/// What an indicator's own status means; nothing where it passed, or was left out with a value.
pub fn result_status(indicator: &Indicator) -> Option<Finding> {
    let (status, weight, reason) = match (indicator.status, indicator.value) {
        (Status::Fail | Status::Block, _) => (CheckStatus::Fail, Weight::Fail, Some(Reason::ResultStatusFail)),
        (Status::Warn, _) => (CheckStatus::Warn, Weight::Warn, None),
        (Status::Skip, None) => (CheckStatus::NoGrade, Weight::NoGrade, None),
        (Status::Skip, Some(_)) | (Status::Pass, _) => return None,
    };
    let check = Check {
        name: format!("result-status:{}", indicator.id),
        category: Category::ResultStatus,
        status,
        metric: indicator.id.clone(),
        observed: indicator.value.into(),
        expected: String::new(),
        message: indicator.reason.clone(),
        severity: None,
        comparison: None,
    };
    Some(Finding { check, weight, reason })
}

/// The indicators that no rule is about.
pub fn coverage(policy: &Policy, measurement: &Measurement) -> Vec<Finding> {
    if !policy.coverage.required {
        return Vec::new();
    }
    let ruled = policy.thresholds.iter().map(|rule| rule.metric.trim());
    let told = policy.coverage.informational.iter().map(|id| id.trim());
    let compared = policy.extension.iter().flat_map(|asked| asked.comparisons.iter().map(|one| one.metric.as_str()));
    let covered: HashSet<&str> = ruled.chain(told).chain(compared).collect();
    let weight = weigh(policy, Violation::CoverageGap);
    let status = if weight == Weight::Fail { CheckStatus::Fail } else { CheckStatus::Warn };
    let gaps = measurement.indicators.iter().filter(|one| one.value.is_some() && !covered.contains(one.id.as_str()));
    gaps.map(|indicator| Finding {
        check: Check {
            name: format!("coverage:{}", indicator.id),
            category: Category::Coverage,
            status,
            metric: indicator.id.clone(),
            observed: indicator.value.into(),
            expected: "threshold rule or coverage.informational entry".to_owned(),
            message: "measured SLI is not covered by policy".to_owned(),
            severity: None,
            comparison: None,
        },
        weight,
        reason: Some(Reason::CoverageGap),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(operator: &str, value: f64) -> Threshold {
        Threshold {
            name: "rule".to_owned(),
            metric: "m".to_owned(),
            operator: operator.to_owned(),
            value,
            ..Threshold::default()
        }
    }

    fn policy(tolerance_percent: f64) -> Policy {
        let mut policy = Policy { fatal: [Violation::RegressionDetected].into(), ..Policy::default() };
        policy.regression.enabled = true;
        policy.regression.tolerance_percent = tolerance_percent;
        policy
    }

    #[test]
    fn a_regression_is_a_change_for_the_worse_beyond_the_tolerance() {
        for (operator, before, now, worse) in [
            ("<=", 100.0, 110.0, false),
            ("<=", 100.0, 110.5, true),
            ("<", 100.0, 10.0, false),
            (">=", 100.0, 90.0, false),
            (">=", 100.0, 89.0, true),
            (" => ", 100.0, 200.0, false),
            ("==", 100.0, 89.0, true),
            ("~", 100.0, 120.0, true),
            ("<=", 0.0, 0.0, false),
            ("<=", 0.0, -1.0, true),
            (">", 0.0, 1.0, false),
            ("<=", -100.0, -80.0, true),
        ] {
            let (values, baseline) = (Values::from([("m", now)]), Values::from([("m", before)]));
            let found = regression(&policy(10.0), &rule(operator, 1.0), &values, &baseline);
            assert_eq!(found.weight == Weight::Fail, worse, "{operator} {before} -> {now}: {found:?}");
        }
    }

    #[test]
    fn a_rule_that_cannot_be_asked_is_no_grade_and_not_a_pass() {
        let values = Values::from([("m", 1.0), ("", 1.0)]);
        for (metric, operator, reason) in [
            ("", "<=", Reason::MeasurementInputMissing),
            ("gone", "!=", Reason::MeasurementInputMissing),
            ("m ", "<=", Reason::MeasurementInputMissing),
            ("m", "!=", Reason::PolicyInvalid),
        ] {
            let rule = Threshold { metric: metric.to_owned(), ..rule(operator, 1.0) };
            let found = threshold(&Policy::default(), &rule, &values);
            assert_eq!((found.weight, found.reason), (Weight::NoGrade, Some(reason)), "{metric} {operator}");
        }
    }
}
