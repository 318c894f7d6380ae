//! Which clusters a run uses: the arguments, and what they mean.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::cluster::kubeconfig;
use crate::cluster::local::binaries::Places;

/// The clusters of a run, as typed.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// What scenarios run on: a cluster in this process for each, or one for all.
    #[arg(long, default_value = "embedded", value_name = "CLUSTER")]
    pub cluster: ClusterArg,
    /// The context of the kubeconfig; with `--cluster kubeconfig`.
    #[arg(long, value_name = "NAME", required_if_eq("cluster", "kubeconfig"))]
    pub context: Option<String>,
    /// The kubeconfig, instead of the one that kubectl uses.
    #[arg(long, env = "KUBECONFIG", hide_env_values = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A context that may be used although it is none of `kind-*`, `k3d-*` and `tilt-study`; `*` stands for anything. May
    /// be given more than once.
    #[arg(long, value_name = "PATTERN")]
    pub allow_context: Vec<String>,
    /// The address at which the cluster's API server reaches this process, for webhooks.
    #[arg(long, value_name = "IP")]
    pub callback: Option<IpAddr>,
}

/// The kinds of cluster there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClusterArg {
    /// One in this process for each scenario, in virtual time.
    Embedded,
    /// The one that a context of a kubeconfig leads to.
    Kubeconfig,
    /// One made of the `etcd` and the `kube-apiserver` in `KUBEBUILDER_ASSETS` or `PATH`.
    Local,
}

/// The clusters of a run, as meant.
#[derive(Clone, Debug)]
pub enum ClusterSettings {
    /// One in this process for each scenario.
    Embedded,
    /// One that is there already.
    Kubeconfig(kubeconfig::Settings),
    /// One made of programs that are here.
    Local(Places),
}

impl ClusterSettings {
    /// Whether all scenarios run on one cluster, which lives by the machine's clock.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Embedded)
    }
}

impl From<ClusterArgs> for ClusterSettings {
    fn from(args: ClusterArgs) -> Self {
        match args.cluster {
            ClusterArg::Embedded => Self::Embedded,
            ClusterArg::Kubeconfig => Self::Kubeconfig(kubeconfig::Settings {
                kubeconfig: args.kubeconfig.unwrap_or_else(usual_place),
                context: args.context.unwrap_or_default(),
                allowed: args.allow_context,
                callback: args.callback,
            }),
            ClusterArg::Local => Self::Local(Places {
                assets: std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from),
                path: std::env::var_os("PATH"),
            }),
        }
    }
}

/// Where kubectl looks unless told otherwise.
fn usual_place() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(".kube").join("config")
}
