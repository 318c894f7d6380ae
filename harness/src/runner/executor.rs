//! Runs one scenario on its own cluster, step by step. It owns nothing of the run: it says what happened, and how it
//! ended.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::capture::{self, Log};
use super::chronicle::Chronicle;
use super::measuring::Measuring;
use super::scene::Scene;
use super::trouble::Trouble;
use super::{chain, span};
use crate::event::{Failure, Outcome, Section, StepRecord};
use crate::parity::Witness;
use crate::scenario::model::Time;
use crate::scenario::plan::{Plan, Step};
use crate::sim::clock::{ScenarioClock, epoch};
use crate::sli::scrape::Endpoint;
use crate::sli::session::Session;
use crate::sli::spec::Spec;
use crate::target::{Outside, RaiseError, Raised, Remains, Stage, Terms};

/// As many of the operator's log lines as a report shows.
const LOG_LINES: usize = 25;

/// How long a scenario looks on after its last step, so that what the last step caused is seen by `never`.
const AFTERMATH: Duration = Duration::from_millis(1);

/// What the executor tells while it runs.
#[derive(Debug)]
pub(super) enum Progress {
    /// A step began.
    StepStarted {
        /// Which.
        step: usize,
        /// When.
        at: Duration,
    },
    /// A step ended.
    StepFinished(StepRecord),
}

/// What is decided about a scenario from outside.
pub(super) struct Assignment {
    /// The scenario.
    pub(super) plan: Arc<Plan>,
    /// Its seed.
    pub(super) seed: u64,
    /// Its clock.
    pub(super) time: Time,
    /// Where its cluster comes from.
    pub(super) stage: Arc<dyn Stage>,
    /// Cut it short.
    pub(super) cancel: CancellationToken,
    /// What its programs have of the run.
    pub(super) outside: Arc<Outside>,
    /// What is measured.
    pub(super) specs: Arc<[Spec]>,
    /// Where an operator elsewhere tells its metrics.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// Whether to look at what it leaves.
    pub(super) witness: bool,
}

/// How a scenario ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// How.
    pub(super) outcome: Outcome,
    /// How long it took on its clock.
    pub(super) took: Duration,
    /// What was measured; none where it did not begin.
    pub(super) session: Option<Session>,
    /// What it left; none where nobody looked.
    pub(super) witness: Option<Witness>,
}

/// Runs a scenario on this thread. A panic in it is a failure with the panic's message.
pub(super) fn execute(assignment: &Assignment, tell: impl Fn(Progress) + Send + Sync) -> Ending {
    capture::listen_to_panics();
    let run = std::panic::AssertUnwindSafe(|| {
        let is_virtual = assignment.time == Time::Virtual;
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(is_virtual);
        match builder.build() {
            Ok(runtime) => {
                let ending = runtime.block_on(perform(assignment, &tell));
                // Whatever still waits for something is not worth waiting for.
                runtime.shutdown_background();
                ending
            }
            Err(error) => failed(Failure::new(format!("cannot make a runtime: {error}")), Duration::ZERO),
        }
    });
    std::panic::catch_unwind(run).unwrap_or_else(|_| {
        let mut failure = Failure::new("the scenario panicked: this is a bug");
        failure.sections.extend(Section::new("panics", capture::panics()));
        let outcome = Outcome::Failed(Box::new(failure));
        // What it was about to put away is put away without it.
        let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(cleared(assignment, None, outcome)),
            Err(_) => outcome,
        };
        Ending { outcome, took: Duration::ZERO, session: None, witness: None }
    })
}

fn failed(failure: Failure, took: Duration) -> Ending {
    Ending { outcome: Outcome::Failed(Box::new(failure)), took, session: None, witness: None }
}

async fn perform(assignment: &Assignment, tell: &(impl Fn(Progress) + Send + Sync)) -> Ending {
    let plan = &*assignment.plan;
    let clock = ScenarioClock::start();
    let log = Log::default();
    let _guard = log.collect(clock);

    let terms = Terms {
        seed: assignment.seed,
        epoch: epoch(assignment.time == Time::Virtual),
        time: assignment.time,
        clock,
        outside: Arc::clone(&assignment.outside),
    };
    let raised = tokio::select! {
        raised = assignment.stage.raise(plan, terms) => raised,
        () = assignment.cancel.cancelled() => {
            let outcome = cleared(assignment, None, Outcome::Interrupted).await;
            return Ending { outcome, took: clock.elapsed(), session: None, witness: None };
        }
    };
    let raised = match raised {
        Ok(raised) => raised,
        Err(RaiseError::NotHere(why)) => {
            return Ending { outcome: Outcome::Skipped(why), took: Duration::ZERO, session: None, witness: None };
        }
        Err(error) => {
            let mut failure = Failure::new(chain(&error));
            failure.place = Some(plan.place.clone());
            failure.sections.extend(Section::new("the log", log.tail(LOG_LINES)));
            let outcome = cleared(assignment, None, Outcome::Failed(Box::new(failure))).await;
            return Ending { outcome, took: clock.elapsed(), session: None, witness: None };
        }
    };
    let chronicle = Chronicle::begin(&raised.cluster.client(), clock);
    let specs = Arc::clone(&assignment.specs);
    let mut measuring = Measuring::begin(&raised, specs, assignment.endpoint.as_ref()).await;
    let mut scene = Scene::new(plan, raised, assignment.outside.path());

    let mut took = None;
    let outcome = tokio::select! {
        biased;
        () = assignment.cancel.cancelled() => Outcome::Interrupted,
        ended = tokio::time::timeout(plan.timeout, steps(plan, &mut scene, &mut measuring, clock, tell)) => match ended {
            Ok(Ok(steps_took)) => {
                took = Some(steps_took);
                Outcome::Passed
            }
            Ok(Err((step, trouble))) => failure(plan, step, trouble, &Logs { scene: &scene, chronicle: &chronicle, log: &log }).await,
            Err(_) => {
                let trouble = Trouble::new(format!("the scenario took longer than {}", span(plan.timeout)));
                failure(plan, scene.current, trouble, &Logs { scene: &scene, chronicle: &chronicle, log: &log }).await
            }
        },
    };
    let took = took.unwrap_or_else(|| clock.elapsed());
    let seen = if assignment.witness { scene.witness().await } else { None };
    let outcome = cleared(assignment, Some(scene.end()), outcome).await;
    Ending { outcome, took, session: Some(measuring.finish()), witness: seen }
}

