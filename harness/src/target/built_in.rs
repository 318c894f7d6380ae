//! The operator of this workspace, in this process: its definitions and rights are installed as its manifests would
//! install them, its images run the agent's own code, and it talks to the cluster with its service account's rights.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use http_body_util::BodyExt;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::{Namespace, Service, ServicePort, ServiceSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Map, Value};
use slipway_apiserver::fault;
use slipway_apiserver::route::Verb;
use slipway_operator::controllers::drain;
use slipway_operator::controllers::drain::gate::webhooks;
use slipway_operator::kit::clock::Clock as OperatorClock;
use slipway_operator::kit::error::chain;
use slipway_operator::runtime::rbac::{self, Install, Manifest, NAME, NAMESPACE};
use slipway_operator::runtime::{self, Controller, Door, Doors, Settings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::teller::Behind;
use super::{Operator, RaiseError, Raised, Stage, Teller, Terms, agent};
use crate::cluster::Cluster;
use crate::cluster::embedded::node::tcp::Medium;
use crate::cluster::embedded::{self, services::Answerer};
use crate::scenario::model::{Fault, FaultVerb, Identity, OperatorSpec, Time};
use crate::scenario::plan::Plan;

/// What the operator's log lines have in common.
pub const LOG_TARGET: &str = "slipway_operator";

/// Settings that scenarios give in a field of their own.
const CONTROLLERS: &str = "controllers";

/// The field manager of whatever is installed before a scenario begins.
const INSTALLER: &str = "slipway-installer";

/// The Service before the operator's webhooks, and its port.
const WEBHOOKS: &str = "slipway-operator-webhooks";
const WEBHOOKS_PORT: u16 = 443;

/// How long a definition may take until it is served; a real API server needs about a second.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

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
    let medium = match terms.time {
        Time::Virtual => Medium::Memory,
        Time::Real => Medium::Sockets,
    };
    let cluster = embedded::Cluster::launch_on(medium, terms.epoch, terms.seed, plan.nodes.clone(), agent::programs())
        .await
        .map_err(RaiseError::because("start the cluster"))?;
    let client = cluster.client();
    namespace(&client, &plan.namespace).await?;
    let operator = match &plan.operator {
        Some(spec) => {
            let settings = settings(spec)?;
            install(&client, &settings, &plan.namespace).await?;
            let doors = Doors::default();
            cluster.answer_for(NAMESPACE, WEBHOOKS, WEBHOOKS_PORT, behind(doors.webhooks.clone()));
            let user = user(spec.identity);
            let client = cluster.client_as(&user, &groups(spec.identity));
            let running = None;
            let clock = OperatorClock::starting_at(terms.epoch);
            let administrator = cluster.client();
            let operator = InProcess { client, administrator, user, settings, clock, doors, running };
            Some(Box::new(operator) as Box<dyn Operator>)
        }
        None => None,
    };
    cluster.server().set_faults(plan.faults.iter().map(rule).collect());
    Ok(Raised { cluster: Arc::new(cluster), operator })
}

/// A fault in the API server's words.
fn rule(fault: &Fault) -> fault::Rule {
    let verb = |verb: &FaultVerb| match verb {
        FaultVerb::Get => Verb::Get,
        FaultVerb::List => Verb::List,
        FaultVerb::Watch => Verb::Watch,
        FaultVerb::Create => Verb::Create,
        FaultVerb::Update => Verb::Update,
        FaultVerb::Patch => Verb::Patch,
        FaultVerb::Delete => Verb::Delete,
        FaultVerb::DeleteCollection => Verb::DeleteCollection,
    };
    fault::Rule {
        verbs: fault.verbs.iter().map(verb).collect(),
        resource: fault.resource.clone(),
        subresource: fault.subresource.clone(),
        delay: fault.delay.0,
    }
}

