//! What a policy of schema `slipway.policy.v1` can ask beyond one of `slint.policy.v1`. Each of it is off until it is named.
//!
//! Such a policy is taken at its word: a key or a word that is not known is an error with its place and the nearest right
//! one, since a rule with a typo is a rule that nobody applies.

use jiff::SignedDuration;
use serde::Serialize;

use super::checks::Direction;
use super::noise;
use super::policy::{PolicyError, Threshold};
use super::yaml::{Node, YamlError};

/// The schema that is read.
pub const SCHEMA: &str = "slipway.policy.v1";

/// How heavily a violation weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It fails the gate.
    Fail,
    /// It is a warning.
    Warn,
    /// It is only told.
    Info,
}

/// How a value is compared with its baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By its difference, as slint-gate does it: of medians, where there are several runs.
    #[default]
    Difference,
    /// By whether the runs differ by more than their noise.
    NoiseAware,
}

/// What is asked beyond.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extension {
    /// A policy without a rule is no policy.
    pub refuse_empty: bool,
    /// How old a measurement may be.
    pub max_age: Option<SignedDuration>,
    /// The measurement must say of which run it is, and be of another than the baseline.
    pub run_id: bool,
    /// There must be a baseline.
    pub baseline_required: bool,
    /// Indicators that the baseline must hold.
    pub baseline_metrics: Vec<String>,
    /// How values are compared unless their own entry says otherwise.
    pub method: Method,
    /// The chance of a false alarm of the whole gate.
    pub alpha: Option<f64>,
    /// The change that must not go unseen, in percent.
    pub detect_percent: Option<f64>,
    /// How heavily it weighs that the noise is too large to tell.
    pub inconclusive: Option<Severity>,
    /// Comparisons with settings of their own.
    pub comparisons: Vec<Comparison>,
}

/// How one indicator is compared with its baseline. What is none is as the policy has it for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The indicator.
    pub metric: String,
    /// Which way it gets better; as its threshold has it unless given.
    pub better: Option<Direction>,
    /// How it is compared.
    pub method: Option<Method>,
    /// How much worse it may be, in percent of its baseline.
    pub tolerance_percent: Option<f64>,
    /// How much worse it may be in its own unit; what is within either is tolerated.
    pub tolerance_absolute: Option<f64>,
    /// How heavily it weighs.
    pub severity: Option<Severity>,
}

const ROOT: &[&str] = &[
    "schema_version",
    "thresholds",
    "regression",
    "reliability",
    "coverage",
    "promote_to_fail",
    "fail_on",
    "refuse_empty",
    "freshness",
    "baseline",
];
const THRESHOLD: &[&str] = &["name", "metric", "operator", "value", "severity"];
const REGRESSION: &[&str] =
    &["enabled", "tolerance_percent", "method", "alpha", "detect_percent", "inconclusive", "metrics"];
const COMPARISON: &[&str] = &["metric", "better", "method", "tolerance_percent", "tolerance_absolute", "severity"];
const RELIABILITY: &[&str] = &["required", "min_level"];
const COVERAGE: &[&str] = &["required", "informational"];
const FRESHNESS: &[&str] = &["max_age", "run_id"];
const BASELINE: &[&str] = &["required", "metrics"];

const SEVERITIES: &[&str] = &["fail", "warn", "info"];
const METHODS: &[&str] = &["difference", "noise-aware"];
const DIRECTIONS: &[&str] = &["lower", "higher", "neither"];
const OPERATORS: &[&str] = &["<=", ">=", "<", ">", "==", "=<", "=>", "="];

/// A section with the keys it may have; `[]` stands for a list of such.
const SECTIONS: &[(&str, &[&str])] = &[
    ("thresholds[]", THRESHOLD),
    ("regression", REGRESSION),
    ("reliability", RELIABILITY),
    ("coverage", COVERAGE),
    ("freshness", FRESHNESS),
    ("baseline", BASELINE),
];

