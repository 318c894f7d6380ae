//! Runs the chosen controllers until they are told to stop.
//!
//! Nothing here is global: several operators can run in one process, each with its own client, settings and clock.

mod check;
mod lease;
mod operate;
pub mod rbac;
mod rights;
mod serve;
mod servers;
pub mod telemetry;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api;
use crate::api::hello::Hello;
use crate::api::multinic::MultiNicNodeConfig;
use crate::controllers::{drain, hello, multinic};
use crate::kit::health::Health;
use crate::kit::metrics::Metrics;
use crate::kit::source::Source;

pub use lease::{LeaderElection, Unsound};
pub use operate::run;
pub use rights::Rights;
pub use serve::{Address, Certificate, ServeError, Servers, serve};
pub use servers::{Closed, Door, Doors};

/// A controller of this operator.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// `Hello`: the smallest example.
    Hello,
    /// `MultiNicNodeConfig`: network interfaces of nodes.
    Multinic,
    /// Graceful drain of Pods that a vertical autoscaler evicts.
    Drain,
}

impl Controller {
    /// Every controller there is.
    pub const ALL: [Self; 3] = [Self::Hello, Self::Multinic, Self::Drain];

    /// What it is called on the command line, in settings and in names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Multinic => "multinic",
            Self::Drain => "drain",
        }
    }

    /// The finalizers that it puts on objects.
    pub fn finalizers(self) -> &'static [&'static str] {
        match self {
            Self::Hello => &[hello::FINALIZER],
            Self::Drain => &api::drain::FINALIZERS,
            Self::Multinic => &[multinic::FINALIZER],
        }
    }

    /// The custom resource definitions it needs in the cluster.
    pub fn crds(self) -> Vec<CustomResourceDefinition> {
        match self {
            Self::Hello => vec![api::definition::<Hello>()],
            Self::Drain => Vec::new(),
            Self::Multinic => vec![api::definition::<MultiNicNodeConfig>()],
        }
    }
}

/// What the operator runs, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The controllers to run; all of them unless told otherwise.
    pub controllers: BTreeSet<Controller>,
    /// The only namespace that is looked at; all of them unless told otherwise.
    pub namespace: Option<String>,
    /// How controllers hear of changes: `watch`, or `poll` with an `interval` where watches cannot be used.
    pub source: Source,
    /// How replicas agree on who writes.
    pub leader_election: LeaderElection,
    /// How long reconciles that are under way may take once the operator is told to stop.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub shutdown_timeout: Duration,
    /// The sockets of an operator that is a process of its own.
    pub servers: Servers,
    /// Of the Hello controller.
    pub hello: hello::Settings,
    /// Of the `MultiNIC` controller.
    pub multinic: multinic::Settings,
    /// Of the drain controller.
    pub drain: drain::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            controllers: Controller::ALL.into(),
            namespace: None,
            source: Source::Watch,
            leader_election: LeaderElection::default(),
            // A third less than the half minute that a Pod is given to stop by default.
            shutdown_timeout: Duration::from_secs(20),
            servers: Servers::default(),
            hello: hello::Settings::default(),
            multinic: multinic::Settings::default(),
            drain: drain::Settings::default(),
        }
    }
}

/// What tells this operator from another one in the same process or cluster.
#[derive(Clone)]
pub struct Replica {
    /// Talks to the cluster, with the operator's rights.
    pub client: kube::Client,
    /// The API server's host and port, for metrics and traces.
    pub api_host: String,
    /// What its readiness depends on.
    pub health: Health,
    /// What it counts and measures.
    pub metrics: Metrics,
}

impl From<kube::Client> for Replica {
    /// A replica that talks to an API server in this process.
    fn from(client: kube::Client) -> Self {
        let api_host = "in-process".to_owned();
        Self { client, api_host, health: Health::default(), metrics: Metrics::new() }
    }
}

/// Why the operator ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is nothing to do.
    #[error("no controller is chosen")]
    NoController,
    /// There would be no end of asking.
    #[error("a poll interval of {0:?} is too short: it takes {1:?} at least")]
    PollInterval(Duration, Duration),
    /// Nothing can be called so, and so nothing would be found.
    #[error(
        "{1:?} cannot be the name that `{0}` asks for: names are of a-z, 0-9 and `-`, and begin and end with one of the former"
    )]
    Name(&'static str, String),
    /// A controller's watch streams ended.
    #[error("controller {0:?} ended by itself")]
    Ended(Controller),
    /// Leader election is set so that it cannot work.
    #[error("leader election cannot work")]
    LeaderElection(#[source] Unsound),
    /// Nobody can reach the operator.
    #[error("failed to serve")]
    Serve(#[source] ServeError),
    /// Another replica leads, or nobody can say who does. Writes have stopped.
    #[error("the lease is lost")]
    LeaseLost,
    /// Reconciles that were under way have been dropped where they were.
    #[error("stopping took longer than {0:?}")]
    ShutdownTimedOut(Duration),
}
