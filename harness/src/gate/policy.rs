//! What is asked of a measurement: a policy of schema `slint.policy.v1`, or of its superset, which [`extension`] reads.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::sync::LazyLock;

use regex::Regex;

use super::extension::{self, Extension, Severity};
use super::number;
use super::yaml::{self, Node, YamlError};

/// The schema that is read.
pub const SCHEMA: &str = "slint.policy.v1";

const KEYS: [&str; 7] =
    ["schema_version", "thresholds", "regression", "reliability", "coverage", "fail_on", "promote_to_fail"];

/// What a policy asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// The rules, in the file's order.
    pub thresholds: Vec<Threshold>,
    /// How the measurement must compare to its baseline.
    pub regression: Regression,
    /// How complete the measurement must be.
    pub reliability: Reliability,
    /// Whether every indicator must have a rule.
    pub coverage: Coverage,
    /// Which violations fail the gate; the others are warnings.
    pub fatal: BTreeSet<Violation>,
    /// What is asked beyond slint-gate; none in a policy of its schema.
    pub extension: Option<Extension>,
}

/// A rule that states the good condition: `metric operator value`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Threshold {
    /// What the rule is called; may be empty.
    pub name: String,
    /// Which indicator it is about.
    pub metric: String,
    /// How it compares, as written.
    pub operator: String,
    /// What it compares with.
    pub value: f64,
    /// How heavily a violation weighs; none leaves that to `promote_to_fail`.
    pub severity: Option<Severity>,
    /// Where it stands in the file.
    pub line: Line,
}

/// A line of a file, from 1; 0 where it stands in another. It is no part of what is asked: two rules that stand in different
/// lines and say the same are the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line(pub usize);

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Comparison with a baseline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Regression {
    /// Whether it is asked for.
    pub enabled: bool,
    /// How much worse a value may be, in percent of its baseline.
    pub tolerance_percent: f64,
}

/// How complete a measurement must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    /// Whether less is a warning.
    pub required: bool,
    /// The least that will do.
    pub min_level: Level,
}

/// How far collecting came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something was collected.
    #[default]
    Partial,
    /// Everything was collected.
    Complete,
}

impl Level {
    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Complete => "complete",
        }
    }
}

/// Whether indicators without a rule are allowed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Every indicator must have a rule or be listed below.
    pub required: bool,
    /// Indicators that are only told.
    pub informational: Vec<String>,
}

/// A kind of violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A rule does not hold.
    ThresholdMiss,
    /// A value is worse than its baseline.
    RegressionDetected,
    /// An indicator has no rule.
    CoverageGap,
}

impl Violation {
    const ALL: [Self; 3] = [Self::ThresholdMiss, Self::RegressionDetected, Self::CoverageGap];

