//! The operator of this workspace as a task of the scenario: it talks to the cluster with its service account's rights,
//! and whoever wants to reach its servers knocks at its doors.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Map, Value};
use slipway_operator::controllers::drain;
use slipway_operator::controllers::drain::gate::webhooks;
use slipway_operator::kit::clock::Clock as OperatorClock;
use slipway_operator::kit::error::chain;
use slipway_operator::runtime::rbac::{NAME, NAMESPACE};
use slipway_operator::runtime::{self, Controller, Doors, Settings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::teller::Behind;
use super::{Operator, RaiseError, Teller};
use crate::cluster::Cluster;
use crate::scenario::model::{Identity, OperatorSpec};

/// Settings that scenarios give in a field of their own.
pub(super) const CONTROLLERS: &str = "controllers";

/// The operator's settings, with those that the scenario gives in place of the defaults.
pub(super) fn settings(spec: &OperatorSpec) -> Result<Settings, RaiseError> {
    let mut fields: Map<String, Value> = spec.settings.clone().into_iter().collect();
    fields.insert(CONTROLLERS.to_owned(), spec.controllers.clone().into());
    let read = serde_json::from_value(Value::Object(fields));
    let mut settings: Settings = read.map_err(RaiseError::because("read the operator's settings"))?;
    // There is one of it, whose name need not be made up.
    settings.leader_election.identity.get_or_insert_with(|| NAME.to_owned());
    Ok(settings)
}

/// Whom the API server takes the operator for; even an administrator has a name of its own, so that its requests can be
/// told from the scenario's.
fn user(identity: Identity) -> String {
    match identity {
        Identity::Admin => NAME.to_owned(),
        Identity::ServiceAccount => format!("system:serviceaccount:{NAMESPACE}:{NAME}"),
    }
}

/// An administrator's groups, or those of a service account, as the API server knows them by its tokens.
fn groups(identity: Identity) -> Vec<String> {
    match identity {
        Identity::Admin => vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        Identity::ServiceAccount => vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{NAMESPACE}"),
            "system:authenticated".to_owned(),
        ],
    }
}

async fn remove_webhooks(client: &Client) -> Result<(), kube::Error> {
    let now = DeleteParams::default();
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone()).delete(webhooks::NAME, &now).await;
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone()).delete(webhooks::NAME, &now).await;
    for removed in [validating.map(drop), mutating.map(drop)] {
        match removed {
            // Where the API server cannot reach this process there are none.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            answer => answer?,
        }
    }
    Ok(())
}

/// `slipway-operator drain-release --all`.
async fn let_everything_go(client: &Client, settings: &Settings, clock: OperatorClock) -> Result<(), String> {
    let reach = drain::Reach { namespace: settings.namespace.clone(), dry_run: false };
    let mut held = Vec::new();
    let tell = |released: drain::Released| {
        let why = released.failed.map(|why| format!("{}/{}: {}", released.namespace, released.name, chain(&why)));
        held.extend(why);
    };
    let done = drain::release_all(client, &reach, clock.now(), tell).await;
    done.map_err(|error| format!("nothing could be let go: {}", chain(&error)))?;
    if held.is_empty() { Ok(()) } else { Err(format!("still held: {}", held.join("; "))) }
}

/// The operator as a task of the scenario's runtime.
pub(super) struct InProcess {
    client: Client,
    /// Of whoever installs and uninstalls it.
    administrator: Client,
    /// Whom the API server takes it for.
    user: String,
    settings: Settings,
    /// The operator sees the same time as the cluster, whenever it is started.
    clock: OperatorClock,
    /// The way to its servers, closed while it does not run.
    doors: Doors,
    running: Option<Running>,
}

impl InProcess {
    /// The operator on a cluster, not running yet. It sees the same time as the cluster, whenever it is started.
    pub(super) fn new(
        cluster: &dyn Cluster,
        identity: Identity,
        settings: Settings,
        clock: OperatorClock,
        doors: Doors,
    ) -> Self {
        let user = user(identity);
        let client = cluster.client_as(&user, &groups(identity));
        Self { client, administrator: cluster.client(), user, settings, clock, doors, running: None }
    }
}

struct Running {
    task: JoinHandle<Result<(), runtime::RunError>>,
    stop: CancellationToken,
}

impl Operator for InProcess {
    fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let run = runtime::run(self.client.clone(), self.settings.clone(), self.clock, self.doors.clone(), stopped);
        self.running = Some(Running { task: tokio::spawn(run), stop });
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        async {
            if let Some(Running { task, stop }) = self.running.take() {
                stop.cancel();
                // How it ended is of no interest any more: it was told to.
                drop(task.await);
            }
        }
        .boxed()
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        async {
            if let Some(Running { task, .. }) = self.running.take() {
                task.abort();
                // Its tasks are dropped before anything else happens, as a process is gone once it has died.
                tokio::task::yield_now().await;
            }
        }
        .boxed()
    }

    fn uninstall(&mut self) -> BoxFuture<'_, Result<(), String>> {
        async {
            self.stop().await;
            if self.settings.controllers.contains(&Controller::Drain) {
                // First nobody holds anything new, then everything is let go.
                remove_webhooks(&self.administrator).await.map_err(|error| chain(&error).to_string())?;
                let_everything_go(&self.administrator, &self.settings, self.clock).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn user(&self) -> String {
        self.user.clone()
    }

    fn teller(&self) -> Option<Arc<dyn Teller>> {
        Some(Arc::new(Behind(self.doors.metrics.clone())))
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        async {
            let Some(running) = &mut self.running else { return std::future::pending().await };
            let how = match (&mut running.task).await {
                Ok(Ok(())) => "the operator ended by itself".to_owned(),
                Ok(Err(error)) => format!("the operator ended: {error}"),
                Err(error) if error.is_panic() => "the operator panicked".to_owned(),
                Err(error) => format!("the operator ended: {error}"),
            };
            self.running = None;
            how
        }
        .boxed()
    }
}
