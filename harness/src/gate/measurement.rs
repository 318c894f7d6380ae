//! A measurement as the gate reads it: a summary of schema `slo.v3`, with exactly the leniency of the tools that write it.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use jiff::Timestamp;
use regex::Regex;

use super::json::{Json, JsonError};

/// The schema that is read.
pub const SCHEMA: &str = "slo.v3";

/// How a service level indicator fared while it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Pass,
    /// Somebody should look.
    Warn,
    /// Not as it should be.
    Fail,
    /// The measurement itself went wrong.
    Block,
    /// Left out.
    Skip,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "pass" => Self::Pass,
            "warn" => Self::Warn,
            "fail" => Self::Fail,
            "block" => Self::Block,
            "skip" => Self::Skip,
            _ => return None,
        })
    }
}

/// One indicator.
#[derive(Clone, Debug, PartialEq)]
pub struct Indicator {
    /// What it is called.
    pub id: String,
    /// What was measured; none where nothing was.
    pub value: Option<f64>,
    /// How it fared.
    pub status: Status,
    /// Why.
    pub reason: String,
    /// What its number counts.
    pub unit: String,
    /// What sort of number it is.
    pub kind: String,
    /// What was measured in each of several runs, where the summary is of several; ours.
    pub samples: Vec<f64>,
}

impl Indicator {
    /// What each run measured: one number for a summary of one run.
    pub fn runs(&self) -> Vec<f64> {
        if self.samples.is_empty() { self.value.into_iter().collect() } else { self.samples.clone() }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// When it was written.
    pub generated_at: Timestamp,
    /// Which runs it is of; one, unless it was put together from several.
    pub run_ids: Vec<String>,
    /// How far collecting came: `Complete`, `Partial` or `Failed`; empty where nothing is said.
    pub collection_status: String,
    /// Why it came no further; empty where nothing is said.
    pub blocked_reason: String,
    /// The indicators, in the file's order.
    pub indicators: Vec<Indicator>,
}

/// Why a measurement cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MeasurementError {
    /// It cannot be read as a summary.
    #[error("it cannot be read as a summary")]
    Corrupt(#[from] JsonError),
    /// It says it is something else.
    #[error("its schemaVersion is {0:?}; {SCHEMA:?} is what can be read")]
    Schema(String),
    /// It does not say when it was made.
    #[error("generatedAt is missing")]
    NoTime,
    /// A time is none.
    #[error("{field} is not a time like 2026-11-01T10:00:00Z: {text:?}")]
    Time {
        /// The field.
        field: &'static str,
        /// What it says.
        text: String,
    },
    /// An indicator has no name.
    #[error("results[{0}] has no id")]
    NoId(usize),
    /// Two indicators have one name.
    #[error("two results are called {0:?}")]
    DuplicateId(String),
    /// A status that there is not.
    #[error("the status of {id:?} is {status:?}; pass, warn, fail, block and skip are known")]
    Status {
        /// The indicator.
        id: String,
        /// Its status.
        status: String,
    },
}

impl Measurement {
    /// Reads a summary.
    ///
    /// # Errors
    /// See [`MeasurementError`]; a foreign schema is told before what follows from it.
    pub fn parse(bytes: &[u8]) -> Result<Self, MeasurementError> {
        let json = Json::parse(bytes)?;
        let mut schema = "";
        let mut generated_at = None;
        let (mut run_id, mut merged, mut told) = (String::new(), Vec::new(), Reliability::default());
        let mut drafts = Vec::new();
        let known = ["schemaVersion", "generatedAt", "config", "reliability", "results", "warnings", "slipway"];
        for (name, value) in json.fields("the summary", &known)? {
            match name {
                "schemaVersion" => schema = value.text(name)?.unwrap_or(schema),
                "generatedAt" => generated_at = time("generatedAt", value)?.or(generated_at),
                "config" => config(value, &mut run_id)?,
                "reliability" => reliability(value, &mut told)?,
                "slipway" => merged = runs_of(value),
                "results" => drafts = value.items(name)?.iter().map(draft).collect::<Result<Vec<_>, _>>()?,
                _ => value.texts(name)?,
            }
        }
        if schema != SCHEMA {
            return Err(MeasurementError::Schema(schema.to_owned()));
        }
        let generated_at = generated_at.filter(|time| !is_zero(*time)).ok_or(MeasurementError::NoTime)?;
        let run_ids =
            if merged.is_empty() { Some(run_id).filter(|id| !id.is_empty()).into_iter().collect() } else { merged };
        let Reliability { collection_status, blocked_reason } = told;
        Ok(Self { generated_at, run_ids, collection_status, blocked_reason, indicators: indicators(drafts)? })
    }

