//! The operator under test: what scenarios may say of it, what a cluster needs before it runs, and how it is put on a
//! cluster. Only here is `slipway_operator` imported.

mod agent;
mod built_in;
mod callback;
mod command;
mod deployed;
mod fit;
mod in_process;
mod install;
mod isolated;
mod machines;
mod manifests;
mod on_cluster;
mod teller;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use slipway_operator::runtime::Controller;
use thiserror::Error;

pub use self::agent::programs;
pub use self::built_in::{BuiltIn, LOG_TARGET, controllers, settings_schema};
pub use self::command::Identity;
pub use self::isolated::{Isolated, Provide};
pub use self::on_cluster::{OnCluster, Placed};
use crate::chain::chain;
use crate::cluster::Cluster;
use crate::cluster::embedded::node::netns;
use crate::scenario::model::Time;
use crate::scenario::node::Isolation;
use crate::scenario::plan::Plan;
use crate::sim::clock::ScenarioClock;
use crate::sli::scrape::Endpoint;

/// Makes what a scenario runs on.
pub trait Stage: Send + Sync {
    /// Makes a cluster on the ambient runtime, with everything in it that the scenario takes for granted. The operator
    /// is not running yet.
    fn raise<'a>(&'a self, plan: &'a Plan, terms: Terms) -> BoxFuture<'a, Result<Raised, RaiseError>>;

    /// Puts away what was raised, or what there is of it where raising it did not come to an end, or ended with a panic.
    /// What could not be removed is said.
    fn clear(&self, raised: Option<Raised>) -> BoxFuture<'_, Result<(), Remains>> {
        async {
            if let Some(Raised { operator: Some(mut operator), .. }) = raised {
                operator.crash().await;
            }
            Ok(())
        }
        .boxed()
    }

    /// How long that may take.
    fn farewell(&self) -> Duration {
        Duration::ZERO
    }
}

/// What is left of a scenario on a cluster that others use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// What is wrong, in a sentence.
    pub message: String,
    /// Each thing, and what holds it.
    pub lines: Vec<String>,
}

/// What programs of this machine have of the run around them.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The environment of this process, of which they see what they are meant to.
    pub environment: BTreeMap<OsString, OsString>,
    /// Where what operators write is kept, by the titles of their scenarios.
    pub logs: Option<PathBuf>,
}

impl Outside {
    /// Where programs are looked for.
    pub fn path(&self) -> Option<&OsStr> {
        self.environment.get(OsStr::new("PATH")).map(OsString::as_os_str)
    }
}

/// What a run decides about a scenario's cluster.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Where uids, names and jitter come from.
    pub seed: u64,
    /// The time at which the scenario's clock begins.
    pub epoch: Timestamp,
    /// The clock it goes by: in real time connections are sockets.
    pub time: Time,
    /// That clock.
    pub clock: ScenarioClock,
    /// What is around it.
    pub outside: Arc<Outside>,
}

/// What a scenario runs on.
pub struct Raised {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// The operator, where the scenario has one.
    pub operator: Option<Box<dyn Operator>>,
    /// The namespace of everything that does not say otherwise.
    pub namespace: String,
}

/// Whether the nodes can have the networks that the scenario gives them.
fn can_isolate(plan: &Plan) -> Result<(), RaiseError> {
    match plan.isolation {
        Isolation::Simulated => Ok(()),
        Isolation::Netns => netns::check().map_err(|lacking| RaiseError::NotHere(chain(lacking))),
    }
}

/// What an operator tells of itself, whether it runs or not.
pub trait Teller: Send + Sync {
    /// Its metrics in Prometheus' text format; none while it does not run.
    fn metrics(&self) -> BoxFuture<'_, Option<Result<String, String>>>;
}

/// Finalizers that the built-in operator puts on objects.
pub fn finalizers() -> Vec<String> {
    Controller::ALL.iter().flat_map(|controller| controller.finalizers()).map(|one| (*one).to_owned()).collect()
}

/// Hears an operator that runs elsewhere, with a token of the cluster's where one has to be asked for.
pub fn elsewhere(endpoint: &Arc<Endpoint>, client: kube::Client) -> Arc<dyn Teller> {
    Arc::new(teller::Elsewhere::new(Arc::clone(endpoint), client))
}

/// An operator on a cluster.
pub trait Operator: Send {
    /// Starts it; nothing happens when it runs already.
    fn start(&mut self);

    /// Waits until it is at work, where that can be known; whether it ends meanwhile is told by [`Operator::ended`].
    fn ready(&self) -> BoxFuture<'static, Result<(), String>> {
        async { Ok(()) }.boxed()
    }

    /// Stops it as a signal does, and waits until it has stopped.
    fn stop(&mut self) -> BoxFuture<'_, ()>;

    /// Ends it where it is, as a crash does; nothing of it is left when this returns.
    fn crash(&mut self) -> BoxFuture<'_, ()>;

    /// Stops it, lets everything go that it holds, and takes away what asks it; or says why that did not work.
    fn uninstall(&mut self) -> BoxFuture<'_, Result<(), String>>;

    /// The user that the API server knows it as.
    fn user(&self) -> String;

    /// The way to its metrics; none where nobody knows it.
    fn teller(&self) -> Option<Arc<dyn Teller>>;

    /// Resolves when it ends although nobody told it to, with the reason.
    fn ended(&mut self) -> BoxFuture<'_, String>;

    /// The last lines it has written, where they are not in this process's own log.
    fn output(&self, lines: usize) -> Vec<String> {
        let _ = lines;
        Vec::new()
    }
}

/// Why a scenario has no cluster to run on.
#[derive(Debug, Error)]
pub enum RaiseError {
    /// It asks for what clusters of this kind cannot give; it is skipped, and this is the reason.
    #[error("{0}")]
    NotHere(String),
    /// The cluster could not be made.
    #[error("cannot {what}")]
    Failed {
        /// What was tried.
        what: String,
        /// Why it did not work.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RaiseError {
    /// For `map_err`.
    pub fn because<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Failed { what, source: source.into() }
    }
}