/// The keys of a policy that nobody knows, each as an error with its place and the nearest right one.
///
/// # Errors
/// When the policy is no map, or a section of it is none.
pub fn unknown_keys(root: &Node) -> Result<Vec<PolicyError>, YamlError> {
    let mut found = Vec::new();
    let entries = root.entries("the policy")?;
    check(&entries, "the policy", ROOT, &mut found);
    for (key, _, value) in &entries {
        let Some((section, known)) = SECTIONS.iter().find(|(section, _)| section.trim_end_matches("[]") == *key) else {
            continue;
        };
        let maps = if section.ends_with("[]") { value.items(key)? } else { vec![*value] };
        for map in maps {
            let entries = map.entries(section)?;
            check(&entries, section, known, &mut found);
            for (_, _, list) in entries.iter().filter(|(key, ..)| *section == "regression" && *key == "metrics") {
                for item in list.items("regression.metrics")? {
                    check(&item.entries("regression.metrics[]")?, "regression.metrics[]", COMPARISON, &mut found);
                }
            }
        }
    }
    Ok(found)
}

fn check(entries: &[(&str, &Node, &Node)], section: &str, known: &[&'static str], found: &mut Vec<PolicyError>) {
    for (key, place, _) in entries.iter().filter(|(key, ..)| !known.contains(key)) {
        found.push(PolicyError::Key {
            line: place.line,
            column: place.column,
            section: section.to_owned(),
            key: (*key).to_owned(),
            nearest: nearest(key, known),
        });
    }
}

/// The known word that was perhaps meant.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let near = |known: &str| strsim::jaro_winkler(known, &word.to_lowercase());
    known.iter().copied().max_by(|one, other| near(one).total_cmp(&near(other))).filter(|known| near(known) > 0.75)
}

/// One of several words.
fn word<T: Copy>(
    node: &Node,
    field: &str,
    known: &'static [&'static str],
    values: &[T],
) -> Result<Option<T>, PolicyError> {
    let Some(text) = node.text(field)? else { return Ok(None) };
    let written = text.trim().to_lowercase();
    match known.iter().position(|known| *known == written) {
        Some(index) => Ok(values.get(index).copied()),
        None => Err(PolicyError::Word {
            line: node.line,
            column: node.column,
            field: field.into(),
            word: text.into(),
            known,
            nearest: nearest(&written, known),
        }),
    }
}

fn severity(node: &Node, field: &str) -> Result<Option<Severity>, PolicyError> {
    word(node, field, SEVERITIES, &[Severity::Fail, Severity::Warn, Severity::Info])
}

fn method(node: &Node, field: &str) -> Result<Option<Method>, PolicyError> {
    word(node, field, METHODS, &[Method::Difference, Method::NoiseAware])
}

fn range(node: &Node, field: &str, wanted: &'static str) -> PolicyError {
    PolicyError::Range { line: node.line, column: node.column, field: field.to_owned(), wanted }
}

