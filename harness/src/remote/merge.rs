//! Our policy laid over the fetched one, so that every rule still knows where it was written. Pure.
//!
//! Maps merge key by key. Rules are the same where they have one name, and ours then changes what it says of them; a rule
//! with a name of its own, or none, is added. Indicators that are only told add up. Of every other list, and of every
//! single value, ours stands. Nothing (`~`) changes nothing.

use std::fmt;
use std::sync::Arc;

use crate::gate::policy::{Policy, PolicyError};
use crate::gate::yaml::{self, Node, Shape, YamlError};

/// Deeper than any policy.
const DEPTH_MAX: usize = 16;
const RULES: &str = "thresholds";
const INFORMATIONAL: &str = "coverage.informational";
/// Two names of one list: who writes one of them means to replace both.
const FATAL: [&str; 2] = ["promote_to_fail", "fail_on"];

/// A policy's text, and how its file is called.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// The file.
    pub name: &'a str,
    /// What stands in it.
    pub text: &'a str,
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", placed(file, error))]
pub struct LayerError {
    /// Its file.
    pub file: String,
    /// What is wrong with it.
    pub error: PolicyError,
}

/// A complaint with file, line and column.
fn placed(file: &str, error: &PolicyError) -> String {
    let PolicyError::Yaml(yaml) = error else { return format!("{file}: {error}") };
    match yaml {
        YamlError::Syntax { line, column, message } => format!("{file}:{line}:{column}: {message}"),
        YamlError::Type { line, column, field, wanted } => {
            format!("{file}:{line}:{column}: {field} should be {wanted}")
        }
        YamlError::Twice { line, column, key } => format!("{file}:{line}:{column}: `{key}` is given twice"),
        YamlError::TooLarge => format!("{file}: {yaml}"),
    }
}

/// What is asked in the end.
#[derive(Clone, Debug)]
pub struct Effective {
    root: Merged,
    /// What our file says that nobody understands.
    pub warnings: Vec<String>,
}

/// One thing that a policy asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub says: String,
    /// Where it was written.
    pub from: Origin,
    /// What it replaces or changes.
    pub over: Option<Origin>,
}

#[derive(Clone, Debug)]
struct Merged {
    value: Value,
    origin: Origin,
    over: Option<Origin>,
}

#[derive(Clone, Debug)]
enum Value {
    Nothing,
    Scalar { text: String, plain: bool },
    List(Vec<Merged>),
    Map(Vec<(String, Merged)>),
}

/// Lays `ours` over `base`.
///
/// # Errors
/// When one of the two is no policy.
pub fn effective(base: Layer<'_>, ours: Option<Layer<'_>>) -> Result<Effective, LayerError> {
    let (mut root, _) = read(base)?;
    let mut warnings = Vec::new();
    if let Some(ours) = ours {
        let (over, told) = read(ours)?;
        root = lay_over(root, over, "");
        warnings = told;
    }
    Ok(Effective { root, warnings })
}

/// A policy that makes sense by itself, with what is to be said about it.
fn read(layer: Layer<'_>) -> Result<(Merged, Vec<String>), LayerError> {
    let wrong = |error: PolicyError| LayerError { file: layer.name.to_owned(), error };
    let (policy, warnings) = Policy::parse(layer.text.as_bytes());
    policy.map_err(wrong)?;
    let file: Arc<str> = layer.name.into();
    let root = yaml::parse(layer.text).map_err(|error| wrong(error.into()))?;
    let root = root.map_or_else(
        || Ok(Merged { value: Value::Nothing, origin: Origin { file: Arc::clone(&file), line: 1 }, over: None }),
        |root| lift(&root, &file, "", 0),
    );
    Ok((root.map_err(|error| wrong(error.into()))?, warnings))
}

