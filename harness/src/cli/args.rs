//! The arguments as they were typed. What they mean is decided in [`super::settings`].
//!
//! Environment variables are named here and nowhere else. It is one long file on purpose: what `--help` prints for all
//! commands is read and kept alike in one place.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::clean::CleanArgs;
use super::cluster::Fitting;
use super::gate::{GateSettings, GateUsageError};
use super::parity::ParityArgs;
use super::serve::ServeArgs;
use super::settings::ReferenceSettings;
use crate::remote::origin::{self, BaseUrlError};
use crate::scenario::node::Isolation;

/// Proves Kubernetes operators before they meet a cluster.
///
/// Exit codes: 0 passed; 1 a scenario failed; 2 bad input or usage, nothing was run; 3 the environment.
#[derive(Clone, Debug, Parser)]
#[command(name = "slipway", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run scenarios, each on a cluster of its own.
    Run(Box<RunArgs>),
    /// Run scenarios on the embedded cluster and on another one, and say where they differ.
    ///
    /// Exit codes: 0 they come to the same; 1 they differ, or none could be compared; 2 bad input or usage; 3 the
    /// environment.
    Parity(Box<ParityArgs>),
    /// Check scenario files without running them.
    Lint(LintArgs),
    /// Serve the embedded cluster on a loopback address until a signal arrives.
    Serve(ServeArgs),
    /// Judge a measurement by a policy and a baseline, as slint-gate does: `slipway gate --help`.
    #[command(disable_help_flag = true)]
    Gate(GateArgs),
    /// Measure the operator beside more objects than a scenario has.
    Bench(BenchArgs),
    /// Show and remove what runs that were killed have left on this machine, or on a cluster.
    Clean(CleanArgs),
    /// Fetch, verify, show or move the kube-slint reference that `slint/remote.yaml` pins.
    Slint(SlintArgs),
    /// Keep measurements of good runs to compare later ones with.
    Baseline(BaselineArgs),
    /// Write a policy to begin with, or one that fits what was measured.
    Policy(PolicyArgs),
    /// Print the JSON schema of a file format.
    Schema(SchemaArgs),
}

/// Arguments of `slipway run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Scenario files, and directories to search for `*.yaml` and `*.yml`.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Run only scenarios whose `file/name` contains this text; between slashes it is a regular expression (`/drain$/`).
    #[arg(long, short, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// The clusters that scenarios run on.
    #[command(flatten)]
    pub cluster: Fitting,
    /// How many scenarios run at once; one a core unless told otherwise, and one on a cluster that they share.
    #[arg(long, short, env = "SLIPWAY_JOBS", value_name = "N")]
    pub jobs: Option<usize>,
    /// Stop starting scenarios after the first failure.
    #[arg(long)]
    pub fail_fast: bool,
    /// Print every step with the time on the scenario's clock.
    #[arg(long, short)]
    pub verbose: bool,
    /// Name what would run, and run nothing.
    #[arg(long)]
    pub list: bool,
    /// Write a report: `junit=FILE` or `json=FILE`; may be given more than once.
    #[arg(long, value_name = "KIND=FILE")]
    pub report: Vec<String>,
    /// The seed of uids, generated names and jitter; printed by every run, so that the run can be repeated.
    #[arg(long, env = "SLIPWAY_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// Run every scenario on this clock, whatever the file says.
    #[arg(long, value_name = "CLOCK")]
    pub time: Option<TimeArg>,
    /// What the networks of simulated nodes are made of, whatever the files say: `netns` takes Linux, and root or the
    /// rights to make network namespaces.
    #[arg(long, env = "SLIPWAY_NODE_ISOLATION", value_name = "KIND")]
    pub node_isolation: Option<IsolationArg>,
    /// Where the run's indicators are written: `sli-summary.json`, and the same under the run's own name.
    #[arg(long, env = "SLIPWAY_ARTIFACTS", default_value = "artifacts", value_name = "DIR")]
    pub artifacts: PathBuf,
    /// Indicators to measure beside the built-in ones, a file of kind `SliSpecs`; may be given several times.
    #[arg(long, value_name = "FILE", conflicts_with = "no_sli")]
    pub specs: Vec<PathBuf>,
    /// Write no indicators, and print none.
    #[arg(long, conflicts_with = "gate")]
    pub no_sli: bool,
    /// Judge the indicators when all scenarios have passed; anything but a PASS or a WARN is a failure.
    #[arg(long)]
    pub gate: bool,
    /// The policy that the indicators are shown against, and judged by with `--gate`.
    #[arg(long, default_value = "slint/policy.yaml", value_name = "FILE")]
    pub policy: String,
    /// The measurement that they are compared with, and with `--gate` must not be worse than.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<String>,
    /// The kube-slint reference, whose base policy `--gate` lays its own over.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// Whom to ask for the reference's files; a run asks nobody unless told to.
    #[arg(long, env = "SLIPWAY_REMOTE", value_name = "WHOM")]
    pub remote: Option<RemoteMode>,
    /// Where an operator tells its metrics that no scenario brings: on loopback, or a Service of the cluster outside of
    /// kube-system and its like. Scenarios run one at a time then, whatever `--jobs` says: they share what is measured.
    #[arg(long, env = "SLIPWAY_METRICS_URL", value_name = "URL", conflicts_with = "no_sli")]
    pub metrics_url: Option<String>,
    /// A host that `--metrics-url` may name although it is neither; may be given more than once.
    #[arg(long, value_name = "HOST", requires = "metrics_url")]
    pub allow_metrics_host: Vec<String>,
    /// The file with the authorities that the operator's certificate is verified by; needed for https.
    #[arg(long, value_name = "FILE", requires = "metrics_url")]
    pub metrics_ca_file: Option<PathBuf>,
    /// The file with the token that the operator asks for; read again each time.
    #[arg(long, value_name = "FILE", requires = "metrics_url")]
    pub metrics_token_file: Option<PathBuf>,
    /// The service account, in the scenario's cluster, that the token is asked for.
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "metrics_url", conflicts_with = "metrics_token_file")]
    pub metrics_service_account: Option<String>,
    /// End a scenario that has taken this long on the machine's own clock, e.g. because it spins: seconds.
    #[arg(long, env = "SLIPWAY_WALL_CLOCK_LIMIT", default_value_t = 60, value_name = "SECONDS")]
    pub wall_clock_limit: u64,
}

