//! Metrics in Prometheus' text format, as an operator tells them.
//!
//! The format is read strictly: half a line is an error with its number, because a counter that is read wrong is worse
//! than one that is not read at all. Time stamps and comments are left out.

use std::collections::BTreeMap;

/// As many series as are kept of one scrape; an operator has hundreds.
pub const SERIES_MAX: usize = 200_000;

/// One number and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric's name, as it stands on the line: with `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The number; may be NaN or infinite.
    pub value: f64,
}

/// Everything one scrape said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// The series, in the order they were told.
    pub series: Vec<Series>,
}

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpositionError {
    /// A line is no series.
    #[error("line {line} is no metric: {why}: {text:?}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
        /// Its beginning.
        text: String,
    },
    /// There is no end of it.
    #[error("more than {SERIES_MAX} series")]
    TooMany,
}

impl Scrape {
    /// Reads the answer of a metrics endpoint.
    ///
    /// # Errors
    /// See [`ExpositionError`].
    pub fn parse(text: &str) -> Result<Self, ExpositionError> {
        let mut series = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if series.len() == SERIES_MAX {
                return Err(ExpositionError::TooMany);
            }
            series.push(parse_line(line).map_err(|why| ExpositionError::Line {
                line: index + 1,
                why,
                text: line.chars().take(80).collect(),
            })?);
        }
        Ok(Self { series })
    }

    /// The series of a name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| series.name == name)
    }
}

fn parse_line(line: &str) -> Result<Series, &'static str> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).ok_or("it has no value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("its name is none");
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => parse_labels(inner)?,
        None => (BTreeMap::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let value = words.next().and_then(parse_value).ok_or("its value is no number")?;
    match (words.next(), words.next()) {
        (None, _) => {}
        (Some(stamp), None) if stamp.parse::<f64>().is_ok() => {}
        _ => return Err("something follows its value"),
    }
    Ok(Series { name: name.to_owned(), labels, value })
}

fn is_name(text: &str, colons: bool) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    text.chars().next().is_some_and(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// Labels up to and with the closing brace, and what follows it.
fn parse_labels(text: &str) -> Result<(BTreeMap<String, String>, &str), &'static str> {
    const OPEN: &str = "its labels have no end";
    let mut labels = BTreeMap::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, value) = rest.split_once('=').ok_or(OPEN)?;
        let name = name.trim();
        if !is_name(name, false) {
            return Err("a label's name is none");
        }
        let quoted = value.trim_start().strip_prefix('"').ok_or("a label's value is not in quotes")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().ok_or(OPEN)? {
                (at, '"') => break at,
                (_, '\\') => match characters.next().ok_or(OPEN)?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        if labels.insert(name.to_owned(), value).is_some() {
            return Err("a label is given twice");
        }
        rest = quoted[end + 1..].trim_start();
        if let Some(more) = rest.strip_prefix(',') {
            rest = more.trim_start();
        } else if !rest.starts_with('}') {
            return Err(OPEN);
        }
    }
}

/// A number as Go writes them.
pub(super) fn parse_value(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_may_hold_what_separates_them_and_values_what_go_writes() {
        let text = "# HELP x y\n# TYPE x counter\nx_total{path=\"a,b}=\\\"c\\\\\\n\", code=\"200\",} 1.5e3 1700000000000\n\
                    up +Inf\nquotient NaN\n";
        let scrape = Scrape::parse(text).unwrap();
        assert_eq!(scrape.series.len(), 3);
        assert_eq!(scrape.series[0].labels["path"], "a,b}=\"c\\\n");
        assert_eq!(scrape.series[0].labels["code"], "200");
        assert!((scrape.series[0].value - 1500.0).abs() < f64::EPSILON);
        assert_eq!(scrape.series[1].value.to_bits(), f64::INFINITY.to_bits());
        assert!(scrape.series[2].value.is_nan());
    }

    #[test]
    fn half_a_line_is_an_error_with_its_number() {
        for (text, why) in [
            ("up 1\nx_total{a=\"b\" 1", "its labels have no end"),
            ("up 1\nx_total", "it has no value"),
            ("up 1\nx_total one", "its value is no number"),
            ("up 1\n<html> 1", "its name is none"),
            ("up 1\nx{a=1} 1", "a label's value is not in quotes"),
            ("up 1\nx 1 2 3", "something follows its value"),
            ("up 1\nx{a=\"1\",a=\"2\"} 1", "a label is given twice"),
        ] {
            match Scrape::parse(text) {
                Err(ExpositionError::Line { line: 2, why: found, .. }) => assert_eq!(found, why, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_an_endpoint_answers_does_no_harm(text in "\\PC{0,200}") {
            let _ = Scrape::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(labels in prop::collection::btree_map("[a-z_]{1,8}", "\\PC{0,12}", 0..4), value: f64) {
            let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let inner: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            let scrape = Scrape::parse(&format!("m{{{}}} {value}", inner.join(","))).unwrap();
            prop_assert_eq!(&scrape.series[0].labels, &labels);
            prop_assert_eq!(scrape.series[0].value.to_bits(), value.to_bits());
        }
    }
}
