//! Owns a run's state. Every scenario runs on a thread of its own; what they tell comes in by one channel, and goes on
//! to the reports as if the scenarios had run one after the other, in the order of their titles.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::executor::{Assignment, Ending, Progress, execute};
use super::report::{Record, Report, Summary};
use super::span;
use crate::event::{Event, Failure, Outcome};
use crate::scenario::model::Time;
use crate::scenario::plan::Plan;
use crate::sim::clock::Stopwatch;
use crate::sim::seed::RunSeed;
use crate::sli::scrape::Endpoint;
use crate::sli::spec::Spec;
use crate::target::{Outside, Stage};

/// How long a scenario that was told to end may take before it is left behind: its thread is spinning without ever
/// giving way.
const GRACE: Duration = Duration::from_secs(3);

/// Scenario threads run deep recursions (parsers, schema checks) in debug builds too.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// How a run is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many scenarios run at once.
    pub jobs: NonZeroUsize,
    /// Start nothing after the first failure.
    pub fail_fast: bool,
    /// The seed everything is derived from.
    pub seed: RunSeed,
    /// The clock of every scenario, where it is not the scenario's own choice.
    pub time: Option<Time>,
    /// How long a scenario may take on the machine's clock, unless it lives by that clock and asks for more.
    pub wall_clock_limit: Duration,
    /// What programs of this machine have of the run.
    pub outside: Arc<Outside>,
    /// What is measured.
    pub specs: Arc<[Spec]>,
    /// Where an operator elsewhere tells its metrics, for scenarios that bring none.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Whether to look at what each scenario leaves.
    pub witness: bool,
    /// Ends the run early: what runs is cut short, what has not begun does not begin.
    pub interrupt: CancellationToken,
}

/// What scenario threads and the watcher of signals tell.
enum Message {
    Progress(usize, Progress),
    Ended(usize, Box<Ending>),
    Interrupted,
}

/// A scenario that is running.
struct Running {
    watch: Stopwatch,
    cancel: CancellationToken,
    limit: Duration,
    /// How long putting its cluster away may take.
    farewell: Duration,
    /// Set once it was told to end because it took too long.
    overdue: bool,
}

impl Running {
    fn limit(&self) -> Duration {
        if self.overdue { self.limit.saturating_add(GRACE).saturating_add(self.farewell) } else { self.limit }
    }
}

/// Runs scenarios and tells the report what happens. Returns what became of each, in the order they were given.
pub fn run(plans: Vec<Plan>, stage: &Arc<dyn Stage>, options: &Options, report: &mut dyn Report) -> Summary {
    let watch = Stopwatch::start();
    let (sender, receiver) = channel();
    let listening = listen(options.interrupt.clone(), sender.clone());
    let mut dispatcher = Dispatcher {
        plans: plans.into_iter().map(Arc::new).collect(),
        stage: Arc::clone(stage),
        options,
        report,
        sender,
        waiting: VecDeque::new(),
        running: BTreeMap::new(),
        records: Vec::new(),
        interrupted: false,
    };
    dispatcher.run(&receiver);
    listening.cancel();
    Summary {
        seed: options.seed,
        interrupted: dispatcher.interrupted,
        took: watch.elapsed(),
        records: dispatcher.records,
    }
}

/// Passes an interrupt on to the dispatcher's channel. Ends when the token it returns is cancelled.
fn listen(interrupt: CancellationToken, sender: Sender<Message>) -> CancellationToken {
    let done = CancellationToken::new();
    let finished = done.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        // Without a runtime the run cannot be interrupted, but it can be done.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            tokio::select! {
                () = interrupt.cancelled() => drop(sender.send(Message::Interrupted)),
                () = finished.cancelled() => {}
            }
        });
    });
    done
}

struct Dispatcher<'a> {
    plans: Vec<Arc<Plan>>,
    stage: Arc<dyn Stage>,
    options: &'a Options,
    report: &'a mut dyn Report,
    sender: Sender<Message>,
    waiting: VecDeque<usize>,
    running: BTreeMap<usize, Running>,
    records: Vec<Record>,
    interrupted: bool,
}

