//! What `slipway gate` and its neighbours do beyond slint-gate, from the command line: policies of the superset, several runs
//! on each side, baselines, proposals, reports, and the action.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::Regex;
use serde_json::{Value, json};

/// A place of its own for a test, with what it needs.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn slipway(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        for name in ["GITHUB_ACTOR", "GITHUB_SHA", "GITHUB_STEP_SUMMARY", "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
            command.env_remove(name);
        }
        command
            .env("GITHUB_ACTOR", "ann")
            .env("GITHUB_SHA", "0123abc")
            .args(args)
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    /// The verdict on these flags, and what was said about it.
    fn verdict(&self, flags: &[&str]) -> (String, Value, String) {
        let _ = fs::remove_file(self.path("out.json"));
        let args = [&["gate", "--output", "out.json", "--policy", "policy.yaml"], flags].concat();
        let output = self.slipway(&args);
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let verdict = self.json("out.json");
        (verdict["gate_result"].as_str().unwrap().to_owned(), verdict, said)
    }

    /// Runs of something that takes `level` give or take a hundredth, in a directory.
    fn runs(&self, directory: &str, count: usize, level: f64) {
        for index in 0..count {
            let wobble = [0.0, 0.7, -0.9, 0.3, -0.4, 1.0, -0.6, 0.1, 0.8, -0.2][index % 10];
            let text = summary(&format!("{directory}-{index}"), level * (1.0 + wobble / 100.0), 0.0);
            self.write(&format!("{directory}/sli-summary.{index}.all.json"), &text);
        }
    }
}

fn summary(run: &str, latency: f64, errors: f64) -> String {
    json!({
        "schemaVersion": "slo.v3",
        "generatedAt": "2026-11-01T10:00:00Z",
        "config": {"runId": run, "startedAt": "2026-11-01T09:00:00Z", "finishedAt": "2026-11-01T10:00:00Z",
                   "mode": {"location": "outside", "trigger": "none"}, "evidencePaths": {"log": "/nowhere"}},
        "reliability": {"collectionStatus": "Complete"},
        "results": [
            {"id": "latency", "unit": "seconds", "value": latency, "status": "pass"},
            {"id": "errors", "unit": "count", "value": errors, "status": "pass"},
        ],
    })
    .to_string()
}

const AWARE: &str = "\
schema_version: slipway.policy.v1
refuse_empty: true
thresholds:
  - {name: quick, metric: latency, operator: '<=', value: 1}
  - {name: right, metric: errors, operator: '<=', value: 0}
regression:
  enabled: true
  method: noise-aware
  tolerance_percent: 3
  metrics:
    - {metric: errors, method: difference}
";

#[test]
fn a_wobble_is_no_regression_a_real_ten_percent_is_and_one_run_is_too_few_to_tell() {
    let place = Place::new();
    place.write("policy.yaml", AWARE);
    place.runs("before", 8, 0.2);
    place.runs("same", 8, 0.203);
    place.runs("slower", 8, 0.22);
    let approved = place.slipway(&["baseline", "approve", "main", "--summary", "before", "--policy", "policy.yaml"]);
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
    let baseline = "slint/baselines/main.json";

    let (grade, verdict, said) = place.verdict(&["--runs", "same", "--baseline", baseline]);
    assert_eq!(grade, "PASS", "{said}");
    assert_eq!(verdict["input_refs"]["more_runs"].as_array().unwrap().len(), 7);
    let (again, repeated, _) = place.verdict(&["--runs", "same", "--baseline", baseline]);
    assert_eq!((again, &repeated["checks"]), (grade, &verdict["checks"]), "the same files give the same figures");

    let (grade, verdict, said) = place.verdict(&["--runs", "slower", "--baseline", baseline]);
    assert_eq!((grade.as_str(), &verdict["reasons"]), ("FAIL", &json!(["REGRESSION_DETECTED"])));
    let check =
        verdict["checks"].as_array().unwrap().iter().find(|check| check["name"] == "regression:latency").unwrap();
    let figures = &check["comparison"];
    assert_eq!((&figures["runs"], &figures["baseline_runs"]), (&json!(8), &json!(8)));
    assert!((figures["change"].as_f64().unwrap() - 10.0).abs() < 1.0, "{figures}");
    assert!(figures["interval"][0].as_f64().unwrap() > 3.0, "{figures}");
    assert!(said.contains("latency: +") && said.contains("over 8 and 8 runs"), "{said}");

    let (grade, verdict, said) = place.verdict(&["--summary", "slower/sli-summary.0.all.json", "--baseline", baseline]);
    assert_eq!((grade.as_str(), &verdict["reasons"]), ("NO_GRADE", &json!(["RUNS_INSUFFICIENT"])), "{said}");
    assert!(Regex::new(r"\d+ runs on each side would show a change by 10 %").unwrap().is_match(&said), "{said}");
}

