//! A measurement beside its baseline, as a table. It judges nothing.

use std::fmt::Write;

use super::measurement::{Indicator, Measurement};
use super::noise::resample::median;
use crate::sli::amount::{amount, percent, signed};

/// The table: a line for each indicator of either side.
pub fn table(baseline: &Measurement, now: &Measurement) -> String {
    let mut ids: Vec<&str> = Vec::new();
    for one in baseline.indicators.iter().chain(&now.indicators) {
        if !ids.contains(&one.id.as_str()) {
            ids.push(&one.id);
        }
    }
    let find = |side: &Measurement, id: &str| side.indicators.iter().find(|one| one.id == id).map(Indicator::runs);
    let unit = |id: &str| {
        let both = now.indicators.iter().chain(&baseline.indicators);
        both.filter(|one| one.id == id).map(|one| one.unit.clone()).find(|unit| !unit.is_empty()).unwrap_or_default()
    };
    let mut rows = vec![["indicator", "baseline", "now", "change"].map(str::to_owned)];
    for id in ids {
        let (before, after) = (find(baseline, id).unwrap_or_default(), find(now, id).unwrap_or_default());
        let unit = unit(id);
        rows.push([id.to_owned(), side(&before, &unit), side(&after, &unit), change(&before, &after, &unit)]);
    }
    aligned(&rows)
}

/// The median, and how many runs it is of.
fn side(runs: &[f64], unit: &str) -> String {
    match runs {
        [] => "-".to_owned(),
        [one] => amount(*one, unit),
        several => format!("{} ({} runs)", amount(median(several), unit), several.len()),
    }
}

fn change(before: &[f64], now: &[f64], unit: &str) -> String {
    if before.is_empty() || now.is_empty() {
        return match (before.is_empty(), now.is_empty()) {
            (true, false) => "new".to_owned(),
            (false, true) => "gone".to_owned(),
            _ => String::new(),
        };
    }
    let (before, now) = (median(before), median(now));
    let off = now - before;
    if off == 0.0 {
        "=".to_owned()
    } else if before == 0.0 {
        signed(off, unit)
    } else {
        percent(off / before.abs() * 100.0)
    }
}

/// Columns side by side: names to the left, numbers to the right.
fn aligned(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let _ = if column == 0 { write!(line, "{cell}{pad}  ") } else { write!(line, "{pad}{cell}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(results: &str) -> Measurement {
        let text =
            format!(r#"{{"schemaVersion":"slo.v3","generatedAt":"2026-11-01T10:00:00Z","results":[{results}]}}"#);
        Measurement::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_indicator_of_either_side_has_its_line() {
        let before = side(
            r#"{"id":"latency","unit":"seconds","value":0.2,"samples":[0.1,0.2,0.3],"status":"pass"},
               {"id":"errors","value":0,"status":"pass"},{"id":"old","value":1,"status":"pass"}"#,
        );
        let now = side(
            r#"{"id":"latency","unit":"seconds","value":0.25,"status":"pass"},{"id":"errors","value":2,"status":"pass"},
               {"id":"skipped","status":"skip"},{"id":"new","value":1,"status":"pass"}"#,
        );
        let expected = "\
indicator         baseline     now  change
latency    200 ms (3 runs)  250 ms   +25 %
errors                   0       2      +2
old                      1       -    gone
skipped                  -       -
new                      -       1     new
";
        assert_eq!(table(&before, &now), expected);
    }
}
