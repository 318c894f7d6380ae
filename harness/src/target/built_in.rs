//! The operator of this workspace on a cluster in this process: its definitions and rights are installed as its
//! manifests would install them, and its images run the agent's own code.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use slipway_operator::kit::clock::Clock as OperatorClock;
use slipway_operator::runtime::rbac::NAMESPACE;
use slipway_operator::runtime::{Controller, Door, Doors, Settings};

use super::in_process::{CONTROLLERS, InProcess, settings};
use super::install::{Asked, Installer, WEBHOOKS, WEBHOOKS_PORT};
use super::{Operator, RaiseError, Raised, Stage, Terms, agent, can_isolate, command, deployed};
use crate::cluster::Cluster;
use crate::cluster::embedded::node::tcp::Medium;
use crate::cluster::embedded::{self, services::Answerer};
use crate::scenario::model::{OperatorSpec, Time};
use crate::scenario::operator::Which;
use crate::scenario::plan::Plan;

/// What the operator's log lines have in common.
pub const LOG_TARGET: &str = "slipway_operator";

/// The controllers a scenario may choose.
pub fn controllers() -> Vec<String> {
    Controller::ALL.iter().filter_map(|controller| name(*controller)).collect()
}

/// The JSON schema of the settings a scenario may give.
pub fn settings_schema() -> Value {
    let mut schema = schemars::schema_for!(Settings).to_value();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove(CONTROLLERS);
    }
    schema
}

fn name(controller: Controller) -> Option<String> {
    match serde_json::to_value(controller) {
        Ok(Value::String(name)) => Some(name),
        _ => None,
    }
}

/// The embedded cluster with the built-in operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn;

impl Stage for BuiltIn {
    fn raise<'a>(&'a self, plan: &'a Plan, terms: Terms) -> BoxFuture<'a, Result<Raised, RaiseError>> {
        raise(plan, terms).boxed()
    }
}

async fn raise(plan: &Plan, terms: Terms) -> Result<Raised, RaiseError> {
    can_isolate(plan)?;
    let medium = match terms.time {
        Time::Virtual => Medium::Memory,
        Time::Real => Medium::Sockets,
    };
    let cluster = embedded::Cluster::launch_on(
        medium,
        plan.isolation,
        terms.epoch,
        terms.seed,
        plan.nodes.clone(),
        agent::programs(&plan.images),
    )
    .await
    .map_err(RaiseError::because("start the cluster"))?;
    let client = cluster.client();
    let installer = Installer { client: &client, run: None };
    installer.namespace(&plan.namespace).await?;
    let cluster = Arc::new(cluster);
    let operator = match plan.operator.as_ref().map(|operator| &operator.which) {
        Some(Which::BuiltIn(spec)) => Some(in_process(&installer, &cluster, spec, plan, &terms).await?),
        Some(Which::Command(program)) => {
            let cluster = Arc::clone(&cluster) as Arc<dyn Cluster>;
            Some(command::put(program, plan, &plan.namespace, &cluster, &terms).await?)
        }
        Some(Which::Deployed(deployed)) => {
            let cluster = Arc::clone(&cluster) as Arc<dyn Cluster>;
            Some(deployed::put(deployed, &plan.namespace, &cluster).await?)
        }
        None => None,
    };
    cluster.set_faults(&plan.faults);
    Ok(Raised { cluster, operator, namespace: plan.namespace.clone() })
}

/// The operator of this workspace, as a task of the scenario.
async fn in_process(
    installer: &Installer<'_>,
    cluster: &embedded::Cluster,
    spec: &OperatorSpec,
    plan: &Plan,
    terms: &Terms,
) -> Result<Box<dyn Operator>, RaiseError> {
    let settings = settings(spec)?;
    installer.install(&settings, &plan.namespace, &Asked::Service).await?;
    let doors = Doors::default();
    cluster.answer_for(NAMESPACE, WEBHOOKS, WEBHOOKS_PORT, behind(doors.webhooks.clone()));
    let clock = OperatorClock::starting_at(terms.epoch);
    Ok(Box::new(InProcess::new(cluster, spec.identity, settings, clock, doors)))
}

/// Whoever knocks at a Service of the operator comes to this door, as long as the operator runs.
fn behind(door: Door) -> Answerer {
    Arc::new(move |request| {
        let door = door.clone();
        async move {
            let (parts, body) = door.call(request.map(Into::into)).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Response::from_parts(parts, body))
        }
        .boxed()
    })
}
