//! Several summaries as one file that any reader of `slo.v3` takes: medians where its readers look, and beside them what
//! each run measured, where they do not.
//!
//! What the first summary says beyond results is kept; times, statuses and completeness are the worst of all.

use super::combine::combine;
use super::json::Json;
use super::measurement::{Indicator, Measurement, MeasurementError, Status};
use super::noise::resample::median;
use crate::sli::histogram::{Histogram, HistogramError};
use crate::sli::summary::HISTOGRAMS;

/// Who approved a baseline, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approval {
    /// When: RFC 3339.
    pub at: String,
    /// Who.
    pub by: Option<String>,
    /// The commit that was measured.
    pub commit: Option<String>,
    /// The policy it was judged by.
    pub policy: Option<String>,
    /// What the verdict was.
    pub verdict: Option<String>,
}

/// Why summaries cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is none.
    #[error("there is no summary")]
    Nothing,
    /// One cannot be used.
    #[error("summary {index} cannot be used")]
    Summary {
        /// Which, from 1.
        index: usize,
        /// Why.
        #[source]
        source: MeasurementError,
    },
    /// A histogram cannot be read.
    #[error("a histogram of file {index} cannot be read")]
    Histogram {
        /// Which, from 1.
        index: usize,
        /// Why.
        #[source]
        source: HistogramError,
    },
    /// The same run twice is no second run.
    #[error("run {0:?} is there twice")]
    Twice(String),
}

/// Puts summaries together, and notes who approved them.
///
/// # Errors
/// See [`MergeError`].
pub fn merge(texts: &[Vec<u8>], approval: Option<&Approval>) -> Result<Json, MergeError> {
    let parse = |(index, text): (usize, &Vec<u8>)| {
        let failed = |source| MergeError::Summary { index: index + 1, source };
        let json = Json::parse(text).map_err(|error| failed(error.into()))?;
        Ok((json, Measurement::parse(text).map_err(failed)?))
    };
    let (documents, runs): (Vec<Json>, Vec<Measurement>) =
        texts.iter().enumerate().map(parse).collect::<Result<Vec<_>, MergeError>>()?.into_iter().unzip();
    let all = combine(runs).ok_or(MergeError::Nothing)?;
    if let Some((_, twice)) = all.run_ids.iter().enumerate().find(|(index, id)| all.run_ids[..*index].contains(id)) {
        return Err(MergeError::Twice(twice.clone()));
    }
    let mut merged = documents.first().cloned().ok_or(MergeError::Nothing)?;
    if let Some(config) = merged.get_mut("config") {
        // Paths of evidence lead nowhere once the run is gone.
        config.remove("evidencePaths");
    }
    if documents.len() > 1 {
        merged.set("generatedAt", Json::Text(all.generated_at.to_string()));
        let completeness = Json::Text(all.collection_status.clone());
        match merged.get_mut("reliability") {
            Some(reliability) if !all.collection_status.is_empty() => reliability.set("collectionStatus", completeness),
            _ => {}
        }
        let results = all.indicators.iter().map(|one| result(one, &documents)).collect();
        merged.set("results", Json::List(results));
    }
    merged.set("slipway", about(&all, approval));
    Ok(merged)
}

/// One indicator: as the first summary that has it describes it, with the numbers of all.
fn result(one: &Indicator, documents: &[Json]) -> Json {
    let described: Vec<&Json> = documents.iter().filter_map(|document| find(document, &one.id)).collect();
    let mut result = described.first().map_or_else(|| Json::Map(Vec::new()), |first| (*first).clone());
    match one.value {
        Some(value) => result.set("value", Json::Float(value)),
        None => result.remove("value"),
    }
    result.set("status", Json::Text(word(one.status).to_owned()));
    match one.reason.as_str() {
        "" => result.remove("reason"),
        reason => result.set("reason", Json::Text(reason.to_owned())),
    }
    if !one.samples.is_empty() {
        result.set("samples", Json::List(one.samples.iter().map(|value| Json::Float(*value)).collect()));
    }
    // The percentiles of one run are not those of all; the typical ones are told.
    let fields = fields(&described);
    if fields.is_empty() {
        result.remove("fields");
    } else {
        result.set("fields", Json::Map(fields));
    }
    result
}