    fn as_str(self) -> &'static str {
        match self {
            Self::ThresholdMiss => "threshold_miss",
            Self::RegressionDetected => "regression_detected",
            Self::CoverageGap => "coverage_gap",
        }
    }
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// It is no text.
    #[error("it is not UTF-8")]
    NotText,
    /// It says it is something else.
    #[error("unsupported schema_version {} (want {SCHEMA})", quoted(.0))]
    Schema(String),
    /// A violation that there is not.
    #[error("unsupported {key} value {}", quoted(.value))]
    Violation {
        /// The list it stands in.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// A level that there is not.
    #[error("unsupported reliability.min_level {}", quoted(.0))]
    Level(String),
    /// A rule compares with nothing.
    #[error("threshold {} has a NaN value", quoted(.0))]
    NotANumber(String),
    /// Two rules have one name.
    #[error("duplicate threshold name {}", quoted(.0))]
    Duplicate(String),
    /// A key that there is not.
    #[error("line {line}, column {column}: there is no {} in {section}{}", quoted(.key), meant(*.nearest))]
    Key {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// Where it stands.
        section: String,
        /// The key.
        key: String,
        /// The key that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A word that there is not.
    #[error("line {line}, column {column}: {field} is {}; {} are known{}", quoted(.word), .known.join(", "), meant(*.nearest))]
    Word {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The field.
        field: Box<str>,
        /// What it says.
        word: Box<str>,
        /// What it could say.
        known: &'static [&'static str],
        /// The word that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A value that makes no sense there.
    #[error("line {line}, column {column}: {field} should be {wanted}")]
    Range {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The field.
        field: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Two comparisons of one indicator.
    #[error("line {line}: two comparisons are of {}", quoted(.metric))]
    Comparison {
        /// The line of the second, from 1.
        line: usize,
        /// The indicator.
        metric: String,
    },
    /// Nothing is asked.
    #[error("there is no rule in it")]
    Empty,
    /// A tolerance below zero.
    #[error("regression.tolerance_percent must not be negative (got {})", number::text(*.0))]
    NegativeTolerance(f64),
}

impl PolicyError {
    /// Whether the file could be read and only what it says makes no sense. Readers of the gate's output are told only
    /// that.
    pub fn is_about_content(&self) -> bool {
        !matches!(self, Self::Yaml(_) | Self::NotText)
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |word| format!("; did you mean {word:?}?"))
}

/// A policy and what is to be said about the file it stands in.
pub type Reading = (Result<Policy, PolicyError>, Vec<String>);

/// A policy before its words are understood.
#[derive(Default)]
struct Draft {
    schema: String,
    policy: Policy,
    min_level: String,
    fail_on: Vec<String>,
    promote: Vec<String>,
}

impl Policy {
    /// Reads a policy, and says what it does not understand.
    pub fn parse(bytes: &[u8]) -> Reading {
        let Ok(text) = std::str::from_utf8(bytes) else { return (Err(PolicyError::NotText), Vec::new()) };
        let root = match yaml::parse(text) {
            Ok(root) => root,
            Err(error) => return (Err(error.into()), Vec::new()),
        };
        let extended = root.as_ref().filter(|root| is_extended(root));
        let mut warnings = match (&root, extended) {
            (Some(root), None) => unknown_keys(root),
            _ => Vec::new(),
        };
        let deprecated = |draft: &Draft| !draft.fail_on.is_empty();
        let policy = match root.as_ref().map_or_else(|| Ok(Draft::default()), Draft::read) {
            Err(error) => Err(error.into()),
            Ok(draft) => {
                let deprecated = deprecated(&draft);
                let extend = |mut policy: Policy| {
                    policy.extension =
                        extended.map(|root| Extension::read(root, &mut policy.thresholds)).transpose()?;
                    Ok(policy)
                };
                draft.understand().and_then(extend).inspect(|_| {
                    if deprecated {
                        warnings.push(
                            "policy.yaml: 'fail_on' is deprecated; use 'promote_to_fail' instead (both are honored \
                             during the deprecation window)"
                                .to_owned(),
                        );
                    }
                })
            }
        };
        if let Err(error) = &policy
            && error.is_about_content()
        {
            warnings.push(error.to_string());
        }
        (policy, warnings)
    }
}

/// Whether a policy says that it is of the superset.
fn is_extended(root: &Node) -> bool {
    let entries = root.entries("the policy").unwrap_or_default();
    let schema = entries.iter().find(|(key, ..)| *key == "schema_version");
    schema
        .and_then(|(_, _, value)| value.text("schema_version").ok().flatten())
        .is_some_and(|schema| schema.trim() == extension::SCHEMA)
}

/// What may be a mistake in a policy of slint-gate's schema, which that tool looks past: keys that nobody knows, each with
/// its place and the nearest right one. For people; verdicts say nothing of it.
pub fn remarks(bytes: &[u8]) -> Vec<String> {
    let root = std::str::from_utf8(bytes).ok().and_then(|text| yaml::parse(text).ok().flatten());
    let unknown = root.filter(|root| !is_extended(root)).and_then(|root| extension::unknown_keys(&root).ok());
    unknown.unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn unknown_keys(root: &Node) -> Vec<String> {
    let unknown = root.keys().into_iter().filter(|(key, _)| !KEYS.contains(key));
    unknown
        .map(|(key, node)| {
            format!(
                "unknown field {} in policy.yaml (line {}) — ignored; supported fields: schema_version, thresholds, \
                 regression, reliability, coverage, fail_on (deprecated), promote_to_fail",
                quoted(key),
                node.line
            )
        })
        .collect()
}

impl Draft {
    fn read(root: &Node) -> Result<Self, YamlError> {
        let mut draft = Self::default();
        for (key, _, value) in root.entries("the policy")? {
            match key {
                "schema_version" => draft.schema = value.text(key)?.unwrap_or_default(),
                "thresholds" => {
                    draft.policy.thresholds = value.items(key)?.into_iter().map(threshold).collect::<Result<_, _>>()?;
                }
                "regression" => {
                    for (key, _, value) in value.entries(key)? {
                        match key {
                            "enabled" => draft.policy.regression.enabled = value.truth(key)?.unwrap_or_default(),
                            "tolerance_percent" => {
                                draft.policy.regression.tolerance_percent = value.number(key)?.unwrap_or_default();
                            }
                            _ => {}
                        }
                    }
                }
                "reliability" => {
                    for (key, _, value) in value.entries(key)? {
                        match key {
                            "required" => draft.policy.reliability.required = value.truth(key)?.unwrap_or_default(),
                            "min_level" => draft.min_level = value.text(key)?.unwrap_or_default(),
                            _ => {}
                        }
                    }
                }
                "coverage" => {
                    for (key, _, value) in value.entries(key)? {
                        match key {
                            "required" => draft.policy.coverage.required = value.truth(key)?.unwrap_or_default(),
                            "informational" => draft.policy.coverage.informational = value.texts(key)?,
                            _ => {}
                        }
                    }
                }
                "fail_on" => draft.fail_on = value.texts(key)?,
                "promote_to_fail" => draft.promote = value.texts(key)?,
                _ => {}
            }
        }
        Ok(draft)
    }

    /// The first thing that makes no sense is the one that is told.
    fn understand(self) -> Result<Policy, PolicyError> {
        let mut policy = self.policy;
        if ![SCHEMA, extension::SCHEMA].contains(&self.schema.trim()) {
            return Err(PolicyError::Schema(self.schema));
        }
        for (key, values) in [("fail_on", &self.fail_on), ("promote_to_fail", &self.promote)] {
            for value in values {
                match value.trim().to_lowercase().as_str() {
                    "" => {}
                    word => {
                        let known = Violation::ALL.into_iter().find(|violation| violation.as_str() == word);
                        let unknown = || PolicyError::Violation { key, value: value.clone() };
                        policy.fatal.insert(known.ok_or_else(unknown)?);
                    }
                }
            }
        }
        if policy.fatal.is_empty() {
            policy.fatal = Violation::ALL.into();
        }
        policy.reliability.min_level = match self.min_level.trim().to_lowercase().as_str() {
            "" | "partial" => Level::Partial,
            "complete" => Level::Complete,
            _ => return Err(PolicyError::Level(self.min_level)),
        };
        let mut names = HashSet::new();
        for rule in &policy.thresholds {
            if rule.value.is_nan() {
                return Err(PolicyError::NotANumber(rule.name.clone()));
            }
            let name = rule.name.trim();
            if !name.is_empty() && !names.insert(name) {
                return Err(PolicyError::Duplicate(name.to_owned()));
            }
        }
        let Regression { enabled, tolerance_percent } = policy.regression;
        if enabled && tolerance_percent < 0.0 {
            return Err(PolicyError::NegativeTolerance(tolerance_percent));
        }
        Ok(policy)
    }
}

fn threshold(node: &Node) -> Result<Threshold, YamlError> {
    let mut rule = Threshold { line: Line(node.line), ..Threshold::default() };
    for (key, _, value) in node.entries("thresholds[]")? {
        match key {
            "name" => rule.name = value.text(key)?.unwrap_or_default(),
            "metric" => rule.metric = value.text(key)?.unwrap_or_default(),
            "operator" => rule.operator = value.text(key)?.unwrap_or_default(),
            "value" => rule.value = value.number(key)?.unwrap_or_default(),
            _ => {}
        }
    }
    Ok(rule)
}

static PRINTABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$").ok());

/// A text in quotes, with escapes where it would not print, as Go's `%q` has it.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    let mut buffer = [0; 4];
    for c in text.chars() {
        let prints = PRINTABLE.as_ref().is_some_and(|pattern| pattern.is_match(c.encode_utf8(&mut buffer)));
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            _ if prints => out.push(c),
            _ => {
                let _ = match u32::from(c) {
                    code @ (..0x20 | 0x7f) => write!(out, "\\x{code:02x}"),
                    code @ ..0x10000 => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reading {
        Policy::parse(format!("schema_version: slint.policy.v1\n{text}").as_bytes())
    }

    #[test]
    fn without_a_word_about_it_every_violation_fails() {
        assert_eq!(read("").0.unwrap().fatal, Violation::ALL.into());
        let (policy, warnings) = read("promote_to_fail: [' Coverage_Gap ']\nfail_on: [regression_detected, '']\n");
        assert_eq!(policy.unwrap().fatal, [Violation::RegressionDetected, Violation::CoverageGap].into());
        assert_eq!(warnings.len(), 1, "the old key is honoured and told: {warnings:?}");
    }

    #[test]
    fn what_makes_no_sense_is_told_in_order() {
        for (text, message) in [
            ("promote_to_fail: [typo]", "unsupported promote_to_fail value \"typo\""),
            ("fail_on: [typo]\npromote_to_fail: [other]", "unsupported fail_on value \"typo\""),
            ("reliability: {min_level: most}", "unsupported reliability.min_level \"most\""),
            ("thresholds: [{name: a, value: .nan}]", "threshold \"a\" has a NaN value"),
            ("thresholds: [{name: a}, {name: ' a '}]", "duplicate threshold name \"a\""),
            (
                "regression: {enabled: true, tolerance_percent: -0.5}",
                "regression.tolerance_percent must not be negative (got -0.5)",
            ),
        ] {
            let (policy, warnings) = read(text);
            assert_eq!(policy.unwrap_err().to_string(), message);
            assert_eq!(warnings, [message]);
        }
        assert!(read("regression: {tolerance_percent: -1}").0.is_ok(), "nobody asks for it");
        assert!(read("thresholds: [{name: ''}, {name: ''}]").0.is_ok(), "rules need no name");
        let (policy, warnings) = Policy::parse(b"thresholds: [{value: '5'}]");
        assert!(policy.unwrap_err().to_string().contains("line 1, column 22"), "the place is told");
        assert!(warnings.is_empty());
        let (_, warnings) = read("treshold: []\n");
        assert!(warnings[0].starts_with("unknown field \"treshold\" in policy.yaml (line 2)"), "{warnings:?}");
    }

    #[test]
    fn quotes_escape_what_does_not_print() {
        assert_eq!(quoted("a\"b\\\n\u{1}é\u{a0}😀"), "\"a\\\"b\\\\\\n\\x01é\\u00a0😀\"");
    }
}
