//! Which clusters a run uses: the arguments, and what they mean.

mod belonging;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

pub use self::belonging::Fitting;
use crate::cluster::k3s::image::{self, ImageName};
use crate::cluster::local::binaries::Places;
use crate::cluster::{k3s, kubeconfig};
use crate::target::Placed;

/// How many times as long steps may take on the machine's clock, unless somebody says otherwise.
pub const PATIENCE: u32 = 5;

/// The clusters of a run, as typed.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// What scenarios run on: a cluster in this process for each, or one for all.
    #[arg(long, visible_alias = "against", default_value = "embedded", value_name = "CLUSTER")]
    pub cluster: ClusterArg,
    /// The context of the kubeconfig; with `--cluster kubeconfig`.
    #[arg(long, value_name = "NAME", required_if_eq("cluster", "kubeconfig"))]
    pub context: Option<String>,
    /// The kubeconfig, instead of those that kubectl uses.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A context that may be used although it is none of `kind-*`, `k3d-*` and `tilt-study`; `*` stands for anything. May
    /// be given more than once.
    #[arg(long, value_name = "PATTERN")]
    pub allow_context: Vec<String>,
    /// The address at which the cluster's API server reaches this process, for webhooks; with a port where it is a
    /// forwarded one.
    #[arg(long, value_name = "IP[:PORT]", value_parser = callback)]
    pub callback: Option<SocketAddr>,
    /// How many times as long as scenarios say steps may take to come true, on clusters that live in real time.
    #[arg(long, default_value_t = PATIENCE, value_parser = clap::value_parser!(u32).range(1..), value_name = "FACTOR")]
    pub patience: u32,
    /// The built-in operator: in this process, or one that is deployed there already, which then is neither installed nor
    /// started, stopped and measured.
    #[arg(long, default_value = "in-process", value_name = "WHERE")]
    pub operator: OperatorArg,
    /// The image of k3s, with its tag; pulled where the Docker engine has none. With `--cluster k3s`.
    #[arg(long, env = "SLIPWAY_K3S_IMAGE", default_value = image::DEFAULT, value_name = "NAME:TAG")]
    pub k3s_image: ImageName,
    /// How k3s runs.
    #[arg(long, default_value = "auto", value_name = "MODE")]
    pub k3s_mode: K3sModeArg,
    /// The port of this machine that leads to k3s's API server; a free one unless told otherwise.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "PORT")]
    pub k3s_port: u16,
    /// How long k3s may take until it is ready: seconds.
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    pub k3s_timeout: u64,
    /// An archive of images for k3s's own containers, as `docker save` writes it; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub image_archive: Vec<PathBuf>,
    /// Builds the images of the operator and its agent, from the checkout in whose root this is called, for k3s's own
    /// containers; with `--k3s-mode full`.
    #[arg(long)]
    pub image_build: bool,
    /// Whether all scenarios share k3s, or each is given one of its own.
    #[arg(long, default_value = "run", value_name = "WHAT")]
    pub isolate: IsolateArg,
}

/// Where the built-in operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OperatorArg {
    /// In this process, with the rights of its service account.
    InProcess,
    /// On the cluster already.
    Deployed,
}

/// How k3s runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum K3sModeArg {
    /// In full where the Docker engine runs privileged containers, else the control plane alone.
    Auto,
    /// With a kubelet of its own, in a privileged container.
    Full,
    /// Without a kubelet: our simulated nodes are its nodes. Needs no privileges.
    ControlPlane,
}

/// What has k3s to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsolateArg {
    /// The run: one for all scenarios.
    Run,
    /// Each scenario: slow, and nothing is left over from the one before.
    Cluster,
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
    /// k3s, in a container made for the run.
    K3s,
}

impl From<OperatorArg> for Placed {
    fn from(argument: OperatorArg) -> Self {
        match argument {
            OperatorArg::InProcess => Self::InProcess,
            OperatorArg::Deployed => Self::Deployed,
        }
    }
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
    /// k3s in a container.
    K3s {
        /// How it is run.
        settings: k3s::Settings,
        /// What has it to itself.
        isolate: IsolateArg,
    },
}

impl ClusterSettings {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kubeconfig(_) => "kubeconfig",
            Self::Local(_) => "local",
            Self::K3s { .. } => "k3s",
        }
    }

    /// Whether all scenarios run on one cluster, which lives by the machine's clock.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Embedded)
    }

    /// How long a scenario may wait for a cluster and for nodes of its own before it begins.
    pub fn start_up(&self) -> Duration {
        match self {
            Self::K3s { settings, isolate: IsolateArg::Run } => settings.patience,
            Self::K3s { settings, isolate: IsolateArg::Cluster } => settings.patience.saturating_mul(2),
            _ => Duration::ZERO,
        }
    }
}

impl From<ClusterArgs> for ClusterSettings {
    fn from(args: ClusterArgs) -> Self {
        match args.cluster {
            ClusterArg::Embedded => Self::Embedded,
            ClusterArg::Kubeconfig => Self::Kubeconfig(kubeconfig::Settings {
                kubeconfigs: args.kubeconfig.map_or_else(usual_places, |file| vec![file]),
                context: args.context.unwrap_or_default(),
                allowed: args.allow_context,
                callback: args.callback,
            }),
            ClusterArg::Local => Self::Local(Places {
                assets: std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from),
                path: std::env::var_os("PATH"),
            }),
            ClusterArg::K3s => Self::K3s {
                settings: k3s::Settings {
                    image: args.k3s_image,
                    mode: match args.k3s_mode {
                        K3sModeArg::Auto => k3s::Wanted::Auto,
                        K3sModeArg::Full => k3s::Wanted::Exactly(k3s::Mode::Full),
                        K3sModeArg::ControlPlane => k3s::Wanted::Exactly(k3s::Mode::ControlPlane),
                    },
                    archives: args.image_archive,
                    build: args.image_build,
                    port: args.k3s_port,
                    engine: std::env::var("DOCKER_HOST").ok(),
                    patience: Duration::from_secs(args.k3s_timeout),
                },
                isolate: args.isolate,
            },
        }
    }
}

/// An address, with a port or without one.
fn callback(text: &str) -> Result<SocketAddr, String> {
    let alone = |_| text.parse().map(|address: IpAddr| SocketAddr::new(address, 0));
    text.parse()
        .or_else(alone)
        .map_err(|_| "an IP address, and a port if need be: 172.18.0.1, 127.0.0.1:9443, [::1]:9443".to_owned())
}

/// Where kubectl looks unless told otherwise.
pub(super) fn usual_places() -> Vec<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>());
    let named = named.map(|paths| paths.into_iter().filter(|path| !path.as_os_str().is_empty()).collect::<Vec<_>>());
    let usual = || vec![std::env::home_dir().unwrap_or_default().join(".kube").join("config")];
    named.filter(|paths| !paths.is_empty()).unwrap_or_else(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_may_be_a_forwarded_port() {
        assert_eq!(callback("172.18.0.1"), Ok("172.18.0.1:0".parse().unwrap()));
        assert_eq!(callback("127.0.0.1:9443"), Ok("127.0.0.1:9443".parse().unwrap()));
        assert_eq!(callback("[::1]:9443"), Ok("[::1]:9443".parse().unwrap()));
        assert_eq!(callback("::1"), Ok("[::1]:0".parse().unwrap()));
        assert!(callback("my-machine:9443").is_err_and(|why| why.contains("127.0.0.1:9443")));
    }
}
