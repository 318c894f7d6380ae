//! A run as a person reads it: one line a scenario, in the order of their titles whatever the order in which they end;
//! failures in full; a summary. Where somebody watches, a bar shows what is running.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize;

use super::{Record, Report, Summary};
use crate::cli::printer::Printer;
use crate::event::{Event, Failure, Outcome, StepRecord};
use crate::runner::span;
use crate::scenario::diagnostic::Problem;

/// Prints a run while it goes on.
pub struct Terminal<'a> {
    printer: &'a Printer,
    verbose: bool,
    bar: ProgressBar,
    running: Vec<usize>,
    /// How many scenarios have been printed: those before have all ended.
    printed: usize,
}

impl<'a> Terminal<'a> {
    /// A report for so many scenarios.
    pub fn new(printer: &'a Printer, verbose: bool, scenarios: usize) -> Self {
        let target = if printer.is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(u64::try_from(scenarios).ok(), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        Self { printer, verbose, bar, running: Vec::new(), printed: 0 }
    }

    /// Prints the summary.
    pub fn summarise(&self, summary: &Summary) {
        self.bar.finish_and_clear();
        let tally = summary.tally();
        let mut parts = vec![format!("{} passed", tally.passed).green().to_string()];
        if tally.failed > 0 {
            parts.push(format!("{} failed", tally.failed).red().bold().to_string());
        }
        if tally.skipped > 0 {
            parts.push(format!("{} skipped", tally.skipped).yellow().to_string());
        }
        if tally.interrupted > 0 {
            parts.push(format!("{} interrupted", tally.interrupted).yellow().to_string());
        }
        if tally.not_run > 0 {
            parts.push(format!("{} not run", tally.not_run).yellow().to_string());
        }
        let on_clocks: Duration = summary.records.iter().map(|record| record.took).sum();
        self.printer.line(format_args!(
            "{} in {} ({} on the scenarios' clocks), seed {}",
            parts.join(", "),
            seconds(summary.took),
            span(round(on_clocks)),
            summary.seed.0
        ));
    }

    /// Prints every scenario that has ended and before which none is still to come.
    fn advance(&mut self, records: &[Record]) {
        while let Some(record) = records.get(self.printed) {
            let Some(outcome) = &record.outcome else { break };
            self.printed += 1;
            let text = self.scenario(record, outcome);
            self.bar.suspend(|| self.printer.line(text));
        }
    }

    fn scenario(&self, record: &Record, outcome: &Outcome) -> String {
        let mark = match outcome {
            Outcome::Passed => "✓".green().to_string(),
            Outcome::Failed(_) => "✗".red().bold().to_string(),
            Outcome::Skipped(_) | Outcome::Interrupted | Outcome::NotRun => "-".yellow().to_string(),
        };
        let times = match outcome {
            Outcome::Skipped(why) => format!("skipped: {why}"),
            Outcome::NotRun => "not run".to_owned(),
            Outcome::Interrupted => format!("interrupted after {}", span(round(record.took))),
            _ => format!("{} in {}", span(round(record.took)), seconds(record.wall)),
        };
        let mut lines = vec![format!("{mark} {} {}", record.plan.title, format!("({times})").dimmed())];
        if self.verbose {
            lines.extend(record.steps.iter().map(step));
        } else {
            lines.extend(record.steps.iter().filter_map(counted));
        }
        if let Outcome::Failed(failure) = outcome {
            lines.extend(explain(failure, self.printer.colours()));
        }
        lines.join("\n")
    }

    fn show_running(&self, records: &[Record]) {
        let names: Vec<_> = self
            .running
            .iter()
            .filter_map(|scenario| records.get(*scenario))
            .map(|record| &*record.plan.name)
            .collect();
        self.bar.set_message(names.join(", "));
    }
}

impl Report for Terminal<'_> {
    fn tell(&mut self, event: &Event, records: &[Record]) {
        match event {
            Event::ScenarioStarted { scenario } => {
                self.running.push(*scenario);
                self.show_running(records);
            }
            Event::ScenarioFinished { scenario, .. } => {
                self.running.retain(|running| running != scenario);
                self.bar.inc(1);
                self.show_running(records);
                self.advance(records);
            }
            Event::StepStarted { .. } | Event::StepFinished { .. } => {}
        }
    }
}

fn step(record: &StepRecord) -> String {
    let mark = if record.passed { "✓".green().to_string() } else { "✗".red().to_string() };
    let at = format!("+{}", span(round(record.at)));
    let took = if record.took < Duration::from_millis(1) {
        String::new()
    } else {
        format!(" ({})", span(round(record.took))).dimmed().to_string()
    };
    let mut text = format!("    {at:>9} {mark} {}{took}", record.title);
    for line in record.output.iter().flat_map(|output| output.text.lines()) {
        text.push_str("\n              | ");
        text.push_str(line);
    }
    text
}

/// What a step has counted is worth a line in any case.
fn counted(record: &StepRecord) -> Option<String> {
    let output = record.output.as_ref().filter(|output| output.counters.is_some())?;
    Some(format!("    {}: {}", record.title, output.text))
}

/// A failure in full: what, where, and everything that helps to find out why.
pub fn explain(failure: &Failure, colours: bool) -> Vec<String> {
    let mut lines = Vec::new();
    match &failure.place {
        Some(place) => {
            let problem = Problem::at(&place.file, place.span.clone(), failure.message.clone())
                .label(failure.step.as_ref().map_or_else(|| "this scenario".to_owned(), |step| format!("`{step}`")));
            lines.extend(problem.render(colours).trim_end().lines().map(|line| format!("  {line}")));
        }
        None => lines.push(format!("    {}", failure.message.red())),
    }
    for section in &failure.sections {
        lines.push(format!("    {}", section.title.bold()));
        lines.extend(section.lines.iter().map(|line| match line.as_bytes().first() {
            Some(b'-') => format!("      {}", line.red()),
            Some(b'+') => format!("      {}", line.green()),
            _ => format!("      {line}"),
        }));
    }
    lines
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// Milliseconds are what people read.
fn round(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
