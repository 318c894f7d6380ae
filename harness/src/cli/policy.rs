//! The arguments of `slipway policy`, which need no further meaning.

use std::path::PathBuf;

use clap::Subcommand;

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