/// The clock a scenario runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeArg {
    /// A clock that jumps to the next timer when nothing else is left to do.
    Virtual,
    /// The machine's clock.
    Real,
}

/// What the networks of simulated nodes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsolationArg {
    /// A table in this process that answers as Linux does.
    Simulated,
    /// A network namespace of this machine's kernel each, with real links.
    Netns,
}

impl From<IsolationArg> for Isolation {
    fn from(argument: IsolationArg) -> Self {
        match argument {
            IsolationArg::Simulated => Self::Simulated,
            IsolationArg::Netns => Self::Netns,
        }
    }
}

/// Arguments of `slipway lint`.
#[derive(Clone, Debug, clap::Args)]
pub struct LintArgs {
    /// Scenario files, and directories to search for `*.yaml` and `*.yml`.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Arguments of `slipway gate`.
#[derive(Clone, Debug, clap::Args)]
pub struct GateArgs {
    /// Flags, as slint-gate takes them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    pub flags: Vec<OsString>,
}

impl GateArgs {
    /// What they mean.
    ///
    /// # Errors
    /// See [`GateUsageError`].
    pub fn settings(&self) -> Result<GateSettings, GateUsageError> {
        GateSettings::parse(&self.flags, std::env::var_os("GITHUB_STEP_SUMMARY"), cache_home())
    }
}

/// Arguments of `slipway bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Which run.
    #[command(subcommand)]
    pub run: BenchRun,
}

/// The scale runs.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchRun {
    /// Configure, change and clean up the interfaces of many nodes.
    Multinic(ScaleArgs),
    /// Evict many Pods at once, as the autoscaler does.
    Drain {
        /// How the run is set up.
        #[command(flatten)]
        scale: ScaleArgs,
        /// How many nodes carry them.
        #[arg(long, default_value_t = 20, value_name = "N")]
        nodes: usize,
        /// What holds the Pods.
        #[arg(long, default_value = "both", value_name = "MECHANISM")]
        mechanism: MechanismArg,
    },
    /// Let the operator do nothing beside a large cluster, and look at what it writes and holds.
    ///
    /// It fails when anything is written, or more memory is held than allowed.
    Idle(IdleArgs),
}

/// Arguments of a scale run.
#[derive(Clone, Debug, clap::Args)]
pub struct ScaleArgs {
    /// How many objects there are.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub size: usize,
    /// How many requests of its own are under way at one time; all of them unless told otherwise.
    #[arg(long, value_name = "N")]
    pub at_once: Option<usize>,
    /// The clock: on the machine's it is fast or slow, on a virtual one only what waits takes time.
    #[arg(long, default_value = "real", value_name = "CLOCK")]
    pub time: TimeArg,
    /// What every run has.
    #[command(flatten)]
    pub common: BenchCommon,
}

