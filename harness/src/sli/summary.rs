//! The measurement as a file: schema `slo.v3`, field for field what kube-slint's tools read, and ours where they look
//! past what they do not know.
//!
//! Guarantees: a value that is no number never loses the file, and the file is whole or not there at all.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::compute::{Measured, Status};
use super::exposition::Series;
use super::histogram::Histogram;
use super::observed::Observations;
use super::spec::Spec;
use crate::gate::number;

/// The schema that is written.
pub const SCHEMA: &str = "slo.v3";

/// The name that always holds the newest measurement.
pub const ALIAS: &str = "sli-summary.json";

/// The schema of the histograms beside it.
pub const HISTOGRAMS: &str = "slipway.histograms.v1";

/// The name that always holds the newest histograms.
const HISTOGRAMS_ALIAS: &str = "sli-histograms.json";

/// The longest part of a file's name that is taken from elsewhere.
const NAME_BYTES_MAX: usize = 120;

/// A measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Always [`SCHEMA`].
    pub schema_version: &'static str,
    /// When it was written.
    pub generated_at: Timestamp,
    /// Of which run.
    pub config: Config,
    /// How far collecting came.
    pub reliability: Reliability,
    /// The indicators, in the order of their specs.
    pub results: Vec<Indicator>,
    /// Indicators of what did not happen. They are no results: a gate would take them for results that are lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_observed: Vec<String>,
    /// What went wrong without stopping it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Of which run a measurement is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The run.
    pub run_id: String,
    /// When measuring began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// From where was measured.
    pub mode: Mode,
    /// What else is to be known: suite, scenario, clock, seed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The form of the specs.
    pub format: &'static str,
}

/// From where was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mode {
    /// `inside` the cluster or `outside` of it.
    pub location: &'static str,
    /// What set it off.
    pub trigger: &'static str,
}

/// How far collecting came.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reliability {
    /// `Complete`, `Partial` or `Failed`.
    pub collection_status: &'static str,
    /// `Complete`, or `Partial` where an indicator has no value.
    pub evaluation_status: &'static str,
    /// Why collecting failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_reason: Option<String>,
    /// Inputs that were not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_inputs: Vec<String>,
    /// Indicators without a value.
    #[serde(rename = "skippedSLIs", skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// From 0 to 1.
    pub confidence_score: f64,
}

/// One indicator.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Indicator {
    /// What it is called.
    pub id: String,
    /// What it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What its number counts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What sort of number it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// More about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Other numbers of the same thing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<&'static str, f64>,
    /// How it fared.
    pub status: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs_used: Vec<String>,
    /// What of it was not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs_missing: Vec<String>,
}

/// What a measurement is made of.
#[derive(Debug)]
pub struct Collected<'a> {
    /// Each indicator with what came of it.
    pub results: Vec<(&'a Spec, Measured)>,
    /// How often the operator's metrics could not be read, each time with the reason.
    pub failures: Vec<String>,
    /// How often they could.
    pub scrapes: usize,
    /// Whether the operator was to tell anything.
    pub expected: bool,
}

impl Summary {
    /// Puts a measurement together.
    pub fn new(config: Config, collected: Collected<'_>) -> Self {
        let Collected { results, failures, scrapes, expected } = collected;
        let (absent, results): (Vec<_>, Vec<_>) =
            results.into_iter().partition(|(_, measured)| measured.status == Status::Absent);
        let not_observed = absent.into_iter().map(|(spec, _)| spec.id.clone()).collect();
        let mut missing: Vec<String> = results.iter().flat_map(|(_, measured)| measured.missing.clone()).collect();
        missing.sort();
        missing.dedup();
        let skipped: Vec<String> = results
            .iter()
            .filter(|(_, measured)| measured.status == Status::Skip)
            .map(|(spec, _)| spec.id.clone())
            .collect();
        let collection_status = match (expected, scrapes, failures.is_empty()) {
            (true, 0, _) => "Failed",
            (_, _, false) => "Partial",
            _ => "Complete",
        };
        let reliability = Reliability {
            collection_status,
            evaluation_status: if skipped.is_empty() { "Complete" } else { "Partial" },
            blocked_reason: (collection_status == "Failed").then(|| failures.join("; ")),
            confidence_score: confidence(collection_status, missing.len(), skipped.len()),
            missing_inputs: missing,
            skipped,
        };
        let results = results.into_iter().map(|(spec, measured)| indicator(spec, measured)).collect();
        let generated_at = config.finished_at;
        Self { schema_version: SCHEMA, generated_at, config, reliability, results, not_observed, warnings: failures }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None in practice: every number that is one can be written.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        number::pretty(self)
    }
}