fn lift(node: &Node, file: &Arc<str>, path: &str, depth: usize) -> Result<Merged, YamlError> {
    if depth > DEPTH_MAX {
        return Err(YamlError::TooLarge);
    }
    let value = match node.shape() {
        _ if node.is_null(path)? => Value::Nothing,
        Shape::Scalar { text, plain } => Value::Scalar { text: text.to_owned(), plain },
        Shape::List(items) => {
            Value::List(items.iter().map(|item| lift(item, file, path, depth + 1)).collect::<Result<_, _>>()?)
        }
        Shape::Map => {
            let entries = node.entries(path)?.into_iter();
            Value::Map(
                entries
                    .map(|(key, _, value)| Ok((key.to_owned(), lift(value, file, &join(path, key), depth + 1)?)))
                    .collect::<Result<_, YamlError>>()?,
            )
        }
    };
    Ok(Merged { value, origin: Origin { file: Arc::clone(file), line: node.line }, over: None })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn lay_over(base: Merged, ours: Merged, path: &str) -> Merged {
    let Merged { value: ours, origin, .. } = ours;
    let over = Some(base.origin.clone());
    let value = match (base.value, ours) {
        (value, Value::Nothing) => return Merged { value, ..base },
        (Value::Nothing, value) => return Merged { value, origin, over: None },
        (Value::Map(base), Value::Map(ours)) => Value::Map(maps(base, ours, path)),
        (Value::List(base), Value::List(ours)) if path == RULES => Value::List(rules(base, ours)),
        (Value::List(base), Value::List(ours)) if path == INFORMATIONAL => Value::List(together(base, ours)),
        (_, value) => value,
    };
    Merged { value, origin, over }
}

fn maps(base: Vec<(String, Merged)>, ours: Vec<(String, Merged)>, path: &str) -> Vec<(String, Merged)> {
    let is_fatal = |key: &str| path.is_empty() && FATAL.contains(&key);
    let replaced = ours.iter().any(|(key, value)| is_fatal(key) && !matches!(value.value, Value::Nothing));
    let mut merged: Vec<(String, Merged)> =
        base.into_iter().filter(|(key, _)| !(replaced && is_fatal(key) && !named(&ours, key))).collect();
    for (key, value) in ours {
        match merged.iter_mut().find(|(other, _)| *other == key) {
            Some((_, place)) => *place = lay_over(place.clone(), value, &join(path, &key)),
            None => merged.push((key, value)),
        }
    }
    merged
}

fn named(entries: &[(String, Merged)], key: &str) -> bool {
    entries.iter().any(|(other, _)| other == key)
}

/// Rules with one name are one rule.
fn rules(base: Vec<Merged>, ours: Vec<Merged>) -> Vec<Merged> {
    let mut merged = base;
    let inherited = merged.len();
    for rule in ours {
        let name = rule.name();
        let place = merged[..inherited].iter_mut().find(|other| name.is_some() && other.name() == name);
        match place {
            // A second rule of ours with that name is the gate's to complain about.
            Some(place) if place.over.is_none() => *place = lay_over(place.clone(), rule, "thresholds[]"),
            _ => merged.push(rule),
        }
    }
    merged
}

fn together(base: Vec<Merged>, ours: Vec<Merged>) -> Vec<Merged> {
    let mut merged = base;
    for item in ours {
        if !merged.iter().any(|other| other.scalar() == item.scalar()) {
            merged.push(item);
        }
    }
    merged
}

impl Merged {
    fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text.trim()),
            _ => None,
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(other, _)| other == key).and_then(|(_, value)| value.scalar())
    }

    /// The name of a rule that has one.
    fn name(&self) -> Option<String> {
        self.get("name").filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// In one line, as a person would say it.
    fn says(&self) -> String {
        match &self.value {
            Value::Nothing => "~".to_owned(),
            Value::Scalar { text, .. } => text.clone(),
            Value::List(items) => items.iter().map(Self::says).collect::<Vec<_>>().join(", "),
            Value::Map(entries) => {
                let compared = ["metric", "operator", "value"].map(|key| self.get(key));
                let rest = |shown: &[&str]| {
                    let rest = entries.iter().filter(|(key, _)| !shown.contains(&key.as_str()));
                    rest.map(|(key, value)| format!("{key}: {}", value.says())).collect::<Vec<_>>()
                };
                let [Some(metric), Some(operator), Some(value)] = compared else { return rest(&[]).join(", ") };
                let mut parts = vec![format!("{metric} {operator} {value}")];
                parts.extend(rest(&["name", "metric", "operator", "value"]));
                parts.join(", ")
            }
        }
    }

    fn rows(&self, path: &str, rows: &mut Vec<Row>) {
        let mut row = |merged: &Self, name: String| {
            rows.push(Row { name, says: merged.says(), from: merged.origin.clone(), over: merged.over.clone() });
        };
        match &self.value {
            Value::Map(entries) => entries.iter().for_each(|(key, value)| value.rows(&join(path, key), rows)),
            Value::List(items) if path == RULES => {
                for item in items {
                    row(item, item.name().unwrap_or_else(|| "(no name)".to_owned()));
                }
            }
            Value::List(items) if path == INFORMATIONAL => items.iter().for_each(|item| row(item, path.to_owned())),
            _ => row(self, path.to_owned()),
        }
    }

    /// As YAML that means the same.
    fn write(&self, indent: usize, out: &mut String) {
        match &self.value {
            Value::Nothing => out.push_str(" ~\n"),
            Value::Scalar { text, plain: true } => {
                out.push(' ');
                out.push_str(text);
                out.push('\n');
            }
            Value::Scalar { text, plain: false } => {
                out.push(' ');
                out.push_str(&quoted(text));
                out.push('\n');
            }
            Value::List(items) if items.is_empty() => out.push_str(" []\n"),
            Value::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Value::List(items) => {
                out.push('\n');
                for item in items {
                    out.push_str(&" ".repeat(indent));
                    out.push('-');
                    item.write(indent + 2, out);
                }
            }
            Value::Map(entries) => {
                out.push('\n');
                for (key, value) in entries {
                    out.push_str(&" ".repeat(indent));
                    out.push_str(&quoted(key));
                    out.push(':');
                    value.write(indent + 2, out);
                }
            }
        }
    }
}

