//! Prometheus' text format, as far as adding up one gauge needs it. Pure.
//!
//! Only lines of the wanted metric are looked into; the rest of a page may be of any later format.

/// Why a page does not tell the sum.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Error {
    /// There is no such metric, or none of its samples fits.
    #[error("there is no sample of {metric} that fits")]
    Missing {
        /// Its name.
        metric: String,
    },
    /// The last line has no end, and what is missing may be anything.
    #[error("the page breaks off")]
    Cut,
    /// A sample that cannot be read.
    #[error("line {line} is no sample")]
    Garbled {
        /// Counted from one.
        line: usize,
    },
    /// A number of connections that is none.
    #[error("line {line} says {value}, which is no number of connections")]
    Uncountable {
        /// Counted from one.
        line: usize,
        /// What it says.
        value: f64,
    },
}

/// The labels of a sample.
pub(super) struct Labels(Vec<(String, String)>);

impl Labels {
    /// The value of a label; a label that is not there is an empty one, as Prometheus has it.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

/// Adds up the samples of a metric that fit.
pub(super) fn sum(page: &str, metric: &str, fits: impl Fn(&Labels) -> bool) -> Result<u64, Error> {
    let mut sum = None;
    for (index, line) in page.lines().enumerate() {
        let line_number = index + 1;
        let Some(rest) = line.trim_start().strip_prefix(metric) else { continue };
        if !rest.starts_with(['{', ' ', '\t']) {
            continue;
        }
        let (labels, value) = sample(rest).ok_or(Error::Garbled { line: line_number })?;
        if fits(&labels) {
            let count = count(value).ok_or(Error::Uncountable { line: line_number, value })?;
            sum = Some(sum.unwrap_or(0u64).saturating_add(count));
        }
    }
    sum.ok_or_else(|| Error::Missing { metric: metric.to_owned() })
}

/// Like [`sum`], where no sample is as good as a zero: a metric that appears with the first thing it counts.
pub(super) fn sum_or_zero(page: &str, metric: &str, fits: impl Fn(&Labels) -> bool) -> Result<u64, Error> {
    match sum(page, metric, fits) {
        Err(Error::Missing { .. }) => Ok(0),
        other => other,
    }
}

/// A sum of a page, which is no proof of nothing where the page breaks off.
pub(super) fn whole(page: &str, sum: u64) -> Result<u64, Error> {
    if sum == 0 && !page.ends_with('\n') { Err(Error::Cut) } else { Ok(sum) }
}

/// Whether the page has anything to say of a metric, if only that it is there.
pub(super) fn knows(page: &str, metric: &str) -> bool {
    page.lines().any(|line| {
        let line = line.trim_start();
        let name = line.strip_prefix("# TYPE ").unwrap_or(line);
        name.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ', '\t']))
    })
}

/// A number of connections. A part of one is one.
pub(super) fn count(value: f64) -> Option<u64> {
    // Beyond this, numbers are not exact any more, and no machine has so many connections.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..=EXACT).contains(&value).then(|| value.ceil() as u64)
}

/// What follows the name: labels, the value, perhaps a time, perhaps an exemplar.
fn sample(text: &str) -> Option<(Labels, f64)> {
    let (labels, rest) = match text.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Labels(Vec::new()), text),
    };
    let value = rest.split_ascii_whitespace().next()?;
    Some((labels, value.parse().ok()?))
}

/// What follows the opening brace, and what follows the closing one.
fn labels(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('}') {
            return Some((Labels(labels), rest));
        }
        let (name, rest) = text.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        let (value, rest) = quoted(rest.trim_start())?;
        labels.push((name.to_owned(), value));
        text = rest.trim_start();
        text = match text.strip_prefix(',') {
            Some(rest) => rest,
            None if text.starts_with('}') => text,
            None => return None,
        };
    }
}

/// A text in quotes, and what follows them.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = r#"# HELP open Open connections.
# TYPE open gauge
open 2
open{listener="public"} 3
open{listener="public",peer="a \"b\" \\ c, } d"} 4.5 1700000000000
open{ listener = "admin" , } 1e3
  open{listener=""} 7
