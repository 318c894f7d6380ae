//! The indicators of a run as a table: what a person looks at after the scenarios.
//!
//! Latencies show their percentiles, and a bar that compares them with the longest of the table.

use owo_colors::OwoColorize;

use crate::sli::summary::{Indicator, Summary};

/// The longest bar.
const BAR: f64 = 12.0;

/// The table, line by line; empty where nothing has a value.
pub fn table(summary: &Summary) -> Vec<String> {
    let measured: Vec<&Indicator> = summary.results.iter().filter(|one| one.value.is_some()).collect();
    if measured.is_empty() {
        return Vec::new();
    }
    let longest = measured.iter().filter(|one| one.unit == "seconds").filter_map(|one| one.value).fold(0.0, f64::max);
    let width = measured.iter().map(|one| one.id.len()).max().unwrap_or_default();
    let mut lines = vec![
        format!("{:width$}  {:>10}  {:>9} {:>9} {:>9}  {:>6}", "indicator", "value", "p50", "p95", "p99", "of")
            .dimmed()
            .to_string(),
    ];
    for one in measured {
        let field = |name: &str| one.fields.get(name).map_or(String::new(), |value| amount(*value, &one.unit));
        let count = one.fields.get("count").map_or(String::new(), |count| format!("{count:.0}"));
        let line = format!(
            "{:width$}  {:>10}  {:>9} {:>9} {:>9}  {count:>6}  {}",
            one.id,
            amount(one.value.unwrap_or_default(), &one.unit),
            field("p50"),
            field("p95"),
            field("p99"),
            bar(one, longest)
        );
        let line = line.trim_end().to_owned();
        lines.push(match one.status {
            "fail" => line.red().to_string(),
            "warn" => line.yellow().to_string(),
            _ => line,
        });
    }
    let skipped = &summary.reliability.skipped;
    for (what, ids) in [("not measured", skipped), ("did not happen", &summary.not_observed)] {
        if !ids.is_empty() {
            lines.push(format!("{what}: {}", ids.join(", ")).dimmed().to_string());
        }
    }
    lines
}

/// A number with its unit, in as many digits as one reads at a glance.
pub fn amount(value: f64, unit: &str) -> String {
    match unit {
        "seconds" if value == 0.0 => "0 s".to_owned(),
        "seconds" if value < 0.001 => format!("{:.0} µs", value * 1e6),
        "seconds" if value < 1.0 => format!("{:.0} ms", value * 1e3),
        "seconds" if value < 100.0 => format!("{value:.2} s"),
        "seconds" => format!("{:.1} min", value / 60.0),
        "bytes" => format!("{:.1} MiB", value / 1_048_576.0),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
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
    fn amounts_are_read_at_a_glance() {
        for (value, unit, text) in [
            (0.0, "seconds", "0 s"),
            (0.000_25, "seconds", "250 µs"),
            (0.042, "seconds", "42 ms"),
            (12.345, "seconds", "12.35 s"),
            (300.0, "seconds", "5.0 min"),
            (5_242_880.0, "bytes", "5.0 MiB"),
            (3.0, "count", "3"),
            (4.256, "count", "4.26"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
    }
}
