//! Which series of a scrape are meant: a name and conditions on labels, written as Prometheus writes them.
//!
//! `rest_client_requests_total{code=~"5.."}` means every series of that name whose `code` is a 5 and two digits, whatever
//! other labels it has.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::exposition::{Scrape, Series};

/// A name and conditions on labels.
#[derive(Clone, Debug)]
pub struct Selector {
    text: String,
    name: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    label: String,
    test: Test,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Is(String),
    Matches(Regex),
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SelectorError {
    /// It does not look like one.
    #[error("{0:?} is no selector like name{{label=\"value\",other=~\"pattern\"}}")]
    Form(String),
    /// Its pattern cannot be read.
    #[error("{pattern:?} is no regular expression")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why not.
        #[source]
        source: regex::Error,
    },
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let wrong = || SelectorError::Form(text.to_owned());
        let trimmed = text.trim();
        let (name, rest) = match trimmed.split_once('{') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix('}').ok_or_else(wrong)?),
            None => (trimmed, ""),
        };
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
        if !is_name(name) {
            return Err(wrong());
        }
        let mut conditions = Vec::new();
        let mut rest = rest.trim();
        while !rest.is_empty() {
            let operator = rest.find(['=', '!']).ok_or_else(wrong)?;
            let label = rest[..operator].trim();
            let (symbol, after) = ["=~", "!~", "!=", "="]
                .into_iter()
                .find_map(|symbol| rest[operator..].strip_prefix(symbol).map(|after| (symbol, after)))
                .ok_or_else(wrong)?;
            let quoted = after.trim_start().strip_prefix('"').ok_or_else(wrong)?;
            let (value, end) = unquote(quoted).ok_or_else(wrong)?;
            if !is_name(label) {
                return Err(wrong());
            }
            let condition = if symbol.ends_with('~') {
                let pattern = format!("^(?:{value})$");
                Test::Matches(Regex::new(&pattern).map_err(|source| SelectorError::Pattern { pattern: value, source })?)
            } else {
                Test::Is(value)
            };
            conditions.push(Condition { label: label.to_owned(), test: condition, negated: symbol.starts_with('!') });
            rest = quoted[end..].trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more.trim_start(),
                None if rest.is_empty() => {}
                None => return Err(wrong()),
            }
        }
        Ok(Self { text: text.to_owned(), name: name.to_owned(), conditions })
    }
}

/// A text up to its closing quote, and how many bytes it and the quote take.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, at + 1)),
            // Of a pattern's escapes only that of the quote is ours.
            (_, '\\') => match characters.next()?.1 {
                '"' => value.push('"'),
                other => value.extend(['\\', other]),
            },
            (_, other) => value.push(other),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Selector {
    /// The metric's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same conditions on the metric's buckets, sum or count.
    #[must_use]
    pub fn part(&self, suffix: &str) -> Self {
        Self { name: format!("{}{suffix}", self.name), ..self.clone() }
    }

    /// The series that are meant.
    pub fn of<'a>(&'a self, scrape: &'a Scrape) -> impl Iterator<Item = &'a Series> {
        scrape.named(&self.name).filter(|series| self.is_of(series))
    }

    /// Whether a series is meant.
    pub fn is_of(&self, series: &Series) -> bool {
        series.name == self.name && self.conditions.iter().all(|condition| condition.holds(series))
    }

    /// The sum of the series that are meant. Where none is there although the metric is, that is 0: a labelled series
    /// appears when it first counts. None where the metric itself is not there.
    pub fn sum(&self, scrape: &Scrape) -> Option<f64> {
        let mut any = scrape.named(&self.name).peekable();
        any.peek()?;
        Some(total(self.of(scrape).map(|series| series.value)))
    }
}

/// A sum that is 0 where there is nothing to add up; std's is -0.
pub(super) fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

impl Condition {
    fn holds(&self, series: &Series) -> bool {
        let value = series.labels.get(&self.label).map_or("", String::as_str);
        let holds = match &self.test {
            Test::Is(text) => value == text,
            Test::Matches(pattern) => pattern.is_match(value),
        };
        holds != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "r{code=\"200\",host=\"a\"} 5\nr{code=\"503\",host=\"a\"} 2\nr{code=\"500\",host=\"b\"} 1\n\
                        r{code=\"429\"} 4\n";

    #[test]
    fn labels_that_are_not_named_do_not_matter() {
        let scrape = Scrape::parse(TEXT).unwrap();
        for (selector, sum) in [
            ("r", Some(12.0)),
            (r#"r{code="429"}"#, Some(4.0)),
            (r#"r{code=~"5.."}"#, Some(3.0)),
            (r#" r { code =~ "5.." , host="a" } "#, Some(2.0)),
            (r#"r{code!="200",host!=""}"#, Some(3.0)),
            (r#"r{code!~"[45].*"}"#, Some(5.0)),
            (r#"r{code="404"}"#, Some(0.0)),
            ("gone", None),
        ] {
            assert_eq!(selector.parse::<Selector>().unwrap().sum(&scrape), sum, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in
            ["", "a b", "r{", "r{code}", "r{code=200}", "r{code=\"200\" host=\"a\"}", "r{code=\"200}", "r{=\"x\"}"]
        {
            assert!(matches!(text.parse::<Selector>(), Err(SelectorError::Form(_))), "{text}");
        }
        assert!(matches!("r{code=~\"(\"}".parse::<Selector>(), Err(SelectorError::Pattern { .. })));
    }
}
