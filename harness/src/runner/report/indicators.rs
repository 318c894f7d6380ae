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

/// What stands between two columns.
const GAP: &str = "  ";

/// What indicators are shown against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Against<'a> {
    /// What is asked of them.
    pub policy: Option<&'a Policy>,
    /// What they were before.
    pub baseline: Option<&'a Values<'a>>,
}

/// What is left out where there is no room for all of it, in this order.
const SPARE: [&str; 5] = [BARS, "of", "p50", "p99", "p95"];

/// The column of bars, which has no title.
const BARS: &str = "";

/// A line of the table, cell by cell.
struct Row {
    cells: Vec<String>,
    status: &'static str,
    is_broken: bool,
}

/// The table, line by line; empty where nothing has a value. It keeps to `room` columns where it can.
pub fn table(summary: &Summary, against: Against<'_>, room: Option<usize>) -> Vec<String> {
    let measured: Vec<&Indicator> = summary.results.iter().filter(|one| one.value.is_some()).collect();
    let mut lines = Vec::new();
    if !measured.is_empty() {
        let longest =
            measured.iter().filter(|one| one.unit == "seconds").filter_map(|one| one.value).fold(0.0, f64::max);
        let mut head = vec!["indicator", "value", "p50", "p95", "p99", "of"];
        head.extend(against.policy.map(|_| "policy"));
        head.extend(against.baseline.map(|_| "baseline"));
        head.push(BARS);
        let rows: Vec<Row> = measured.iter().map(|one| row(one, &against, longest)).collect();
        let shown = shown(&head, &rows, room);
        lines.push(line(&shown, |at| head[at]).dimmed().to_string());
        for row in &rows {
            let line = line(&shown, |at| row.cells[at].as_str());
            lines.push(match row.status {
                _ if row.is_broken => line.red().to_string(),
                "fail" => line.red().to_string(),
                "warn" => line.yellow().to_string(),
                _ => line,
            });
        }
    }
    for (what, ids) in [("not measured:", &summary.reliability.skipped), ("did not happen:", &summary.not_observed)] {
        lines.extend(listed(what, ids, room).into_iter().map(|line| line.dimmed().to_string()));
    }
    lines
}

/// The columns that there is room for, each with its width; one in which nothing stands takes none.
fn shown(head: &[&str], rows: &[Row], room: Option<usize>) -> Vec<(usize, usize)> {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row.cells[at].chars().count()).max().unwrap_or_default();
        (cells > 0).then(|| (at, cells.max(head[at].chars().count())))
    };
    let mut shown: Vec<(usize, usize)> = (0..head.len()).filter_map(width).collect();
    let is_too_wide = |shown: &[(usize, usize)]| {
        let whole = shown.iter().map(|(_, width)| width + GAP.len()).sum::<usize>();
        room.is_some_and(|room| whole > room + GAP.len())
    };
    for spare in SPARE {
        if is_too_wide(&shown) {
            shown.retain(|(at, _)| head[*at] != spare);
        }
    }
    shown
}

/// Names and bars to the left, numbers to the right.
fn line<'a>(shown: &[(usize, usize)], cell: impl Fn(usize) -> &'a str) -> String {
    let padded = shown.iter().map(|(at, width)| match cell(*at) {
        name if *at == 0 => format!("{name:width$}"),
        bar if bar.starts_with('▇') => bar.to_owned(),
        number => format!("{number:>width$}"),
    });
    padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// Names after what they have in common, in lines that are no longer than there is room for.
fn listed(what: &str, names: &[String], room: Option<usize>) -> Vec<String> {
    let Some(last) = names.len().checked_sub(1) else { return Vec::new() };
    let mut lines = vec![what.to_owned()];
    for (at, name) in names.iter().enumerate() {
        let word = format!(" {name}{}", if at == last { "" } else { "," });
        match lines.last_mut() {
            Some(line) if room.is_none_or(|room| line.len() + word.len() <= room) => line.push_str(&word),
            _ => lines.push(format!(" {word}")),
        }
    }
    lines
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

    fn text(room: Option<usize>) -> String {
        let row = |cells: [&str; 7]| Row { cells: cells.map(str::to_owned).to_vec(), status: "pass", is_broken: false };
        let head = ["indicator", "value", "p50", "p95", "of", "baseline", BARS];
        let rows = [
            row(["drain_time_p95", "75 s", "0 s", "75 s", "111", "75 s =", "▇"]),
            row(["idle_writes", "0", "", "", "", "0 =", ""]),
        ];
        let shown = shown(&head, &rows, room);
        let lines = rows.iter().map(|row| line(&shown, |at| row.cells[at].as_str()));
        [line(&shown, |at| head[at])].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_table_keeps_to_the_room_there_is_and_keeps_what_says_most() {
        let whole = "\
indicator       value  p50   p95   of  baseline
drain_time_p95   75 s  0 s  75 s  111    75 s =  ▇
idle_writes         0                       0 =";
        assert_eq!(text(None), whole);
        assert_eq!(text(Some(50)), whole);
        assert_eq!(text(Some(49)).lines().next(), Some("indicator       value  p50   p95   of  baseline"));
        assert!(!text(Some(49)).contains('▇'));
        assert_eq!(text(Some(40)).lines().next(), Some("indicator       value   p95  baseline"));
        let narrow =
            "indicator       value  baseline\ndrain_time_p95   75 s    75 s =\nidle_writes         0       0 =";
        assert_eq!(text(Some(20)), narrow, "what is asked for is shown in any case");
    }

    #[test]
    fn names_are_listed_in_lines_that_fit() {
        let names = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(listed("not:", &names, None), ["not: one, two, three"]);
        assert_eq!(listed("not:", &names, Some(14)), ["not: one, two,", "  three"]);
        assert!(listed("not:", &[], Some(14)).is_empty());
    }

    #[test]
    fn a_value_is_shown_with_what_it_was() {
        for (value, before, text) in
            [(3.0, 3.0, "3 ="), (3.0, 0.0, "0 ≠"), (3.0, 4.0, "4 -25 %"), (6.0, 4.0, "4 +50 %")]
        {
            assert_eq!(compared(value, before, "count"), text);
        }
    }
}
