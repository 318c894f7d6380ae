//! Rules for what was measured: the worst that was seen in several good runs, and a margin.

use std::collections::HashSet;
use std::fmt::Write;

use super::measurement::Measurement;
use super::number;

/// How much is done depends on what is tested, and is neither good nor bad.
const TOLD_ONLY: [&str; 4] = [
    "reconcile_success_delta",
    "workqueue_adds_total_delta",
    "rest_client_requests_total_delta",
    "workqueue_depth_end_total",
];

/// Must happen at all: a test in which nothing was reconciled says nothing.
const AT_LEAST_ONCE: &str = "reconcile_total_delta";

/// A policy that all the runs satisfy, with its reasons as comments. `margin_percent` is put on top of the worst value.
pub fn policy(runs: &[Measurement], margin_percent: f64, extended: bool) -> String {
    let mut metrics: Vec<(&str, &str)> = Vec::new();
    for one in runs.iter().flat_map(|run| &run.indicators) {
        // A policy cannot speak of what has no name.
        if !one.id.trim().is_empty() && !metrics.iter().any(|(id, _)| *id == one.id) {
            metrics.push((&one.id, &one.unit));
        }
    }
    let mut rules = String::new();
    let mut names = HashSet::new();
    let mut told = Vec::new();
    let mut missing = Vec::new();
    let mut steady = Vec::new();
    for (id, unit) in metrics {
        let values: Vec<f64> = runs
            .iter()
            .flat_map(|run| &run.indicators)
            .filter(|one| one.id == id)
            .flat_map(super::measurement::Indicator::runs)
            .collect();
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        if values.is_empty() {
            missing.push(id);
            continue;
        }
        if low.to_bits() == high.to_bits() {
            steady.push(id);
        }
        if TOLD_ONLY.contains(&id) {
            told.push(id);
            continue;
        }
        let (name, operator, value) = if id == AT_LEAST_ONCE {
            ("something-happens".to_owned(), ">=", low.clamp(0.0, 1.0))
        } else {
            (id.replace('_', "-"), "<=", limit(high, margin_percent, unit))
        };
        // Two rules cannot have one name; a rule can do without.
        let name = if names.insert(name.trim().to_owned()) { name } else { String::new() };
        let seen = if steady.last() == Some(&id) {
            format!("{} in {}", number::text(low), times(values.len()))
        } else {
            format!("{} to {} in {}", number::text(low), number::text(high), times(values.len()))
        };
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let _ = writeln!(
            rules,
            "  - {{name: {}, metric: {}, operator: \"{operator}\", value: {}}} # {}{}",
            scalar(&name),
            scalar(id),
            number::text(value),
            seen,
            comment(&unit)
        );
    }
    page(runs.len(), margin_percent, extended, &rules, &told, &missing, &steady)
}

fn page(
    runs: usize,
    margin: f64,
    extended: bool,
    rules: &str,
    told: &[&str],
    missing: &[&str],
    steady: &[&str],
) -> String {
    let mut page = format!(
        "# Proposed from {}: the worst value that was seen, and {} % more. Read it before you use it.\n",
        times(runs),
        number::text(margin)
    );
    page.push_str(if extended {
        "schema_version: slipway.policy.v1\nrefuse_empty: true\n"
    } else {
        "schema_version: slint.policy.v1\n"
    });
    page.push_str(if rules.is_empty() { "thresholds: []\n" } else { "thresholds:\n" });
    page.push_str(rules);
    for id in missing {
        let _ = writeln!(page, "  # {} was never measured", comment(id));
    }
    if extended {
        page.push_str(
            "regression:\n  enabled: true\n  method: noise-aware # several runs on each side; see `slipway gate --help`\n  \
             tolerance_percent: 3\n  detect_percent: 10\n",
        );
        if !steady.is_empty() {
            page.push_str("  metrics: # without noise: one run tells\n");
        }
        for id in steady {
            let _ = writeln!(page, "    - {{metric: {}, method: difference}}", scalar(id));
        }
    } else {
        page.push_str("regression:\n  enabled: false # once there is a baseline\n  tolerance_percent: 10\n");
    }
    page.push_str("reliability:\n  required: true\n  min_level: complete\n");
    if !told.is_empty() {
        let told: Vec<String> = told.iter().map(|id| scalar(id)).collect();
        let _ = writeln!(page, "coverage:\n  required: false\n  informational: [{}]", told.join(", "));
    }
    page
}

fn times(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}

/// The value with its margin, rounded up to what people write: whole numbers of things, two digits of anything else.
fn limit(worst: f64, margin_percent: f64, unit: &str) -> f64 {
    let value = worst + worst.abs() * margin_percent / 100.0;
    if value == 0.0 {
        return 0.0;
    }
    if matches!(unit, "count" | "items" | "requests" | "writes") {
        return value.ceil();
    }
    #[expect(clippy::cast_possible_truncation, reason = "an exponent")]
    let digits = 1 - value.abs().log10().floor() as i32;
    let rounded = if digits >= 0 {
        let scale = 10_f64.powi(digits);
        (value * scale).ceil() / scale
    } else {
        let scale = 10_f64.powi(-digits);
        (value / scale).ceil() * scale
    };
    rounded.max(worst)
}

/// A text as a YAML scalar: in quotes unless it is plainly a word.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// A text in a comment, on its one line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gate::policy::Policy;
    use crate::gate::{checks, measurement::Indicator, measurement::Status};

    fn run(values: &[(&str, &str, f64)]) -> Measurement {
        let indicators = values
            .iter()
            .map(|(id, unit, value)| Indicator {
                id: (*id).to_owned(),
                value: Some(*value),
                status: Status::Pass,
                reason: String::new(),
                unit: (*unit).to_owned(),
                kind: String::new(),
                samples: Vec::new(),
            })
            .collect();
        Measurement {
            generated_at: jiff::Timestamp::UNIX_EPOCH,
            run_ids: Vec::new(),
            blocked_reason: String::new(),
            collection_status: "Complete".to_owned(),
            indicators,
        }
    }

    #[test]
    fn limits_are_what_people_write() {
        for (worst, unit, expected) in [
            (0.0, "count", 0.0),
            (3.0, "count", 4.0),
            (0.012_34, "seconds", 0.015),
            (1234.0, "", 1500.0),
            (-5.0, "", -4.0),
        ] {
            assert!((limit(worst, 20.0, unit) - expected).abs() < 1e-9, "{worst} {unit}: {}", limit(worst, 20.0, unit));
        }
    }

    proptest! {
        #[test]
        fn every_run_satisfies_what_is_proposed_from_it(
            values in prop::collection::vec((0.0..1e9_f64, "[ -~]{1,12}", prop::sample::select(vec!["count", "seconds", "\n"])), 1..5),
            margin in 0.0..50.0_f64,
            extended: bool,
        ) {
            let runs: Vec<Measurement> = [1.0, 1.3]
                .iter()
                .map(|factor| {
                    let values: Vec<(&str, &str, f64)> =
                        values.iter().map(|(value, id, unit)| (id.as_str(), *unit, value * factor)).collect();
                    run(&values)
                })
                .collect();
            let text = policy(&runs, margin, extended);
            let (policy, warnings) = Policy::parse(text.as_bytes());
            let policy = policy.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert!(warnings.is_empty(), "{warnings:?}");
            for run in &runs {
                for rule in &policy.thresholds {
                    let found = checks::threshold(&policy, rule, &run.values());
                    prop_assert!(found.weight == checks::Weight::None, "{found:?}\n{text}");
                }
            }
        }
    }
}
