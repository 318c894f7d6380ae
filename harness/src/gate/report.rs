//! A verdict as a page for people: what is wrong first, then everything that was looked at.

use std::fmt::Write;

use super::explain::{Troubles, explain};
use super::markdown::cell;
use super::verdict::{Category, Check, CheckStatus, Grade, Observed, Verdict};
use crate::sli::amount::{amount, apart, percent, signed};

/// The whole page, as Markdown.
pub fn page(verdict: &Verdict, troubles: &Troubles) -> String {
    let sign = match verdict.gate_result {
        Grade::Pass => "✅",
        Grade::Warn => "⚠️",
        Grade::Fail => "❌",
        Grade::NoGrade => "❔",
    };
    let mut lines = explain(verdict, troubles).into_iter();
    let mut page = format!("# {sign} {}\n", lines.next().unwrap_or_default());
    let mut rest = lines.peekable();
    if rest.peek().is_some() {
        page.push('\n');
    }
    for line in rest {
        match line.strip_prefix("      ") {
            Some(advice) => {
                let _ = writeln!(page, "  {}  ", text(advice));
            }
            None => {
                let _ = writeln!(page, "- {}  ", text(line.trim()));
            }
        }
    }
    let compared: Vec<&Check> = verdict.checks.iter().filter(|check| check.comparison.is_some()).collect();
    if !compared.is_empty() {
        page.push_str(
            "\n## Compared with the baseline\n\n\
             | Indicator | Baseline | Now | Change | 95 % between | p | Runs | |\n|---|--:|--:|--:|--:|--:|--:|---|\n",
        );
        for check in compared {
            compared_row(&mut page, check, troubles.unit(&check.metric));
        }
    }
    if !verdict.checks.is_empty() {
        page.push_str("\n## Checks\n\n| | Check | Observed | Expected | |\n|---|---|--:|---|---|\n");
    }
    for check in &verdict.checks {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            word(check.status),
            cell(&text(&check.name)),
            cell(&text(&observed(check, troubles))),
            cell(&text(&check.expected)),
            cell(&text(&check.message))
        );
    }
    let _ = writeln!(page, "\nJudged {} by `{}`.", verdict.evaluated_at, verdict.input_refs.policy_file);
    page
}

fn compared_row(page: &mut String, check: &Check, unit: &str) {
    let Some(figures) = &check.comparison else { return };
    let changed = |by: f64| if figures.change_in == "percent" { percent(by) } else { signed(by, unit) };
    let (was, is) = apart(figures.baseline_median, figures.median, unit);
    let _ = writeln!(
        page,
        "| {} | {was} | {is} | {} | {} to {} | {:.4} | {} / {} | {} |",
        cell(&text(&check.metric)),
        changed(figures.change),
        changed(figures.interval[0]),
        changed(figures.interval[1]),
        figures.p_value,
        figures.runs,
        figures.baseline_runs,
        word(check.status)
    );
}

/// What was seen, as people read it.
fn observed(check: &Check, troubles: &Troubles) -> String {
    match (&check.observed, check.category) {
        // A share or a difference: the words beside it say which.
        (Observed::Number(value), Category::Regression) => amount(*value, ""),
        (Observed::Number(value), _) => amount(*value, troubles.unit(&check.metric)),
        (other, _) => other.text(),
    }
}

fn word(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "✅",
        CheckStatus::Warn => "⚠️ warn",
        CheckStatus::Fail => "❌ fail",
        CheckStatus::NoGrade => "❔ not told",
        CheckStatus::Info => "ℹ️ info",
    }
}

/// Text that stays text: what comes from a file is no markup of this page.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '`' | '*' | '_' | '[' | ']' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_are_no_markup() {
        assert_eq!(text("<img>[a](b)*c*\n"), "&lt;img>\\[a\\](b)\\*c\\* ");
    }
}