    /// The values by id; indicators without one are left out.
    pub fn values(&self) -> HashMap<&str, f64> {
        self.indicators.iter().filter_map(|one| one.value.map(|value| (one.id.as_str(), value))).collect()
    }
}

/// An indicator before its status is understood.
#[derive(Default)]
struct Draft {
    id: String,
    value: Option<f64>,
    status: String,
    reason: String,
    unit: String,
    kind: String,
    samples: Vec<f64>,
}

/// The runs that a summary of several was put together from. Like everything of ours it is looked past where it makes
/// no sense, as other readers of the file do.
fn runs_of(json: &Json) -> Vec<String> {
    let Ok(mut fields) = json.fields("slipway", &["runs"]) else { return Vec::new() };
    let Some((_, runs)) = fields.next() else { return Vec::new() };
    let runs = runs.items("runs").unwrap_or_default();
    runs.iter().filter_map(|run| run.text("runs").ok().flatten().map(str::to_owned)).collect()
}

/// The numbers of a list; none where any of it is none.
fn samples(json: &Json) -> Vec<f64> {
    let numbers = json.items("samples").map(|items| items.iter().map(|item| item.number("samples").ok().flatten()));
    numbers.ok().and_then(Iterator::collect::<Option<Vec<f64>>>).unwrap_or_default()
}

fn indicators(drafts: Vec<Draft>) -> Result<Vec<Indicator>, MeasurementError> {
    let mut seen = HashSet::new();
    drafts
        .into_iter()
        .enumerate()
        .map(|(index, Draft { id, value, status, reason, unit, kind, samples })| {
            if id.is_empty() {
                return Err(MeasurementError::NoId(index));
            }
            if !seen.insert(id.clone()) {
                return Err(MeasurementError::DuplicateId(id));
            }
            match Status::parse(&status) {
                Some(status) => Ok(Indicator { id, value, status, reason, unit, kind, samples }),
                None => Err(MeasurementError::Status { id, status }),
            }
        })
        .collect()
}

fn draft(json: &Json) -> Result<Draft, JsonError> {
    let mut draft = Draft::default();
    let known = [
        "id",
        "title",
        "unit",
        "kind",
        "description",
        "value",
        "fields",
        "status",
        "reason",
        "inputsUsed",
        "inputsMissing",
        "samples",
    ];
    for (name, value) in json.fields("results[]", &known)? {
        let set = |text: &mut String| -> Result<(), JsonError> {
            if let Some(new) = value.text(name)? {
                new.clone_into(text);
            }
            Ok(())
        };
        match name {
            "id" => set(&mut draft.id)?,
            "status" => set(&mut draft.status)?,
            "reason" => set(&mut draft.reason)?,
            "unit" => set(&mut draft.unit)?,
            "kind" => set(&mut draft.kind)?,
            "samples" => draft.samples = samples(value),
            "value" => draft.value = value.number(name)?,
            "fields" => value.map(name, |one| one.number(name).map(drop))?,
            "inputsUsed" | "inputsMissing" => value.texts(name)?,
            _ => value.text(name).map(drop)?,
        }
    }
    Ok(draft)
}

fn config(json: &Json, run_id: &mut String) -> Result<(), MeasurementError> {
    let known = ["runId", "startedAt", "finishedAt", "mode", "tags", "format", "evidencePaths"];
    for (name, value) in json.fields("config", &known)? {
        match name {
            "runId" => {
                if let Some(id) = value.text(name)? {
                    id.clone_into(run_id);
                }
            }
            "startedAt" | "finishedAt" => drop(time(name, value)?),
            "mode" => {
                for (name, value) in value.fields(name, &["location", "trigger"])? {
                    value.text(name)?;
                }
            }
            "format" => drop(value.text(name)?),
            _ => value.map(name, |one| one.text(name).map(drop))?,
        }
    }
    Ok(())
}

/// How far collecting came, and why no further.
#[derive(Default)]
struct Reliability {
    collection_status: String,
    blocked_reason: String,
}

fn reliability(json: &Json, told: &mut Reliability) -> Result<(), JsonError> {
    if *json == Json::Null {
        *told = Reliability::default();
    }
    let known = [
        "collectionStatus",
        "evaluationStatus",
        "blockedReason",
        "missingInputs",
        "skippedSLIs",
        "confidenceScore",
        "configSourceType",
        "configSourcePath",
        "startSkewMs",
        "endSkewMs",
        "scrapeLatencyMs",
    ];
    for (name, value) in json.fields("reliability", &known)? {
        match name {
            "collectionStatus" => {
                if let Some(status) = value.text(name)? {
                    status.clone_into(&mut told.collection_status);
                }
            }
            "blockedReason" => {
                if let Some(reason) = value.text(name)? {
                    reason.clone_into(&mut told.blocked_reason);
                }
            }
            "missingInputs" | "skippedSLIs" => value.texts(name)?,
            "confidenceScore" => drop(value.number(name)?),
            "startSkewMs" | "endSkewMs" | "scrapeLatencyMs" => drop(value.integer(name)?),
            _ => drop(value.text(name)?),
        }
    }
    Ok(())
}

/// RFC 3339 in its strict form: `T` and `Z` in capitals, two digits everywhere, any number of them for fractions.
static RFC3339: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^(\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d{1,9})?\d*(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$",
    )
    .ok()
});