/// A number that must lie where `holds` says.
fn number(
    node: &Node,
    field: &str,
    wanted: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<Option<f64>, PolicyError> {
    match node.number(field)? {
        Some(value) if !holds(value) => Err(range(node, field, wanted)),
        value => Ok(value),
    }
}

/// A percentage or a distance.
fn tolerance(node: &Node, field: &str) -> Result<Option<f64>, PolicyError> {
    number(node, field, "a number that is not negative", |value| value.is_finite() && value >= 0.0)
}

/// A time like `90m`, `24h` or `7d`.
fn age(node: &Node, field: &str) -> Result<Option<SignedDuration>, PolicyError> {
    let Some(text) = node.text(field)? else { return Ok(None) };
    let wrong = || range(node, field, "a time like 90m, 24h or 7d");
    let text = text.trim();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u32 = text[..text.len() - 1].trim().parse().map_err(|_| wrong())?;
    if count == 0 {
        return Err(wrong());
    }
    Ok(Some(SignedDuration::from_secs(i64::from(count) * seconds)))
}

impl Extension {
    /// Reads what a policy asks beyond, and where a rule's words stand that only here are errors.
    ///
    /// # Errors
    /// See [`PolicyError`]; the first thing that makes no sense is the one that is told.
    pub fn read(root: &Node, thresholds: &mut [Threshold]) -> Result<Self, PolicyError> {
        if let Some(error) = unknown_keys(root)?.into_iter().next() {
            return Err(error);
        }
        let mut extension = Self::default();
        let mut tolerance_percent = 0.0;
        let mut detect = None;
        for (key, place, value) in root.entries("the policy")? {
            match key {
                "thresholds" => rules(value, thresholds)?,
                "refuse_empty" => extension.refuse_empty = value.truth(key)?.unwrap_or_default(),
                "freshness" => extension.freshness(value)?,
                "baseline" => extension.baseline(value)?,
                "regression" => {
                    detect = Some(place);
                    tolerance_percent = extension.regression(value)?;
                }
                _ => {}
            }
        }
        extension.agrees(detect.unwrap_or(root), tolerance_percent)?;
        let rules = !thresholds.is_empty() || !extension.comparisons.is_empty();
        if extension.refuse_empty && !rules { Err(PolicyError::Empty) } else { Ok(extension) }
    }

    fn freshness(&mut self, node: &Node) -> Result<(), PolicyError> {
        for (key, _, value) in node.entries("freshness")? {
            match key {
                "max_age" => self.max_age = age(value, "freshness.max_age")?,
                _ => self.run_id = value.truth("freshness.run_id")?.unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn baseline(&mut self, node: &Node) -> Result<(), PolicyError> {
        for (key, _, value) in node.entries("baseline")? {
            match key {
                "required" => self.baseline_required = value.truth("baseline.required")?.unwrap_or_default(),
                _ => self.baseline_metrics = value.texts("baseline.metrics")?,
            }
        }
        Ok(())
    }

    /// Returns what is tolerated of all.
    fn regression(&mut self, node: &Node) -> Result<f64, PolicyError> {
        let mut percent = 0.0;
        for (key, _, value) in node.entries("regression")? {
            match key {
                "tolerance_percent" => percent = tolerance(value, "regression.tolerance_percent")?.unwrap_or_default(),
                "method" => self.method = method(value, "regression.method")?.unwrap_or_default(),
                "alpha" => {
                    self.alpha = number(value, "regression.alpha", "a chance above 0 and at most 0.5", |value| {
                        value > 0.0 && value <= 0.5
                    })?;
                }
                "detect_percent" => {
                    self.detect_percent =
                        number(value, "regression.detect_percent", "a percentage above 0", |value| {
                            value.is_finite() && value > 0.0
                        })?;
                }
                "inconclusive" => self.inconclusive = severity(value, "regression.inconclusive")?,
                "metrics" => {
                    for item in value.items("regression.metrics")? {
                        let comparison = Comparison::read(item)?;
                        if self.comparisons.iter().any(|other| other.metric == comparison.metric) {
                            return Err(PolicyError::Comparison { line: item.line, metric: comparison.metric });
                        }
                        self.comparisons.push(comparison);
                    }
                }
                _ => {}
            }
        }
        Ok(percent)
    }

    /// What must be seen cannot be tolerated.
    fn agrees(&self, place: &Node, percent: f64) -> Result<(), PolicyError> {
        let aware = |one: &Comparison| one.method.unwrap_or(self.method) == Method::NoiseAware;
        let own = self.comparisons.iter().filter(|one| aware(one)).filter_map(|one| one.tolerance_percent);
        let all = (self.method == Method::NoiseAware).then_some(percent);
        if own.chain(all).any(|percent| percent >= self.detect_percent.unwrap_or(noise::DETECT_PERCENT)) {
            return Err(range(
                place,
                "regression.detect_percent",
                "larger than what is tolerated (it is 10 unless given)",
            ));
        }
        Ok(())
    }
}

impl Comparison {
    fn read(node: &Node) -> Result<Self, PolicyError> {
        let mut comparison = Self::default();
        for (key, _, value) in node.entries("regression.metrics[]")? {
            let field = format!("regression.metrics[].{key}");
            match key {
                "metric" => comparison.metric = value.text(&field)?.unwrap_or_default(),
                "better" => {
                    let directions = [Direction::Lower, Direction::Higher, Direction::Neither];
                    comparison.better = word(value, &field, DIRECTIONS, &directions)?;
                }
                "method" => comparison.method = method(value, &field)?,
                "tolerance_percent" => comparison.tolerance_percent = tolerance(value, &field)?,
                "tolerance_absolute" => comparison.tolerance_absolute = tolerance(value, &field)?,
                _ => comparison.severity = severity(value, &field)?,
            }
        }
        if comparison.metric.trim().is_empty() {
            return Err(range(node, "regression.metrics[].metric", "the id of an indicator"));
        }
        Ok(comparison)
    }
}

/// What stands in the rules beyond slint-gate's reading of them.
fn rules(list: &Node, thresholds: &mut [Threshold]) -> Result<(), PolicyError> {
    for (item, rule) in list.items("thresholds")?.into_iter().zip(thresholds) {
        let mut named = (false, false, false);
        for (key, _, value) in item.entries("thresholds[]")? {
            match key {
                "metric" => named.0 = value.text("thresholds[].metric")?.is_some_and(|text| !text.trim().is_empty()),
                "operator" => named.1 = word(value, "thresholds[].operator", OPERATORS, &[(); 8])?.is_some(),
                "value" => named.2 = value.number("thresholds[].value")?.is_some(),
                "severity" => rule.severity = severity(value, "thresholds[].severity")?,
                _ => {}
            }
        }
        if named != (true, true, true) {
            return Err(range(item, "thresholds[]", "a metric, an operator and a value"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::policy::Policy;

    fn read(text: &str) -> Result<Policy, String> {
        Policy::parse(format!("schema_version: slipway.policy.v1\n{text}").as_bytes())
            .0
            .map_err(|error| error.to_string())
    }

    #[test]
    fn everything_is_off_until_it_is_named() {
        let policy = read("thresholds: [{metric: m, operator: '<=', value: 5}]").unwrap();
        assert_eq!(policy.extension, Some(Extension::default()));
        assert_eq!(policy.thresholds[0].severity, None);
        let policy = read(
            "refuse_empty: true\nfreshness: {max_age: 7d, run_id: yes}\nbaseline: {required: true, metrics: [m]}\n\
             thresholds: [{metric: m, operator: '>=', value: 5, severity: Info}]\n\
             regression: {enabled: true, tolerance_percent: 3, method: noise-aware, alpha: 0.05, detect_percent: 12,\n  \
             inconclusive: fail, metrics: [{metric: m, better: higher, method: difference, tolerance_percent: 50,\n  \
             tolerance_absolute: 0.5, severity: warn}]}",
        )
        .unwrap();
        let asked = policy.extension.unwrap();
        assert!(asked.refuse_empty && asked.run_id && asked.baseline_required);
        assert_eq!(asked.max_age, Some(SignedDuration::from_hours(24 * 7)));
        assert_eq!((asked.method, asked.alpha, asked.detect_percent), (Method::NoiseAware, Some(0.05), Some(12.0)));
        assert_eq!(asked.comparisons[0].better, Some(Direction::Higher));
        assert_eq!(policy.thresholds[0].severity, Some(Severity::Info));
    }

    #[test]
    fn a_typo_is_an_error_with_its_place_and_the_nearest_word() {
        for (text, message) in [
            ("treshold: []", "line 2, column 1: there is no \"treshold\" in the policy; did you mean \"thresholds\"?"),
            (
                "thresholds:\n  - metric: m\n    operater: '<='",
                "line 4, column 5: there is no \"operater\" in thresholds[]; did you mean \"operator\"?",
            ),
            (
                "thresholds:\n  - {metric: m, operator: '<=', value: 1, severity: wran}",
                "line 3, column 53: thresholds[].severity is \"wran\"; fail, warn, info are known; did you mean \"warn\"?",
            ),
            (
                "thresholds:\n  - {metric: m, operator: '!=', value: 1}",
                "line 3, column 27: thresholds[].operator is \"!=\"; <=, >=, <, >, ==, =<, =>, = are known",
            ),
            (
                "regression: {metrics: [{metric: m, tolerance_percnt: 1}]}",
                "line 2, column 36: there is no \"tolerance_percnt\" in regression.metrics[]; did you mean \
                 \"tolerance_percent\"?",
            ),
            (
                "regression: {method: noise}",
                "line 2, column 22: regression.method is \"noise\"; difference, noise-aware are known; did you mean \
                 \"noise-aware\"?",
            ),
            (
                "thresholds: [{metric: m}]",
                "line 2, column 14: thresholds[] should be a metric, an operator and a value",
            ),
            ("freshness: {max_age: 5}", "line 2, column 22: freshness.max_age should be a time like 90m, 24h or 7d"),
            (
                "regression: {alpha: 0}",
                "line 2, column 21: regression.alpha should be a chance above 0 and at most 0.5",
            ),
            ("regression: {metrics: [{metric: m}, {metric: m}]}", "line 2: two comparisons are of \"m\""),
            ("refuse_empty: true", "there is no rule in it"),
            (
                "regression: {method: noise-aware, tolerance_percent: 10}",
                "line 2, column 1: regression.detect_percent should be larger than what is tolerated (it is 10 unless \
                 given)",
            ),
            ("freshness: [1]", "line 2, column 12: freshness should be a map"),
        ] {
            assert_eq!(read(text).unwrap_err(), message, "{text}");
        }
    }
}
