//! A verdict as Markdown, for the summary of a workflow's step.

use std::fmt::Write;

use super::verdict::Verdict;

/// A table cell: one line, and no bar of its own.
pub(super) fn cell(text: &str) -> String {
    text.replace("\r\n", " ").replace('\n', " ").replace('|', "\\|")
}

/// The word a value is written as in JSON.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The whole page.
pub fn page(verdict: &Verdict) -> String {
    let mut page = String::from("# slint-gate Result\n\n");
    for (label, value) in [
        ("Gate Result", word(&verdict.gate_result)),
        ("Evaluation Status", word(&verdict.evaluation_status)),
        ("Measurement Status", word(&verdict.measurement_status)),
        ("Baseline Status", word(&verdict.baseline_status)),
        ("Policy Status", word(&verdict.policy_status)),
        ("Overall Message", verdict.overall_message.to_owned()),
    ] {
        let _ = writeln!(page, "- **{label}:** {value}");
    }
    page.push_str("\n## Reasons\n");
    if verdict.reasons.is_empty() {
        page.push_str("- (none)\n");
    }
    for reason in &verdict.reasons {
        let _ = writeln!(page, "- `{}`", reason.as_str());
    }
    page.push_str("\n## Checks\n");
    if verdict.checks.is_empty() {
        page.push_str("- (no checks)\n");
        return page;
    }
    page.push_str(
        "| Name | Category | Status | Metric | Observed | Expected | Message |\n|---|---|---|---|---|---|---|\n",
    );
    for check in &verdict.checks {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&check.name),
            check.category.as_str(),
            check.status.as_str(),
            cell(&check.metric),
            cell(&check.observed.text()),
            cell(&check.expected),
            cell(&check.message)
        );
    }
    page
}
