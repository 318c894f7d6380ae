//! `slipway run`: load, check, run, report. Nothing is run if anything is wrong with the files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::{Failure, measured, reference, report_problems, vocabulary};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::run::{ReportFile, RunSettings, TimeArg};
use crate::cluster::embedded::node::netns;
use crate::runner::report::terminal::Terminal;
use crate::runner::report::{Summary, json, junit};
use crate::runner::{self, Options};
use crate::scenario::load::load;
use crate::scenario::model::Time;
use crate::scenario::node::Isolation;
use crate::scenario::plan::Plan;
use crate::sim::clock::epoch;
use crate::sim::seed::RunSeed;
use crate::sli::spec::Spec;
use crate::temporary;

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
        && let Some((plan, what)) = suite.plans.iter().find_map(|plan| Some((plan, plan.outsider()?)))
    {
        let what = format!("{} runs {what}, which virtual time does not wait for", plan.title);
        return Err(Failure::Input { what, source: None });
    }
    prepare_nodes(&mut suite.plans, settings.isolation)?;
    let specs: Arc<[Spec]> = measured::specs(&settings.specs)?.into();
    // Asked before anything is run: a reference that cannot be used is bad input.
    let base = reference::base(&settings.reference, printer)?;
    let started = epoch(false);
    let options = Options {
        specs: Arc::clone(&specs),
        endpoint: settings.endpoint.clone(),
        witness: false,
        jobs: settings.jobs,
        fail_fast: settings.fail_fast,
        seed: settings.seed.map_or_else(RunSeed::random, RunSeed),
        time: match settings.time {
            // What others use lives by the machine's clock.
            _ if settings.cluster.is_shared() => Some(Time::Real),
            Some(TimeArg::Real) => Some(Time::Real),
            Some(TimeArg::Virtual) => Some(Time::Virtual),
            None => None,
        },
        wall_clock_limit: settings.wall_clock_limit.saturating_add(settings.cluster.start_up()),
        outside: Arc::new(settings.outside.clone()),
        interrupt: interrupt_on_signal(),
    };
    if settings.cluster.is_shared() {
        suite.plans.iter_mut().for_each(|plan| plan.be_patient(settings.patience));
    }
    let ground = Ground::open(&settings.cluster, settings.operator, &options.interrupt, printer)?;
    let mut terminal = Terminal::new(printer, settings.verbose, suite.plans.len());
    let summary = runner::run(suite.plans, &ground.stage, &options, &mut terminal);
    ground.close()?;
    leave_nothing();
    terminal.summarise(&summary);
    for report in &settings.reports {
        write(report, &summary, &specs)?;
    }
    if let Some(directory) = &settings.artifacts {
        measured::tell(directory, settings, &specs, &summary, started, base.as_ref(), printer)?;
    }
    match &settings.gate {
        Some(gate) if summary.is_good() => super::gate::gate_over(base.as_ref(), gate, printer),
        _ => Ok(if summary.is_good() { Exit::Passed } else { Exit::Failed }),
    }
}

/// Removes what goes when it is dropped: of a scenario that was left behind, nothing is.
fn leave_nothing() {
    netns::forget_own();
    temporary::forget_own();
}

/// Sees to what the nodes' networks are to be made of, while there is no second thread. What files ask for and cannot have
/// is said by the scenarios themselves; what the command line asks for must be had.
fn prepare_nodes(plans: &mut [Plan], isolation: Option<Isolation>) -> Result<(), Failure> {
    for plan in plans.iter_mut() {
        plan.isolation = isolation.unwrap_or(plan.isolation);
    }
    if plans.iter().all(|plan| plan.isolation == Isolation::Simulated) {
        return Ok(());
    }
    match netns::prepare() {
        Err(lacking) if isolation.is_some() => Err(Failure::Environment {
            what: "nodes cannot have network namespaces here, which --node-isolation asks for".to_owned(),
            source: lacking.into(),
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A token that SIGINT or SIGTERM cancels. A second signal ends the process at once, as if nobody listened.
pub(super) fn interrupt_on_signal() -> CancellationToken {
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
                    leave_nothing();
                    std::process::exit(i32::from(Exit::Failed.code()));
                }
            }
        });
    });
    // From here on a signal is heard, or never will be.
    let _ = listening.recv();
    interrupt
}

fn write(report: &ReportFile, summary: &Summary, specs: &[Spec]) -> Result<(), Failure> {
    let (path, text) = match report {
        ReportFile::Junit(path) => (path, junit::render(summary).map_err(|error| failed(path, error))?),
        ReportFile::Json(path) => (path, json::render(summary, specs).map_err(|error| failed(path, error))?),
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| failed(path, error))?;
    }
    fs::write(path, text).map_err(|error| failed(path, error))
}

pub(super) fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Environment { what: format!("cannot write the report {}", path.display()), source: error.into() }
}
