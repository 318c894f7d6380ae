//! Every scenario of `/scenarios` is one test, by its title: `cargo test --test scenarios -- ubuntu`. So is every whole
//! scenario in the guide. With `SLIPWAY_K3S=1` each runs on k3s in a container too, as `k3s/…`; where there is none, or
//! nobody asked for it, these are counted as ignored.

#![expect(clippy::print_stdout, reason = "a test, although without the harness that says what is lacking")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::json;
use slipway::cli::cluster::PATIENCE;
use slipway::cli::commands::vocabulary;
use slipway::cluster::access::Provider;
use slipway::cluster::k3s::{self, K3s, image};
use slipway::event::{Event, Outcome};
use slipway::runner::report::terminal::explain;
use slipway::runner::report::{Record, Report};
use slipway::runner::{self, Options};
use slipway::scenario::load::load;
use slipway::scenario::model::Time;
use slipway::scenario::plan::Plan;
use slipway::sim::seed::{RunId, RunSeed};
use slipway::sli::spec;
use slipway::target::{BuiltIn, OnCluster, Outside, Placed, Stage};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// One seed for all, so that a test that fails fails again.
const SEED: RunSeed = RunSeed(0);

/// Scenarios that are run by polling as well: each way of a controller once. Those that last for hours are not among them:
/// asking all the time takes the machine's time even where the clock is virtual.
const POLLED: [&str; 27] = [
    "hello/a-deleted-object-waits-for-its-cleanup",
    "hello/what-cannot-be-said",
    "multinic/control-plane-node",
    "multinic/delete-and-recreate-at-once",
    "multinic/delete-cleans-the-node-up",
    "multinic/one-bad-mac-of-three",
    "multinic/restart-in-the-middle-of-a-job",
    "multinic/spec-change-is-applied",
    "multinic/three-interfaces-on-ubuntu",
    "drain/a-bad-first-configuration-holds-nobody",
    "drain/a-changed-configuration-counts-for-pods-that-drain",
    "drain/a-namespace-that-is-excluded-lets-its-pods-go",
    "drain/a-pod-that-is-no-longer-selected-is-let-go",
    "drain/daemonset-pods-leave-all-at-once",
    "drain/deployment-respects-its-budget",
    "drain/ended-pods-are-never-held",
    "drain/finalizer-keeps-an-evicted-pod-until-it-has-ended",
    "drain/gate-holds-an-eviction-until-the-connections-are-gone",
    "drain/gate-holds-only-the-evictors-that-are-configured",
    "drain/gate-leaves-unselected-pods-alone",
    "drain/gate-lets-administrators-drain-nodes",
    "drain/gate-lets-forced-evictions-pass",
    "drain/gate-lets-through-at-the-deadline",
    "drain/gate-that-is-down-lets-evictions-pass",
    "drain/idle-pod-is-let-go-at-once",
    "drain/restart-in-the-middle-of-a-drain",
    "drain/uninstall-lets-every-pod-go",
];

