//! The scripts that workflows call, run where they can do no harm.

use std::path::Path;
use std::process::{Command, Output};

use super::{files, root, steps};

fn run(program: &str, arguments: &[&str], directory: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).envs(environment.iter().copied());
    for variable in ["GITHUB_OUTPUT", "GITHUB_REF_TYPE", "GITHUB_REF_NAME", "GIT_DIR", "GIT_WORK_TREE"] {
        if !environment.iter().any(|(name, _)| *name == variable) {
            command.env_remove(variable);
        }
    }
    command.output().unwrap()
}

fn good(program: &str, arguments: &[&str], directory: &Path) -> String {
    let done = run(program, arguments, directory, &[]);
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn script(name: &str) -> String {
    root().join(".github/scripts").join(name).to_string_lossy().into_owned()
}

#[test]
fn every_script_can_be_read_and_is_used() {
    let ours =
        files(".github/scripts", "").into_iter().chain(files(".ci", "")).chain(files("operator/deploy/tilt", ""));
    let workflows: String = steps().into_iter().filter_map(|(_, step)| step.run).collect();
    for (path, text) in ours {
        let shell = if text.starts_with("#!/bin/sh\n") { "sh" } else { "bash" };
        assert!(text.starts_with("#!/bin/sh\n") || text.starts_with("#!/usr/bin/env bash\n"), "{path} is no script");
        good(shell, &["-n", &path], &root());
        assert!(!path.starts_with(".github") || workflows.contains(&path), "nobody runs {path}");
    }
}

#[test]
fn a_release_has_the_version_of_its_tag_and_nothing_else() {
    let version = env!("CARGO_PKG_VERSION");
    let said = |environment: &[(&str, &str)]| run("bash", &[&script("release-version")], &root(), environment);
    let rehearsal = said(&[("GITHUB_REF_TYPE", "branch"), ("GITHUB_REF_NAME", "main")]);
    assert!(rehearsal.status.success());
    assert_eq!(String::from_utf8_lossy(&rehearsal.stdout), format!("version={version}\n"));
    let wrong = said(&[("GITHUB_REF_TYPE", "tag"), ("GITHUB_REF_NAME", "v99.0.0")]);
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("v99.0.0"));
}

#[test]
fn nights_are_kept_side_by_side_on_a_branch_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let (origin, clone) = (directory.path().join("origin"), directory.path().join("clone"));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    good("git", &["init", "--quiet", "--bare", "--initial-branch=main", &text(&origin)], directory.path());
    good("git", &["clone", "--quiet", &text(&origin), &text(&clone)], directory.path());
    std::fs::write(clone.join("code"), "code").unwrap();
    good("git", &["add", "code"], &clone);
    let me = ["-c", "user.name=me", "-c", "user.email=me@example.com"];
    good("git", &[&me[..], &["commit", "--quiet", "--message=one"]].concat(), &clone);
    good("git", &["push", "--quiet", "origin", "HEAD:main"], &clone);

    std::fs::create_dir(clone.join("night")).unwrap();
    let keep = script("keep-series");
    let empty = run("bash", &[&keep, "night", "series", "0123456789abcdef"], &clone, &[]);
    assert!(!empty.status.success(), "a night without a measurement is no night");
    for (commit, value) in [("1111111111111111", "1"), ("2222222222222222", "2")] {
        std::fs::write(clone.join("night/drain.json"), value).unwrap();
        good("bash", &[&keep, "night", "series", commit], &clone);
        // Somebody else's machine has another clone.
        good("git", &["fetch", "--quiet"], &clone);
    }
    let kept = good("git", &["ls-tree", "-r", "--name-only", "series"], &origin);
    let names: Vec<_> = kept.lines().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for (name, commit) in names.iter().zip(["111111111111", "222222222222"]) {
        assert!(name.starts_with("drain/20") && name.ends_with(&format!("-{commit}.json")), "{name}");
    }
    let again = good("bash", &[&keep, "night", "series", "2222222222222222"], &clone);
    assert_eq!(again, "nothing new\n");
    assert_eq!(good("git", &["ls-tree", "-r", "--name-only", "main"], &origin), "code\n");
}