/// One minus a tenth for each thing that is missing, as kube-slint counts it.
fn confidence(collection: &str, missing: usize, skipped: usize) -> f64 {
    if collection != "Complete" {
        return 0.0;
    }
    let tenths = |count: usize| f64::from(u32::try_from(count.min(3)).unwrap_or(3)) * 0.1;
    let partial = if skipped > 0 { 0.2 } else { 0.0 };
    (1.0 - partial - tenths(missing) - tenths(skipped)).clamp(0.0, 1.0)
}

fn indicator(spec: &Spec, measured: Measured) -> Indicator {
    Indicator {
        id: spec.id.clone(),
        title: spec.title.clone(),
        unit: spec.unit.clone(),
        kind: spec.kind.clone(),
        description: spec.description.clone(),
        value: measured.value.filter(|value| value.is_finite()),
        fields: measured.fields.into_iter().filter(|(_, value)| value.is_finite()).collect(),
        status: match measured.status {
            Status::Pass => "pass",
            Status::Warn => "warn",
            Status::Fail => "fail",
            Status::Skip | Status::Absent => "skip",
        },
        reason: measured.reason,
        inputs_used: spec.inputs.iter().map(ToString::to_string).collect(),
        inputs_missing: measured.missing,
    }
}

/// A part of a file's name, of whatever text.
pub fn file_name(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "unknown".to_owned();
    }
    let replaced = text.replace(['/', '\\', ' ', ':', ';', '"', '\'', '\n', '\r', '\t'], "_");
    let mut end = replaced.len().min(NAME_BYTES_MAX);
    while !replaced.is_char_boundary(end) {
        end -= 1;
    }
    replaced[..end].to_owned()
}

/// Writes a measurement under its own name, which is never written over, and under [`ALIAS`].
///
/// # Errors
/// Those of the file system.
pub fn write(directory: &Path, summary: &Summary, test_case: &str) -> io::Result<PathBuf> {
    let json = summary.to_json().map_err(io::Error::other)?;
    write_as(directory, ALIAS, &summary.config.run_id, test_case, &json)
}

/// Writes the histograms that a measurement's percentiles come from, so that several can be merged, likewise.
///
/// # Errors
/// Those of the file system.
pub fn write_histograms(directory: &Path, run_id: &str, test_case: &str, seen: &Observations) -> io::Result<PathBuf> {
    let histogram = |(series, histogram): &(Series, Histogram)| StoredHistogram {
        observation: series.name.clone(),
        labels: series.labels.clone(),
        data: histogram.to_text(),
    };
    let stored = StoredHistograms {
        schema_version: HISTOGRAMS,
        run_id: run_id.to_owned(),
        unit: "microseconds",
        histograms: seen.latencies.iter().map(histogram).collect(),
    };
    let json = serde_json::to_vec_pretty(&stored).map_err(io::Error::other)?;
    write_as(directory, HISTOGRAMS_ALIAS, run_id, test_case, &json)
}

/// Latencies in full.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StoredHistograms {
    schema_version: &'static str,
    run_id: String,
    unit: &'static str,
    histograms: Vec<StoredHistogram>,
}

#[derive(Debug, Serialize)]
struct StoredHistogram {
    observation: String,
    labels: BTreeMap<String, String>,
    /// `HdrHistogram`'s V2 form in base64.
    data: String,
}

