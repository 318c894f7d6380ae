//! What `slipway run` runs: the arguments, and what they mean.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use regex::Regex;

use super::cluster::{ClusterSettings, Fitting};
use super::gate::{ExitOn, GateSettings};
use super::reference::{ReferenceArgs, ReferenceSettings, RemoteMode};
use super::usage::UsageError;
use crate::scenario::node::Isolation;
use crate::sli::scrape::{Credentials, Endpoint, Scraper};
use crate::sli::summary;
use crate::target::{Outside, Placed};

/// Where, among what a run leaves behind, the operators' logs are.
const OPERATOR_LOGS: &str = "operator";

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
