//! `slipway parity`: the same scenarios on two clusters, one after the other, and where they differ.

use std::num::NonZeroUsize;
use std::sync::Arc;

use owo_colors::OwoColorize;

use super::ground::Ground;
use super::run::interrupt_on_signal;
use super::{Failure, report_problems, vocabulary};
use crate::cli::cluster::ClusterSettings;
use crate::cli::exit::Exit;
use crate::cli::parity::ParitySettings;
use crate::cli::printer::Printer;
use crate::event::Outcome;
use crate::parity::{Ending, Verdict, judge};
use crate::runner::report::terminal::Terminal;
use crate::runner::report::{Record, Summary};
use crate::runner::{self, Options};
use crate::scenario::load::load;
use crate::scenario::model::Time;
use crate::scenario::plan::Plan;
use crate::sim::seed::RunSeed;
use crate::target::Placed;

/// Runs scenarios on the embedded cluster and on another, and compares what came of them.
///
/// # Errors
/// [`Failure`] when no scenario is meant, or the other cluster cannot be had.
pub fn parity(settings: &ParitySettings, printer: &Printer) -> Result<Exit, Failure> {
    let plans = || -> Result<Vec<Plan>, Exit> {
        let suite = load(&settings.paths, &vocabulary()).map_err(|problems| report_problems(&problems, printer))?;
        let is_meant = |plan: &Plan| {
            settings.filters.is_empty() || settings.filters.iter().any(|filter| filter.accepts(&plan.title))
        };
        Ok(suite.plans.into_iter().filter(is_meant).collect())
    };
    // Plans cannot be shared by two runs; that the second load sees other files is the user's doing.
    let (one, mut other) = match (plans(), plans()) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(exit), _) | (_, Err(exit)) => return Ok(exit),
    };
    for plan in &mut other {
        plan.be_patient(settings.patience);
    }
    if one.is_empty() {
        return Err(Failure::Input { what: "the filter accepts none of the scenarios".to_owned(), source: None });
    }
    let seed = settings.seed.map_or_else(RunSeed::random, RunSeed);
    let names = ("embedded", settings.against.name());
    let options = Options {
        jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        fail_fast: false,
        seed,
        time: None,
        wall_clock_limit: settings.wall_clock_limit,
        outside: Arc::new(settings.outside.clone()),
        specs: Vec::new().into(),
        endpoint: None,
        witness: true,
        interrupt: interrupt_on_signal(),
    };
    let embedded = (&ClusterSettings::Embedded, Placed::InProcess);
    let first = run_on(embedded, names.0, one, &options, printer)?;
    // One at a time, on the machine's clock: as every run on a cluster that is shared.
    let options = Options { time: Some(Time::Real), jobs: NonZeroUsize::MIN, ..options };
    let second = run_on((&settings.against, settings.operator), names.1, other, &options, printer)?;
    let judged: Vec<(&Record, &Record, Verdict)> = first
        .records
        .iter()
        .zip(&second.records)
        .map(|(one, other)| (one, other, judge(ending(one), ending(other), &settings.known)))
        .collect();
    Ok(tell(&judged, names, printer))
}

fn run_on(
    (cluster, placed): (&ClusterSettings, Placed),
    name: &str,
    plans: Vec<Plan>,
    options: &Options,
    printer: &Printer,
) -> Result<Summary, Failure> {
    printer.line(format_args!("on {}", name.bold()));
    let ground = Ground::open(cluster, placed, &options.interrupt, printer)?;
    let mut terminal = Terminal::new(printer, false, plans.len());
    let summary = runner::run(plans, &ground.stage, options, &mut terminal);
    ground.close()?;
    terminal.summarise(&summary);
    Ok(summary)
}

fn ending(record: &Record) -> Ending<'_> {
    Ending { outcome: record.outcome.as_ref().unwrap_or(&Outcome::NotRun), witness: record.witness.as_ref() }
}

/// Prints a table, what differs, and the sum.
fn tell(judged: &[(&Record, &Record, Verdict)], names: (&str, &str), printer: &Printer) -> Exit {
    let title = judged.iter().map(|(record, ..)| record.plan.title.chars().count()).max().unwrap_or_default();
    let columns = (names.0.len().max(7), names.1.len().max(7));
    let row = |one: &str, two: &str, three: &str, four: &str| {
        printer.line(format_args!("{one:title$}  {two:0$}  {three:1$}  {four}", columns.0, columns.1));
    };
    printer.line("");
    row("scenario", names.0, names.1, "in the end");
    for (one, other, verdict) in judged {
        let word = |record: &Record| record.outcome.as_ref().map_or("not run", Outcome::word);
        let said = match verdict {
            Verdict::Same => "the same".to_owned(),
            Verdict::Differs(differences) if differences.len() == 1 => "1 difference".to_owned(),
            Verdict::Differs(differences) => format!("{} differences", differences.len()),
            Verdict::NotCompared(why) => format!("not compared: {why}"),
        };
        row(&one.plan.title, word(one), word(other), &said);
    }
    for (record, _, verdict) in judged {
        let Verdict::Differs(differences) = verdict else { continue };
        printer.line(format_args!("\n{}, {} and {}:", record.plan.title.bold(), names.0, names.1));
        for difference in differences {
            printer.line(format_args!("  {difference}"));
        }
    }
    let count = |is: fn(&Verdict) -> bool| judged.iter().filter(|(.., verdict)| is(verdict)).count();
    let (same, differ) =
        (count(|verdict| *verdict == Verdict::Same), count(|verdict| matches!(verdict, Verdict::Differs(_))));
    printer.line(format_args!(
        "\n{same} of {} scenarios come to the same, {differ} differ, {} were not compared",
        judged.len(),
        judged.len() - same - differ
    ));
    if differ == 0 && same > 0 { Exit::Passed } else { Exit::Failed }
}
