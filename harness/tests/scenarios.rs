//! Every scenario of `/scenarios` is one test, by its title: `cargo test --test scenarios -- ubuntu`. So is every whole
//! scenario in the guide.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
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

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut trials = trials(&root.join("scenarios"));
    match examples(&root.join("docs/guide/scenarios.md")) {
        Ok(directory) => trials.extend(self::trials(directory.path())),
        Err(error) => trials.push(Trial::test("the guide's scenarios can be read", move || Err(error.into()))),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(directory: &Path) -> Vec<Trial> {
    match load(&[directory.to_owned()], &slipway::cli::commands::vocabulary()) {
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

fn trial(plan: Plan) -> Trial {
    let title = plan.title.clone();
    Trial::test(title, move || {
        let options = Options {
            specs: spec::built_in().unwrap_or_default().into(),
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
