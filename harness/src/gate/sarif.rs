//! A verdict as SARIF 2.1.0, the form in which code hosts show findings beside the code: one result for each thing that is
//! not as it should be, at the rule of the policy that says so.

use std::fmt::Write;

use serde_json::{Value, json};

use super::explain::{Troubles, inputs, sentence};
use super::number;
use super::verdict::{Category, CheckStatus, Verdict};

/// The schema that is written.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Every kind of finding: its id, what it is, and what to do about it.
const RULES: [(&str, &str, &str); 9] = [
    (
        "gate/input",
        "A file of the gate is missing or cannot be used",
        "Correct or fetch the file; nothing is judged without.",
    ),
    (
        "gate/threshold",
        "A rule of the policy does not hold",
        "Find what changed, or change the rule if this is as it should be.",
    ),
    (
        "gate/regression",
        "A value is worse than its baseline",
        "Find what made it worse; if it is meant, approve a new baseline.",
    ),
    (
        "gate/reliability",
        "The measurement is not complete enough",
        "See what the measurement says was missing, and measure again.",
    ),
    (
        "gate/result_status",
        "An indicator went wrong while it was measured",
        "See the indicator's reason in the measurement.",
    ),
    ("gate/coverage", "An indicator has no rule", "Give it a rule, or list it under coverage.informational."),
    ("gate/freshness", "The measurement is too old", "Measure again, and let the gate run right after."),
    ("gate/run_id", "The measurement is of another run", "Name the summary of this run, and a baseline of another."),
    ("gate/baseline", "The baseline lacks what the policy asks for", "Approve a baseline that has it."),
];

/// The log, as JSON.
///
/// # Errors
/// None in practice: it holds texts and whole numbers.
pub fn log(verdict: &Verdict, troubles: &Troubles) -> Result<Vec<u8>, serde_json::Error> {
    let mut results = Vec::new();
    for (what, _) in inputs(verdict, troubles) {
        let at = location(&verdict.input_refs.policy_file, None);
        results.push(result("gate/input", "error", &what, &at, "input"));
    }
    for check in verdict.checks.iter().filter(|check| check.status != CheckStatus::Pass) {
        let line = troubles.line(check);
        let at = location(&verdict.input_refs.policy_file, line);
        results.push(result(rule(check.category), level(check.status), &sentence(check, troubles), &at, &check.name));
    }
    let rules: Vec<Value> = RULES
        .iter()
        .map(|(id, what, help)| {
            json!({
                "id": id,
                "shortDescription": {"text": what},
                "help": {"text": help},
                "defaultConfiguration": {"level": "error"},
            })
        })
        .collect();
    number::pretty(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "slipway gate", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "invocations": [{"executionSuccessful": true, "endTimeUtc": verdict.evaluated_at}],
            "properties": {"gateResult": verdict.gate_result.as_str()},
            "results": results,
        }],
    }))
}

fn result(rule: &str, level: &str, text: &str, location: &Value, name: &str) -> Value {
    json!({
        "ruleId": rule,
        "ruleIndex": RULES.iter().position(|(id, ..)| *id == rule),
        "level": level,
        "message": {"text": text},
        "locations": [location],
        // The same finding on the next commit is the same finding.
        "partialFingerprints": {"check/v1": name},
    })
}

fn location(file: &str, line: Option<usize>) -> Value {
    let uri = percent(file);
    json!({"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line.unwrap_or(1)}}})
}

/// A path as a relative reference of a URI.
fn percent(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri
}

fn rule(category: Category) -> &'static str {
    match category {
        Category::Threshold => "gate/threshold",
        Category::Regression => "gate/regression",
        Category::Reliability => "gate/reliability",
        Category::ResultStatus => "gate/result_status",
        Category::Coverage => "gate/coverage",
        Category::Freshness => "gate/freshness",
        Category::RunId => "gate/run_id",
        Category::Baseline => "gate/baseline",
    }
}

/// What fails or cannot be told is an error: both stand in the way of a release.
fn level(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Fail | CheckStatus::NoGrade => "error",
        CheckStatus::Warn => "warning",
        CheckStatus::Info => "note",
        CheckStatus::Pass => "none",
    }
}