open_total 99
opening{listener="public"} 99
broken{listener=public} 1
broken NaN
negative -1
exemplar{le="1"} 5 # {trace_id="x"} 0.5
"#;

    #[test]
    fn samples_that_fit_are_added_up() {
        let public = |labels: &Labels| labels.get("listener") == "public";
        assert_eq!(sum(PAGE, "open", public), Ok(8), "four and a half connections are five");
        assert_eq!(sum(PAGE, "open", |labels| labels.get("listener").is_empty()), Ok(9));
        assert_eq!(sum(PAGE, "open", |labels| labels.get("peer") == "a \"b\" \\ c, } d"), Ok(5));
        assert_eq!(sum(PAGE, "open", |_| true), Ok(1017));
        assert_eq!(sum(PAGE, "open_total", |_| true), Ok(99));
        assert_eq!(sum(PAGE, "exemplar", |_| true), Ok(5));
    }

    #[test]
    fn what_is_not_there_or_no_number_is_no_zero() {
        let no_sample = |metric: &str| Err(Error::Missing { metric: metric.to_owned() });
        assert_eq!(sum(PAGE, "closed", |_| true), no_sample("closed"));
        assert_eq!(sum(PAGE, "open", |_| false), no_sample("open"));
        assert_eq!(sum("", "", |_| true), no_sample(""));
        assert_eq!(sum(PAGE, "broken", |_| true), Err(Error::Garbled { line: 10 }));
        assert_eq!(sum(PAGE, "negative", |_| true), Err(Error::Uncountable { line: 12, value: -1.0 }));
        for no_number in ["NaN", "+Inf", "-Inf", "-1", "1e300"] {
            let page = format!("broken {no_number}\n");
            assert!(matches!(sum(&page, "broken", |_| true), Err(Error::Uncountable { line: 1, .. })), "{page}");
        }
        for garbled in ["broken", "broken ", "broken {", "broken{a=\"b", "broken{a=\"b\"}", "broken many"] {
            let read = sum(&format!("{garbled}\n"), "broken", |_| true);
            assert!(matches!(read, Err(Error::Garbled { .. } | Error::Missing { .. })), "{garbled}: {read:?}");
        }
        assert_eq!(sum_or_zero(PAGE, "closed", |_| true), Ok(0));
        assert_eq!(sum_or_zero(PAGE, "broken", |_| true), Err(Error::Garbled { line: 10 }));
    }

    #[test]
    fn a_page_that_breaks_off_proves_nothing_but_what_it_says() {
        for (page, expected) in
            [("open 0\n", Ok(0)), ("open 0", Err(Error::Cut)), ("open 1\nopen{", Ok(1)), ("", Err(Error::Cut))]
        {
            assert_eq!(whole(page, u64::from(page.contains('1'))), expected, "{page:?}");
        }
    }

    #[test]
    fn a_metric_is_known_by_a_sample_or_by_its_type() {
        for (page, known) in [
            ("open 1\n", true),
            ("open{a=\"b\"} 1\n", true),
            ("# HELP open Connections.\n# TYPE open gauge\n", true),
            ("<p>open</p>\n", false),
            ("opening 1\n", false),
            ("", false),
        ] {
            assert_eq!(knows(page, "open"), known, "{page:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_of_a_page_never_says_that_there_is_nothing(counts in proptest::collection::vec(1u32.., 1..9), at in any::<proptest::sample::Index>()) {
            let lines = counts.iter().enumerate().map(|(n, count)| format!("open{{n=\"{n}\"}} 0.{count}"));
            let page = lines.collect::<Vec<_>>().join("\n") + "\n";
            let part = &page[..at.index(page.len())];
            let read = sum(part, "open", |_| true).and_then(|sum| whole(part, sum));
            prop_assert_ne!(read, Ok(0));
        }

        #[test]
        fn no_page_panics(page in "(open|[{}\"=,\\\\ #é\n]|[a-z0-9.]){0,60}") {
            let _ = sum(&page, "open", |_| true);
            let _ = sum(&format!("open{page}"), "open", |_| true);
        }

        #[test]
        fn what_a_server_writes_is_read_back(value in any::<u32>(), label in "[^\n\\\\\"]{0,20}") {
            let page = format!("open{{a=\"{label}\"}} {value}\n");
            prop_assert_eq!(sum(&page, "open", |labels| labels.get("a") == label), Ok(u64::from(value)));
        }
    }
}