/// Shorter than what scenarios allow for.
const POLL_INTERVAL: &str = "200ms";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut trials = trials(&root.join("scenarios"));
    trials.extend(polling(&root.join("scenarios")));
    match examples(&root.join("docs/guide/scenarios.md")) {
        Ok(directory) => trials.extend(self::trials(directory.path())),
        Err(error) => trials.push(Trial::test("the guide's scenarios can be read", move || Err(error.into()))),
    }
    let k3s = if arguments.list { Err("nothing is run".to_owned()) } else { start_k3s() };
    trials.extend(on_k3s(&root.join("scenarios"), k3s.as_ref().map(|(k3s, _)| k3s)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Ok((k3s, runtime)) = k3s
        && let Err(error) = runtime.block_on(Box::new(k3s).stop())
    {
        println!("k3s cannot be removed: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// k3s for all scenarios, or what is lacking for it.
fn start_k3s() -> Result<(K3s, Runtime), String> {
    if std::env::var_os("SLIPWAY_K3S").is_none_or(|wanted| wanted != "1") {
        return Err("SLIPWAY_K3S=1 is not set".to_owned());
    }
    let image = std::env::var("SLIPWAY_K3S_IMAGE").unwrap_or_else(|_| image::DEFAULT.to_owned());
    let settings = k3s::Settings {
        image: image.parse().map_err(|error: image::NotAnImage| error.to_string())?,
        mode: k3s::Wanted::Exactly(k3s::Mode::ControlPlane),
        archives: Vec::new(),
        build: false,
        port: 0,
        engine: std::env::var("DOCKER_HOST").ok(),
        patience: Duration::from_mins(3),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let (run, nobody) = (RunId::random(), CancellationToken::new());
    let started = runtime.block_on(k3s::start(&settings, &run, &nobody, &|text| println!("{text}")));
    started.map(|k3s| (k3s, runtime)).map_err(|error| error.to_string())
}

/// The same scenarios on k3s, one at a time: they share it.
fn on_k3s(directory: &Path, k3s: Result<&K3s, &String>) -> Vec<Trial> {
    // What is wrong with the files has been said already.
    let plans = load(&[directory.to_owned()], &vocabulary()).map(|suite| suite.plans).unwrap_or_default();
    let stage = match k3s {
        Ok(k3s) => Some(Arc::new(OnCluster::new(k3s.access(), RunId::random(), Placed::InProcess)) as Arc<dyn Stage>),
        Err(lacking) => {
            println!("skipped {} scenarios on k3s: {lacking}", plans.len());
            None
        }
    };
    let turn = Arc::new(Mutex::new(()));
    let trials = plans.into_iter().map(|mut plan| {
        plan.be_patient(PATIENCE);
        let (title, stage, turn) = (format!("k3s/{}", plan.title), stage.clone(), Arc::clone(&turn));
        let lacking = stage.is_none();
        let trial = Trial::ignorable_test(title, move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            match stage.map(|stage| outcome(plan, &stage, Some(Time::Real))) {
                Some(Some(Outcome::Skipped(why))) => Ok(Completion::ignored_with(why)),
                Some(outcome) => passed(outcome).map(|()| Completion::Completed),
                None => Ok(Completion::ignored()),
            }
        });
        trial.with_ignored_flag(lacking)
    });
    trials.collect()
}

fn trials(directory: &Path) -> Vec<Trial> {
    match load(&[directory.to_owned()], &vocabulary()) {
        Ok(suite) => suite.plans.into_iter().map(trial).collect(),
        Err(problems) => {
            let text: String = problems.iter().map(|problem| problem.render(false)).collect();
            vec![Trial::test("scenarios can be read", move || Err(Failed::from(text)))]
        }
    }
}

/// The whole scenarios of a page, as files.
fn examples(page: &Path) -> io::Result<TempDir> {
    let (directory, text) = (TempDir::new()?, fs::read_to_string(page)?);
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    for (number, block) in blocks.filter(|block| block.contains("\nsteps:")).enumerate() {
        fs::write(directory.path().join(format!("guide-{number}.yaml")), block)?;
    }
    Ok(directory)
}

/// The same scenarios with an operator that asks instead of being told: it comes to the same, only later.
fn polling(directory: &Path) -> Vec<Trial> {
    // What is wrong with the files has been said already.
    let plans = load(&[directory.to_owned()], &vocabulary()).map(|suite| suite.plans).unwrap_or_default();
    let mut plans: BTreeMap<String, Plan> = plans.into_iter().map(|plan| (plan.title.clone(), plan)).collect();
    let mut polling = |title: &str| {
        let mut plan = plans.remove(title)?;
        let source = json!({ "poll": { "interval": POLL_INTERVAL } });
        plan.operator.as_mut()?.built_in_mut()?.settings.insert("source".to_owned(), source);
        plan.title.push_str(" (polling)");
        Some(trial(plan))
    };
    let gone = |title| Trial::test(title, || Err(Failed::from("there is no such scenario with an operator")));
    POLLED.into_iter().map(|title| polling(title).unwrap_or_else(|| gone(title))).collect()
}

fn trial(plan: Plan) -> Trial {
    Trial::test(plan.title.clone(), move || {
        let stage: Arc<dyn Stage> = Arc::new(BuiltIn);
        passed(outcome(plan, &stage, None))
    })
}

fn outcome(plan: Plan, stage: &Arc<dyn Stage>, time: Option<Time>) -> Option<Outcome> {
    let options = Options {
        specs: spec::built_in().unwrap_or_default().into(),
        endpoint: None,
        witness: false,
        jobs: NonZeroUsize::MIN,
        fail_fast: false,
        seed: SEED,
        time,
        wall_clock_limit: Duration::from_mins(2),
        interrupt: CancellationToken::new(),
        outside: Arc::new(Outside { environment: std::env::vars_os().collect(), logs: None }),
    };
    let summary = runner::run(vec![plan], stage, &options, &mut Silent);
    summary.records.into_iter().next().and_then(|record| record.outcome)
}

fn passed(outcome: Option<Outcome>) -> Result<(), Failed> {
    match outcome {
        Some(Outcome::Passed) => Ok(()),
        Some(Outcome::Failed(failure)) => Err(Failed::from(explain(&failure, false).join("\n"))),
        other => Err(Failed::from(format!("it ended as {other:?}"))),
    }
}

/// The test harness reports.
struct Silent;

impl Report for Silent {
    fn tell(&mut self, _: &Event, _: &[Record]) {}
}