#[test]
fn an_approved_baseline_says_who_when_and_what_and_a_bad_run_is_not_approved() {
    let place = Place::new();
    place.write("policy.yaml", AWARE);
    place.write("good.json", &summary("a", 0.2, 0.0));
    place.write("bad.json", &summary("b", 0.2, 3.0));
    let approve =
        |file: &str| place.slipway(&["baseline", "approve", "main", "--summary", file, "--policy", "policy.yaml"]);
    assert_eq!(approve("bad.json").status.code(), Some(1));
    assert!(!place.path("slint/baselines/main.json").exists());
    assert_eq!(approve("gone.json").status.code(), Some(2));
    assert_eq!(approve("good.json").status.code(), Some(0));
    let baseline = place.json("slint/baselines/main.json");
    let approved = &baseline["slipway"]["approved"];
    assert_eq!((&approved["by"], &approved["commit"]), (&json!("ann"), &json!("0123abc")));
    assert_eq!((&approved["verdict"], &baseline["slipway"]["runs"]), (&json!("PASS"), &json!(["a"])));
    assert!(approved["at"].as_str().unwrap().ends_with('Z'));
    assert!(baseline["config"].get("evidencePaths").is_none());

    let diff = place.slipway(&["baseline", "diff", "--baseline", "slint/baselines/main.json", "--summary", "bad.json"]);
    let diff = String::from_utf8(diff.stdout).unwrap();
    assert!(Regex::new(r"(?m)^errors +0 +3 +\+3$").unwrap().is_match(&diff), "{diff}");
    let merged = place.slipway(&["baseline", "merge", "good.json", "bad.json", "-o", "both.json"]);
    assert!(merged.status.success());
    assert_eq!(place.json("both.json")["results"][1]["samples"], json!([0, 3]));
    assert_eq!(place.slipway(&["baseline", "merge", "good.json", "both.json", "-o", "x.json"]).status.code(), Some(2));
}