/// A text in quotes; JSON's are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Effective {
    /// Each thing that is asked, in order.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        self.root.rows("", &mut rows);
        rows
    }

    /// The policy as a file that the gate reads.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.root.write(0, &mut out);
        out.trim_start().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::policy::{Threshold, Violation};

    const BASE: &str = include_str!("../../../slint/base.yaml");

    fn merged(ours: &str) -> Effective {
        let ours = format!("schema_version: slint.policy.v1\n{ours}");
        let base = Layer { name: "base.yaml", text: BASE };
        effective(base, Some(Layer { name: "ours.yaml", text: &ours })).unwrap()
    }

    fn policy(effective: &Effective) -> Policy {
        Policy::parse(effective.text().as_bytes()).0.unwrap()
    }

    fn rule(name: &str, metric: &str, operator: &str, value: f64) -> Threshold {
        Threshold {
            name: name.to_owned(),
            metric: metric.to_owned(),
            operator: operator.to_owned(),
            value,
            ..Threshold::default()
        }
    }

    #[test]
    fn without_ours_the_base_stands_as_it_was_written() {
        let base = effective(Layer { name: "base.yaml", text: BASE }, None).unwrap();
        assert_eq!(policy(&base), Policy::parse(BASE.as_bytes()).0.unwrap());
        assert_eq!(policy(&merged("")), policy(&base), "and so it does under an empty one");
        assert_eq!(
            policy(&merged("thresholds: ~\nregression: {enabled: ~}\n")),
            policy(&base),
            "nothing changes nothing"
        );
    }

    #[test]
    fn ours_changes_rules_by_name_adds_its_own_and_has_the_last_word() {
        let merged = merged(
            "thresholds:\n  - {name: workqueue_depth_end_max, value: 0x14}\n  - {name: mine, metric: m, operator: '<', value: 1}\n\
             regression: {enabled: off}\ncoverage: {required: yes, informational: [a]}\nfail_on: [coverage_gap]\n",
        );
        let policy = policy(&merged);
        assert_eq!(
            policy.thresholds,
            [
                rule("reconcile_total_delta_min", "reconcile_total_delta", ">=", 1.0),
                rule("workqueue_depth_end_max", "workqueue_depth_end", "<=", 20.0),
                rule("mine", "m", "<", 1.0),
            ]
        );
        assert!(!policy.regression.enabled && policy.coverage.required);
        assert_eq!(policy.regression.tolerance_percent.to_bits(), 5.0_f64.to_bits(), "what ours does not say stands");
        assert_eq!(policy.fatal, [Violation::CoverageGap].into(), "the old name replaces the new one's list too");
    }

    #[test]
    fn every_rule_says_where_it_was_written_and_what_it_replaces() {
        let rows = merged("thresholds:\n  - {name: workqueue_depth_end_max, value: 20}\n").rows();
        let find = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        let changed = find("workqueue_depth_end_max");
        assert_eq!(changed.says, "workqueue_depth_end <= 20");
        assert_eq!((changed.from.to_string().as_str(), changed.over.clone().unwrap().line), ("ours.yaml:3", 8));
        let kept = find("reconcile_total_delta_min");
        assert_eq!((kept.from.to_string().as_str(), kept.over.as_ref()), ("base.yaml:6", None));
        assert_eq!(find("regression.enabled").says, "true");
        assert_eq!(find("promote_to_fail").says, "threshold_miss, regression_detected");
    }

    #[test]
    fn two_rules_of_ours_with_one_name_are_still_refused() {
        let twice = "schema_version: slint.policy.v1\nthresholds: [{name: a}, {name: a}]\n";
        let base = Layer { name: "base.yaml", text: BASE };
        let error = effective(base, Some(Layer { name: "ours.yaml", text: twice })).unwrap_err();
        assert_eq!(error.to_string(), "ours.yaml: duplicate threshold name \"a\"");
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_told_with_its_place() {
        let base = Layer { name: "base.yaml", text: BASE };
        for (text, expected) in [
            ("schema_version: slint.policy.v1\nthresholds: [{value: '5'}]", "ours.yaml:2:22: value should be a number"),
            ("a: [", "ours.yaml:"),
            ("a: 1\na: 2", "ours.yaml:2:1: `a` is given twice"),
            ("thresholds: []", "ours.yaml: unsupported schema_version"),
        ] {
            let error = effective(base, Some(Layer { name: "ours.yaml", text })).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_written_again_means_the_same() {
        let text = "schema_version: 'slint.policy.v1'\nthresholds:\n- name: \"a: #b\\n\\u0001\"\n  metric: !!str 5\n  value: 1_000\n\
                    coverage: {informational: ['yes', on]}\nextra: {deep: [[1, {}], []]}\n";
        let layer = Layer { name: "x", text };
        let effective = effective(layer, None).unwrap();
        let (again, _) = Policy::parse(effective.text().as_bytes());
        assert_eq!(again.unwrap(), Policy::parse(text.as_bytes()).0.unwrap(), "{}", effective.text());
    }
}
