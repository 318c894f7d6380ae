//! What `slipway clean` looks for: the arguments, and what they mean.

use std::path::PathBuf;

use clap::ArgGroup;

use super::cluster::usual_places;
use crate::cluster::kubeconfig;
use crate::sim::seed::RunId;

/// Arguments of `slipway clean`.
///
/// Without a place it looks at this machine: for the names of network namespaces, and for temporary files.
#[derive(Clone, Debug, clap::Args)]
#[command(group(ArgGroup::new("place").args(["context", "containers"]).multiple(true)))]
pub struct CleanArgs {
    /// The context of the cluster to look at.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Look at the Docker engine for the k3s of runs that were killed; those of runs under way on this machine stay.
    #[arg(long)]
    pub containers: bool,
    /// The kubeconfig, instead of those that kubectl uses.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A context that may be used although it is none of `kind-*`, `k3d-*` and `tilt-study`; `*` stands for anything. May
    /// be given more than once.
    #[arg(long, value_name = "PATTERN")]
    pub allow_context: Vec<String>,
    /// Only what this run has made; every run prints its id.
    #[arg(long, value_name = "ID", requires = "place")]
    pub run: Option<String>,
    /// Show what there is, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Take every finalizer off what does not go otherwise, not only those of the built-in operator.
    #[arg(long, conflicts_with = "dry_run")]
    pub force: bool,
}

/// Settings of `slipway clean`.
#[derive(Clone, Debug)]
pub struct CleanSettings {
    /// The cluster to look at, if any.
    pub cluster: Option<kubeconfig::Settings>,
    /// Look at the Docker engine too.
    pub containers: bool,
    /// Only this run's.
    pub run: Option<RunId>,
    /// Remove nothing.
    pub dry_run: bool,
    /// Take every finalizer off.
    pub force: bool,
}

impl From<CleanArgs> for CleanSettings {
    fn from(args: CleanArgs) -> Self {
        let (kubeconfig, allowed) = (args.kubeconfig, args.allow_context);
        Self {
            cluster: args.context.map(|context| kubeconfig::Settings {
                kubeconfigs: kubeconfig.map_or_else(usual_places, |file| vec![file]),
                context,
                allowed,
                callback: None,
            }),
            containers: args.containers,
            run: args.run.map(RunId),
            dry_run: args.dry_run,
            force: args.force,
        }
    }
}
