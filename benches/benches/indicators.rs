//! What measuring costs: metrics, histograms, and the gate.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::gate::checks::Direction;
use slipway::gate::measurement::Measurement;
use slipway::gate::noise::{Question, Tolerance, judge as compare};
use slipway::gate::policy::Policy;
use slipway::gate::verdict::{Grade, Inputs};
use slipway::gate::{Case, Found, judge};
use slipway::sli::exposition::Scrape;
use slipway::sli::histogram::Histogram;

/// A page as an operator of three controllers has it: a histogram of 40 buckets for each, and some hundred counters.
fn page() -> String {
    let mut text = String::new();
    for controller in ["hello", "multinic", "drain"] {
        let series = "controller_runtime_reconcile_time_seconds";
        let _ = writeln!(text, "# HELP {series} Time of a reconcile.\n# TYPE {series} histogram");
        for bucket in 1..=40 {
            let _ = writeln!(text, "{series}_bucket{{controller=\"{controller}\",le=\"{}\"}} {bucket}", bucket * 5);
        }
        let _ = writeln!(text, "{series}_bucket{{controller=\"{controller}\",le=\"+Inf\"}} 41");
        let _ = writeln!(text, "{series}_sum{{controller=\"{controller}\"}} 12.5");
        let _ = writeln!(text, "{series}_count{{controller=\"{controller}\"}} 41");
    }
    for code in 200..500 {
        let _ = writeln!(text, "rest_client_requests_total{{code=\"{code}\",method=\"GET\",host=\"10.0.0.1:443\"}} 7");
    }
    text
}

fn metrics(bench: &mut Criterion) {
    let text = page();
    assert!(Scrape::parse(&text).is_ok_and(|scrape| scrape.series.len() > 400));
    let mut group = bench.benchmark_group("metrics");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| Scrape::parse(black_box(&text))));
    group.finish();
}

fn histogram(bench: &mut Criterion) {
    let mut full = Histogram::default();
    for millis in 1..=10_000 {
        full.record(Duration::from_millis(millis));
    }
    let text = full.to_text();
    bench.bench_function("histogram: record", |bencher| {
        let mut histogram = full.clone();
        bencher.iter(|| histogram.record(black_box(Duration::from_micros(1_234))));
    });
    bench.bench_function("histogram: merge", |bencher| {
        let mut sum = Histogram::default();
        bencher.iter(|| sum.merge(black_box(&full)));
    });
    bench.bench_function("histogram: quantile", |bencher| bencher.iter(|| black_box(&full).quantile(0.99)));
    bench.bench_function("histogram: read", |bencher| bencher.iter(|| Histogram::from_text(black_box(&text))));
}

fn gate(bench: &mut Criterion) {
    let results: Vec<Value> =
        (0..100).map(|at| json!({ "id": format!("sli_{at}"), "value": f64::from(at), "status": "pass" })).collect();
    let summary = json!({
        "schemaVersion": "slo.v3",
        "generatedAt": "2026-01-01T00:00:00Z",
        "config": { "runId": "r", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z",
            "mode": { "location": "outside", "trigger": "none" }, "format": "v4.4" },
        "reliability": { "collectionStatus": "Complete", "evaluationStatus": "Complete", "confidenceScore": 1.0 },
        "results": results,
    })
    .to_string();
    let mut policy = "schema_version: slint.policy.v1\nthresholds:\n".to_owned();
    for at in 0..100 {
        let _ = writeln!(policy, "  - {{name: t{at}, metric: sli_{at}, operator: \"<=\", value: 100}}");
    }
    let case = || Case {
        policy: Found::Read(Policy::parse(policy.as_bytes())),
        measurement: Found::Read(Measurement::parse(summary.as_bytes())),
        baseline: Some(Found::Read(Measurement::parse(summary.as_bytes()))),
        run_id: None,
        inputs: Inputs {
            measurement_summary: "sli-summary.json".to_owned(),
            policy_file: "policy.yaml".to_owned(),
            baseline_file: Some("baseline.json".to_owned()),
            more_runs: Vec::new(),
            more_baseline_runs: Vec::new(),
        },
    };
    // Nothing is resampled here.
    let no_chance = |_: &str| -> Box<dyn FnMut() -> u64> { Box::new(|| 0) };
    let verdict = judge(case(), Timestamp::UNIX_EPOCH, &no_chance);
    assert!(verdict.gate_result == Grade::Pass && verdict.checks.len() >= 100, "{verdict:?}");
    bench.bench_function("gate: read and judge 100 rules", |bencher| {
        bencher.iter(|| judge(case(), Timestamp::UNIX_EPOCH, &no_chance));
    });
}

fn noise(bench: &mut Criterion) {
    let runs = |level: f64| -> Vec<f64> { (0..8).map(|at| level + 0.001 * f64::from(at)).collect() };
    let (before, now) = (runs(0.2), runs(0.201));
    let questions = [Question {
        before: &before,
        now: &now,
        better: Direction::Lower,
        tolerance: Tolerance { percent: 3.0, absolute: 0.0 },
        detect_percent: 10.0,
    }];
    let draws = |_: usize| -> Box<dyn FnMut() -> u64> {
        let mut state = 1_u64;
        Box::new(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state
        })
    };
    bench.bench_function("gate: tell 8 runs from 8", |bencher| {
        bencher.iter(|| compare(black_box(&questions), 0.01, &draws));
    });
}

criterion_group!(benches, metrics, histogram, gate, noise);
criterion_main!(benches);
