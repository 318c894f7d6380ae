//! Indicators from end to end: a run measures, the gate judges, and neither is fooled.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use slipway::sli::histogram::Histogram;

const SCENARIO: &str = r"
apiVersion: slipway.dev/v1alpha1
kind: Scenario
metadata: {name: objects-are-greeted}
namespace: demo
FAULTS
operator: {controllers: [hello]}
steps:
  - apply:
      manifest: {apiVersion: demo.example.com/v1alpha1, kind: Hello, metadata: {name: world}, spec: {}}
  - expect: {resource: hello, name: world, object: {status: {observedGeneration: 1}}, within: 5s}
  - patch: {resource: hello, name: world, patch: {spec: {foo: hello again}}}
  - expect: {resource: hello, name: world, object: {status: {observedGeneration: 2}}, within: 5s}
";

const SLOW: &str = "faults: [{verbs: [update, patch], subresource: status, delay: 200ms}]";

fn slipway(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(arguments)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .env_remove("SLIPWAY_ARTIFACTS")
        .env_remove("SLIPWAY_SEED")
        .env_remove("GITHUB_STEP_SUMMARY")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

/// What is asked of them here: as of a release, without what only a release has.
const POLICY: &str = "
schema_version: slint.policy.v1
thresholds:
  - {name: a-status-follows-its-spec, metric: reconcile_latency_p95, operator: '<=', value: 0.1}
  - {name: nothing-is-written-twice, metric: idle_writes, operator: '<=', value: 0}
  - {name: no-watch-starts-over, metric: watch_restarts, operator: '<=', value: 0}
regression: {enabled: true, tolerance_percent: 10}
reliability: {required: true, min_level: complete}
promote_to_fail: [threshold_miss, regression_detected]
";

/// A directory with the scenario as it is, the same with slow status writes, and a policy that compares with a baseline.
fn workshop() -> tempfile::TempDir {
    let here = tempfile::tempdir().unwrap();
    for (name, faults) in [("quick", ""), ("slow", SLOW)] {
        fs::create_dir(here.path().join(name)).unwrap();
        fs::write(here.path().join(name).join("hello.yaml"), SCENARIO.replace("FAULTS", faults)).unwrap();
    }
    fs::write(here.path().join("policy.yaml"), POLICY).unwrap();
    here
}

/// A file of the repository, by the name that a workflow gives it.
fn shipped(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).to_string_lossy().into_owned()
}

/// The verdict of the release gate on a summary: the policy and the baseline are those that are shipped.
fn released(here: &Path, summary: &Path) -> Value {
    let (policy, baseline) = (shipped("slint/policy.yaml"), shipped("slint/baselines/main.json"));
    let arguments = ["gate", "--summary", &summary.to_string_lossy(), "--policy", &policy, "--baseline", &baseline];
    let reference = ["--remote", "cached", "--reference", &shipped("slint/remote.yaml"), "--cache", "cache"];
    slipway(here, &[&arguments[..], &reference, &["--output", "verdict.json"]].concat());
    serde_json::from_slice(&fs::read(here.join("verdict.json")).unwrap()).unwrap()
}

/// The checks of a verdict that are not as they should be, each with how.
fn complaints(verdict: &Value) -> Vec<String> {
    let told = verdict["checks"].as_array().unwrap().iter().filter(|check| check["status"] != "pass");
    told.map(|check| format!("{} {} {}", check["name"], check["status"], check["message"])).collect()
}

/// Runs a directory of scenarios; its summary.
fn measure(here: &Path, scenarios: &str, artifacts: &str) -> PathBuf {
    let (code, said) = slipway(here, &["run", scenarios, "--artifacts", artifacts]);
    assert_eq!(code, Some(0), "{said}");
    here.join(artifacts).join("sli-summary.json")
}

fn value(summary: &Path, id: &str) -> Option<f64> {
    let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    let results = summary["results"].as_array().unwrap();
    results.iter().find(|one| one["id"] == id)?["value"].as_f64()
}

fn gate(here: &Path, summary: &Path, baseline: &Path) -> (Option<i32>, String) {
    let (summary, baseline) = (summary.to_string_lossy(), baseline.to_string_lossy());
    let arguments = ["gate", "--summary", &summary, "--policy", "policy.yaml", "--baseline", &baseline];
    slipway(here, &[&arguments[..], &["--output", "verdict.json", "--exit-on", "FAIL_OR_NOGRADE"]].concat())
}

#[test]
fn a_reconcile_that_got_slower_does_not_pass_the_gate() {
    let here = workshop();
    let quick = measure(here.path(), "quick", "before");
    let slow = measure(here.path(), "slow", "after");
    assert_eq!(value(&quick, "reconcile_latency_p95"), Some(0.0), "in virtual time only waiting takes time");
    let slowed = value(&slow, "reconcile_latency_p95").unwrap();
    assert!((0.2..0.202).contains(&slowed), "{slowed}");

    let (code, said) = gate(here.path(), &quick, &quick);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = gate(here.path(), &slow, &quick);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("reconcile_latency_p95"), "{said}");
}

#[test]
fn the_release_gate_tells_a_delay_of_every_status_write_and_nothing_else_from_what_was_approved() {
    let here = workshop();
    let regression = |scenarios: &str| {
        let verdict = released(here.path(), &measure(here.path(), scenarios, &format!("{scenarios}-artifacts")));
        let checks = verdict["checks"].as_array().unwrap();
        let status = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap()["status"].clone();
        let both = (status("a-status-follows-its-spec"), status("regression:reconcile_latency_p95"));
        (verdict["gate_result"].clone(), both)
    };
    // One scenario drains nothing and configures no node, which the gate does not take for good.
    assert_eq!(regression("quick"), ("NO_GRADE".into(), ("pass".into(), "pass".into())));
    assert_eq!(regression("slow"), ("FAIL".into(), ("fail".into(), "fail".into())));
}

