//! What `slipway bench` measures: the arguments, and what they mean.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::run::TimeArg;
use super::usage::UsageError;
use crate::bench::{IdleLoad, Load, Mechanisms};
use crate::scenario::duration;
use crate::scenario::model::Time;

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
