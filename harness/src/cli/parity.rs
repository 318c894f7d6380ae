//! What `slipway parity` compares: the arguments, and what they mean.

use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use super::cluster::{ClusterSettings, Fitting};
use super::run::Filter;
use super::usage::UsageError;
use crate::target::{Outside, Placed};

/// Arguments of `slipway parity`.
#[derive(Clone, Debug, clap::Args)]
pub struct ParityArgs {
    /// Scenario files, and directories to search for `*.yaml` and `*.yml`.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Compare only scenarios whose `file/name` contains this text; between slashes it is a regular expression.
    #[arg(long, short, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// A difference that is known: a regular expression that its line matches. May be given more than once.
    #[arg(long, value_name = "REGEX")]
    pub known: Vec<String>,
    /// The other cluster.
    #[command(flatten)]
    pub against: Fitting,
    /// The seed of uids, generated names and jitter.
    #[arg(long, env = "SLIPWAY_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// End a scenario that has taken this long on the machine's own clock: seconds.
    #[arg(long, env = "SLIPWAY_WALL_CLOCK_LIMIT", default_value_t = 60, value_name = "SECONDS")]
    pub wall_clock_limit: u64,
}

/// Settings of `slipway parity`.
#[derive(Clone, Debug)]
pub struct ParitySettings {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Which scenarios.
    pub filters: Vec<Filter>,
    /// What lines of known differences match.
    pub known: Vec<Regex>,
    /// The other cluster.
    pub against: ClusterSettings,
    /// Where the built-in operator is there.
    pub operator: Placed,
    /// How many times as long steps may take there.
    pub patience: u32,
    /// The seed, where it is given.
    pub seed: Option<u64>,
    /// The limit on the machine's own clock.
    pub wall_clock_limit: Duration,
    /// What scripts and operators see of this process's surroundings.
    pub outside: Outside,
}

impl TryFrom<ParityArgs> for ParitySettings {
    type Error = UsageError;

    fn try_from(args: ParityArgs) -> Result<Self, UsageError> {
        let regex =
            |text: &String| Regex::new(text).map_err(|source| UsageError::Filter { pattern: text.clone(), source });
        let Fitting(against) = args.against;
        let (operator, patience) = (against.operator.into(), against.patience);
        let against = ClusterSettings::from(against);
        if !against.is_shared() {
            return Err(UsageError::AgainstItself);
        }
        Ok(Self {
            paths: args.paths,
            filters: args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<_, _>>()?,
            known: args.known.iter().map(regex).collect::<Result<_, _>>()?,
            against,
            operator,
            patience,
            seed: args.seed,
            wall_clock_limit: Duration::from_secs(args.wall_clock_limit),
            outside: Outside { environment: std::env::vars_os().collect(), logs: None },
        })
    }
}
