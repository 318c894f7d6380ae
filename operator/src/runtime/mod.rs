//! Runs the chosen controllers until they are told to stop.
//!
//! Nothing here is global: several operators can run in one process, each with its own client, settings and clock.

pub mod rbac;
mod rights;
mod servers;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api;
use crate::api::hello::Hello;
use crate::api::multinic::MultiNicNodeConfig;
use crate::controllers::{drain, hello, multinic};
use crate::kit::admission::Reviewer;
use crate::kit::clock::Clock;
use crate::kit::fence::Fence;
use crate::kit::manager::Manager;
use crate::kit::source::Source;
use crate::kit::traffic;

pub use rights::Rights;
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
            hello: hello::Settings::default(),
            multinic: multinic::Settings::default(),
            drain: drain::Settings::default(),
        }
    }
}

/// Why the operator ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is nothing to do.
    #[error("no controller is chosen")]
    NoController,
    /// A controller's watch streams ended.
    #[error("controller {0:?} ended by itself")]
    Ended(Controller),
}

/// Runs the chosen controllers until `shutdown` resolves, and then until the reconciles that are under way have ended.
/// Dropping the future stops everything at once, as a crash would. While it runs, its servers are behind `doors`.
///
/// # Errors
/// [`RunError`] when there is nothing to run, or a controller ends before it is told to.
pub async fn run(
    client: kube::Client,
    settings: Settings,
    clock: Clock,
    doors: Doors,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let Settings { controllers, namespace, source, hello, multinic, drain } = settings;
    if controllers.is_empty() {
        return Err(RunError::NoController);
    }
    tracing::info!(?controllers, namespace = namespace.as_deref().unwrap_or("*"), "starting manager");
    let fence = Fence::open();
    let manager = {
        let manager = Manager::new(client, clock, shutdown);
        let unfenced = traffic::observed(&manager.unfenced, "in-process", &manager.metrics, None);
        let client = traffic::observed(&manager.client, "in-process", &manager.metrics, Some(fence.clone()));
        Manager { client, unfenced, namespace, source, ..manager }
    };
    let mut reviewers: Vec<Arc<dyn Reviewer>> = Vec::new();
    let mut runs = Vec::new();
    for controller in controllers {
        let (manager, shutdown) = (manager.clone(), manager.shutdown.clone());
        let run = match controller {
            Controller::Hello => hello::run(manager, hello.clone()).boxed(),
            Controller::Multinic => multinic::run(manager, multinic.clone()).boxed(),
            Controller::Drain => {
                let drain = drain::Drain::new(manager, drain.clone());
                reviewers.extend(drain.reviewers());
                drain.run().boxed()
            }
        };
        runs.push(async move {
            run.await;
            if shutdown.peek().is_some() { Ok(()) } else { Err(RunError::Ended(controller)) }
        });
    }
    let _open = [
        doors.health.open(servers::health::router(manager.health.clone())),
        doors.metrics.open(servers::metrics::router(manager.metrics.clone())),
        doors.webhooks.open(servers::webhooks::router(reviewers)),
    ];
    futures::future::try_join_all(runs).await?;
    tracing::info!("stopped manager");
    Ok(())
}
