//! The indicators of a run as a table: what a person looks at after the scenarios.
//!
//! Latencies show their percentiles, and a bar that compares them with the longest of the table.

use owo_colors::OwoColorize;

use crate::gate::checks::{self, Values};
use crate::gate::policy::Policy;
use crate::gate::verdict::CheckStatus;
use crate::sli::amount::{amount, percent};
use crate::sli::summary::{Indicator, Summary};

/// The longest bar.
const BAR: f64 = 12.0;

/// What indicators are shown against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Against<'a> {
    /// What is asked of them.
    pub policy: Option<&'a Policy>,
    /// What they were before.
    pub baseline: Option<&'a Values<'a>>,
}

/// A line of the table, cell by cell.
struct Row {
    cells: Vec<String>,
    status: &'static str,
    is_broken: bool,
}

/// The table, line by line; empty where nothing has a value.
pub fn table(summary: &Summary, against: Against<'_>) -> Vec<String> {
    let measured: Vec<&Indicator> = summary.results.iter().filter(|one| one.value.is_some()).collect();
    if measured.is_empty() {
        return Vec::new();
    }
    let longest = measured.iter().filter(|one| one.unit == "seconds").filter_map(|one| one.value).fold(0.0, f64::max);
    let mut head = vec!["indicator", "value", "p50", "p95", "p99", "of"];
    head.extend(against.policy.map(|_| "policy"));
    head.extend(against.baseline.map(|_| "baseline"));
    let rows: Vec<Row> = measured.iter().map(|one| row(one, &against, longest)).collect();
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row.cells[at].chars().count());
        cells.chain([head[at].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut lines = vec![line(&widths, head.iter().copied()).dimmed().to_string()];
    for row in &rows {
        let line = line(&widths, row.cells.iter().map(String::as_str));
        lines.push(match row.status {
            _ if row.is_broken => line.red().to_string(),
            "fail" => line.red().to_string(),
            "warn" => line.yellow().to_string(),
            _ => line,
        });
    }
    for (what, ids) in [("not measured", &summary.reliability.skipped), ("did not happen", &summary.not_observed)] {
        if !ids.is_empty() {
            lines.push(format!("{what}: {}", ids.join(", ")).dimmed().to_string());
        }
    }
    lines
}

/// Names to the left, numbers to the right, and what comes last as it is.
fn line<'a>(widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
    let padded = cells.enumerate().map(|(at, cell)| match widths.get(at) {
        Some(width) if at == 0 => format!("{cell:width$}"),
        Some(width) => format!("{cell:>width$}"),
        None => cell.to_owned(),
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    line.trim_end().to_owned()
}

fn row(one: &Indicator, against: &Against<'_>, longest: f64) -> Row {
    let value = one.value.unwrap_or_default();
    let field = |name: &str| one.fields.get(name).map_or(String::new(), |value| amount(*value, &one.unit));
    let mut cells = vec![one.id.clone(), amount(value, &one.unit), field("p50"), field("p95"), field("p99")];
    cells.push(one.fields.get("count").map_or(String::new(), |count| format!("{count:.0}")));
    let mut is_broken = false;
    if let Some(policy) = against.policy {
        let values = Values::from([(one.id.as_str(), value)]);
        let rules = policy.thresholds.iter().filter(|rule| rule.metric == one.id);
        let limits: Vec<String> = rules
            .map(|rule| {
                let holds = checks::threshold(policy, rule, &values).check.status == CheckStatus::Pass;
                is_broken |= !holds;
                let sign = rule.operator.replace("<=", "≤").replace(">=", "≥");
                format!("{} {sign} {}", if holds { "✓" } else { "✗" }, amount(rule.value, &one.unit))
            })
            .collect();
        cells.push(limits.join(", "));
    }
    if let Some(baseline) = against.baseline {
        let before = baseline.get(one.id.as_str());
        cells.push(before.map_or("new".to_owned(), |before| compared(value, *before, &one.unit)));
    }
    cells.push(bar(one, longest));
    Row { cells, status: one.status, is_broken }
}

/// What it was, and by how much it is different now.
fn compared(value: f64, before: f64, unit: &str) -> String {
    let was = amount(before, unit);
    if value.total_cmp(&before).is_eq() {
        format!("{was} =")
    } else if before == 0.0 {
        format!("{was} ≠")
    } else {
        format!("{was} {}", percent((value - before) / before.abs() * 100.0))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a short bar")]
fn bar(one: &Indicator, longest: f64) -> String {
    match one.value {
        Some(value) if one.unit == "seconds" && longest > 0.0 => {
            let cells = (value / longest * BAR).ceil().clamp(0.0, BAR) as usize;
            "▇".repeat(cells)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_with_what_it_was() {
        for (value, before, text) in
            [(3.0, 3.0, "3 ="), (3.0, 0.0, "0 ≠"), (3.0, 4.0, "4 -25 %"), (6.0, 4.0, "4 +50 %")]
        {
            assert_eq!(compared(value, before, "count"), text);
        }
    }
}
