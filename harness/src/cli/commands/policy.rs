//! `slipway policy`: writes a policy to begin with, or one that fits what was measured.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::Failure;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::policy::{InitArgs, PolicyCommand, RecommendArgs};
use crate::cli::printer::Printer;
use crate::gate::measurement::Measurement;
use crate::gate::recommend;

/// A policy of slint-gate's schema to begin with.
pub const SLINT: &str = include_str!("../templates/slint.yaml");

/// A policy of the superset to begin with, with everything that it can ask.
pub const SLIPWAY: &str = include_str!("../templates/slipway.yaml");

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, used or written.
pub fn policy(command: &PolicyCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Init(args) => init(args, printer),
        PolicyCommand::Recommend(args) => recommend(args, printer),
    }
}

fn init(args: &InitArgs, printer: &Printer) -> Result<Exit, Failure> {
    put(&args.output, if args.extended { SLIPWAY } else { SLINT }, args.force)?;
    printer.line(args.output.display());
    Ok(Exit::Passed)
}

fn recommend(args: &RecommendArgs, printer: &Printer) -> Result<Exit, Failure> {
    let failed = |what: String, source| Failure::Input { what, source: Some(source) };
    let paths = files::summaries(&args.paths)
        .map_err(|error| failed("cannot read a directory of summaries".to_owned(), error.into()))?;
    let mut runs = Vec::new();
    for path in &paths {
        let bytes =
            std::fs::read(path).map_err(|error| failed(format!("cannot read {}", path.display()), error.into()))?;
        let run = Measurement::parse(&bytes)
            .map_err(|error| failed(format!("cannot use {}", path.display()), error.into()))?;
        runs.push(run);
    }
    if runs.is_empty() {
        return Err(Failure::Input { what: "there is no summary there".to_owned(), source: None });
    }
    let text = recommend::policy(&runs, f64::from(args.margin), args.extended);
    match &args.output {
        Some(path) => {
            put(path, &text, args.force)?;
            printer.line(path.display());
        }
        None => printer.text(text),
    }
    Ok(Exit::Passed)
}

/// Writes a file that somebody may have put work into.
fn put(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::Input {
            what: format!("{} is there already; --force writes over it", path.display()),
            source: None,
        },
        _ => Failure::Environment { what: format!("cannot write {}", path.display()), source: error.into() },
    };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    if force {
        return files::write(path, text.as_bytes()).map_err(failed);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::policy::Policy;

    #[test]
    fn what_people_begin_with_is_understood_without_a_word() {
        for (text, extended) in [(SLINT, false), (SLIPWAY, true)] {
            let (policy, warnings) = Policy::parse(text.as_bytes());
            let policy = policy.unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            assert_eq!(policy.extension.is_some(), extended);
            assert!(policy.thresholds.len() > 4);
        }
        assert!(crate::gate::policy::remarks(SLINT.as_bytes()).is_empty());
    }

    #[test]
    fn work_is_not_written_over_unless_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/policy.yaml");
        put(&path, "mine", false).unwrap();
        assert!(matches!(put(&path, "yours", false), Err(Failure::Input { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        put(&path, "yours", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "yours");
    }
}