/// Arguments of `slipway bench idle`.
#[derive(Clone, Debug, clap::Args)]
pub struct IdleArgs {
    /// How many nodes there are.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub nodes: usize,
    /// How many Pods there are.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    pub pods: usize,
    /// How much virtual time passes.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub quiet: String,
    /// The operator's program, whose memory is looked at; the one beside this program unless told otherwise, and none
    /// where there is none.
    #[arg(long, env = "SLIPWAY_OPERATOR", value_name = "FILE")]
    pub operator: Option<PathBuf>,
    /// How long its process runs before it counts as idle, and again as long after that.
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub settle: String,
    /// How much the process may hold at its highest, in megabytes of 10⁶ bytes.
    #[arg(long, default_value_t = 80, value_name = "MB")]
    pub memory_max: u64,
    /// What every run has.
    #[command(flatten)]
    pub common: BenchCommon,
}

/// What every run has.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchCommon {
    /// The seed of uids, generated names and jitter; fixed, so that runs can be compared.
    #[arg(long, env = "SLIPWAY_SEED", default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Where the run's indicators are written: `sli-summary.json`, and the same under the run's own name.
    #[arg(long, env = "SLIPWAY_ARTIFACTS", default_value = "artifacts", value_name = "DIR")]
    pub artifacts: PathBuf,
    /// Write the indicators to this file instead, in place of what is there.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
}

/// What holds Pods that drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MechanismArg {
    /// The finalizer and the eviction gate.
    Both,
    /// The finalizer alone.
    Finalizer,
    /// The eviction gate alone.
    EvictionGate,
}

/// Where caches belong, as the XDG base directories have it.
fn cache_home() -> Option<OsString> {
    std::env::var_os("XDG_CACHE_HOME")
}

/// Where the reference is, and where its files are.
#[derive(Clone, Debug, clap::Args)]
pub struct ReferenceArgs {
    /// The file that pins the kube-slint reference [default: slint/remote.yaml].
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Where its files are kept [default: `$XDG_CACHE_HOME/slipway`, else `.slipway/cache`].
    #[arg(long, env = "SLIPWAY_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Where they are asked for: a mirror serves BASE/OWNER/NAME/COMMIT/PATH. Plain http is for this machine only.
    #[arg(long, env = "SLIPWAY_SLINT_BASE_URL", default_value = origin::RAW, value_name = "URL")]
    pub base_url: String,
}

impl ReferenceArgs {
    /// What they mean.
    ///
    /// # Errors
    /// When the base URL is none that may be asked.
    pub fn settings(self, mode: RemoteMode) -> Result<ReferenceSettings, BaseUrlError> {
        ReferenceSettings::new(self.reference, self.cache, &self.base_url, mode, cache_home())
    }
}

/// Arguments of `slipway slint`.
#[derive(Clone, Debug, clap::Args)]
pub struct SlintArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: SlintCommand,
}

/// What can be done with the reference.
#[derive(Clone, Debug, Subcommand)]
pub enum SlintCommand {
    /// Fetch its files, verify them and keep them by their hash.
    Fetch(FetchArgs),
    /// Check that every file is kept, has its hash, and is what it is used for; asks nobody.
    Verify(ReferenceArgs),
    /// Print the policy that holds in the end, each rule with where it was written.
    Show(ShowArgs),
    /// Move the reference to another release: look up its commit, hash its files, rewrite the file, print what changes.
    Update(UpdateArgs),
}

/// Arguments of `slipway slint fetch`.
#[derive(Clone, Debug, clap::Args)]
pub struct FetchArgs {
    /// The reference.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// `required`: what is cached does not do.
    #[arg(long, env = "SLIPWAY_REMOTE", default_value = "fetch", value_name = "WHOM")]
    pub remote: RemoteMode,
}

/// Arguments of `slipway slint show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// The reference.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// Whom to ask for its files.
    #[arg(long, env = "SLIPWAY_REMOTE", default_value = "cached", value_name = "WHOM")]
    pub remote: RemoteMode,
    /// Our policy, which is laid over the base [default: slint/policy.yaml].
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// Arguments of `slipway slint update`.
#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// The reference.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// The release to move to: a tag, or a full commit.
    #[arg(long, value_name = "REF")]
    pub to: String,
    /// Who is asked which commit a tag is. Plain http is for this machine only.
    #[arg(long, env = "SLIPWAY_SLINT_API_URL", default_value = origin::API, value_name = "URL")]
    pub api_url: String,
    /// Print what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Whom to ask for the files of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RemoteMode {
    /// The cache alone, and else what this program brings.
    Cached,
    /// The network first, then the cache, then what this program brings.
    Fetch,
    /// The network alone.
    Required,
}

