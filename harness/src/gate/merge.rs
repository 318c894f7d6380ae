//! Several summaries as one file that any reader of `slo.v3` takes: medians where its readers look, and beside them what
//! each run measured, where they do not.
//!
//! What the first summary says beyond results is kept; times, statuses and completeness are the worst of all.

use super::combine::combine;
use super::json::{Json, JsonError};
use super::measurement::{Indicator, Measurement, MeasurementError, Status};
use crate::sli::histogram::Histogram;

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
    /// The same run twice is no second run.
    #[error("run {0:?} is there twice")]
    Twice(String),
    /// The result makes no sense.
    #[error("the first summary cannot be kept")]
    Json(#[from] JsonError),
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
    // Percentiles of one run are not those of all; those of the latencies of all are.
    result.remove("fields");
    result.remove("histogram");
    if let Some(all) = histogram(&described) {
        let fields = [("p50", all.quantile(0.5)), ("p95", all.quantile(0.95)), ("p99", all.quantile(0.99))];
        let fields = fields.into_iter().chain([("mean", all.mean()), ("max", all.max())]);
        let fields = fields.filter_map(|(name, value)| Some((name.to_owned(), Json::Float(value?))));
        result.set("fields", Json::Map(fields.collect()));
        result.set("histogram", Json::Text(all.to_text()));
    }
    result
}

/// The latencies of all runs, where all have kept theirs.
fn histogram(results: &[&Json]) -> Option<Histogram> {
    let mut all = Histogram::default();
    for result in results {
        let Some(Json::Text(text)) = result.get("histogram") else { return None };
        all.merge(&Histogram::from_text(text).ok()?);
    }
    (all.count() > 0).then_some(all)
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

    fn latency(millis: u64) -> String {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_millis(millis));
        let (text, value) = (histogram.to_text(), Duration::from_millis(millis).as_secs_f64());
        format!(
            r#"{{"id":"x","unit":"seconds","value":{value},"fields":{{"p50":1}},"status":"pass","histogram":"{text}"}}"#
        )
    }

    #[test]
    fn several_runs_become_one_file_that_brings_each_of_them_along() {
        let texts = [summary("a", &latency(10)), summary("b", &latency(30)), summary("c", &latency(20))];
        let merged = number::pretty(&merge(&texts, None).unwrap()).unwrap();
        let read = Measurement::parse(&merged).unwrap();
        assert_eq!(read.run_ids, ["a", "b", "c"]);
        let x = &read.indicators[0];
        assert_eq!(
            (x.value, x.samples.as_slice(), x.unit.as_str()),
            (Some(0.02), [0.01, 0.03, 0.02].as_slice(), "seconds")
        );
        let json = Json::parse(&merged).unwrap();
        let p95 = find(&json, "x").and_then(|result| result.get("fields")?.get("p95")?.number("").ok().flatten());
        assert!((p95.unwrap() - 0.03).abs() < 0.001, "the latencies of all runs: {p95:?}");
        assert!(!String::from_utf8(merged.clone()).unwrap().contains("evidencePaths"));
        // What was merged can be merged again.
        let more = merge(&[merged, summary("d", &latency(40))], None).unwrap();
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
    fn what_is_no_second_run_is_refused() {
        let run = || summary("a", r#"{"id":"x","value":1,"status":"pass"}"#);
        assert!(matches!(merge(&[], None), Err(MergeError::Nothing)));
        assert!(matches!(merge(&[run(), run()], None), Err(MergeError::Twice(_))));
        let error = merge(&[run(), b"{".to_vec()], None).unwrap_err();
        assert_eq!(error.to_string(), "summary 2 cannot be used");
    }
}