/// Lets the stage put away what it has raised. What it has to leave behind fails a scenario that was good until then.
async fn cleared(assignment: &Assignment, raised: Option<Raised>, outcome: Outcome) -> Outcome {
    let Err(Remains { message, lines }) = assignment.stage.clear(raised).await else { return outcome };
    let mut failure = match outcome {
        Outcome::Failed(failure) => *failure,
        _ => Failure { place: Some(assignment.plan.place.clone()), ..Failure::new(message.clone()) },
    };
    failure.sections.extend(Section::new(message, lines));
    Outcome::Failed(Box::new(failure))
}

/// Starts the operator and runs the steps in order, while every `never` that has no end looks on. Returns how long that
/// took, or in which step there was trouble; in none where the operator did not start.
async fn steps(
    plan: &Plan,
    scene: &mut Scene<'_>,
    measuring: &mut Measuring,
    clock: ScenarioClock,
    tell: &(impl Fn(Progress) + Send + Sync),
) -> Result<Duration, (Option<usize>, Trouble)> {
    let (violated, mut violations) = mpsc::unbounded_channel();
    let at_step = |(number, trouble)| (Some(number), trouble);
    scene.begin().await.map_err(|trouble| (None, trouble))?;
    for (number, step) in plan.steps.iter().enumerate() {
        let at = clock.elapsed();
        scene.current = Some(number);
        tell(Progress::StepStarted { step: number, at });
        let result = tokio::select! {
            biased;
            Some((guard, trouble)) = violations.recv() => Err((guard, during(trouble, step))),
            result = scene.perform(number, step, &violated) => result.map_err(|trouble| (number, trouble)),
        };
        let took = clock.elapsed().saturating_sub(at);
        measuring.ask().await;
        let (passed, output) = match &result {
            Ok(output) => (true, output.clone()),
            Err((guilty, _)) => (*guilty != number, None),
        };
        tell(Progress::StepFinished(StepRecord { step: number, title: step.title.clone(), at, took, passed, output }));
        result.map_err(at_step)?;
    }
    let took = clock.elapsed();
    // The guards see what the last step has caused before the scenario is declared good.
    tokio::select! {
        biased;
        Some(violation) = violations.recv() => return Err(at_step(violation)),
        lingered = scene.linger(AFTERMATH) => lingered.map_err(|trouble| (plan.steps.len().checked_sub(1), trouble))?,
    }
    match violations.try_recv() {
        Ok(violation) => Err(at_step(violation)),
        Err(_) => Ok(took),
    }
}

fn during(mut trouble: Trouble, step: &Step) -> Trouble {
    trouble.message = format!("{} (during the step `{}` at {})", trouble.message, step.title, step.place);
    trouble
}

/// Where to look for what may explain trouble.
struct Logs<'a> {
    scene: &'a Scene<'a>,
    chronicle: &'a Chronicle,
    log: &'a Log,
}

/// A step's trouble with everything around it that may explain it.
fn failure<'a>(
    plan: &'a Plan,
    step: Option<usize>,
    trouble: Trouble,
    logs: &'a Logs<'a>,
) -> LocalBoxFuture<'a, Outcome> {
    async move {
        let mut failure = Failure::new(trouble.message);
        let step = step.map(|step| &plan.steps[step]);
        failure.step = step.map(|step| step.title.clone());
        // Before the first step there is only the operator that could have made trouble.
        let operator = plan.operator.as_ref().filter(|_| step.is_none());
        failure.step = failure.step.or_else(|| operator.map(|_| "operator start".to_owned()));
        let place = step.map(|step| &step.place).or(operator.map(|operator| &operator.place));
        failure.place = Some(place.unwrap_or(&plan.place).clone());
        failure.sections = trouble.sections;
        // What has happened already but has not been looked at yet belongs to the report.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        failure.sections.extend(logs.chronicle.sections());
        failure.sections.extend(Section::new("the operator's log", logs.log.tail(LOG_LINES)));
        failure.sections.extend(Section::new("the operator's output", logs.scene.output(LOG_LINES)));
        failure.sections.extend(Section::new("panics", capture::panics()));
        Outcome::Failed(Box::new(failure))
    }
    .boxed_local()
}
