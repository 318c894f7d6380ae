//! `slipway gate`: reads the files, lets the gate judge, and writes the verdict.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::{Failure, reference};
use crate::cli::exit::Exit;
use crate::cli::gate::GateSettings;
use crate::cli::printer::Printer;
use crate::gate::explain::{Troubles, explain};
use crate::gate::measurement::Measurement;
use crate::gate::policy::{Policy, Reading};
use crate::gate::verdict::{Grade, Inputs};
use crate::gate::{Case, Found, judge, markdown};
use crate::remote::base::Base;
use crate::remote::merge::Layer;
use crate::sim::clock;

/// Judges a measurement.
///
/// # Errors
/// When the verdict cannot be written, or the reference that was asked for cannot be used.
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
/// When the verdict cannot be written.
pub(super) fn gate_over(base: Option<&Base>, settings: &GateSettings, printer: &Printer) -> Result<Exit, Failure> {
    let case = case(settings, base);
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

fn case(settings: &GateSettings, base: Option<&Base>) -> Case {
    let baseline = (!settings.baseline.is_empty()).then(|| settings.baseline.clone());
    let measurement = |path: &str| read(path).map(|bytes| Measurement::parse(&bytes));
    Case {
        policy: read(&settings.policy).map(|bytes| reading(base, &settings.policy, &bytes)),
        measurement: measurement(&settings.summary),
        baseline: baseline.as_deref().map(measurement),
        inputs: Inputs {
            measurement_summary: settings.summary.clone(),
            policy_file: settings.policy.clone(),
            baseline_file: baseline,
        },
    }
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
    let (Ok(_), mut warnings) = ours else { return ours };
    match reference::effective(base, Some(Layer { name, text })) {
        Ok(effective) => (Policy::parse(effective.text().as_bytes()).0, warnings),
        Err(error) => {
            warnings.push(error.to_string());
            (Err(error.error), warnings)
        }
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