fn write_as(directory: &Path, alias: &str, run_id: &str, test_case: &str, json: &[u8]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let stem = alias.trim_end_matches(".json");
    let name = format!("{stem}.{}.{}.json", file_name(run_id), file_name(test_case));
    let mut path = directory.join(&name);
    for attempt in 1.. {
        match whole(directory, json)?.persist_noclobber(&path) {
            Ok(_) => break,
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                path = directory.join(format!("{name}-{attempt}"));
            }
            Err(error) => return Err(error.error),
        }
    }
    whole(directory, json)?.persist(directory.join(alias)).map_err(|error| error.error)?;
    Ok(path)
}

/// Writes a measurement to a file of the caller's choice, in place of what was there.
///
/// # Errors
/// Those of the file system.
pub fn write_to(path: &Path, summary: &Summary) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let json = summary.to_json().map_err(io::Error::other)?;
    whole(directory, &json)?.persist(path).map(drop).map_err(|error| error.error)
}

/// A file beside its place, with everything in it.
fn whole(directory: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let mut file = tempfile::Builder::new().prefix("sli-summary.").suffix(".tmp").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::measurement::Measurement;
    use crate::sli::{compute, exposition::Scrape, observed::Observations, spec};

    fn summary(told: &[&str], failures: &[&str]) -> Summary {
        let specs = spec::built_in().unwrap();
        let told: Vec<Scrape> = told.iter().map(|text| Scrape::parse(text).unwrap()).collect();
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let config = Config {
            run_id: "run/1".to_owned(),
            started_at: time("2026-01-01T00:00:00Z"),
            finished_at: time("2026-01-01T00:01:00.5Z"),
            mode: Mode { location: "outside", trigger: "none" },
            tags: BTreeMap::new(),
            format: "v4.4",
        };
        let seen = Observations::default();
        let results = specs.iter().map(|spec| (spec, compute::measure(spec, &told, &seen))).collect();
        let failures = failures.iter().map(ToString::to_string).collect();
        Summary::new(config, Collected { results, failures, scrapes: told.len(), expected: true })
    }

    #[test]
    fn what_we_write_is_what_the_gate_reads() {
        let text = "controller_runtime_reconcile_total{controller=\"hello\",result=\"success\"} 3\n\
                    workqueue_depth NaN\nprocess_start_time_seconds 1\n";
        let summary = summary(&["process_start_time_seconds 1\n", text], &[]);
        let read = Measurement::parse(&summary.to_json().unwrap()).unwrap();
        assert_eq!(read.collection_status, "Complete");
        let values = read.values();
        assert_eq!(values["reconcile_total_delta"].to_bits(), 3.0_f64.to_bits());
        assert_eq!(values["reconcile_error_delta"].to_bits(), 0.0_f64.to_bits());
        assert!(!values.contains_key("workqueue_depth_end"), "NaN is no value, and loses nothing else");
    }

    #[test]
    fn an_operator_that_tells_nothing_is_a_failed_collection_and_not_a_pass() {
        let summary = summary(&[], &["connection refused"]);
        assert_eq!(summary.reliability.collection_status, "Failed");
        assert_eq!(summary.reliability.blocked_reason.as_deref(), Some("connection refused"));
        assert!(Measurement::parse(&summary.to_json().unwrap()).is_ok());
    }

    #[test]
    fn files_are_never_written_over_but_for_the_alias() {
        let directory = tempfile::tempdir().unwrap();
        let summary = summary(&["up 1\n"], &[]);
        let first = write(directory.path(), &summary, "a case").unwrap();
        let second = write(directory.path(), &summary, "a case").unwrap();
        assert_eq!(first.file_name().unwrap(), "sli-summary.run_1.a_case.json");
        assert_eq!(second.file_name().unwrap(), "sli-summary.run_1.a_case.json-1");
        assert_eq!(std::fs::read(directory.path().join(ALIAS)).unwrap(), std::fs::read(&first).unwrap());
        let chosen = directory.path().join("not/there/yet.json");
        write_to(&chosen, &summary).unwrap();
        assert_eq!(std::fs::read(chosen).unwrap(), std::fs::read(first).unwrap());
    }
}
