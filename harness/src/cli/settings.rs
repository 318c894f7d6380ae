//! The arguments as they are meant: paths, patterns and limits that can be acted on without asking again.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

pub use super::args::RemoteMode;
use super::args::{
    BenchArgs, BenchCommon, BenchRun, IdleArgs, LintArgs, MechanismArg, RunArgs, ScaleArgs, SlintArgs, SlintCommand,
    TimeArg,
};
use super::cluster::{ClusterSettings, Fitting};
use super::gate::{ExitOn, GateSettings};
use crate::bench::{IdleLoad, Load, Mechanisms};
use crate::remote::origin::{BaseUrl, BaseUrlError};
use crate::remote::pin::{Revision, RevisionError};
use crate::remote::reference;
use crate::scenario::duration::{self, NotADuration};
use crate::scenario::model::Time;
use crate::scenario::node::Isolation;
use crate::sli::scrape::{Credentials, Endpoint, EndpointError, Scraper};
use crate::sli::summary;
use crate::target::{Outside, Placed};

/// Where, among what a run leaves behind, the operators' logs are.
const OPERATOR_LOGS: &str = "operator";

/// What is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A regular expression between slashes cannot be read.
    #[error("the filter {pattern} is not a regular expression")]
    Filter {
        /// The expression as typed.
        pattern: String,
        /// Why not.
        #[source]
        source: regex::Error,
    },
    /// A report is neither `junit=FILE` nor `json=FILE`.
    #[error("the report {0:?} is neither junit=FILE nor json=FILE")]
    Report(String),
    /// Nothing is asked for there.
    #[error(transparent)]
    BaseUrl(#[from] BaseUrlError),
    /// The reference cannot be moved to that.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// Of `slipway gate`.
    #[error(transparent)]
    Gate(#[from] super::gate::GateUsageError),
    /// The operator's metrics cannot be asked for.
    #[error(transparent)]
    Metrics(#[from] EndpointError),
    /// A service account without its namespace.
    #[error("the service account {0:?} is not NAMESPACE/NAME")]
    ServiceAccount(String),
    /// A cluster is compared with another one.
    #[error("say what to compare the embedded cluster with: --against kubeconfig, local or k3s")]
    AgainstItself,
    /// The cluster lives by the machine's clock.
    #[error("--time virtual goes with --cluster embedded: --cluster {0} lives by the machine's clock")]
    NoVirtualTime(&'static str),
    /// Nothing can run with no job.
    #[error("--jobs must be at least 1")]
    NoJobs,
    /// A scale run needs something to look after.
    #[error("--{0} must be at least 1")]
    Nothing(&'static str),
    /// A duration cannot be read.
    #[error(transparent)]
    Duration(#[from] NotADuration),
    /// The operator's program is not there.
    #[error("there is no operator at {}", .0.display())]
    NoOperator(PathBuf),
}

/// Settings of `slipway run`.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Which scenarios.
    pub filters: Vec<Filter>,
    /// What they run on.
    pub cluster: ClusterSettings,
    /// Where the built-in operator is, on clusters that are shared.
    pub operator: Placed,
    /// How many times as long steps may take there.
    pub patience: u32,
    /// How many at once.
    pub jobs: NonZeroUsize,
    /// Start nothing after the first failure.
    pub fail_fast: bool,
    /// Print steps.
    pub verbose: bool,
    /// Only name them.
    pub list: bool,
    /// Reports to write.
    pub reports: Vec<ReportFile>,
    /// The seed, where it is given.
    pub seed: Option<u64>,
    /// The clock, where it is given.
    pub time: Option<TimeArg>,
    /// What nodes' networks are made of, where it is given.
    pub isolation: Option<Isolation>,
    /// The limit on the machine's own clock.
    pub wall_clock_limit: Duration,
    /// What programs of this machine have of the run.
    pub outside: Outside,
    /// Files of further indicators.
    pub specs: Vec<PathBuf>,
    /// The policy they are shown against, where there is one.
    pub policy: String,
    /// The measurement they are compared with.
    pub baseline: Option<String>,
    /// Where indicators go; none where nobody wants them.
    pub artifacts: Option<PathBuf>,
    /// Where an operator elsewhere tells its metrics.
    pub endpoint: Option<Arc<Endpoint>>,
    /// How they are judged; none where they are not.
    pub gate: Option<GateSettings>,
    /// The reference they are judged by.
    pub reference: ReferenceSettings,
}

/// The kube-slint reference: its file, its cache, its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceSettings {
    /// The file.
    pub file: PathBuf,
    /// Whether it must be there: it was named, or the network is to be asked for what it says.
    pub is_wanted: bool,
    /// Where its files are kept.
    pub cache: PathBuf,
    /// Where they are asked for.
    pub base: BaseUrl,
    /// Whom to ask.
    pub mode: RemoteMode,
}

impl ReferenceSettings {
    /// Understands the arguments; `cache_home` is where the environment wants caches.
    ///
    /// # Errors
    /// When the base URL is none that may be asked.
    pub fn new(
        file: Option<PathBuf>,
        cache: Option<PathBuf>,
        base_url: &str,
        mode: RemoteMode,
        cache_home: Option<OsString>,
    ) -> Result<Self, BaseUrlError> {
        // What is no absolute path is to be ignored, says the standard.
        let home = cache_home.map(PathBuf::from).filter(|home| home.is_absolute());
        let usual = home.map_or_else(|| PathBuf::from(".slipway/cache"), |home| home.join("slipway"));
        Ok(Self {
            is_wanted: file.is_some() || mode != RemoteMode::Cached,
            file: file.unwrap_or_else(|| PathBuf::from(reference::FILE)),
            cache: cache.unwrap_or(usual),
            base: BaseUrl::parse(base_url)?,
            mode,
        })
    }
}

/// Settings of `slipway slint`.
#[derive(Clone, Debug)]
pub enum SlintSettings {
    /// Fetch its files.
    Fetch(ReferenceSettings),
    /// Check them.
    Verify(ReferenceSettings),
    /// Print the policy that holds.
    Show(ShowSettings),
    /// Move the reference.
    Update(UpdateSettings),
}

/// Settings of `slipway slint show`.
#[derive(Clone, Debug)]
pub struct ShowSettings {
    /// The reference.
    pub reference: ReferenceSettings,
    /// Our policy.
    pub policy: PathBuf,
    /// Whether it was named, and so must be there.
    pub is_named: bool,
}

/// Settings of `slipway slint update`.
#[derive(Clone, Debug)]
pub struct UpdateSettings {
    /// The reference.
    pub reference: ReferenceSettings,
    /// The release to move to.
    pub to: Revision,
    /// Who knows its commit.
    pub api: BaseUrl,
    /// Change nothing.
    pub dry_run: bool,
}

impl TryFrom<SlintArgs> for SlintSettings {
    type Error = UsageError;

    fn try_from(args: SlintArgs) -> Result<Self, UsageError> {
        Ok(match args.command {
            SlintCommand::Fetch(args) => Self::Fetch(args.reference.settings(args.remote)?),
            SlintCommand::Verify(args) => Self::Verify(args.settings(RemoteMode::Cached)?),
            SlintCommand::Show(args) => Self::Show(ShowSettings {
                reference: args.reference.settings(args.remote)?,
                is_named: args.policy.is_some(),
                policy: args.policy.unwrap_or_else(|| PathBuf::from("slint/policy.yaml")),
            }),
            SlintCommand::Update(args) => Self::Update(UpdateSettings {
                reference: args.reference.settings(RemoteMode::Fetch)?,
                to: args.to.parse()?,
                api: BaseUrl::parse(&args.api_url)?,
                dry_run: args.dry_run,
            }),
        })
    }
}

/// Settings of `slipway lint`.
#[derive(Clone, Debug)]
pub struct LintSettings {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
}

/// Settings of `slipway bench`.
#[derive(Clone, Debug)]
pub struct BenchSettings {
    /// Which run, and how large.
    pub run: Bench,
    /// Where indicators go.
    pub output: BenchOutput,
}

/// Where the indicators of a scale run go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BenchOutput {
    /// Under the run's own name and the usual one, into this directory.
    Directory(PathBuf),
    /// Into this file.
    File(PathBuf),
}

/// A scale run.
#[derive(Clone, Debug)]
pub enum Bench {
    /// Interfaces of nodes.
    Multinic(Load),
    /// Pods that drain.
    Drain(Load, Mechanisms),
    /// Nothing to do.
    Idle {
        /// Beside what.
        load: IdleLoad,
        /// What the operator may hold, in bytes.
        memory_max: u64,
    },
}

/// A choice of scenarios by their title, `file/name`.
#[derive(Clone, Debug)]
pub enum Filter {
    /// The title contains this.
    Contains(String),
    /// The title matches this.
    Matches(Regex),
}

impl Filter {
    /// Whether a scenario is meant.
    pub fn accepts(&self, title: &str) -> bool {
        match self {
            Self::Contains(text) => title.contains(text.as_str()),
            Self::Matches(pattern) => pattern.is_match(title),
        }
    }

    /// Understands what was typed.
    ///
    /// # Errors
    /// [`UsageError::Filter`].
    pub(super) fn parse(text: &str) -> Result<Self, UsageError> {
        match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(pattern) if !pattern.is_empty() => Regex::new(pattern)
                .map(Self::Matches)
                .map_err(|source| UsageError::Filter { pattern: text.to_owned(), source }),
            _ => Ok(Self::Contains(text.to_owned())),
        }
    }
}

/// A report to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportFile {
    /// JUnit XML.
    Junit(PathBuf),
    /// Our own JSON.
    Json(PathBuf),
}

