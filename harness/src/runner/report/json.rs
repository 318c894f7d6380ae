//! A run as JSON, for programs. The format has a version of its own; fields are added, never changed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Record, Summary};
use crate::event::{Failure, Outcome, StepRecord};
use crate::sli::session::Session;
use crate::sli::spec::Spec;

/// The version of the format.
const VERSION: &str = "slipway.dev/report/v1";

/// The whole report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    version: &'a str,
    seed: u64,
    interrupted: bool,
    wall_ms: u128,
    passed: usize,
    failed: usize,
    not_run: usize,
    skipped: usize,
    scenarios: Vec<Scenario<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scenario<'a> {
    title: &'a str,
    name: &'a str,
    file: &'a str,
    line: usize,
    seed: u64,
    outcome: &'a str,
    /// Why it cannot run on this cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a str>,
    /// On the scenario's clock.
    took_ms: u128,
    wall_ms: u128,
    steps: Vec<Step<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failed<'a>>,
    /// What was measured while it ran, by the indicator's id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    indicators: BTreeMap<&'a str, Indicator<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Indicator<'a> {
    value: f64,
    unit: &'a str,
    #[serde(flatten)]
    fields: BTreeMap<&'static str, f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    title: &'a str,
    at_ms: u128,
    took_ms: u128,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<&'a Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    sections: Vec<Part<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    title: &'a str,
    lines: &'a [String],
}

/// The report as text.
///
/// # Errors
/// Those of the JSON writer.
pub fn render(summary: &Summary, specs: &[Spec]) -> Result<String, serde_json::Error> {
    let tally = summary.tally();
    let document = Document {
        version: VERSION,
        seed: summary.seed.0,
        interrupted: summary.interrupted,
        wall_ms: summary.took.as_millis(),
        passed: tally.passed,
        failed: tally.failed,
        not_run: tally.not_run + tally.interrupted,
        skipped: tally.skipped,
        scenarios: summary.records.iter().map(|record| scenario(record, specs)).collect(),
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

fn scenario<'a>(record: &'a Record, specs: &'a [Spec]) -> Scenario<'a> {
    let failure = match &record.outcome {
        Some(Outcome::Failed(failure)) => Some(failed(failure)),
        _ => None,
    };
    let skipped = match &record.outcome {
        Some(Outcome::Skipped(why)) => Some(why.as_str()),
        _ => None,
    };
    Scenario {
        title: &record.plan.title,
        name: &record.plan.name,
        file: record.plan.file.name(),
        line: record.plan.place.position().line,
        seed: record.seed,
        outcome: record.outcome.as_ref().unwrap_or(&Outcome::NotRun).word(),
        skipped,
        took_ms: record.took.as_millis(),
        wall_ms: record.wall.as_millis(),
        steps: record.steps.iter().map(step).collect(),
        failure,
        indicators: specs.iter().filter_map(|spec| indicator(record.session.as_ref()?, spec)).collect(),
    }
}

fn indicator<'a>(session: &Session, spec: &'a Spec) -> Option<(&'a str, Indicator<'a>)> {
    let measured = session.measure(spec);
    let value = measured.value.filter(|value| value.is_finite())?;
    Some((&spec.id, Indicator { value, unit: &spec.unit, fields: measured.fields }))
}

fn step(record: &StepRecord) -> Step<'_> {
    Step {
        title: &record.title,
        at_ms: record.at.as_millis(),
        took_ms: record.took.as_millis(),
        passed: record.passed,
        output: record.output.as_ref().map(|output| output.text.as_str()),
        counters: record.output.as_ref().and_then(|output| output.counters.as_ref()),
    }
}

fn failed(failure: &Failure) -> Failed<'_> {
    let position = failure.place.as_ref().map(crate::scenario::diagnostic::Place::position);
    Failed {
        message: &failure.message,
        step: failure.step.as_deref(),
        line: position.map(|position| position.line),
        column: position.map(|position| position.column),
        sections: failure.sections.iter().map(|part| Part { title: &part.title, lines: &part.lines }).collect(),
    }
}
