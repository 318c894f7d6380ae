//! What is measured, as data: files under `slint/specs`, in a form with a version.
//!
//! An indicator takes numbers that the operator tells (`source: metrics`) or that the server sees (`source: observed`),
//! makes one number of them, and may judge it at once.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::compute::PROCESS_START;
use super::selector::Selector;

/// A file of indicators.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpecFile {
    /// The version of this format.
    pub api_version: ApiVersion,
    /// Always `SliSpecs`.
    pub kind: Kind,
    /// The indicators, in the order they are reported.
    pub slis: Vec<Spec>,
}

/// The versions of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first.
    #[serde(rename = "slipway.dev/v1alpha1")]
    V1Alpha1,
}

/// The kinds of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// Indicators.
    SliSpecs,
}

/// One indicator.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// What it is called in policies; no two share one.
    pub id: String,
    /// What it is, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What its number counts: `seconds`, `count`, `bytes`, `items`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What sort of number it is, for people: `delta_counter`, `gauge`, `latency`, `derived`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where its numbers come from.
    pub source: Source,
    /// Which numbers: selectors of metrics, or names of observations. More than one are added up.
    pub inputs: Vec<Input>,
    /// What is made of them.
    pub compute: Compute,
    /// When it is bad, whatever a policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,
}

impl Spec {
    /// Whether it asks for series of this name.
    pub fn reads(&self, name: &str) -> bool {
        self.source == Source::Metrics
            && (name == PROCESS_START
                || self.inputs.iter().any(|Input(selector)| {
                    let rest = name.strip_prefix(selector.name());
                    rest.is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
                }))
    }
}

/// Where numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The operator's own metrics.
    Metrics,
    /// What the API server sees.
    Observed,
}

/// What is made of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Compute {
    /// The value at the beginning.
    Start,
    /// The value at the end.
    End,
    /// How much a counter grew, restarts of the operator included.
    Delta,
    /// The greatest value seen.
    Max,
    /// The mean: of observations, or of a histogram's observations between beginning and end.
    Mean,
    /// What half of them took at most.
    P50,
    /// What 95 of 100 took at most.
    P95,
    /// What 99 of 100 took at most.
    P99,
    /// How many.
    Count,
    /// The growth of the first input for each of the second's.
    Ratio,
    /// How often the operator's process started again.
    Restarts,
}

impl Compute {
    /// The share of a percentile.
    pub fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            _ => None,
        }
    }
}

/// One input: a selector of metrics, or an observation's name, perhaps with a resource: `reconcile`, or
/// `reconcile{resource="hellos.demo.example.com"}`.
#[derive(Clone, Debug)]
pub struct Input(pub Selector);

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Input {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Input {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Input".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// When an indicator is bad: the first rule that fires with level `fail` decides, else the last with `warn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judge {
    /// The rules; each states the bad side.
    pub rules: Vec<Rule>,
}

/// `value op target` is bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// How it compares.
    pub op: Operator,
    /// With what.
    pub target: f64,
    /// How bad it is.
    pub level: Level,
}

/// How a rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// At most.
    #[serde(rename = "<=")]
    AtMost,
    /// At least.
    #[serde(rename = ">=")]
    AtLeast,
    /// Less.
    #[serde(rename = "<")]
    Below,
    /// More.
    #[serde(rename = ">")]
    Above,
    /// The same.
    #[serde(rename = "==")]
    Equal,
}

impl Operator {
    /// Whether the rule fires.
    #[expect(clippy::float_cmp, reason = "a rule that says == means it")]
    pub fn holds(self, value: f64, target: f64) -> bool {
        match self {
            Self::AtMost => value <= target,
            Self::AtLeast => value >= target,
            Self::Below => value < target,
            Self::Above => value > target,
            Self::Equal => value == target,
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::Above => ">",
            Self::Equal => "==",
        }
    }
}

/// How bad it is when a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Somebody should look.
    Warn,
    /// It failed.
    Fail,
}

/// Why indicators cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A file cannot be understood.
    #[error("cannot read the indicators of {file}: {message}")]
    Read {
        /// The file.
        file: String,
        /// What is wrong, with its place.
        message: String,
    },
    /// Two indicators have one name.
    #[error("{first} and {second} both have an indicator {id:?}")]
    Duplicate {
        /// The name.
        id: String,
        /// The file that had it.
        first: String,
        /// The file that has it too.
        second: String,
    },
    /// An indicator cannot be computed so.
    #[error("{file}: the indicator {id:?} {why}")]
    Senseless {
        /// The file.
        file: String,
        /// The indicator.
        id: String,
        /// What does not fit.
        why: &'static str,
    },
}