/// Each further number, as the median of the runs that have it.
fn fields(results: &[&Json]) -> Vec<(String, Json)> {
    let mut found: Vec<(String, Vec<f64>)> = Vec::new();
    for result in results {
        let Some(Json::Map(entries)) = result.get("fields") else { continue };
        for (name, value) in entries {
            let Ok(Some(value)) = value.number(name) else { continue };
            match found.iter_mut().find(|(other, _)| other == name) {
                Some((_, values)) => values.push(value),
                None => found.push((name.clone(), vec![value])),
            }
        }
    }
    found.into_iter().map(|(name, values)| (name, Json::Float(median(&values)))).collect()
}

/// Whether a text is one of histograms.
pub fn is_histograms(text: &[u8]) -> bool {
    Json::parse(text).is_ok_and(|json| json.get("schemaVersion") == Some(&Json::Text(HISTOGRAMS.to_owned())))
}

/// Puts the latencies of several runs together, observation by observation: nothing of any run is lost by it.
///
/// # Errors
/// See [`MergeError`].
pub fn merge_histograms(texts: &[Vec<u8>]) -> Result<Json, MergeError> {
    let mut runs: Vec<String> = Vec::new();
    let mut all: Vec<(Json, Histogram)> = Vec::new();
    let mut merged = None;
    for (index, text) in texts.iter().enumerate() {
        let failed = |source| MergeError::Summary { index: index + 1, source: MeasurementError::Corrupt(source) };
        let json = Json::parse(text).map_err(failed)?;
        if let Some(id) = json.get("runId").map_or(Ok(None), |id| id.text("runId")).map_err(failed)? {
            if runs.iter().any(|other| other == id) {
                return Err(MergeError::Twice(id.to_owned()));
            }
            runs.push(id.to_owned());
        }
        let stored = json.get("histograms").map_or(Ok(&[][..]), |list| list.items("histograms")).map_err(failed)?;
        for one in stored {
            let data = one.get("data").map_or(Ok(None), |data| data.text("data")).map_err(failed)?.unwrap_or_default();
            let latencies =
                Histogram::from_text(data).map_err(|source| MergeError::Histogram { index: index + 1, source })?;
            let mut series = one.clone();
            series.remove("data");
            match all.iter_mut().find(|(other, _)| *other == series) {
                Some((_, together)) => together.merge(&latencies),
                None => all.push((series, latencies)),
            }
        }
        merged.get_or_insert(json);
    }
    let mut merged = merged.ok_or(MergeError::Nothing)?;
    let stored = all.into_iter().map(|(mut series, latencies)| {
        series.set("data", Json::Text(latencies.to_text()));
        series
    });
    merged.set("histograms", Json::List(stored.collect()));
    merged.set("runs", Json::List(runs.into_iter().map(Json::Text).collect()));
    Ok(merged)
}

fn find<'a>(document: &'a Json, id: &str) -> Option<&'a Json> {
    let Some(Json::List(results)) = document.get("results") else { return None };
    results.iter().find(|result| result.get("id") == Some(&Json::Text(id.to_owned())))
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "warn",
        Status::Fail => "fail",
        Status::Block => "block",
        Status::Skip => "skip",
    }
}