#[test]
fn what_cannot_be_trusted_never_passes() {
    let place = Place::new();
    let good = summary("a", 0.2, 0.0);
    let twice = good.replace(r#""id":"errors""#, r#""id":"latency""#);
    let policy = "schema_version: slipway.policy.v1\nthresholds: [{metric: latency, operator: '<=', value: 1}]\n";
    let cases = [
        ("truncated", good[..good.len() / 2].to_owned()),
        ("foreign", r#"{"hello":"world"}"#.to_owned()),
        ("not a number", good.replace("0.2", "NaN")),
        ("duplicate ids", twice),
        ("unknown schema", good.replace("slo.v3", "slo.v9")),
        ("empty", String::new()),
        ("a list", "[]".to_owned()),
        ("no results", good.replace("latency", "other")),
    ];
    place.write("policy.yaml", policy);
    for (title, text) in cases {
        place.write("summary.json", &text);
        let (grade, _, said) = place.verdict(&["--summary", "summary.json"]);
        assert_eq!(grade, "NO_GRADE", "{title}: {said}");
        place.write("good.json", &good);
        let (grade, _, said) = place.verdict(&["--runs", "good.json", "--runs", "summary.json"]);
        assert!(grade == "NO_GRADE" || title == "no results", "{title} among others: {said}");
    }
    let flags = ["--summary", "good.json", "--exit-on", "FAIL_OR_NOGRADE"];
    for (title, policy, told) in [
        (
            "a typo",
            policy.replace("operator", "operater"),
            "line 2, column 32: there is no \"operater\" in thresholds[]; did you mean \"operator\"?",
        ),
        ("no rule", "schema_version: slipway.policy.v1\nrefuse_empty: true\n".to_owned(), "there is no rule in it"),
        ("another schema", policy.replace("v1", "v7"), "unsupported schema_version \"slipway.policy.v7\""),
        ("half a file", policy[..60].to_owned(), "line 2"),
        ("too old", format!("{policy}freshness: {{max_age: 1h}}\n"), "the measurement is not of now"),
        ("no baseline", format!("{policy}baseline: {{required: true}}\n"), "the policy asks for a baseline"),
    ] {
        place.write("policy.yaml", &policy);
        let (grade, _, said) = place.verdict(&flags);
        assert_eq!(grade, "NO_GRADE", "{title}: {said}");
        assert!(said.contains(told), "{title}: {said}");
    }
}

#[test]
fn a_run_is_neither_counted_twice_nor_compared_with_itself_nor_taken_for_another() {
    let place = Place::new();
    let policy = "schema_version: slipway.policy.v1\nthresholds: [{metric: latency, operator: '<=', value: 1}]\n\
                  freshness: {run_id: true}\nbaseline: {metrics: [latency, gone]}\n";
    place.write("policy.yaml", policy);
    place.write("a.json", &summary("a", 0.2, 0.0));
    place.write("again.json", &summary("a", 0.2, 1.0));
    place.write("b.json", &summary("b", 0.2, 0.0));
    let said = |flags: &[&str]| {
        let (grade, _, said) = place.verdict(flags);
        format!("{grade}: {said}")
    };
    assert!(said(&["--summary", "a.json"]).starts_with("PASS"));
    assert!(said(&["--summary", "a.json", "--run-id", "a"]).starts_with("PASS"));
    assert!(said(&["--summary", "a.json", "--run-id", "b"]).contains("it is of run a, and should be of b"));
    assert!(said(&["--summary", "a.json", "--runs", "again.json"]).contains("run a is counted twice"));
    assert!(said(&["--summary", "a.json", "--baseline", "again.json"]).contains("run a would be compared with itself"));
    assert!(said(&["--summary", "a.json", "--baseline", "b.json"]).contains("gone is not in the baseline"));
}

#[test]
fn a_rule_weighs_as_much_as_its_severity() {
    let place = Place::new();
    place.write("summary.json", &summary("a", 2.0, 0.0));
    for (severity, grade, status) in [("fail", "FAIL", "fail"), ("warn", "WARN", "warn"), ("info", "PASS", "info")] {
        let rule = format!("{{metric: latency, operator: '<=', value: 1, severity: {severity}}}");
        place.write("policy.yaml", &format!("schema_version: slipway.policy.v1\nthresholds: [{rule}]\n"));
        let (found, verdict, said) = place.verdict(&["--summary", "summary.json"]);
        assert_eq!((found.as_str(), &verdict["checks"][0]["status"]), (grade, &json!(status)), "{said}");
        assert_eq!(verdict["checks"][0]["severity"], severity);
    }
}

#[test]
fn reports_name_what_is_wrong_at_the_rule_that_says_so() {
    let place = Place::new();
    place.write("policy.yaml", AWARE);
    place.write("summary.json", &summary("a", 2.0, 0.0));
    let (_, _, said) =
        place.verdict(&["--summary", "summary.json", "--sarif", "findings.sarif", "--markdown", "page.md"]);
    let log = place.json("findings.sarif");
    assert_eq!(log["version"], "2.1.0", "{said}");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    }
    let miss = results.iter().find(|result| result["ruleId"] == "gate/threshold").unwrap();
    let place_of = &miss["locations"][0]["physicalLocation"];
    assert_eq!(
        (&place_of["artifactLocation"]["uri"], &place_of["region"]["startLine"]),
        (&json!("policy.yaml"), &json!(4))
    );
    let page = fs::read_to_string(place.path("page.md")).unwrap();
    assert!(
        page.starts_with("# ❌ FAIL: ")
            && page.contains("quick: latency is 2 s, and should be <= 1 s".replace('<', "&lt;").as_str()),
        "{page}"
    );
}

#[test]
fn policies_to_begin_with_are_ready_to_use() {
    let place = Place::new();
    for flags in [&[][..], &["--extended"]] {
        let args = [&["policy", "init", "--output", "policy.yaml", "--force"], flags].concat();
        assert!(place.slipway(&args).status.success());
        place.write("summary.json", &summary("a", 0.2, 0.0));
        let (_, verdict, said) = place.verdict(&["--summary", "summary.json"]);
        assert_eq!(verdict["policy_status"], "ok", "{said}");
    }
    assert_eq!(place.slipway(&["policy", "init", "--output", "policy.yaml"]).status.code(), Some(2), "work is kept");
    place.runs("runs", 5, 0.2);
    for flags in [&[][..], &["--extended"]] {
        let proposed = place.slipway(&[&["policy", "recommend", "runs"], flags].concat());
        place.write("policy.yaml", &String::from_utf8(proposed.stdout).unwrap());
        let (grade, _, said) = place.verdict(&["--summary", "runs/sli-summary.3.all.json"]);
        assert_ne!(grade, "FAIL", "{said}");
        assert!(!said.contains("✗ the policy policy.yaml cannot"), "{said}");
    }
}

fn action() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/actions/slipway-gate")
}

