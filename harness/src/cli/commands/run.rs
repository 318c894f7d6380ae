//! `slipway run`: load, check, run, report. Nothing is run if anything is wrong with the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, report_problems, vocabulary};
use crate::cli::args::TimeArg;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::{ReportFile, RunSettings};
use crate::runner::report::terminal::Terminal;
use crate::runner::report::{Summary, indicators, json, junit};
use crate::runner::{self, Options};
use crate::scenario::load::load;
use crate::scenario::model::Time;
use crate::sim::clock::epoch;
use crate::sim::seed::RunSeed;
use crate::sli::session::{Session, together};
use crate::sli::spec::{self, Spec};
use crate::sli::summary as sli;
use crate::target::{BuiltIn, Stage};

/// Runs scenarios.
///
/// # Errors
/// [`Failure`] when no scenario is meant, or a report cannot be written.
pub fn run(settings: &RunSettings, printer: &Printer) -> Result<Exit, Failure> {
    let mut suite = match load(&settings.paths, &vocabulary()) {
        Ok(suite) => suite,
        Err(problems) => return Ok(report_problems(&problems, printer)),
    };
    let all = suite.plans.len();
    suite.plans.retain(|plan| {
        settings.filters.is_empty() || settings.filters.iter().any(|filter| filter.accepts(&plan.title))
    });
    if suite.plans.is_empty() {
        return Err(Failure::Input { what: format!("the filter accepts none of {all} scenarios"), source: None });
    }
    if settings.list {
        for plan in &suite.plans {
            printer.line(&plan.title);
        }
        return Ok(Exit::Passed);
    }

    if matches!(settings.time, Some(TimeArg::Virtual))
        && let Some(plan) = suite.plans.iter().find(|plan| plan.has_script())
    {
        let what = format!("{} runs a script, which virtual time does not wait for", plan.title);
        return Err(Failure::Input { what, source: None });
    }
    let specs: Arc<[Spec]> = spec::built_in()
        .map_err(|error| Failure::Input { what: "cannot read the indicators".to_owned(), source: Some(error.into()) })?
        .into();
    let started = epoch(false);
    let options = Options {
        specs: Arc::clone(&specs),
        jobs: settings.jobs,
        fail_fast: settings.fail_fast,
        seed: settings.seed.map_or_else(RunSeed::random, RunSeed),
        time: settings.time.map(|time| match time {
            TimeArg::Virtual => Time::Virtual,
            TimeArg::Real => Time::Real,
        }),
        wall_clock_limit: settings.wall_clock_limit,
        path: settings.path.clone(),
        interrupt: interrupt_on_signal(),
    };
    let stage: Arc<dyn Stage> = Arc::new(BuiltIn);
    let mut terminal = Terminal::new(printer, settings.verbose, suite.plans.len());
    let summary = runner::run(suite.plans, &stage, &options, &mut terminal);
    terminal.summarise(&summary);
    for report in &settings.reports {
        write(report, &summary)?;
    }
    if let Some(directory) = &settings.artifacts {
        measured(directory, &specs, &summary, started, printer)?;
    }
    match &settings.gate {
        Some(gate) if summary.is_good() => super::gate::gate(gate, printer),
        _ => Ok(if summary.is_good() { Exit::Passed } else { Exit::Failed }),
    }
}

/// Writes and prints what was measured.
fn measured(
    directory: &Path,
    specs: &[Spec],
    summary: &Summary,
    started_at: Timestamp,
    printer: &Printer,
) -> Result<(), Failure> {
    let sessions: Vec<&Session> = summary.records.iter().filter_map(|record| record.session.as_ref()).collect();
    let config = sli::Config {
        run_id: format!("local-{}-{:08x}", started_at.as_nanosecond(), summary.seed.0),
        started_at,
        finished_at: epoch(false),
        mode: sli::Mode { location: "outside", trigger: "none" },
        tags: BTreeMap::from([
            ("seed".to_owned(), summary.seed.0.to_string()),
            ("scenarios".to_owned(), summary.records.len().to_string()),
            ("suite".to_owned(), "slipway".to_owned()),
        ]),
        format: "v4.4",
    };
    let measurement = sli::Summary::new(config, together(specs, &sessions));
    for line in indicators::table(&measurement) {
        printer.line(line);
    }
    let path = sli::write(directory, &measurement, "run").map_err(|error| failed(directory, error))?;
    printer.line(format_args!("indicators in {}", path.display()));
    Ok(())
}

/// A token that SIGINT or SIGTERM cancels. A second signal ends the process at once, as if nobody listened.
fn interrupt_on_signal() -> CancellationToken {
    let interrupt = CancellationToken::new();
    let cancel = interrupt.clone();
    let (ready, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Without signals the run cannot be stopped cleanly, but it can be done.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupted), Ok(mut terminated)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            // Whoever waits for it waits no longer when this thread ends without a word.
            let _ = ready.send(());
            for count in 1.. {
                tokio::select! {
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => {}
                }
                cancel.cancel();
                if count > 1 {
                    std::process::exit(i32::from(Exit::Failed.code()));
                }
            }
        });
    });
    // From here on a signal is heard, or never will be.
    let _ = listening.recv();
    interrupt
}

fn write(report: &ReportFile, summary: &Summary) -> Result<(), Failure> {
    let (path, text) = match report {
        ReportFile::Junit(path) => (path, junit::render(summary).map_err(|error| failed(path, error))?),
        ReportFile::Json(path) => (path, json::render(summary).map_err(|error| failed(path, error))?),
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| failed(path, error))?;
    }
    fs::write(path, text).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Environment { what: format!("cannot write the report {}", path.display()), source: error.into() }
}