impl ReportFile {
    fn parse(text: &str) -> Result<Self, UsageError> {
        match text.split_once('=') {
            Some(("junit", file)) if !file.is_empty() => Ok(Self::Junit(file.into())),
            Some(("json", file)) if !file.is_empty() => Ok(Self::Json(file.into())),
            _ => Err(UsageError::Report(text.to_owned())),
        }
    }
}

impl TryFrom<RunArgs> for RunSettings {
    type Error = UsageError;

    fn try_from(args: RunArgs) -> Result<Self, UsageError> {
        let endpoint = endpoint(&args)?;
        let Fitting(cluster) = args.cluster;
        let (operator, patience) = (cluster.operator.into(), cluster.patience);
        let cluster = ClusterSettings::from(cluster);
        if cluster.is_shared() && matches!(args.time, Some(TimeArg::Virtual)) {
            return Err(UsageError::NoVirtualTime(cluster.name()));
        }
        let jobs = match args.jobs {
            // They share what is measured, or the cluster.
            _ if endpoint.is_some() || cluster.is_shared() => NonZeroUsize::MIN,
            Some(jobs) => NonZeroUsize::new(jobs).ok_or(UsageError::NoJobs)?,
            None => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let summary = args.artifacts.join(summary::ALIAS);
        let logs = Some(args.artifacts.join(OPERATOR_LOGS));
        let outside = Outside { environment: std::env::vars_os().collect(), logs };
        let gate = args.gate.then(|| GateSettings {
            summary: summary.to_string_lossy().into_owned(),
            policy: args.policy.clone(),
            baseline: args.baseline.clone().unwrap_or_default(),
            output: args.artifacts.join("slint-gate-summary.json"),
            exit_on: ExitOn { fail: true, warn: false, no_grade: true },
            exit_on_text: "FAIL_OR_NOGRADE".to_owned(),
            // The run has the reference, and hands it over.
            reference: None,
            ..GateSettings::default()
        });
        Ok(Self {
            cluster,
            operator,
            patience,
            reference: args.reference.settings(args.remote.unwrap_or(RemoteMode::Cached))?,
            gate,
            endpoint,
            artifacts: (!args.no_sli).then_some(args.artifacts),
            specs: args.specs,
            policy: args.policy,
            baseline: args.baseline,
            paths: args.paths,
            filters: args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<_, _>>()?,
            jobs,
            fail_fast: args.fail_fast,
            verbose: args.verbose,
            list: args.list,
            reports: args.report.iter().map(|text| ReportFile::parse(text)).collect::<Result<_, _>>()?,
            seed: args.seed,
            time: args.time,
            isolation: args.node_isolation.map(Isolation::from),
            wall_clock_limit: Duration::from_secs(args.wall_clock_limit),
            outside,
        })
    }
}

/// Who is asked for metrics, and as whom.
fn endpoint(args: &RunArgs) -> Result<Option<Arc<Endpoint>>, UsageError> {
    let Some(url) = &args.metrics_url else { return Ok(None) };
    let scraper = Scraper::new(url, &args.allow_metrics_host, args.metrics_ca_file.as_deref())?;
    let credentials = match (&args.metrics_token_file, &args.metrics_service_account) {
        (Some(file), _) => Credentials::File(file.clone()),
        (None, None) => Credentials::None,
        (None, Some(account)) => match account.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Credentials::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() }
            }
            _ => return Err(UsageError::ServiceAccount(account.clone())),
        },
    };
    Ok(Some(Arc::new(Endpoint { scraper, credentials })))
}

