//! The way into a cluster that is not ours alone, and who provides such clusters. A provider makes an [`Access`], keeps
//! alive what is behind it, and removes what it made when it is stopped or dropped.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;

use futures::future::BoxFuture;

/// The label of everything that a run makes on such a cluster; its value is the run's id.
pub const RUN_LABEL: &str = "slipway.dev/run";

/// The way into a cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// The kubeconfig it was read from.
    pub kubeconfig: PathBuf,
    /// What the kubeconfig's context says.
    pub config: kube::Config,
    /// The context.
    pub context: String,
    /// The address at which the cluster's API server reaches this process, for webhooks; none where it does not.
    pub callback: Option<IpAddr>,
}

/// What a run's cluster comes from: started once, shared by its scenarios.
pub trait Provider: Send + Sync {
    /// The way into its cluster.
    fn access(&self) -> Access;

    /// Removes what it made.
    fn stop(self: Box<Self>) -> BoxFuture<'static, Result<(), Box<dyn Error + Send + Sync>>>;
}
