//! The commands, as they were typed. The arguments of each are in a file of its own, with what they mean; those of small
//! commands are here.
//!
//! Environment variables are named in these files and nowhere else.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::baseline::BaselineArgs;
use super::bench::BenchArgs;
use super::clean::CleanArgs;
use super::gate::GateArgs;
use super::parity::ParityArgs;
use super::policy::PolicyArgs;
use super::run::RunArgs;
use super::serve::ServeArgs;
use super::slint::SlintArgs;

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

/// Arguments of `slipway lint`.
#[derive(Clone, Debug, clap::Args)]
pub struct LintArgs {
    /// Scenario files, and directories to search for `*.yaml` and `*.yml`.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
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
