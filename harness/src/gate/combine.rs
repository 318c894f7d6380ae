//! Several runs as one measurement: for each indicator what every run measured, and the median in its place.

use super::measurement::{Indicator, Measurement, Status};
use super::noise::resample::median;

/// Puts runs together; one alone stays as it is. Nothing gets better by it: the oldest time, the worst status and the
/// least complete collection count.
pub fn combine(runs: Vec<Measurement>) -> Option<Measurement> {
    let mut runs = runs.into_iter();
    let mut all = runs.next()?;
    let mut several = false;
    for run in runs {
        if !several {
            all.indicators.iter_mut().for_each(|one| one.samples = one.runs());
            several = true;
        }
        all.generated_at = all.generated_at.min(run.generated_at);
        all.run_ids.extend(run.run_ids);
        if completeness(&run.collection_status) < completeness(&all.collection_status) {
            all.collection_status = run.collection_status;
            all.blocked_reason = run.blocked_reason;
        }
        for one in run.indicators {
            match all.indicators.iter_mut().find(|other| other.id == one.id) {
                Some(other) => add(other, &one),
                None => all.indicators.push(Indicator { samples: one.runs(), ..one }),
            }
        }
    }
    if several {
        for one in &mut all.indicators {
            one.value = (!one.samples.is_empty()).then(|| median(&one.samples));
        }
    }
    Some(all)
}

fn add(all: &mut Indicator, one: &Indicator) {
    all.samples.extend(one.runs());
    if severity(one.status) > severity(all.status) {
        all.status = one.status;
        all.reason.clone_from(&one.reason);
    }
}

fn severity(status: Status) -> u8 {
    match status {
        Status::Pass => 0,
        Status::Skip => 1,
        Status::Warn => 2,
        Status::Fail => 3,
        Status::Block => 4,
    }
}

fn completeness(status: &str) -> u8 {
    match status.trim().to_lowercase().as_str() {
        "complete" => 3,
        "partial" => 2,
        "failed" => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, at: &str, collection: &str, results: &str) -> Measurement {
        let text = format!(
            r#"{{"schemaVersion":"slo.v3","generatedAt":"{at}","config":{{"runId":"{id}"}},
               "reliability":{{"collectionStatus":"{collection}"}},"results":[{results}]}}"#
        );
        Measurement::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn several_runs_are_their_median_and_no_better_than_the_worst_of_them() {
        let all = combine(vec![
            run("a", "2026-11-02T00:00:00Z", "Complete", r#"{"id":"x","value":1,"status":"pass"}"#),
            run("b", "2026-11-01T00:00:00Z", "Failed", r#"{"id":"x","value":5,"status":"warn","reason":"why"}"#),
            run(
                "c",
                "2026-11-03T00:00:00Z",
                "Partial",
                r#"{"id":"x","status":"skip"},{"id":"y","value":7,"status":"pass"}"#,
            ),
            run("d", "2026-11-03T00:00:00Z", "Complete", r#"{"id":"x","value":3,"status":"pass"}"#),
        ])
        .unwrap();
        let x = &all.indicators[0];
        assert_eq!((x.value, x.samples.as_slice(), x.status), (Some(3.0), [1.0, 5.0, 3.0].as_slice(), Status::Warn));
        assert_eq!(all.indicators[1].samples, [7.0]);
        assert_eq!((all.collection_status.as_str(), all.run_ids.len()), ("Failed", 4));
        assert_eq!(all.generated_at.to_string(), "2026-11-01T00:00:00Z");
    }

    #[test]
    fn a_baseline_of_several_runs_brings_them_along() {
        let merged = run("m", "2026-11-02T00:00:00Z", "", r#"{"id":"x","value":2,"samples":[1,2,3],"status":"pass"}"#);
        assert_eq!(combine(vec![merged.clone()]), Some(merged.clone()));
        let all =
            combine(vec![merged, run("n", "2026-11-02T00:00:00Z", "", r#"{"id":"x","value":9,"status":"pass"}"#)]);
        assert_eq!(all.unwrap().indicators[0].samples, [1.0, 2.0, 3.0, 9.0]);
        let odd = run("m", "2026-11-02T00:00:00Z", "", r#"{"id":"x","value":2,"samples":[1,"a"],"status":"pass"}"#);
        assert_eq!(odd.indicators[0].runs(), [2.0], "samples that make no sense are one run");
        assert_eq!(combine(Vec::new()), None);
    }
}
