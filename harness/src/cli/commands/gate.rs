//! `slipway gate`: reads the files, lets the gate judge, and writes the verdict.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Failure, reference};
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::gate::GateSettings;
use crate::cli::printer::Printer;
use crate::gate::explain::{Troubles, explain};
use crate::gate::policy::{self, Line, Policy, Reading};
use crate::gate::verdict::{Grade, Inputs, Verdict};
use crate::gate::{Case, Found, judge, markdown, report, sarif};
use crate::remote::base::Base;
use crate::remote::merge::Layer;
use crate::sim::chance::Stream;
use crate::sim::clock;
use crate::sim::seed::RunSeed;

/// What resampling starts from: the same files are judged in the same way, always and everywhere.
const SEED: RunSeed = RunSeed(20_260_101);

/// The chance that the comparison of an indicator draws from.
pub fn chance(metric: &str) -> Box<dyn FnMut() -> u64> {
    let mut stream = Stream::new(SEED.of(metric));
    Box::new(move || stream.next().unwrap_or_default())
}

/// Judges a measurement.
///
/// # Errors
/// When the verdict cannot be written, a directory of runs not be read, or the reference that was asked for not be used.
pub fn gate(settings: &GateSettings, printer: &Printer) -> Result<Exit, Failure> {
    for remark in &settings.remarks {
        printer.note(remark);
    }
    let base = match &settings.reference {
        Some(reference) => reference::base(reference, printer)?,
        None => None,
    };
    gate_over(base.as_ref(), settings, printer)
}

/// Judges a measurement by its policy laid over a base.
///
/// # Errors
/// When the verdict cannot be written, or a directory of runs not be read.
pub(super) fn gate_over(base: Option<&Base>, settings: &GateSettings, printer: &Printer) -> Result<Exit, Failure> {
    let policy = files::read(Path::new(&settings.policy));
    if let Found::Read(bytes) = &policy {
        for remark in policy::remarks(bytes) {
            printer.note(format_args!("{}: {remark}", settings.policy));
        }
    }
    let case = case(settings, policy, base)?;
    let troubles = Troubles::of(&case);
    let verdict = judge(case, clock::epoch(false), &chance);
    for warning in &verdict.policy_warnings {
        printer.note(format_args!("policy: {warning}"));
    }
    let json = verdict.to_json().map_err(|error| failed(&settings.output, error.into()))?;
    write(&settings.output, &json)?;
    printer.line(settings.output.display());
    for line in explain(&verdict, &troubles) {
        printer.line(line);
    }
    if let Some(path) = &settings.sarif {
        write(path, &sarif::log(&verdict, &troubles).map_err(|error| failed(path, error.into()))?)?;
    }
    if let Some(path) = &settings.markdown {
        write(path, report::page(&verdict, &troubles).as_bytes())?;
    }
    if let Some(path) = &settings.step_summary
        && let Err(error) = append(path, &markdown::page(&verdict))
    {
        printer.note(format_args!("the step's summary cannot be written to {}: {error}", path.display()));
    }
    Ok(exit(&verdict, settings, printer))
}

fn exit(verdict: &Verdict, settings: &GateSettings, printer: &Printer) -> Exit {
    let ends = match verdict.gate_result {
        Grade::Pass => false,
        Grade::Warn => settings.exit_on.warn,
        Grade::Fail => settings.exit_on.fail,
        Grade::NoGrade => settings.exit_on.no_grade,
    };
    if ends {
        let (grade, exit_on) = (verdict.gate_result.as_str(), &settings.exit_on_text);
        printer.note(format_args!("exit code 1, since the verdict is {grade} and --exit-on is {exit_on}"));
        return Exit::Failed;
    }
    Exit::Passed
}

fn failed(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> Failure {
    Failure::Input { what: format!("cannot write the verdict to {}", path.display()), source: Some(source) }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    files::write(path, bytes).map_err(|error| failed(path, error.into()))
}

/// The files of one side: the one that is named, and the runs beside it.
fn side(named: Option<&str>, runs: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let runs = files::summaries(runs).map_err(|error: io::Error| Failure::Input {
        what: "cannot read a directory of runs".to_owned(),
        source: Some(error.into()),
    })?;
    Ok(named.map(PathBuf::from).into_iter().chain(runs).collect())
}

fn case(settings: &GateSettings, policy: Found<Vec<u8>>, base: Option<&Base>) -> Result<Case, Failure> {
    let named = settings.summary_is_named || settings.runs.is_empty();
    let now = side(named.then_some(settings.summary.as_str()), &settings.runs)?;
    let baseline = (!settings.baseline.is_empty()).then_some(settings.baseline.as_str());
    let before = side(baseline, &settings.baseline_runs)?;
    let asked = baseline.is_some() || !settings.baseline_runs.is_empty();
    let name = |path: &PathBuf| path.display().to_string();
    Ok(Case {
        policy: policy.map(|bytes| reading(base, &settings.policy, &bytes)),
        measurement: files::measurement(&now),
        baseline: asked.then(|| files::measurement(&before)),
        run_id: settings.run_id.clone(),
        inputs: Inputs {
            measurement_summary: now.first().map_or_else(|| settings.summary.clone(), name),
            policy_file: settings.policy.clone(),
            baseline_file: asked.then(|| before.first().map(name).unwrap_or_default()),
            more_runs: now.iter().skip(1).map(name).collect(),
            more_baseline_runs: before.iter().skip(1).map(name).collect(),
        },
    })
}

/// Our policy, laid over a base where there is one.
pub(super) fn reading(base: Option<&Base>, name: &str, bytes: &[u8]) -> Reading {
    match base {
        Some(base) => laid_over(base, name, bytes),
        None => Policy::parse(bytes),
    }
}

/// Our policy laid over a base. What is wrong with ours is told as it is without one.
fn laid_over(base: &Base, name: &str, bytes: &[u8]) -> Reading {
    let ours = Policy::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return ours };
    let (Ok(written), mut warnings) = ours else { return ours };
    match reference::effective(base, Some(Layer { name, text })) {
        Ok(effective) => {
            let mut all = Policy::parse(effective.text().as_bytes()).0;
            for rule in all.iter_mut().flat_map(|all| &mut all.thresholds) {
                // The file that people look at is ours.
                rule.line = written
                    .thresholds
                    .iter()
                    .find(|own| own.name == rule.name)
                    .map_or_else(Line::default, |own| own.line);
            }
            (all, warnings)
        }
        Err(error) => {
            warnings.push(error.to_string());
            (Err(error.error), warnings)
        }
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}
