//! What slint-gate 1.7.1 answers, recorded from the real tool: whoever replaces it with `slipway gate` gets the same
//! verdict, the same file and the same exit code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gate");
    let mut cases: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 55, "the recordings are gone");
    cases
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The verdict of a directory, without the time it was given.
fn verdict(directory: &Path) -> Option<Value> {
    let names = ["slint-gate-summary.json", "out.json"];
    let text = names.iter().find_map(|name| fs::read_to_string(directory.join(name)).ok())?;
    let mut verdict: Value = serde_json::from_str(&text).unwrap();
    verdict.as_object_mut().unwrap().remove("evaluated_at").unwrap();
    Some(verdict)
}

#[test]
fn every_recorded_case_has_the_same_verdict_and_exit_code() {
    for case in cases() {
        let scratch = tempfile::tempdir().unwrap();
        let here = scratch.path().join("case");
        copy(&case, &here);
        for answer in ["out.json", "slint-gate-summary.json", "step_summary.md"] {
            let _ = fs::remove_file(here.join(answer));
        }
        let title = fs::read_to_string(case.join("title.txt")).unwrap();
        let flags: Vec<String> = serde_json::from_slice(&fs::read(case.join("argv.json")).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.arg("gate").args(&flags).current_dir(&here).env_remove("GITHUB_STEP_SUMMARY");
        let page = fs::read_to_string(case.join("step_summary.md")).ok();
        if page.is_some() {
            command.env("GITHUB_STEP_SUMMARY", "step_summary.md");
        }
        let output = command.output().unwrap();
        let exit: i32 = fs::read_to_string(case.join("exit.txt")).unwrap().trim().parse().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{title}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(verdict(&here), verdict(&case), "{title}");
        assert_eq!(fs::read_to_string(here.join("step_summary.md")).ok(), page, "{title}");
    }
}

#[test]
fn a_verdict_says_what_failed_by_how_much_and_what_to_do() {
    let case = cases().into_iter().find(|case| case.ends_with("02")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    copy(&case, scratch.path());
    let run = |more: &[&str]| {
        let command = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(["gate", "--summary", "summary.json", "--policy", "policy.yaml", "--output", "out.json"])
            .args(more)
            .current_dir(scratch.path())
            .output()
            .unwrap();
        String::from_utf8(command.stdout).unwrap()
    };
    insta::assert_snapshot!(run(&[]));
    insta::assert_snapshot!(run(&["--baseline", "gone.json", "--policy", "gone.yaml"]));
    fs::write(scratch.path().join("policy.yaml"), "schema_version: slint.policy.v1\nthresholds:\n  - value: '5'\n")
        .unwrap();
    insta::assert_snapshot!(run(&[]));
}
