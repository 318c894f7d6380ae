//! What a run measured: which indicators, the files, and the table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Failure;
use super::gate::reading;
use super::run::failed;
use crate::cli::printer::Printer;
use crate::cli::run::RunSettings;
use crate::gate::measurement::Measurement;
use crate::remote::base::Base;
use crate::remote::provenance::Provenance;
use crate::runner::report::indicators::Against;
use crate::runner::report::{Summary, indicators};
use crate::sim::clock::epoch;
use crate::sli::session::{Session, seen, together};
use crate::sli::spec::{self, Spec};
use crate::sli::summary;

/// The largest file of indicators that is read.
const SPECS_BYTES_MAX: u64 = 1 << 20;

/// The built-in indicators, and those of further files.
///
/// # Errors
/// A file that cannot be read or understood.
pub(super) fn specs(files: &[PathBuf]) -> Result<Vec<Spec>, Failure> {
    let wrong = |what: String| move |source| Failure::Input { what, source: Some(source) };
    let mut texts = spec::built_in_files();
    for file in files {
        let name = file.display().to_string();
        let size = fs::metadata(file).map_err(|error| wrong(format!("cannot read {name}"))(error.into()))?.len();
        if size > SPECS_BYTES_MAX {
            return Err(Failure::Input {
                what: format!("{name} is larger than a file of indicators can be"),
                source: None,
            });
        }
        let text = fs::read_to_string(file).map_err(|error| wrong(format!("cannot read {name}"))(error.into()))?;
        texts.push((name, text));
    }
    spec::load(texts).map_err(|error| wrong("cannot read the indicators".to_owned())(error.into()))
}

/// Writes and prints what was measured, against our policy over its base, with where that came from.
///
/// # Errors
/// Those of the file system.
pub(super) fn tell(
    directory: &Path,
    settings: &RunSettings,
    specs: &[Spec],
    summary: &Summary,
    started_at: Timestamp,
    base: Option<&Base>,
    printer: &Printer,
) -> Result<(), Failure> {
    let provenance = base.map(|base| &base.provenance);
    let sessions: Vec<&Session> = summary.records.iter().filter_map(|record| record.session.as_ref()).collect();
    let run_id = format!("local-{}-{:08x}", started_at.as_nanosecond(), summary.seed.0);
    let mut tags = BTreeMap::from([
        ("seed".to_owned(), summary.seed.0.to_string()),
        ("scenarios".to_owned(), summary.records.len().to_string()),
        ("suite".to_owned(), "slipway".to_owned()),
    ]);
    tags.extend(provenance.map(Provenance::tags).unwrap_or_default());
    let config = summary::Config {
        run_id: run_id.clone(),
        started_at,
        finished_at: epoch(false),
        mode: summary::Mode { location: "outside", trigger: "none" },
        tags,
        format: "v4.4",
    };
    let mut measurement = summary::Summary::new(config, together(specs, &sessions));
    // A measurement that went wrong fails nothing, which is why it is said aloud.
    for warning in &measurement.warnings {
        printer.note(format_args!("not measured: {warning}"));
    }
    measurement.warnings.extend(provenance.and_then(Provenance::warning));
    let read = fs::read(&settings.policy).ok();
    let policy = read.and_then(|bytes| reading(base, &settings.policy, &bytes).0.ok());
    let before = settings.baseline.as_ref().map(|path| (path, fs::read(path).map(|bytes| Measurement::parse(&bytes))));
    let before = match before {
        None => None,
        Some((_, Ok(Ok(measurement)))) => Some(measurement),
        Some((path, Ok(Err(error)))) => {
            printer.note(format_args!("{path} is no baseline: {error}"));
            None
        }
        Some((path, Err(error))) => {
            printer.note(format_args!("cannot read the baseline {path}: {error}"));
            None
        }
    };
    let values = before.as_ref().map(Measurement::values);
    let against = Against { policy: policy.as_ref(), baseline: values.as_ref() };
    for line in indicators::table(&measurement, against, printer.width()) {
        printer.line(line);
    }
    let path = summary::write(directory, &measurement, "run").map_err(|error| failed(directory, error))?;
    summary::write_histograms(directory, &run_id, "run", &seen(&sessions)).map_err(|error| failed(directory, error))?;
    printer.line(format_args!("indicators in {}", path.display()));
    Ok(())
}