fn time(field: &'static str, json: &Json) -> Result<Option<Timestamp>, MeasurementError> {
    let Some(text) = json.text(field)? else { return Ok(None) };
    let wrong = || MeasurementError::Time { field, text: text.to_owned() };
    let parts = RFC3339.as_ref().and_then(|pattern| pattern.captures(text)).ok_or_else(wrong)?;
    let part = |index: usize| parts.get(index).map_or("", |part| part.as_str());
    if part(2).is_empty() && text.len() != part(1).len() + part(3).len() {
        return Err(wrong());
    }
    let text = [part(1), part(2), part(3)].concat();
    text.parse().map(Some).map_err(|_| wrong())
}

/// The first instant of year 1, which stands for no time at all.
fn is_zero(time: Timestamp) -> bool {
    const YEAR_ONE: i64 = -62_135_596_800;
    time.as_second() == YEAR_ONE && time.subsec_nanosecond() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Measurement, MeasurementError> {
        Measurement::parse(text.as_bytes())
    }

    #[test]
    fn a_summary_is_read_whatever_the_case_of_its_keys() {
        let read = parse(
            r#"{"SCHEMAVERSION":"slo.v3","generatedat":"2026-11-01T10:00:00.5+09:00","x":[1],
               "results":[{"ID":"a","Value":0,"STATUS":"pass"},{"id":"b","status":"skip","reason":"why"}]}"#,
        )
        .unwrap();
        assert_eq!(read.values(), HashMap::from([("a", 0.0)]));
        assert_eq!(read.indicators[1].reason, "why");
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_with_its_reason() {
        let with = |results: &str| {
            format!(r#"{{"schemaVersion":"slo.v3","generatedAt":"2026-11-01T10:00:00Z","results":{results}}}"#)
        };
        for (text, reason) in [
            ("{".to_owned(), "it cannot be read as a summary"),
            (r#"{"schemaVersion":"slo.v4"}"#.to_owned(), "its schemaVersion is \"slo.v4\""),
            (r#"{"schemaVersion":"slo.v3"}"#.to_owned(), "generatedAt is missing"),
            (r#"{"schemaVersion":"slo.v3","generatedAt":"0001-01-01T00:00:00Z"}"#.to_owned(), "generatedAt is missing"),
            (r#"{"schemaVersion":"slo.v3","generatedAt":"yesterday"}"#.to_owned(), "generatedAt is not a time"),
            (r#"{"schemaVersion":"slo.v3","generatedAt":"2026-11-01T10:00:00.Z"}"#.to_owned(), "generatedAt is not"),
            (with(r#"[{"status":"pass"}]"#), "results[0] has no id"),
            (with("[null]"), "results[0] has no id"),
            (with(r#"[{"id":"a","status":"pass"},{"id":"a","status":"pass"}]"#), "two results are called \"a\""),
            (with(r#"[{"id":"a","status":"great"}]"#), "the status of \"a\" is \"great\""),
            (with(r#"[{"id":"a","value":"0","status":"pass"}]"#), "it cannot be read as a summary"),
            (with("5"), "it cannot be read as a summary"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
        assert!(parse(&with("null")).unwrap().indicators.is_empty());
    }
}
