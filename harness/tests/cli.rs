//! The command as its users meet it: what it says about bad input, how it ends, what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command, run where the tests' files are.
fn slipway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .env_remove("SLIPWAY_JOBS")
        .env_remove("SLIPWAY_SEED")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    slipway(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory with one scenario file.
fn scenarios(content: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("s.yaml"), content).unwrap();
    let path = directory.path().to_string_lossy().into_owned();
    (directory, path)
}

fn scenario(name: &str, rest: &str) -> String {
    format!("apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\n{rest}")
}

#[test]
fn bad_input_is_shown_with_its_place_and_the_nearest_right_word() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 10);
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let path = format!("tests/bad/{name}.yaml");
        for command in ["lint", "run"] {
            let output = run(&[command, &path]);
            assert_eq!(output.status.code(), Some(2), "{command} {path}: {}", text(&output.stderr));
            assert!(output.stdout.is_empty(), "{command} {path} ran something");
            insta::assert_snapshot!(name.as_str(), text(&output.stderr));
        }
    }
}

#[test]
fn whoever_forgets_to_name_the_cluster_is_not_given_the_embedded_one_in_its_place() {
    for (typed, named) in [
        (&["--context", "kind-dev"][..], "--context goes with --cluster kubeconfig"),
        (&["--cluster", "local", "--k3s-mode", "full"], "--k3s-mode goes with --cluster k3s"),
        (&["--cluster", "local", "--time", "virtual"], "--time virtual goes with --cluster embedded"),
    ] {
        let output = run(&[&["run", "../scenarios/hello"], typed].concat());
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
        assert!(text(&output.stderr).contains(named), "{}", text(&output.stderr));
    }
    // What the environment says is said to every run.
    let listed = slipway(&["run", "../scenarios/hello", "--list"]).env("SLIPWAY_K3S_IMAGE", "a/b:1").output().unwrap();
    assert_eq!(listed.status.code(), Some(0), "{}", text(&listed.stderr));
}