impl TryFrom<LintArgs> for LintSettings {
    type Error = UsageError;

    fn try_from(args: LintArgs) -> Result<Self, UsageError> {
        Ok(Self { paths: args.paths })
    }
}

impl TryFrom<BenchArgs> for BenchSettings {
    type Error = UsageError;

    fn try_from(args: BenchArgs) -> Result<Self, UsageError> {
        let (run, BenchCommon { artifacts, summary, .. }) = match args.run {
            BenchRun::Multinic(scale) => (Bench::Multinic(load(&scale, scale.size)?), scale.common),
            BenchRun::Drain { scale, nodes, mechanism } => {
                let mechanisms = match mechanism {
                    MechanismArg::Both => Mechanisms::Both,
                    MechanismArg::Finalizer => Mechanisms::Finalizer,
                    MechanismArg::EvictionGate => Mechanisms::EvictionGate,
                };
                (Bench::Drain(load(&scale, nodes)?, mechanisms), scale.common)
            }
            BenchRun::Idle(args) => {
                let common = args.common.clone();
                (idle(args)?, common)
            }
        };
        Ok(Self { run, output: summary.map_or(BenchOutput::Directory(artifacts), BenchOutput::File) })
    }
}

fn load(scale: &ScaleArgs, nodes: usize) -> Result<Load, UsageError> {
    let objects = at_least_one(scale.size, "size")?;
    Ok(Load {
        objects,
        nodes: at_least_one(nodes, "nodes")?,
        at_once: at_least_one(scale.at_once.unwrap_or(objects), "at-once")?,
        time: match scale.time {
            TimeArg::Virtual => Time::Virtual,
            TimeArg::Real => Time::Real,
        },
        seed: scale.common.seed,
    })
}

