//! What the repository says besides code: workflows, composite actions, scripts and docs, held against what they talk
//! about. Nobody runs a release to find out that a flag was renamed, or installs an operator to find out that a page is
//! stale.
//!
//! Workflows have GitHub's shape and no field that it does not know; actions are pinned by commit; every script, program,
//! subcommand and flag exists, also those that the docs show.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod commands;
mod docs;
mod scripts;
mod shape;
mod shell;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use shape::{Action, Step, Workflow};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The files below a directory whose names end so, with their texts, by their paths from the root.
fn files(directory: &str, ending: &str) -> Vec<(String, String)> {
    fn collect(directory: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, ending, found);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join(directory), ending, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(read).collect()
}

fn workflows() -> Vec<(String, String, Workflow)> {
    let read = |(path, text): (String, String)| {
        let workflow = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, text, workflow)
    };
    files(".github/workflows", ".yml").into_iter().map(read).collect()
}

fn actions() -> Vec<(String, String, Action)> {
    let read = |(path, text): (String, String)| {
        let action = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, text, action)
    };
    files(".github/actions", "action.yml").into_iter().map(read).collect()
}

/// Every step there is, by where it is.
fn steps() -> Vec<(String, Step)> {
    let mut all = Vec::new();
    for (path, _, workflow) in workflows() {
        for (name, job) in workflow.jobs {
            all.extend(job.steps.into_iter().enumerate().map(|(at, step)| (format!("{path}: {name}[{at}]"), step)));
        }
    }
    for (path, _, action) in actions() {
        all.extend(action.runs.steps.into_iter().enumerate().map(|(at, step)| (format!("{path}[{at}]"), step)));
    }
    all
}

#[test]
fn workflows_have_the_shape_that_github_reads() {
    let workflows = workflows();
    let names: BTreeSet<_> = workflows.iter().map(|(path, ..)| path.rsplit('/').next().unwrap().to_owned()).collect();
    for expected in ["ci.yml", "nightly.yml", "release.yml"] {
        assert!(names.contains(expected), "there is no {expected}");
    }
    for (path, _, workflow) in &workflows {
        let problems = workflow.problems();
        assert!(problems.is_empty(), "{path}: {problems:#?}");
    }
}

#[test]
fn composite_actions_have_the_shape_that_github_reads() {
    for (path, _, action) in actions() {
        let problems = action.problems();
        assert!(problems.is_empty(), "{path}: {problems:#?}");
    }
}

#[test]
fn a_workflow_with_a_slip_is_found_out() {
    let good = "name: n\non: {push: {branches: [main]}}\npermissions: {contents: read}\njobs:\n  one:\n    \
                runs-on: ubuntu-24.04\n    timeout-minutes: 5\n    steps:\n      - {id: a, run: echo}\n      \
                - run: echo ${{ steps.a.outputs.x }}\n";
    let problems = |text: &str| match serde_yaml::from_str::<Workflow>(text) {
        Ok(workflow) => workflow.problems().join("\n"),
        Err(error) => error.to_string(),
    };
    assert_eq!(problems(good), "");
    for (from, to, said) in [
        ("runs-on", "run-on", "run-on"),
        ("push:", "pushed:", "pushed"),
        ("branches", "branch", "branch"),
        ("permissions: {contents: read}\n", "", "permissions"),
        ("contents: read", "contents: all", "all"),
        ("    timeout-minutes: 5\n", "", "timeout-minutes"),
        ("steps.a.", "steps.b.", "steps.b"),
        ("run: echo}", "run: echo, uses: a/b}", "uses"),
        ("    runs-on", "    needs: two\n    runs-on", "two"),
        ("{push: {branches: [main]}}", "{schedule: [{cron: 61 2 * * *}]}", "61"),
        ("echo ${{ steps.a.outputs.x }}", "echo ${{ github.event.issue.title }}", "github.event"),
        ("echo ${{ steps.a.outputs.x }}", "echo ${{ hashFile('x') }}", "hashFile"),
    ] {
        assert!(good.contains(from), "{from}");
        let told = problems(&good.replacen(from, to, 1));
        assert!(told.contains(said), "{to}: {told:?}");
    }
}