#[test]
fn a_path_that_is_not_there_is_bad_input() {
    let output = run(&["lint", "tests/nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot read tests/nowhere: there is no such file"));
    let output = run(&["run"]);
    assert_eq!(output.status.code(), Some(2));
    let (_directory, path) = scenarios(&scenario("one", "steps: [{advance: 1s}]\n"));
    for bad in [["--report", "html=x"], ["--filter", "/(/"], ["--jobs", "0"]] {
        assert_eq!(run(&["run", &path, bad[0], bad[1]]).status.code(), Some(2), "{bad:?}");
    }
    let output = run(&["run", &path, "--filter", "nothing-like-it"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("none of 1 scenarios"));
}

#[test]
fn lint_has_nothing_to_say_about_the_scenarios_we_ship() {
    let output = run(&["lint", "../scenarios"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn list_names_what_would_run_in_order_and_runs_nothing() {
    let (_directory, path) = scenarios(&format!(
        "{}---\n{}",
        scenario("second", "steps: [{advance: 1s}]\n"),
        scenario("first", "steps: [{advance: 1s}]\n")
    ));
    let output = run(&["run", &path, "--list"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "s/first\ns/second\n"));
    let output = run(&["run", &path, "--list", "--filter", "/^s.sec/"]);
    assert_eq!(text(&output.stdout), "s/second\n");
}

#[test]
fn an_hour_of_virtual_time_passes_at_once_and_both_reports_say_so() {
    let (directory, path) = scenarios(&scenario(
        "an-hour",
        "timeout: 2h\nsteps:\n  - name: an hour\n    advance: 1h\n  - create:\n      manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}\n  - expect: {resource: cm, name: a, object: {data: {k: v}}, bind: {uid: self.metadata.uid}}\n  - expect: {resource: configmaps, that: self.metadata.uid == uid}\n",
    ));
    let (json, junit) = (directory.path().join("out/r.json"), directory.path().join("out/r.xml"));
    let output = run(&[
        "run",
        &path,
        "--verbose",
        "--seed",
        "7",
        "--report",
        &format!("json={}", json.display()),
        "--report",
        &format!("junit={}", junit.display()),
    ]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("✓ s/an-hour (1h in"), "{stdout}");
    assert!(stdout.contains("+1h ✓ create ConfigMap/a"), "{stdout}");
    assert!(stdout.contains("1 passed in") && stdout.contains("seed 7"), "{stdout}");
    let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["version"], "slipway.dev/report/v1");
    assert_eq!(report["scenarios"][0]["outcome"], "passed");
    assert_eq!(report["scenarios"][0]["steps"][0]["tookMs"], 3_600_000);
    assert!(fs::read_to_string(junit).unwrap().contains("<testcase name=\"an-hour\" classname=\"s\""));
}

#[test]
fn a_failure_shows_its_step_the_difference_and_the_object() {
    let (_directory, path) = scenarios(&scenario(
        "fails",
        "steps:\n  - create:\n      manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v, other: w}}\n  - name: k becomes x\n    expect:\n      resource: cm\n      name: a\n      object: {data: {k: x}}\n      that: self.data.later == 'y'\n      within: 90s\n",
    ));
    let output = run(&["run", &path]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
    for part in [
        "✗ s/fails (1m30s in",
        "cm/a was not as expected within 1m30s",
        "s.yaml:8:5]",
        "`k becomes x`",
        "default/a: expected (-) against actual (+)",
        "-   k: x",
        "+   k: v",
        "self.data.later == 'y' (there is no field `later`)",
        "other: w",
        "1 failed",
    ] {
        assert!(stdout.contains(part), "{part:?} is not in\n{stdout}");
    }
}

#[test]
fn what_is_printed_does_not_depend_on_which_scenario_ends_first() {
    let documents: Vec<String> = (0..12)
        .map(|number| {
            let steps = "  - create: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {generateName: x-}}}\n";
            scenario(&format!("n{number:02}"), &format!("steps:\n{}", steps.repeat((12 - number) * 3)))
        })
        .collect();
    let (_directory, path) = scenarios(&documents.join("---\n"));
    let titles = |jobs: &str| {
        let output = run(&["run", &path, "--jobs", jobs]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        let stdout = text(&output.stdout);
        let titles: Vec<String> = stdout
            .lines()
            .filter_map(|line| line.strip_prefix("✓ "))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect();
        titles
    };
    let one_by_one = titles("1");
    assert_eq!(one_by_one.len(), 12);
    assert_eq!(one_by_one, titles("4"));
}

#[test]
fn after_a_failure_fail_fast_starts_nothing_more() {
    let failing = scenario("a-fails", "steps: [{expect: {resource: pods, within: 1s}}]\n");
    let (_directory, path) = scenarios(&format!("{failing}---\n{}", scenario("b-waits", "steps: [{advance: 1s}]\n")));
    let output = run(&["run", &path, "--fail-fast", "--jobs", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("- s/b-waits (not run)"), "{}", text(&output.stdout));
}

#[test]
fn an_interrupt_ends_the_run_cleanly_and_the_reports_are_written() {
    let quick = scenario("a-quick", "steps: [{advance: 1s}]\n");
    let slow = scenario("b-slow", "time: real\nsteps: [{advance: 10m}]\n");
    let (directory, path) =
        scenarios(&format!("{quick}---\n{slow}---\n{}", scenario("c-later", "steps: [{advance: 1s}]\n")));
    let report = directory.path().join("r.json");
    let mut child = slipway(&["run", &path, "--jobs", "1", "--report", &format!("json={}", report.display())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.starts_with("✓ s/a-quick"), "{first}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("- s/b-slow") && rest.contains("- s/c-later (not run)"), "{rest}");
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let outcomes: Vec<_> = report["scenarios"].as_array().unwrap().iter().map(|s| s["outcome"].clone()).collect();
    assert_eq!(
        (report["interrupted"].clone(), outcomes),
        (true.into(), vec!["passed".into(), "interrupted".into(), "not run".into()])
    );
}

#[test]
fn a_script_that_fails_shows_what_it_wrote_and_sees_no_more_than_it_is_told() {
    let steps = "time: real\nsteps:\n  - script: {run: 'echo one; echo two >&2; env; exit 3', env: {OWN: mine}}\n";
    let (_directory, path) = scenarios(&scenario("fails", steps));
    let output = slipway(&["run", &path]).env("SECRET_OF_THE_CALLER", "x").output().unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    for part in ["the script ended with exit code 3, not with exit code 0", "one", "two", "KUBECONFIG=/", "OWN=mine"] {
        assert!(stdout.contains(part), "{part:?} is not in\n{stdout}");
    }
    assert!(stdout.contains("NAMESPACE=default") && stdout.contains("PATH=/"), "{stdout}");
    assert!(!stdout.contains("SECRET_OF_THE_CALLER"), "{stdout}");
}

#[test]
fn a_script_that_hangs_ends_with_everything_it_has_started_and_shows_how_far_it_came() {
    let steps = "time: real\nsteps:\n  - script: {run: 'sleep 3600 & echo child=$!; wait', timeout: 1s}\n";
    let (_directory, path) = scenarios(&scenario("hangs", steps));
    let output = run(&["run", &path]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("the script took longer than 1s"), "{stdout}");
    let child = stdout.lines().find_map(|line| line.split_once("child=")?.1.trim().parse::<u32>().ok());
    assert!(child.is_some(), "what it wrote is not in\n{stdout}");
    let child = child.unwrap();
    // Killed is not yet gone; a zombie waits for its parent only.
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    };
    let gone = (0..200).any(|_| !runs() || Command::new("sleep").arg("0.05").status().is_err());
    assert!(gone, "process {child} has outlived its scenario");
}

#[test]
fn a_script_that_writes_without_measure_ends_and_only_its_beginning_is_kept() {
    let writes = "head -c 1000000 /dev/zero | tr '\\\\0' x; exit 3";
    let steps = format!("time: real\nsteps:\n  - script: {{run: \"{writes}\"}}\n");
    let (_directory, path) = scenarios(&scenario("writes", &steps));
    let output = run(&["run", &path]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(stdout.contains("… and 934464 more bytes"), "{}", &stdout[stdout.len().saturating_sub(2000)..]);
    assert!(stdout.len() < 100_000);
}

#[test]
fn a_script_is_not_run_in_virtual_time_by_force() {
    let (_directory, path) = scenarios(&scenario("asks", "time: real\nsteps: [{script: {run: exit 0}}]\n"));
    let output = run(&["run", &path, "--time", "virtual"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("s/asks runs a script"), "{}", text(&output.stderr));
}

#[test]
fn a_report_that_cannot_be_written_is_the_environments_fault() {
    let (_directory, path) = scenarios(&scenario("one", "steps: [{advance: 1s}]\n"));
    let output = run(&["run", &path, "--report", "json=/proc/nowhere/r.json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot write the report /proc/nowhere/r.json"));
}

#[test]
fn the_committed_schema_is_the_one_the_command_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/scenario.schema.json");
    let printed = text(&run(&["schema", "scenario"]).stdout);
    assert!(serde_json::from_str::<Value>(&printed).is_ok());
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(committed == printed, "it is stale: slipway schema scenario > docs/reference/scenario.schema.json");
}

#[test]
fn a_scale_run_leaves_no_directory_of_its_nodes_and_pods() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = slipway(&["bench", "drain", "--size", "5", "--nodes", "2"]);
    command.current_dir(&temporary).env("TMPDIR", temporary.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["artifacts"], "machines with many Pods fill up");
}
