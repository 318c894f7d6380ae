//! What the operator is shipped with, tried on the embedded cluster: `kubectl` and `helm` render it, the API server takes
//! it under strict validation, and the operator then runs with the rights that are in it, and no others.
//!
//! A case whose program this machine lacks is counted as ignored, and what is lacking is said.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although without the harness that says so")]

mod cluster;
mod helm;
mod kustomize;
mod pods;
mod release;
mod tilt;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

/// What a case comes to.
type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials =
        [kustomize::trials(), helm::trials(), tilt::trials(), release::trials()].into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case, or one that is ignored for what it lacks.
fn trial(name: &str, lacking: Option<&str>, case: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    if let Some(lacking) = lacking {
        println!("skipped {name:?}: {lacking}");
    }
    Trial::test(name, case).with_ignored_flag(lacking.is_some())
}

/// A path from the root of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The objects of a YAML stream.
fn objects(text: &str) -> Result<Vec<Value>, Failed> {
    let documents: Vec<Value> = serde_yaml::from_multiple(text)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The one object of a kind and name.
fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value, Failed> {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.ok_or_else(|| format!("there is no {kind} {name}").into())
}

/// What is found must be what is expected; the error names the line that asked.
#[track_caller]
fn same(found: &Value, expected: &Value) -> Outcome {
    let line = std::panic::Location::caller().line();
    if found == expected { Ok(()) } else { Err(format!("line {line}: {found} instead of {expected}").into()) }
}
