//! `slipway baseline`: keeps measurements of good runs, shows what changed since, and puts several together.

use std::path::{Path, PathBuf};

use super::gate::{chance, reading};
use super::{Failure, reference};
use crate::cli::baseline::{ApproveArgs, BaselineCommand, DiffArgs, MergeArgs};
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::printer::Printer;
use crate::cli::usage::UsageError;
use crate::gate::explain::{Troubles, explain};
use crate::gate::json::Json;
use crate::gate::measurement::Measurement;
use crate::gate::merge::{Approval, is_histograms, merge, merge_histograms};
use crate::gate::policy::Policy;
use crate::gate::verdict::{Grade, Inputs, Verdict};
use crate::gate::{Case, Found, difference, judge, number};
use crate::remote::base::Base;
use crate::sim::clock;

/// Where policies are looked for unless one is named.
const POLICIES: [&str; 2] = ["slint/policy.yaml", ".slint/policy.yaml"];

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, used or written.
pub fn baseline(command: &BaselineCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        BaselineCommand::Approve(args) => approve(args, printer),
        BaselineCommand::Diff(args) => diff(args, printer),
        BaselineCommand::Merge(args) => merged(args, printer),
    }
}

fn input(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::Input { what: what.into(), source: Some(source.into()) }
}

fn refused(what: impl Into<String>) -> Failure {
    Failure::Input { what: what.into(), source: None }
}

/// The texts of the summaries that are meant, each run once.
fn texts(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
    let paths = files::summaries(paths).map_err(|error| input("cannot read a directory of summaries", error))?;
    let mut texts: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).map_err(|error| input(format!("cannot read {}", path.display()), error))?;
        if !texts.iter().any(|(_, other)| *other == bytes) {
            texts.push((path, bytes));
        }
    }
    if texts.is_empty() { Err(refused("there is no summary there")) } else { Ok(texts) }
}

/// One file of all.
fn together(texts: &[(PathBuf, Vec<u8>)], approval: Option<&Approval>) -> Result<Json, Failure> {
    let bytes: Vec<Vec<u8>> = texts.iter().map(|(_, bytes)| bytes.clone()).collect();
    let names: Vec<String> = texts.iter().map(|(path, _)| path.display().to_string()).collect();
    merge(&bytes, approval).map_err(|error| input(format!("cannot use {}", names.join(", ")), error))
}

fn write(path: &Path, json: &Json) -> Result<(), Failure> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Failure::Environment {
        what: format!("cannot write {}", path.display()),
        source,
    };
    let bytes = number::pretty(json).map_err(|error| failed(error.into()))?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| failed(error.into()))?;
    }
    files::write(path, &bytes).map_err(|error| failed(error.into()))
}

/// Whether a name is that of a file in the directory of baselines, and nowhere else.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn approve(args: &ApproveArgs, printer: &Printer) -> Result<Exit, Failure> {
    if !is_name(&args.name) {
        return Err(refused(format!("{:?} is no name of a baseline: letters, digits, -, _ and . are", args.name)));
    }
    let texts = texts(&args.summary)?;
    let policy = args.policy.clone().or_else(|| POLICIES.iter().map(PathBuf::from).find(|path| path.is_file()));
    let reference = args.reference.clone().settings(args.remote).map_err(UsageError::from)?;
    let base = reference::base(&reference, printer)?;
    let mut verdict = None;
    if let Some(policy) = &policy {
        let judged = without_baseline(&texts, policy, base.as_ref(), printer)?;
        let good = match judged.gate_result {
            Grade::Pass => true,
            Grade::Warn => args.allow_warn,
            Grade::Fail | Grade::NoGrade => false,
        };
        if !good {
            printer.note(format_args!("not approved: the verdict is {}", judged.gate_result.as_str()));
            return Ok(Exit::Failed);
        }
        verdict = Some(judged.gate_result.as_str().to_owned());
    } else {
        printer.note("there is no policy, so nothing was judged");
    }
    let approval = Approval {
        at: clock::epoch(false).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        by: args.by(),
        commit: args.commit(),
        policy: policy.map(|path| match &base {
            Some(base) => format!("{} over {}", path.display(), base.name),
            None => path.display().to_string(),
        }),
        verdict,
    };
    let path = args.directory.join(format!("{}.json", args.name));
    write(&path, &together(&texts, Some(&approval))?)?;
    let runs = if texts.len() == 1 { "1 summary".to_owned() } else { format!("{} summaries", texts.len()) };
    printer.line(format_args!("{} ({runs})", path.display()));
    Ok(Exit::Passed)
}