/// The operator's settings, with those that the scenario gives in place of the defaults.
fn settings(spec: &OperatorSpec) -> Result<Settings, RaiseError> {
    let mut fields: Map<String, Value> = spec.settings.clone().into_iter().collect();
    fields.insert(CONTROLLERS.to_owned(), spec.controllers.clone().into());
    serde_json::from_value(Value::Object(fields)).map_err(RaiseError::because("read the operator's settings"))
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

/// What the operator's manifests install.
async fn install(client: &Client, settings: &Settings, agent_namespace: &str) -> Result<(), RaiseError> {
    namespace(client, NAMESPACE).await?;
    for controller in &settings.controllers {
        for crd in controller.crds() {
            let name = crd.metadata.name.clone().unwrap_or_default();
            let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
            apply(&definitions, &name, &crd).await?;
            let established = await_condition(definitions, &name, is_crd_established());
            tokio::time::timeout(ESTABLISHED_WITHIN, established)
                .await
                .map_err(RaiseError::because(format!("wait for {name} to be served")))?
                .map_err(RaiseError::because(format!("watch {name}")))?;
        }
    }
    let install = Install {
        controllers: settings.controllers.clone(),
        watched: settings.namespace.clone(),
        namespace: NAMESPACE.to_owned(),
        agent_namespace: agent_namespace.to_owned(),
        config_map: (settings.drain.config_map_namespace.clone(), settings.drain.config_map_name.clone()),
    };
    for manifest in rbac::parts(&install).into_iter().flat_map(|part| part.manifests) {
        match manifest {
            Manifest::ServiceAccount(account) => apply_in(client, &account).await,
            Manifest::Role(role) => apply_in(client, &role).await,
            Manifest::RoleBinding(binding) => apply_in(client, &binding).await,
            Manifest::ClusterRole(role) => apply(&Api::all(client.clone()), &role.name_any(), &role).await,
            Manifest::ClusterRoleBinding(binding) => {
                apply(&Api::all(client.clone()), &binding.name_any(), &binding).await
            }
        }?;
    }
    if settings.controllers.contains(&Controller::Drain) {
        install_webhooks(client, settings).await?;
    }
    Ok(())
}

/// What makes the API server ask the operator about evictions and new Pods.
async fn install_webhooks(client: &Client, settings: &Settings) -> Result<(), RaiseError> {
    let port = ServicePort { port: i32::from(WEBHOOKS_PORT), ..ServicePort::default() };
    let service = Service {
        metadata: ObjectMeta {
            name: Some(WEBHOOKS.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        // No selector: what answers is no Pod, but this process.
        spec: Some(ServiceSpec { ports: Some(vec![port]), ..ServiceSpec::default() }),
        ..Service::default()
    };
    apply_in(client, &service).await?;
    let at = webhooks::Installation {
        namespace: NAMESPACE.to_owned(),
        service: WEBHOOKS.to_owned(),
        port: WEBHOOKS_PORT,
        user: format!("system:serviceaccount:{NAMESPACE}:{NAME}"),
        watched: settings.namespace.clone(),
    };
    apply(&Api::all(client.clone()), webhooks::NAME, &webhooks::evictions(&at)).await?;
    apply(&Api::all(client.clone()), webhooks::NAME, &webhooks::pods(&at)).await
}

async fn remove_webhooks(client: &Client) -> Result<(), kube::Error> {
    let now = DeleteParams::default();
    Api::<ValidatingWebhookConfiguration>::all(client.clone()).delete(webhooks::NAME, &now).await?;
    Api::<MutatingWebhookConfiguration>::all(client.clone()).delete(webhooks::NAME, &now).await.map(drop)
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

async fn apply_in<K>(client: &Client, object: &K) -> Result<(), RaiseError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let namespace = object.namespace().unwrap_or_default();
    apply(&Api::namespaced(client.clone(), &namespace), &object.name_any(), object).await
}

async fn namespace(client: &Client, name: &str) -> Result<(), RaiseError> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    apply(&Api::all(client.clone()), name, &Namespace { metadata, ..Namespace::default() }).await
}

async fn apply<K>(api: &Api<K>, name: &str, object: &K) -> Result<(), RaiseError>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let mut value = serde_json::to_value(object).map_err(RaiseError::because(format!("write {name}")))?;
    value["apiVersion"] = K::api_version(&()).into();
    value["kind"] = K::kind(&()).into();
    api.patch(name, &PatchParams::apply(INSTALLER).force(), &Patch::Apply(&value))
        .await
        .map(drop)
        .map_err(RaiseError::because(format!("install {} {name}", K::kind(&()))))
}

/// The operator as a task of the scenario's runtime.
struct InProcess {
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

    fn teller(&self) -> Arc<dyn Teller> {
        Arc::new(Behind(self.doors.metrics.clone()))
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