impl Dispatcher<'_> {
    fn run(&mut self, receiver: &Receiver<Message>) {
        self.waiting = (0..self.plans.len()).collect();
        self.records = self.plans.iter().map(|plan| Record::new(Arc::clone(plan), self.seed_of(plan))).collect();
        loop {
            self.fill();
            if self.running.is_empty() {
                break;
            }
            match receiver.recv_timeout(self.until_next_deadline()) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.look_for_overdue(),
                // We hold a sender ourselves.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        while let Some(scenario) = self.waiting.pop_front() {
            self.finish(scenario, Outcome::NotRun, Duration::ZERO);
        }
    }

    fn seed_of(&self, plan: &Plan) -> u64 {
        plan.seed.unwrap_or_else(|| self.options.seed.of(&plan.name))
    }

    /// Starts scenarios until every job has one.
    fn fill(&mut self) {
        let failed = self.records.iter().any(|record| matches!(record.outcome, Some(Outcome::Failed(_))));
        let stop = self.interrupted || (self.options.fail_fast && failed);
        while !stop && self.running.len() < self.options.jobs.get() {
            let Some(scenario) = self.waiting.pop_front() else { return };
            self.start(scenario);
        }
    }

    fn start(&mut self, scenario: usize) {
        let plan = Arc::clone(&self.plans[scenario]);
        let cancel = CancellationToken::new();
        let assignment = Assignment {
            seed: self.seed_of(&plan),
            time: self.options.time.unwrap_or(plan.time),
            stage: Arc::clone(&self.stage),
            cancel: cancel.clone(),
            outside: Arc::clone(&self.options.outside),
            specs: Arc::clone(&self.options.specs),
            endpoint: self.options.endpoint.clone(),
            witness: self.options.witness,
            plan,
        };
        let limit = self.limit_of(&assignment.plan);
        let farewell = self.stage.farewell();
        let sender = self.sender.clone();
        let progress = self.sender.clone();
        let thread = std::thread::Builder::new().name(assignment.plan.name.clone()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            // Nobody listens any more once the run is over.
            let ending = execute(&assignment, |what| drop(progress.send(Message::Progress(scenario, what))));
            drop(sender.send(Message::Ended(scenario, Box::new(ending))));
        });
        self.tell(&Event::ScenarioStarted { scenario });
        self.running.insert(scenario, Running { watch: Stopwatch::start(), cancel, limit, farewell, overdue: false });
        if let Err(error) = spawned {
            let failure = Failure::new(format!("cannot start a thread: {error}"));
            self.finish(scenario, Outcome::Failed(Box::new(failure)), Duration::ZERO);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Progress(scenario, _) if !self.running.contains_key(&scenario) => {}
            Message::Progress(scenario, Progress::StepStarted { step, at }) => {
                self.tell(&Event::StepStarted { scenario, step, at });
            }
            Message::Progress(scenario, Progress::StepFinished(record)) => {
                self.records[scenario].steps.push(record.clone());
                self.tell(&Event::StepFinished { scenario, record });
            }
            Message::Ended(scenario, ending) => {
                let Some(running) = self.running.get(&scenario) else { return };
                let outcome = match ending.outcome {
                    Outcome::Interrupted if running.overdue => self.overdue(scenario, ""),
                    outcome => outcome,
                };
                self.records[scenario].session = ending.session;
                self.records[scenario].witness = ending.witness;
                self.finish(scenario, outcome, ending.took);
            }
            Message::Interrupted => {
                self.interrupted = true;
                for running in self.running.values() {
                    running.cancel.cancel();
                }
            }
        }
    }

    /// How long a scenario may take on the machine's clock. One that lives by that clock may take what it asks for.
    fn limit_of(&self, plan: &Plan) -> Duration {
        let limit = self.options.wall_clock_limit;
        match self.options.time.unwrap_or(plan.time) {
            Time::Virtual => limit,
            Time::Real => limit.max(plan.timeout),
        }
    }

    fn until_next_deadline(&self) -> Duration {
        let remaining = self.running.values().map(|running| running.limit().saturating_sub(running.watch.elapsed()));
        remaining.min().unwrap_or(GRACE)
    }

    /// Tells scenarios that take too long to end, and leaves those behind that do not.
    fn look_for_overdue(&mut self) {
        let late: Vec<usize> = self
            .running
            .iter()
            .filter(|(_, running)| running.watch.elapsed() >= running.limit())
            .map(|(scenario, _)| *scenario)
            .collect();
        for scenario in late {
            let Some(running) = self.running.get_mut(&scenario) else { continue };
            if running.overdue {
                let outcome = self.overdue(scenario, "; it never gave way, its thread was left behind");
                self.finish(scenario, outcome, Duration::ZERO);
            } else {
                running.overdue = true;
                running.cancel.cancel();
            }
        }
    }

    fn overdue(&self, scenario: usize, more: &str) -> Outcome {
        let limit = span(self.limit_of(&self.plans[scenario]));
        let message =
            format!("the scenario took longer than {limit} on the machine's own clock: something spins{more}");
        let mut failure = Failure::new(message);
        failure.place = Some(self.plans[scenario].place.clone());
        Outcome::Failed(Box::new(failure))
    }

    fn finish(&mut self, scenario: usize, outcome: Outcome, took: Duration) {
        let wall = self.running.remove(&scenario).map(|running| running.watch.elapsed()).unwrap_or_default();
        let record = &mut self.records[scenario];
        record.outcome = Some(outcome.clone());
        record.took = took;
        record.wall = wall;
        self.tell(&Event::ScenarioFinished { scenario, outcome, took });
    }

    fn tell(&mut self, event: &Event) {
        self.report.tell(event, &self.records);
    }
}