#[test]
fn the_action_decides_after_everything_is_kept() {
    let place = Place::new();
    place.write("policy.yaml", AWARE);
    place.write("good.json", &summary("a", 0.2, 0.0));
    place.runs("slow", 2, 2.0);
    for (summary, runs, exit_on, code, grade) in [
        ("good.json", "", "FAIL_OR_NOGRADE", "0", "WARN"),
        ("", "slow\n", "FAIL_OR_NOGRADE", "1", "FAIL"),
        ("", "slow\n", "NEVER", "0", "FAIL"),
        ("gone.json", "", "FAIL", "0", "NO_GRADE"),
        ("good.json", "", "SOMETIMES", "2", ""),
    ] {
        let _ = fs::remove_file(place.path("outputs"));
        let status = Command::new("bash")
            .arg(action().join("judge"))
            .current_dir(&place.0)
            .env("SLIPWAY", env!("CARGO_BIN_EXE_slipway"))
            .env("GITHUB_OUTPUT", place.path("outputs"))
            .env("GITHUB_STEP_SUMMARY", place.path("page.md"))
            .envs([("INPUT_SUMMARY", summary), ("INPUT_RUNS", runs), ("INPUT_EXIT_ON", exit_on)])
            .envs([("INPUT_POLICY", "policy.yaml"), ("INPUT_OUTPUT", "out.json"), ("INPUT_STEP_SUMMARY", "true")])
            .envs(
                ["BASELINE", "BASELINE_RUNS", "RUN_ID", "SARIF", "MARKDOWN"].map(|name| (format!("INPUT_{name}"), "")),
            )
            .output()
            .unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
        let outputs = fs::read_to_string(place.path("outputs")).unwrap();
        assert!(outputs.contains(&format!("exit-code={code}\ngate-result={grade}\n")), "{summary}{runs}: {outputs}");
    }
}

