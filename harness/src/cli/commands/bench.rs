//! `slipway bench`: scale runs, with their progress while they go on and their figures at the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::Failure;
use crate::bench::{self, BenchError, Idle, Memory, Phase, Progress, Rest, Resting};
use crate::cli::bench::{Bench, BenchOutput, BenchSettings};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::runner::report::indicators::{Against, table};
use crate::scenario::model::Time;
use crate::sim::clock::epoch;
use crate::sli::amount::amount;
use crate::sli::session::{Session, together};
use crate::sli::spec;
use crate::sli::summary as sli;

/// In how many steps progress is told where there is no terminal to draw on.
const STEPS: usize = 10;

/// Runs a scale run.
///
/// # Errors
/// [`Failure`] when the run cannot be made, or its indicators cannot be written.
pub fn bench(settings: &BenchSettings, printer: &Printer) -> Result<Exit, Failure> {
    let started = epoch(false);
    let show = Show::on(printer);
    let listener = |progress: Progress<'_>| show.hear(progress);
    let (name, mut tags, done) = match &settings.run {
        Bench::Multinic(load) => ("multinic", tags(load), bench::multinic(*load, &listener)),
        Bench::Drain(load, mechanisms) => {
            let mut tags = tags(load);
            tags.insert("nodes".to_owned(), load.nodes.to_string());
            tags.insert("mechanisms".to_owned(), mechanisms.as_str().to_owned());
            ("drain", tags, bench::drain(*load, *mechanisms, &listener))
        }
        Bench::Idle { load, memory_max } => {
            let tags = BTreeMap::from([
                ("nodes".to_owned(), load.nodes.to_string()),
                ("pods".to_owned(), load.pods.to_string()),
                ("seed".to_owned(), load.seed.to_string()),
            ]);
            return match bench::idle(load, &listener) {
                Ok(idle) => {
                    let session = idle.process.as_ref().map_or(&idle.quiet.session, |process| &process.rest.session);
                    write(&settings.output, "idle", tags, session, started, printer)?;
                    let (lines, exit) = judge(&idle, *memory_max);
                    for line in lines {
                        printer.line(line);
                    }
                    Ok(exit)
                }
                Err(error) => broken(error, printer),
            };
        }
    };
    let outcome = match done {
        Ok(outcome) => outcome,
        Err(error) => return broken(error, printer),
    };
    tags.insert("bench".to_owned(), name.to_owned());
    for line in phases(&outcome.phases) {
        printer.line(line);
    }
    printer.line("");
    let calls = bench::calls(&outcome.session);
    printer.line(format_args!("requests of the operator: {}", requests(&calls)));
    printer.line(format_args!("memory of this process, cluster and all: {}", held(outcome.memory)));
    printer.line("");
    write(&settings.output, name, tags, &outcome.session, started, printer)?;
    Ok(Exit::Passed)
}

/// What did not come to its end has failed; what could not begin is the environment's.
fn broken(error: BenchError, printer: &Printer) -> Result<Exit, Failure> {
    match error {
        BenchError::Runtime(_) | BenchError::Stage(_) | BenchError::Process { .. } => {
            Err(Failure::Environment { what: "cannot run the bench".to_owned(), source: error.into() })
        }
        BenchError::Refused { .. }
        | BenchError::Failed { .. }
        | BenchError::Stuck { .. }
        | BenchError::Watch { .. }
        | BenchError::Operator(_)
        | BenchError::Metrics(_) => {
            printer.failure(&Failure::Input { what: "the run failed".to_owned(), source: Some(error.into()) });
            Ok(Exit::Failed)
        }
    }
}

fn tags(load: &bench::Load) -> BTreeMap<String, String> {
    let time = match load.time {
        Time::Virtual => "virtual",
        Time::Real => "real",
    };
    BTreeMap::from([
        ("size".to_owned(), load.objects.to_string()),
        ("at_once".to_owned(), load.at_once.to_string()),
        ("time".to_owned(), time.to_owned()),
        ("seed".to_owned(), load.seed.to_string()),
    ])
}

/// Writes and prints the indicators.
fn write(
    output: &BenchOutput,
    name: &str,
    mut tags: BTreeMap<String, String>,
    session: &Session,
    started_at: Timestamp,
    printer: &Printer,
) -> Result<(), Failure> {
    tags.insert("suite".to_owned(), format!("slipway-bench-{name}"));
    let specs = spec::built_in().map_err(|error| Failure::Input {
        what: "cannot read the indicators".to_owned(),
        source: Some(error.into()),
    })?;
    let config = sli::Config {
        run_id: format!("bench-{name}-{}", started_at.as_nanosecond()),
        started_at,
        finished_at: epoch(false),
        mode: sli::Mode { location: "outside", trigger: "none" },
        tags,
        format: "v4.4",
    };
    let summary = sli::Summary::new(config, together(&specs, &[session]));
    for line in table(&summary, Against::default(), printer.width()) {
        printer.line(line);
    }
    let written = match output {
        BenchOutput::Directory(directory) => sli::write(directory, &summary, name),
        BenchOutput::File(file) => sli::write_to(file, &summary).map(|()| file.clone()),
    };
    let path = written.map_err(|error| Failure::Environment {
        what: "cannot write the indicators".to_owned(),
        source: error.into(),
    })?;
    printer.line(format_args!("indicators in {}", path.display()));
    Ok(())
}

