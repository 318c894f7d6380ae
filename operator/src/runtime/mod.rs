//! Runs the chosen controllers until they are told to stop.
//!
//! Nothing here is global: several operators can run in one process, each with its own client, settings and clock.

mod rights;

use std::collections::BTreeSet;
use std::future::Future;

use futures::FutureExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api;
use crate::api::multinic::MultiNicNodeConfig;
use crate::controllers::multinic;
use crate::kit::clock::Clock;

/// A controller of this operator.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// `MultiNicNodeConfig`: network interfaces of nodes.
    Multinic,
}

impl Controller {
    /// Every controller there is.
    pub const ALL: [Self; 1] = [Self::Multinic];

    /// The custom resource definitions it needs in the cluster.
    pub fn crds(self) -> Vec<CustomResourceDefinition> {
        match self {
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
    /// Of the `MultiNIC` controller.
    pub multinic: multinic::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self { controllers: Controller::ALL.into(), namespace: None, multinic: multinic::Settings::default() }
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
/// Dropping the future stops everything at once, as a crash would.
///
/// # Errors
/// [`RunError`] when there is nothing to run, or a controller ends before it is told to.
pub async fn run(
    client: kube::Client,
    settings: Settings,
    clock: Clock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let Settings { controllers, namespace, multinic } = settings;
    if controllers.is_empty() {
        return Err(RunError::NoController);
    }
    tracing::info!(?controllers, namespace = namespace.as_deref().unwrap_or("*"), "starting manager");
    let shutdown = shutdown.boxed().shared();
    let running = controllers.into_iter().map(|controller| {
        let (client, namespace, shutdown) = (client.clone(), namespace.clone(), shutdown.clone());
        let run = match controller {
            Controller::Multinic => multinic::run(client, namespace, multinic.clone(), clock, shutdown.clone()).boxed(),
        };
        async move {
            run.await;
            if shutdown.peek().is_some() { Ok(()) } else { Err(RunError::Ended(controller)) }
        }
    });
    futures::future::try_join_all(running).await?;
    tracing::info!("stopped manager");
    Ok(())
}