/// Arguments of `slipway baseline`.
#[derive(Clone, Debug, clap::Args)]
pub struct BaselineArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BaselineCommand,
}

/// What can be done with baselines.
#[derive(Clone, Debug, Subcommand)]
pub enum BaselineCommand {
    /// Keep the measurement of a good run, or of several, to compare later ones with.
    ///
    /// It is judged by the policy first, without a comparison. Exit codes: 0 approved; 1 the verdict says no; 2 bad input; 3
    /// the environment.
    Approve(ApproveArgs),
    /// Show a measurement beside a baseline. Judges nothing.
    Diff(DiffArgs),
    /// Put several summaries together into one: medians, and beside them what each run measured. Likewise histograms
    /// (`sli-histograms.json`), of which nothing is lost.
    Merge(MergeArgs),
}

/// Arguments of `slipway baseline approve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ApproveArgs {
    /// What the baseline is called; its file is DIR/NAME.json.
    pub name: String,
    /// The measurement: a file or a directory of them; may be given more than once, for a baseline that knows its noise.
    #[arg(long, default_value = "artifacts/sli-summary.json", value_name = "PATH")]
    pub summary: Vec<PathBuf>,
    /// The policy; slint/policy.yaml or .slint/policy.yaml unless told otherwise. It is laid over the reference's base
    /// policy, as `slipway run --gate` does.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The kube-slint reference, where there is one.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// Whom to ask for the reference's files.
    #[arg(long, env = "SLIPWAY_REMOTE", default_value = "cached", value_name = "WHOM")]
    pub remote: RemoteMode,
    /// Where baselines are kept.
    #[arg(long, default_value = "slint/baselines", value_name = "DIR")]
    pub directory: PathBuf,
    /// Approve a WARN too.
    #[arg(long)]
    pub allow_warn: bool,
    /// Who approves; taken from the environment of a workflow or of git where it says so.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// The commit that was measured; taken from the environment of a workflow where it says so.
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
}

impl ApproveArgs {
    /// Who approves.
    pub fn by(&self) -> Option<String> {
        let known = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"];
        self.by.clone().or_else(|| environment(&known))
    }

    /// The commit that was measured.
    pub fn commit(&self) -> Option<String> {
        self.commit.clone().or_else(|| environment(&["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"]))
    }
}

/// The first of these variables that says something.
fn environment(names: &[&str]) -> Option<String> {
    names.iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.trim().is_empty())
}

/// Arguments of `slipway baseline diff`.
#[derive(Clone, Debug, clap::Args)]
pub struct DiffArgs {
    /// The baseline: a file or a directory of runs; may be given more than once.
    #[arg(long, required = true, value_name = "PATH")]
    pub baseline: Vec<PathBuf>,
    /// The measurement, likewise.
    #[arg(long, default_value = "artifacts/sli-summary.json", value_name = "PATH")]
    pub summary: Vec<PathBuf>,
}

/// Arguments of `slipway baseline merge`.
#[derive(Clone, Debug, clap::Args)]
pub struct MergeArgs {
    /// Summaries, and directories of them; or files of histograms.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where the one goes.
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

/// Arguments of `slipway policy`.
#[derive(Clone, Debug, clap::Args)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What can be done with policies.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// Write a policy to begin with, with what it means as comments.
    Init(InitArgs),
    /// Propose a policy from what good runs measured: the worst that was seen, and a margin.
    Recommend(RecommendArgs),
}

/// Arguments of `slipway policy init`.
#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// Where it goes.
    #[arg(long, short, default_value = "slint/policy.yaml", value_name = "FILE")]
    pub output: PathBuf,
    /// With everything that goes beyond slint-gate (slipway.policy.v1).
    #[arg(long)]
    pub extended: bool,
    /// Write over what is there.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `slipway policy recommend`.
#[derive(Clone, Debug, clap::Args)]
pub struct RecommendArgs {
    /// Summaries of good runs, and directories of them.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How much worse than the worst run is still good, in percent.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000), value_name = "PERCENT")]
    pub margin: u16,
    /// Where it goes; standard output unless told.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// In the schema that goes beyond slint-gate (slipway.policy.v1), with comparisons that know noise.
    #[arg(long)]
    pub extended: bool,
    /// Write over what is there.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `slipway schema`.
#[derive(Clone, Debug, clap::Args)]
pub struct SchemaArgs {
    /// Which format.
    pub kind: SchemaKind,
}

/// The formats that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// Scenario files.
    Scenario,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }
}