/// The verdict on what is to be the baseline, which cannot be compared with one: by the policy over its base, as a run is
/// judged.
fn without_baseline(
    texts: &[(PathBuf, Vec<u8>)],
    policy: &Path,
    base: Option<&Base>,
    printer: &Printer,
) -> Result<Verdict, Failure> {
    let paths: Vec<PathBuf> = texts.iter().map(|(path, _)| path.clone()).collect();
    let reading = files::read(policy).map(|bytes| {
        let (policy, warnings) = reading(base, &policy.display().to_string(), &bytes);
        (policy.map(on_its_own), warnings)
    });
    if matches!(reading, Found::Missing) {
        return Err(refused(format!("there is no policy at {}", policy.display())));
    }
    let name = |path: &PathBuf| path.display().to_string();
    let case = Case {
        inputs: Inputs {
            measurement_summary: paths.first().map(name).unwrap_or_default(),
            policy_file: policy.display().to_string(),
            baseline_file: None,
            more_runs: paths.iter().skip(1).map(name).collect(),
            more_baseline_runs: Vec::new(),
        },
        policy: reading,
        measurement: files::measurement(&paths),
        baseline: None,
        run_id: None,
    };
    let troubles = Troubles::of(&case);
    let verdict = judge(case, clock::epoch(false), &chance);
    for warning in &verdict.policy_warnings {
        printer.note(format_args!("policy: {warning}"));
    }
    for line in explain(&verdict, &troubles) {
        printer.line(line);
    }
    Ok(verdict)
}

/// What a policy asks of a run alone.
fn on_its_own(mut policy: Policy) -> Policy {
    policy.regression.enabled = false;
    if let Some(asked) = &mut policy.extension {
        asked.baseline_required = false;
        asked.baseline_metrics.clear();
    }
    policy
}

fn diff(args: &DiffArgs, printer: &Printer) -> Result<Exit, Failure> {
    let side = |paths: &[PathBuf]| -> Result<Measurement, Failure> {
        let paths = files::summaries(paths).map_err(|error| input("cannot read a directory of summaries", error))?;
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        match files::measurement(&paths) {
            Found::Read(Ok(measurement)) => Ok(measurement),
            Found::Read(Err(error)) => Err(input(format!("cannot use {}", names.join(", ")), error)),
            Found::Missing => Err(refused(format!("there is no summary at {}", names.join(", ")))),
            Found::Unreadable(why) => Err(refused(format!("cannot read {}: {why}", names.join(", ")))),
        }
    };
    printer.text(difference::table(&side(&args.baseline)?, &side(&args.summary)?));
    Ok(Exit::Passed)
}

fn merged(args: &MergeArgs, printer: &Printer) -> Result<Exit, Failure> {
    let texts = texts(&args.paths)?;
    let histograms = texts.iter().filter(|(_, text)| is_histograms(text)).count();
    let merged = if histograms == texts.len() {
        let bytes: Vec<Vec<u8>> = texts.iter().map(|(_, bytes)| bytes.clone()).collect();
        merge_histograms(&bytes).map_err(|error| input("cannot put the histograms together", error))?
    } else if histograms == 0 {
        together(&texts, None)?
    } else {
        return Err(refused("summaries and histograms are different files; put each together by itself"));
    };
    write(&args.output, &merged)?;
    printer.line(format_args!("{} ({} files)", args.output.display(), texts.len()));
    Ok(Exit::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baselines_name_leads_nowhere_else() {
        for (name, good) in
            [("main", true), ("v1.2_x-y", true), ("", false), ("../main", false), (".x", false), ("a b", false)]
        {
            assert_eq!(is_name(name), good, "{name}");
        }
    }
}