/// The indicators that every run measures unless told otherwise.
const BUILT_IN: [(&str, &str); 2] = [
    ("slint/specs/kube-slint.yaml", include_str!("../../../slint/specs/kube-slint.yaml")),
    ("slint/specs/slipway.yaml", include_str!("../../../slint/specs/slipway.yaml")),
];

/// The files of the indicators that every run measures, by name and text.
pub fn built_in_files() -> Vec<(String, String)> {
    BUILT_IN.into_iter().map(|(file, text)| (file.to_owned(), text.to_owned())).collect()
}

/// The indicators that every run measures unless told otherwise.
///
/// # Errors
/// None, unless the files of this build are broken, which a test sees.
pub fn built_in() -> Result<Vec<Spec>, SpecError> {
    load(built_in_files())
}

/// Reads files by name and text, in their order.
///
/// # Errors
/// See [`SpecError`].
pub fn load(files: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Spec>, SpecError> {
    let mut specs = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in files {
        let read: SpecFile = serde_yaml::from_str(&text)
            .map_err(|error| SpecError::Read { file: file.clone(), message: error.to_string() })?;
        for spec in read.slis {
            if let Some(why) = senseless(&spec) {
                return Err(SpecError::Senseless { file, id: spec.id, why });
            }
            if let Some(first) = seen.insert(spec.id.clone(), file.clone()) {
                return Err(SpecError::Duplicate { id: spec.id, first, second: file });
            }
            specs.push(spec);
        }
    }
    Ok(specs)
}

fn senseless(spec: &Spec) -> Option<&'static str> {
    let inputs = spec.inputs.len();
    match (spec.source, spec.compute) {
        _ if spec.id.trim().is_empty() => Some("has no id"),
        (_, Compute::Ratio) if inputs != 2 => Some("is a ratio, which needs two inputs"),
        (_, Compute::Restarts) if inputs != 0 => Some("counts restarts, which needs no input"),
        (_, Compute::Restarts) => None,
        _ if inputs == 0 => Some("has no inputs"),
        (Source::Observed, Compute::Start | Compute::End | Compute::Delta) => {
            Some("takes observations, which have no beginning and end; use count, mean, max or a percentile")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indicators_of_this_build_can_be_read_and_hold_the_nine_of_kube_slint_first() {
        let specs = built_in().unwrap();
        let ids: Vec<&str> = specs.iter().map(|spec| spec.id.as_str()).collect();
        assert_eq!(
            ids[..9],
            [
                "reconcile_total_delta",
                "reconcile_success_delta",
                "reconcile_error_delta",
                "workqueue_adds_total_delta",
                "workqueue_retries_total_delta",
                "workqueue_depth_end",
                "rest_client_requests_total_delta",
                "rest_client_429_delta",
                "rest_client_5xx_delta"
            ]
        );
        for id in [
            "reconcile_latency_p50",
            "reconcile_latency_p95",
            "reconcile_latency_p99",
            "multinic_configure_p95",
            "cleanup_time_p95",
            "drain_time_mean",
            "drain_time_p95",
            "evictions_held_max",
            "api_calls_per_reconcile",
            "idle_writes",
            "workqueue_depth_max",
            "operator_restarts",
            "resident_memory_max",
        ] {
            assert!(ids.contains(&id), "{id} is not measured");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_file_and_place() {
        let load = |slis: &str| {
            let text = format!("apiVersion: slipway.dev/v1alpha1\nkind: SliSpecs\nslis:\n{slis}");
            load([("a.yaml".to_owned(), text)]).unwrap_err().to_string()
        };
        let error = load("  - {id: a, source: metrics, inputs: [x], computes: end}\n");
        assert!(error.contains("a.yaml") && error.contains("computes") && error.contains("line 4"), "{error}");
        let error = load("  - {id: a, source: metrics, inputs: ['x{'], compute: end}\n");
        assert!(error.contains("is no selector"), "{error}");
        let error = load("  - {id: a, source: observed, inputs: [reconcile], compute: delta}\n");
        assert!(error.contains("takes observations"), "{error}");
        let twice = "  - {id: a, source: metrics, inputs: [x], compute: end}\n";
        let error = load(&format!("{twice}{twice}"));
        assert!(error.contains("both have an indicator \"a\""), "{error}");
    }
}