fn idle(args: IdleArgs) -> Result<Bench, UsageError> {
    let operator = match args.operator {
        Some(operator) if !operator.exists() => return Err(UsageError::NoOperator(operator)),
        Some(operator) => Some(operator),
        // Both are built into one directory.
        None => std::env::current_exe().ok().map(|own| own.with_file_name("slipway-operator")).filter(|it| it.exists()),
    };
    let load = IdleLoad {
        nodes: at_least_one(args.nodes, "nodes")?,
        pods: at_least_one(args.pods, "pods")?,
        quiet: duration::parse(&args.quiet)?.0,
        operator,
        settle: duration::parse(&args.settle)?.0,
        seed: args.common.seed,
    };
    Ok(Bench::Idle { load, memory_max: args.memory_max.saturating_mul(1_000_000) })
}

fn at_least_one(number: usize, argument: &'static str) -> Result<usize, UsageError> {
    if number == 0 { Err(UsageError::Nothing(argument)) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_substring_unless_it_stands_between_slashes() {
        let cases = [
            ("ubuntu", "multinic/apply.yaml/ubuntu-node", true),
            ("node$", "multinic/apply.yaml/ubuntu-node", false),
            ("/node$/", "multinic/apply.yaml/ubuntu-node", true),
            ("/^node/", "multinic/apply.yaml/ubuntu-node", false),
            ("/", "multinic/apply.yaml", true),
        ];
        for (filter, title, accepted) in cases {
            assert_eq!(Filter::parse(filter).unwrap().accepts(title), accepted, "{filter} on {title}");
        }
        assert!(Filter::parse("/(/").is_err());
    }

    #[test]
    fn a_report_names_its_kind_and_its_file() {
        assert_eq!(ReportFile::parse("junit=out/r.xml").unwrap(), ReportFile::Junit("out/r.xml".into()));
        assert_eq!(ReportFile::parse("json=r.json").unwrap(), ReportFile::Json("r.json".into()));
        for bad in ["junit", "junit=", "html=x", ""] {
            assert!(ReportFile::parse(bad).is_err(), "{bad}");
        }
    }
}