#[test]
fn the_release_gate_passes_each_of_the_runs_that_were_approved_and_none_that_is_slower_by_200_ms() {
    let here = workshop();
    let baseline: Value = serde_json::from_slice(&fs::read(shipped("slint/baselines/main.json")).unwrap()).unwrap();
    let runs = baseline["slipway"]["runs"].as_array().unwrap().len();
    assert!(runs >= 3, "one run says nothing of what chance does");
    // Each was run with a seed of its own.
    let again = |run: usize, more: f64| {
        let mut summary = baseline.clone();
        summary["generatedAt"] = jiff::Timestamp::now().to_string().into();
        summary["config"]["runId"] = format!("again-{run}").into();
        summary.as_object_mut().unwrap().remove("slipway");
        for result in summary["results"].as_array_mut().unwrap() {
            let samples = result.as_object_mut().unwrap().remove("samples").unwrap_or_default();
            let value = if samples.is_array() { samples[run].as_f64() } else { result["value"].as_f64() };
            let late = result["id"].as_str().unwrap().starts_with("reconcile_latency_p");
            result["value"] = value.map(|value| value + if late { more } else { 0.0 }).into();
        }
        let path = here.path().join(format!("{run}-{more}.json"));
        fs::write(&path, summary.to_string()).unwrap();
        released(here.path(), &path)
    };
    for run in 0..runs {
        let same = again(run, 0.0);
        assert_eq!(same["gate_result"], "PASS", "run {run}: {:?}", complaints(&same));
        let slower = again(run, 0.2);
        assert_eq!(slower["gate_result"], "FAIL");
        assert!(
            complaints(&slower).iter().any(|told| told.contains("regression:reconcile_latency_p95")),
            "{:?}",
            complaints(&slower)
        );
    }
}

#[test]
fn the_same_binary_is_never_called_a_regression() {
    let here = workshop();
    let baseline = measure(here.path(), "quick", "baseline");
    for number in 0..20 {
        // Every run has a seed of its own.
        let again = measure(here.path(), "quick", &format!("run-{number}"));
        let (code, said) = gate(here.path(), &again, &baseline);
        assert_eq!(code, Some(0), "run {number}: {said}");
    }
}

#[test]
fn all_nine_defaults_of_kube_slint_have_values() {
    let here = workshop();
    let summary = measure(here.path(), "quick", "out");
    for id in [
        "reconcile_total_delta",
        "reconcile_success_delta",
        "reconcile_error_delta",
        "workqueue_adds_total_delta",
        "workqueue_retries_total_delta",
        "workqueue_depth_end",
        "rest_client_requests_total_delta",
        "rest_client_429_delta",
        "rest_client_5xx_delta",
    ] {
        assert!(value(&summary, id).is_some(), "{id} has no value");
    }
    assert!(value(&summary, "reconcile_total_delta").unwrap() >= 2.0);
}

#[test]
fn a_run_gates_itself_when_it_is_asked_to() {
    let here = workshop();
    let gated = |scenarios| slipway(here.path(), &["run", scenarios, "--gate", "--policy", "policy.yaml"]);
    let (code, said) = gated("quick");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = gated("slow");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("reconcile_latency_p95"), "{said}");
}

#[test]
fn indicators_of_ones_own_are_measured_and_latencies_are_kept_in_full() {
    let here = workshop();
    let specs = "apiVersion: slipway.dev/v1alpha1\nkind: SliSpecs\nslis:\n  \
                 - {id: mine, unit: seconds, source: observed, compute: mean, inputs: ['reconcile{resource=~\"hellos.*\"}']}\n";
    fs::write(here.path().join("mine.yaml"), specs).unwrap();
    let arguments = ["run", "slow", "--artifacts", "out", "--specs", "mine.yaml", "--report", "json=report.json"];
    let (code, said) = slipway(here.path(), &arguments);
    assert_eq!(code, Some(0), "{said}");
    let mean = value(&here.path().join("out/sli-summary.json"), "mine").unwrap();
    assert!((0.2..0.202).contains(&mean), "{mean}");

    let kept: Value = serde_json::from_slice(&fs::read(here.path().join("out/sli-histograms.json")).unwrap()).unwrap();
    let kept = kept["histograms"].as_array().unwrap();
    let reconcile = kept.iter().find(|one| one["observation"] == "reconcile").unwrap();
    let histogram = Histogram::from_text(reconcile["data"].as_str().unwrap()).unwrap();
    assert_eq!(histogram.count(), 2);

    let report: Value = serde_json::from_slice(&fs::read(here.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["scenarios"][0]["indicators"]["mine"]["count"], 2.0);

    fs::write(here.path().join("mine.yaml"), specs.replace("mean", "meen")).unwrap();
    let (code, said) = slipway(here.path(), &arguments);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("mine.yaml") && said.contains("meen"), "{said}");
}

#[test]
fn a_fault_that_makes_no_sense_is_shown_with_its_place() {
    let here = workshop();
    let file = here.path().join("quick/hello.yaml");
    let text = fs::read_to_string(&file).unwrap();
    for (faults, place, said) in [
        ("faults: [{delay: 200}]", "hello.yaml:7:", "200"),
        ("faults: [{verbs: [pacth], delay: 1s}]", "hello.yaml:7:", "pacth"),
    ] {
        fs::write(&file, text.replacen("operator:", &format!("{faults}\noperator:"), 1)).unwrap();
        let (code, output) = slipway(here.path(), &["lint", "quick"]);
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains(place) && output.contains(said), "{output}");
    }
}
