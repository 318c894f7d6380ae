//! Every scenario of `/scenarios` is one test, by its title: `cargo test --test scenarios -- ubuntu`. So is every whole
//! scenario in the guide.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::json;
use slipway::cli::commands::vocabulary;
use slipway::event::{Event, Outcome};
use slipway::runner::report::terminal::explain;
use slipway::runner::report::{Record, Report};
use slipway::runner::{self, Options};
use slipway::scenario::load::load;
use slipway::scenario::plan::Plan;
use slipway::sim::seed::RunSeed;
use slipway::sli::spec;
use slipway::target::{BuiltIn, Stage};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// One seed for all, so that a test that fails fails again.
const SEED: RunSeed = RunSeed(0);

/// Scenarios that are run by polling as well: each way of a controller once. Those that last for hours are not among them:
/// asking all the time takes the machine's time even where the clock is virtual.
const POLLED: [&str; 14] = [
    "hello/a-deleted-object-waits-for-its-cleanup",
    "multinic/control-plane-node",
    "multinic/delete-and-recreate-at-once",
    "multinic/delete-cleans-the-node-up",
    "multinic/one-bad-mac-of-three",
    "multinic/restart-in-the-middle-of-a-job",
    "multinic/spec-change-is-applied",
    "multinic/three-interfaces-on-ubuntu",
    "drain/a-changed-configuration-counts-for-pods-that-drain",
    "drain/finalizer-keeps-an-evicted-pod-until-it-has-ended",
    "drain/gate-holds-an-eviction-until-the-connections-are-gone",
    "drain/gate-lets-through-at-the-deadline",
    "drain/idle-pod-is-let-go-at-once",
    "drain/restart-in-the-middle-of-a-drain",
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
    libtest_mimic::run(&arguments, trials).exit_code()
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
        plan.operator.as_mut()?.settings.insert("source".to_owned(), source);
        plan.title.push_str(" (polling)");
        Some(trial(plan))
    };
    let gone = |title| Trial::test(title, || Err(Failed::from("there is no such scenario with an operator")));
    POLLED.into_iter().map(|title| polling(title).unwrap_or_else(|| gone(title))).collect()
}

fn trial(plan: Plan) -> Trial {
    let title = plan.title.clone();
    Trial::test(title, move || {
        let options = Options {
            specs: spec::built_in().unwrap_or_default().into(),
            endpoint: None,
            jobs: NonZeroUsize::MIN,
            fail_fast: false,
            seed: SEED,
            time: None,
            wall_clock_limit: Duration::from_mins(2),
            interrupt: CancellationToken::new(),
            path: std::env::var_os("PATH"),
        };
        let stage: Arc<dyn Stage> = Arc::new(BuiltIn);
        let summary = runner::run(vec![plan], &stage, &options, &mut Silent);
        match summary.records.into_iter().next().and_then(|record| record.outcome) {
            Some(Outcome::Passed) => Ok(()),
            Some(Outcome::Failed(failure)) => Err(Failed::from(explain(&failure, false).join("\n"))),
            other => Err(Failed::from(format!("it ended as {other:?}"))),
        }
    })
}

/// The test harness reports.
struct Silent;

impl Report for Silent {
    fn tell(&mut self, _: &Event, _: &[Record]) {}
}