/// The phases as a table.
fn phases(phases: &[Phase]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<10} {:>8} {:>9} {:>9}  {:>9} {:>9} {:>9} {:>9} {:>9}",
        "phase", "objects", "took", "each s", "mean", "p50", "p95", "p99", "longest"
    )];
    for phase in phases {
        let seconds = |value: Option<f64>| value.map_or(String::new(), |value| amount(value, "seconds"));
        let latencies = &phase.latencies;
        lines.push(format!(
            "{:<10} {:>8} {:>9} {:>9.1}  {:>9} {:>9} {:>9} {:>9} {:>9}",
            phase.name,
            phase.objects,
            amount(phase.took.as_secs_f64(), "seconds"),
            phase.throughput(),
            seconds(latencies.mean()),
            seconds(latencies.quantile(0.5)),
            seconds(latencies.quantile(0.95)),
            seconds(latencies.quantile(0.99)),
            seconds(latencies.max()),
        ));
    }
    lines
}

/// What the operator did with nothing to do, and whether that is good.
fn judge(idle: &Idle, memory_max: u64) -> (Vec<String>, Exit) {
    let (mut lines, mut is_good) = (Vec::new(), true);
    let mut told = |what: &str, rest: &Rest| {
        let (lasted, took) = (amount(rest.lasted.as_secs_f64(), "seconds"), amount(rest.took.as_secs_f64(), "seconds"));
        lines.push(format!("{what}: {lasted} idle, which took {took}: {} writes", rest.writes()));
        lines.push(format!("  requests before: {}", requests(&rest.before)));
        lines.push(format!("  requests while idle: {}", requests(&rest.calls)));
        is_good &= rest.writes() == 0;
    };
    told("in virtual time", &idle.quiet);
    if let Some(process) = &idle.process {
        told("as a process", &process.rest);
    }
    match &idle.process {
        Some(Resting { memory, stopped_within, .. }) => {
            lines.push(format!("memory of the operator: {}; {} are allowed", held(*memory), megabytes(memory_max)));
            lines.push(format!("stopped within {}", amount(stopped_within.as_secs_f64(), "seconds")));
            is_good &= memory.highest <= memory_max;
        }
        None => lines.push("memory was not looked at: there is no program of the operator, see --operator".to_owned()),
    }
    (lines, if is_good { Exit::Passed } else { Exit::Failed })
}

fn requests(calls: &[bench::Calls]) -> String {
    if calls.is_empty() {
        return "none".to_owned();
    }
    let total: u64 = calls.iter().map(|(_, count)| count).sum();
    let each: Vec<String> =
        calls.iter().map(|((verb, resource), count)| format!("{count} {verb} {resource}")).collect();
    format!("{total} ({})", each.join(", "))
}

fn held(memory: Memory) -> String {
    format!("{}, {} at its highest", megabytes(memory.resident), megabytes(memory.highest))
}

#[expect(clippy::cast_precision_loss, reason = "no machine has 2⁵³ bytes")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Draws progress on a terminal, and tells it in steps elsewhere.
struct Show<'a> {
    printer: &'a Printer,
    bar: ProgressBar,
    phase: Mutex<(&'static str, usize)>,
}

impl<'a> Show<'a> {
    fn on(printer: &'a Printer) -> Self {
        let target = if printer.is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg:10} {bar:30} {pos}/{len} {per_sec} {elapsed}") {
            bar.set_style(style);
        }
        Self { printer, bar, phase: Mutex::default() }
    }

    fn hear(&self, progress: Progress<'_>) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Began { phase: name, objects } => {
                *phase = (name, objects);
                self.bar.reset();
                self.bar.set_length(u64::try_from(objects).unwrap_or(u64::MAX));
                self.bar.set_message(name);
            }
            Progress::Done(count) => {
                let (name, objects) = *phase;
                self.bar.set_position(u64::try_from(count).unwrap_or(u64::MAX));
                let step = objects.div_ceil(STEPS).max(1);
                if self.bar.is_hidden() && (count % step == 0 || count == objects) {
                    self.printer.note(format_args!("{name}: {count} of {objects}"));
                }
            }
            Progress::Ended(ended) => {
                self.bar.suspend(|| {
                    let (took, each) = (amount(ended.took.as_secs_f64(), "seconds"), ended.throughput());
                    self.printer.note(format_args!("{}: {} in {took}, {each:.1} a second", ended.name, ended.objects));
                });
            }
        }
    }
}

impl Drop for Show<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rest(calls: &[(&str, &str, u64)]) -> Rest {
        let calls = calls.iter().map(|(verb, resource, count)| (((*verb).to_owned(), (*resource).to_owned()), *count));
        Rest {
            lasted: Duration::from_hours(1),
            took: Duration::ZERO,
            before: Vec::new(),
            calls: calls.collect(),
            session: Session::default(),
        }
    }

    #[test]
    fn an_operator_that_writes_or_grows_while_idle_has_failed() {
        let process = |megabytes: u64| Resting {
            rest: rest(&[]),
            memory: Memory { resident: megabytes * 1_000_000, highest: megabytes * 1_000_000 },
            stopped_within: Duration::ZERO,
        };
        for (calls, process, expected) in [
            (vec![], None, Exit::Passed),
            (vec![("watch", "pods", 4)], Some(process(80)), Exit::Passed),
            (vec![("patch", "pods", 1)], None, Exit::Failed),
            (vec![], Some(process(81)), Exit::Failed),
        ] {
            let idle = Idle { quiet: rest(&calls), process };
            assert_eq!(judge(&idle, 80_000_000).1, expected, "{calls:?}");
        }
    }

    #[test]
    fn requests_are_told_one_by_one() {
        let calls = rest(&[("patch", "pods", 3), ("list", "nodes", 1)]).calls;
        assert_eq!(requests(&calls), "4 (3 patch pods, 1 list nodes)");
        assert_eq!(requests(&[]), "none");
    }
}
