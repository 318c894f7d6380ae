//! `slipway gate`: reads the files, lets the gate judge, and writes the verdict.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::Failure;
use crate::cli::exit::Exit;
use crate::cli::gate::GateSettings;
use crate::cli::printer::Printer;
use crate::gate::explain::{Troubles, explain};
use crate::gate::measurement::Measurement;
use crate::gate::policy::Policy;
use crate::gate::verdict::{Grade, Inputs};
use crate::gate::{Case, Found, judge, markdown};
use crate::sim::clock;

/// Judges a measurement.
///
/// # Errors
/// When the verdict cannot be written.
pub fn gate(settings: &GateSettings, printer: &Printer) -> Result<Exit, Failure> {
    for remark in &settings.remarks {
        printer.note(remark);
    }
    let case = case(settings);
    let troubles = Troubles::of(&case);
    let verdict = judge(case, clock::epoch(false));
    for warning in &verdict.policy_warnings {
        printer.note(format_args!("policy: {warning}"));
    }
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Failure::Input {
        what: format!("cannot write the verdict to {}", settings.output.display()),
        source: Some(source),
    };
    let json = verdict.to_json().map_err(|error| failed(error.into()))?;
    fs::write(&settings.output, json).map_err(|error| failed(error.into()))?;
    printer.line(settings.output.display());
    for line in explain(&verdict, &troubles) {
        printer.line(line);
    }
    if let Some(path) = &settings.step_summary
        && let Err(error) = append(path, &markdown::page(&verdict))
    {
        printer.note(format_args!("the step's summary cannot be written to {}: {error}", path.display()));
    }
    let ends = match verdict.gate_result {
        Grade::Pass => false,
        Grade::Warn => settings.exit_on.warn,
        Grade::Fail => settings.exit_on.fail,
        Grade::NoGrade => settings.exit_on.no_grade,
    };
    if ends {
        let (grade, exit_on) = (verdict.gate_result.as_str(), &settings.exit_on_text);
        printer.note(format_args!("exit code 1, since the verdict is {grade} and --exit-on is {exit_on}"));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Passed)
}

fn case(settings: &GateSettings) -> Case {
    let baseline = (!settings.baseline.is_empty()).then(|| settings.baseline.clone());
    let measurement = |path: &str| read(path).map(|bytes| Measurement::parse(&bytes));
    Case {
        policy: read(&settings.policy).map(|bytes| Policy::parse(&bytes)),
        measurement: measurement(&settings.summary),
        baseline: baseline.as_deref().map(measurement),
        inputs: Inputs {
            measurement_summary: settings.summary.clone(),
            policy_file: settings.policy.clone(),
            baseline_file: baseline,
        },
    }
}

fn read(path: &str) -> Found<Vec<u8>> {
    if path.is_empty() {
        return Found::Missing;
    }
    match fs::read(path) {
        Ok(bytes) => Found::Read(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Found::Missing,
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}