#[test]
fn the_action_takes_a_program_as_it_is_and_refuses_a_version_that_is_none() {
    let place = Place::new();
    let install = |path: &str, version: &str| {
        Command::new("bash")
            .arg(action().join("install"))
            .env("RUNNER_TEMP", place.0.path())
            .env("GITHUB_OUTPUT", place.path("outputs"))
            .envs([("SLIPWAY_PATH", path), ("SLIPWAY_VERSION", version), ("ACTION_REPOSITORY", "x/y")])
            .output()
            .unwrap()
    };
    assert!(install(env!("CARGO_BIN_EXE_slipway"), "").status.success());
    assert!(fs::read_to_string(place.path("outputs")).unwrap().starts_with("program=/"));
    assert_eq!(install("", "../../evil").status.code(), Some(2));
}

#[test]
fn the_action_fetches_a_release_and_takes_nothing_else_for_it() {
    let place = Place::new();
    let published = r#"
        name=slipway-0.1.0-$(uname -m)-unknown-linux-gnu
        mkdir -p "$name" o/slipway/releases/download/v0.1.0
        printf '#!/bin/sh\necho slipway 0.1.0\n' > "$name/slipway" && chmod +x "$name/slipway"
        tar --create --gzip --file "o/slipway/releases/download/v0.1.0/$name.tar.gz" "$name"
        cd o/slipway/releases/download/v0.1.0 && sha256sum "$name.tar.gz" > SHA256SUMS"#;
    let shell = |script: &str| Command::new("bash").args(["-euc", script]).current_dir(&place.0).output().unwrap();
    assert!(shell(published).status.success());
    let install = |version: &str| {
        let output = Command::new("bash")
            .arg(action().join("install"))
            .env("RUNNER_TEMP", place.path("temp"))
            .env("GITHUB_OUTPUT", place.path("outputs"))
            .env("GITHUB_SERVER_URL", format!("file://{}", place.0.path().display()))
            .envs([("SLIPWAY_PATH", ""), ("SLIPWAY_VERSION", version), ("ACTION_REPOSITORY", "o/slipway")])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(install("v0.1.0"), (Some(0), String::new()));
    assert!(fs::read_to_string(place.path("outputs")).unwrap().trim_end().ends_with("/slipway"));
    let (code, said) = install("0.2.0");
    assert!(code == Some(3) && said.contains("release 0.2.0 cannot be fetched"), "{said}");
    assert!(shell("echo more >> o/slipway/releases/download/v0.1.0/*.tar.gz").status.success());
    let (code, said) = install("0.1.0");
    assert!(code == Some(1) && said.contains("is not what was published"), "{said}");
}

#[test]
fn the_action_is_pinned_and_takes_no_input_for_a_command() {
    let text = fs::read_to_string(action().join("action.yml")).unwrap();
    let action: Value = serde_yaml::from_str(&text).unwrap();
    let inputs = action["inputs"].as_object().unwrap();
    for used in Regex::new(r"inputs\.([a-z-]+)").unwrap().captures_iter(&text) {
        assert!(inputs.contains_key(&used[1]), "there is no input {}", &used[1]);
    }
    for input in inputs.keys() {
        assert!(
            text.contains(&format!("inputs.{input} ")) || text.contains(&format!("inputs.{input} }}}}")),
            "{input} is not used"
        );
    }
    let pinned = Regex::new(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$").unwrap();
    for step in action["runs"]["steps"].as_array().unwrap() {
        if let Some(uses) = step["uses"].as_str() {
            assert!(pinned.is_match(uses), "{uses} is not pinned by a full commit");
        }
        if let Some(run) = step["run"].as_str() {
            assert!(!run.contains("${{"), "an input would become a command: {run}");
            assert_eq!(step["shell"], "bash");
        }
    }
}