fn about(all: &Measurement, approval: Option<&Approval>) -> Json {
    let text = |text: &String| Json::Text(text.clone());
    let mut about = vec![("runs".to_owned(), Json::List(all.run_ids.iter().map(text).collect()))];
    if let Some(Approval { at, by, commit, policy, verdict }) = approval {
        let known = [("by", by), ("commit", commit), ("policy", policy), ("verdict", verdict)];
        let known =
            known.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name.to_owned(), text(value))));
        about
            .push(("approved".to_owned(), Json::Map([("at".to_owned(), text(at))].into_iter().chain(known).collect())));
    }
    Json::Map(about)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gate::number;

    fn summary(run: &str, results: &str) -> Vec<u8> {
        format!(
            r#"{{"schemaVersion":"slo.v3","generatedAt":"2026-11-01T10:00:00Z",
               "config":{{"runId":"{run}","evidencePaths":{{"a":"/tmp/a"}}}},
               "reliability":{{"collectionStatus":"Complete"}},"results":[{results}]}}"#
        )
        .into_bytes()
    }

    fn latency(seconds: f64) -> String {
        format!(r#"{{"id":"x","unit":"seconds","value":{seconds},"fields":{{"p99":{seconds}}},"status":"pass"}}"#)
    }

    #[test]
    fn several_runs_become_one_file_that_brings_each_of_them_along() {
        let texts = [summary("a", &latency(0.01)), summary("b", &latency(0.03)), summary("c", &latency(0.02))];
        let merged = number::pretty(&merge(&texts, None).unwrap()).unwrap();
        let read = Measurement::parse(&merged).unwrap();
        assert_eq!(read.run_ids, ["a", "b", "c"]);
        let x = &read.indicators[0];
        assert_eq!(
            (x.value, x.samples.as_slice(), x.unit.as_str()),
            (Some(0.02), [0.01, 0.03, 0.02].as_slice(), "seconds")
        );
        let json = Json::parse(&merged).unwrap();
        let p99 = find(&json, "x").and_then(|result| result.get("fields")?.get("p99").cloned());
        assert_eq!(p99, Some(Json::Float(0.02)));
        assert!(!String::from_utf8(merged.clone()).unwrap().contains("evidencePaths"));
        // What was merged can be merged again.
        let more = merge(&[merged, summary("d", &latency(0.04))], None).unwrap();
        let more = Measurement::parse(&number::pretty(&more).unwrap()).unwrap();
        assert_eq!((more.run_ids.len(), more.indicators[0].samples.len()), (4, 4));
    }

    #[test]
    fn one_run_stays_as_it_is_with_who_approved_it() {
        let approval =
            Approval { at: "2026-11-02T00:00:00Z".to_owned(), by: Some("ann".to_owned()), ..Approval::default() };
        let text = summary("a", r#"{"id":"x","value":1,"status":"pass","custom":[1,null]}"#);
        let merged = merge(&[text], Some(&approval)).unwrap();
        assert_eq!(find(&merged, "x").unwrap().get("custom"), Some(&Json::List(vec![Json::Integer(1), Json::Null])));
        let by = merged.get("slipway").and_then(|about| about.get("approved")?.get("by"));
        assert_eq!(by, Some(&Json::Text("ann".to_owned())));
    }

    #[test]
    fn latencies_in_full_are_added_up_observation_by_observation() {
        let file = |run: &str, labels: &str, millis: u64| {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_millis(millis));
            format!(
                r#"{{"schemaVersion":"{HISTOGRAMS}","runId":"{run}","unit":"microseconds",
                   "histograms":[{{"observation":"drain","labels":{labels},"data":"{}"}}]}}"#,
                histogram.to_text()
            )
            .into_bytes()
        };
        let texts = [file("a", "{}", 10), file("b", "{}", 30), file("c", r#"{"resource":"pods"}"#, 20)];
        assert!(texts.iter().all(|text| is_histograms(text)));
        let merged = merge_histograms(&texts).unwrap();
        let all = merged.get("histograms").unwrap().items("").unwrap();
        let counts: Vec<u64> = all
            .iter()
            .map(|one| Histogram::from_text(one.get("data").unwrap().text("").unwrap().unwrap()).unwrap().count())
            .collect();
        assert_eq!(counts, [2, 1]);
        assert!(matches!(merge_histograms(&[file("a", "{}", 1), file("a", "{}", 2)]), Err(MergeError::Twice(_))));
        let broken = String::from_utf8(file("a", "{}", 1)).unwrap().replace("\"data\":\"", "\"data\":\"!");
        assert!(matches!(merge_histograms(&[broken.into_bytes()]), Err(MergeError::Histogram { .. })));
        assert!(!is_histograms(&summary("a", &latency(0.01))));
    }

    #[test]
    fn what_is_no_second_run_is_refused() {
        let run = || summary("a", r#"{"id":"x","value":1,"status":"pass"}"#);
        assert!(matches!(merge(&[], None), Err(MergeError::Nothing)));
        assert!(matches!(merge(&[run(), run()], None), Err(MergeError::Twice(_))));
        let error = merge(&[run(), b"{".to_vec()], None).unwrap_err();
        assert_eq!(error.to_string(), "summary 2 cannot be used");
    }
}