#[test]
fn actions_of_others_are_pinned_by_commit_and_say_which_version_that_is() {
    let used = Regex::new(r"(?m)^\s*(?:- )?uses:\s*(\S+)(.*)$").unwrap();
    let pinned = Regex::new(r"^[\w-]+/[\w.-]+(?:/[\w./-]+)?@[0-9a-f]{40}$").unwrap();
    let version = Regex::new(r"^ # v\d+\.\d+\.\d+$").unwrap();
    let texts = workflows().into_iter().map(|(path, text, _)| (path, text));
    for (path, text) in texts.chain(actions().into_iter().map(|(path, text, _)| (path, text))) {
        for found in used.captures_iter(&text) {
            let action = &found[1];
            if let Some(ours) = action.strip_prefix("./") {
                assert!(root().join(ours).join("action.yml").exists(), "{path}: there is no {action}");
                continue;
            }
            assert!(pinned.is_match(action), "{path}: {action} is not pinned by a commit");
            assert!(version.is_match(&found[2]), "{path}: {action} does not say its version, but {:?}", &found[2]);
        }
    }
    // The same action in two versions is one that was forgotten.
    let mut all: Vec<String> = steps().into_iter().filter_map(|(_, step)| step.uses).collect();
    all.sort();
    all.dedup();
    let names: BTreeSet<_> = all.iter().map(|action| action.split('@').next().unwrap()).collect();
    assert_eq!(names.len(), all.len(), "{all:?}");
}

#[test]
fn every_command_of_a_workflow_exists() {
    let mut read = 0;
    for (place, step) in steps() {
        let Some(script) = &step.run else { continue };
        let words = shell::commands(script);
        assert!(!words.is_empty(), "{place} runs nothing");
        for command in words {
            commands::check(&command).unwrap_or_else(|error| panic!("{place}: {}: {error}", command.join(" ")));
            read += 1;
        }
    }
    assert!(read > 10);
}

#[test]
fn every_command_that_the_docs_show_exists() {
    let mut shown = 0;
    let block = Regex::new(r"(?s)```(console|sh)\n(.*?)```").unwrap();
    let documents = files("docs", ".md").into_iter().chain(files(".", "README.md"));
    for (path, text) in documents.filter(|(path, _)| !path.starts_with("target")) {
        for found in block.captures_iter(&text) {
            let prompted = |line: &str| line.strip_prefix("$ ").map(str::to_owned);
            let script = match &found[1] {
                "console" => shell::prompted(&found[2], prompted),
                _ => found[2].to_owned(),
            };
            for command in shell::commands(&script) {
                commands::check(&command).unwrap_or_else(|error| panic!("{path}: {}: {error}", command.join(" ")));
                shown += 1;
            }
        }
    }
    assert!(shown > 3);
}

#[test]
fn a_command_that_does_not_exist_is_found_out() {
    for (script, word) in [
        ("cargo tset --workspace", "tset"),
        ("cargo build --realease", "realease"),
        ("cargo build --bin slipwy", "slipwy"),
        ("cargo run --bin slipway -- rum x", "rum"),
        ("target/release/slipway run scenarios --jbos 2", "jbos"),
        ("slipway gate --measurment-summary x", "measurment-summary"),
        ("slipway-operator drain-release", "all"),
        ("bash .ci/rum", ".ci/rum"),
        ("for it in a; do\n  frobnicate $it\ndone", "frobnicate"),
        ("echo $(slipway lnt x)", "lnt"),
    ] {
        let found: Vec<String> =
            shell::commands(script).iter().filter_map(|command| commands::check(command).err()).collect();
        assert!(found.len() == 1 && found[0].contains(word), "{script}: {found:?}");
    }
    for script in [
        "cargo run --locked --release --bin slipway -- run scenarios --jobs 2",
        "target/release/slipway lint a \\\n  b && test -e x || exit 1",
        "A=1 bash .ci/run > log 2>&1",
    ] {
        for command in shell::commands(script) {
            assert_eq!(commands::check(&command), Ok(()), "{script}");
        }
    }
}
