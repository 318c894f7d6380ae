//! A cluster that takes what is shipped, and the operator on it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use http::{Request, StatusCode};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams, ValidationDirective};
use kube::client::Body;
use kube::core::DynamicObject;
use kube::discovery::{Discovery, Scope};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use slipway::cluster::Cluster as _;
use slipway::cluster::embedded::Cluster;
use slipway::scenario::node::NodeSpec;
use slipway::target::programs;
use slipway_operator::kit::clock::Clock;
use slipway_operator::runtime::{self, Doors, Settings};
use tokio_util::sync::CancellationToken;

use super::{find, of_kind};

/// The field manager of what is installed.
const INSTALLER: &str = "slipway-deploy-test";

/// How long anything may take, in virtual time.
const PATIENCE: Duration = Duration::from_mins(5);

/// Runs a case in virtual time on a cluster of its own.
pub(crate) fn on_a_cluster<F>(case: impl FnOnce(Arc<Cluster>) -> F) -> Result<(), Failed>
where
    F: Future<Output = Result<(), Failed>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        let cluster = Arc::new(Cluster::launch(epoch(), 1, vec![node()?], programs(&[])).await?);
        let done = case(cluster.clone()).await;
        drop(cluster);
        done
    })
}

fn epoch() -> Timestamp {
    Timestamp::from_second(1_893_456_000).unwrap_or_default()
}

/// The node that the `MultiNIC` sample is for.
fn node() -> Result<NodeSpec, Failed> {
    let links = json!([
        { "name": "ens4", "mac": "fa:16:3e:f3:b0:3f" },
        { "name": "ens5", "mac": "fa:16:3e:1e:b2:5f" },
    ]);
    Ok(serde_json::from_value(json!({ "name": "worker-1", "os": "ubuntu-22.04", "links": links }))?)
}

/// Where objects of a kind are, of those in a namespace those of the object's.
pub(crate) async fn api(client: &Client, object: &Value) -> Result<Api<DynamicObject>, Failed> {
    let types: kube::core::TypeMeta = serde_json::from_value(json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
    }))?;
    let kind = types.try_into()?;
    let discovery = Discovery::new(client.clone()).run().await?;
    let (resource, capabilities) = discovery.resolve_gvk(&kind).ok_or_else(|| format!("{kind:?} is not served"))?;
    Ok(match (capabilities.scope, object["metadata"]["namespace"].as_str()) {
        (Scope::Cluster, None) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, &resource),
        (scope, namespace) => {
            let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
            return Err(format!("{kind} {name} is in namespace {namespace:?}, and its scope is {scope:?}").into());
        }
    })
}

/// Creates every object, and then applies it, as an upgrade would; nothing may be unknown or written twice.
pub(crate) async fn install(client: &Client, objects: &[Value]) -> Result<(), Failed> {
    for object in objects {
        let (kind, name) = (&object["kind"], object["metadata"]["name"].as_str().unwrap_or_default());
        let api = api(client, object).await?;
        let path = format!("{}?fieldValidation=Strict&fieldManager={INSTALLER}", api.resource_url());
        let post = Request::post(path).header("content-type", "application/json").body(object.to_string().into_bytes());
        let created = client.request::<DynamicObject>(post?).await;
        let created = created.map_err(|error| format!("create {kind} {name}: {error}"))?;
        if kind == "CustomResourceDefinition" {
            let served = await_condition(Api::all(client.clone()), name, conditions::is_crd_established());
            tokio::time::timeout(PATIENCE, served).await??;
        }
        let again = PatchParams::apply(INSTALLER).force();
        let again = PatchParams { field_validation: Some(ValidationDirective::Strict), ..again };
        let applied = api.patch(name, &again, &Patch::Apply(object)).await;
        let applied = applied.map_err(|error| format!("apply {kind} {name}: {error}"))?;
        if created.metadata.generation != applied.metadata.generation {
            return Err(format!("{kind} {name} is changed by being applied again").into());
        }
    }
    Ok(())
}

/// The operator, with the settings and the service account of its Deployment.
pub(crate) struct Operator {
    running: tokio::task::JoinHandle<Result<(), runtime::RunError>>,
    stop: CancellationToken,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Operator {
    pub(crate) fn start(cluster: &Cluster, objects: &[Value]) -> Result<Self, Failed> {
        let deployment = find(objects, "Deployment", "slipway-operator")?;
        let mut settings = settings(objects, deployment)?;
        // As the program calls itself by its Pod.
        settings.leader_election.identity.get_or_insert_with(|| "slipway-operator-0".to_owned());
        let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or_default();
        let account = deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap_or_default();
        find(objects, "ServiceAccount", account)?;
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
        let groups = groups.map(str::to_owned);
        let client = cluster.client_as(&format!("system:serviceaccount:{namespace}:{account}"), &groups);
        let refused = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let run = runtime::run(
            watched(client, refused.clone()),
            settings,
            Clock::starting_at(epoch()),
            Doors::default(),
            stop.clone().cancelled_owned(),
        );
        Ok(Self { running: tokio::spawn(run.boxed()), stop, refused })
    }

    /// Stops it. An error if it was refused anything while it ran, or has ended before.
    pub(crate) async fn stop(self) -> Result<(), Failed> {
        if self.running.is_finished() {
            return Err(format!("the operator has ended: {:?}", self.running.await).into());
        }
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running).await???;
        let refused = self.refused.lock().unwrap();
        if refused.is_empty() { Ok(()) } else { Err(format!("the operator was refused: {refused:#?}").into()) }
    }
}

/// A client that keeps every request that it is forbidden.
fn watched(client: Client, refused: Arc<Mutex<Vec<String>>>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, refused) = (client.clone(), refused.clone());
        async move {
            let call = format!("{} {}", request.method(), request.uri());
            let answer = client.send(request).await?;
            if answer.status() == StatusCode::FORBIDDEN {
                refused.lock().unwrap().push(call);
            }
            Ok::<_, kube::Error>(answer)
        }
    });
    Client::new(service, "default")
}

/// The settings that the operator reads from its volume.
pub(crate) fn settings(objects: &[Value], deployment: &Value) -> Result<Settings, Failed> {
    let mut volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().into_iter().flatten();
    let name = volumes.find_map(|volume| volume["configMap"]["name"].as_str());
    let map = find(objects, "ConfigMap", name.ok_or("the Deployment mounts no settings")?)?;
    Ok(serde_yaml::from_str(map["data"]["settings.yaml"].as_str().ok_or("there are no settings")?)?)
}

/// Waits until an object is as told.
pub(crate) async fn wait_until(
    client: &Client,
    object: &Value,
    what: &str,
    holds: impl Fn(Option<&Value>) -> bool,
) -> Result<(), Failed> {
    let api = api(client, object).await?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let seen = Mutex::new(None);
    let condition = |now: Option<&DynamicObject>| {
        let now = now.and_then(|now| serde_json::to_value(now).ok());
        let met = holds(now.as_ref());
        *seen.lock().unwrap() = now;
        met
    };
    if let Ok(done) = tokio::time::timeout(PATIENCE, await_condition(api, name, condition)).await {
        done.map(drop).map_err(Failed::from)
    } else {
        let seen = serde_json::to_string_pretty(&*seen.lock().unwrap())?;
        Err(format!("{name} is not {what}: {seen}").into())
    }
}

/// Uses every kind of custom resource that the operator looks after, from the samples: made, done, deleted, gone.
pub(crate) async fn use_it(client: &Client, samples: &[Value]) -> Result<(), Failed> {
    let done = BTreeMap::from([("Hello", "Greeted"), ("MultiNicNodeConfig", "Configured")]);
    let mut used = 0;
    for (sample, reason) in done.iter().flat_map(|(kind, reason)| of_kind(samples, kind).map(move |it| (it, *reason))) {
        used += 1;
        let api = api(client, sample).await?;
        let created = api.create(&PostParams::default(), &serde_json::from_value(sample.clone())?).await?;
        wait_until(client, sample, reason, |now| {
            let conditions = now.and_then(|now| now["status"]["conditions"].as_array());
            conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["reason"] == reason)
        })
        .await?;
        api.delete(&created.name_any(), &kube::api::DeleteParams::default()).await?;
        wait_until(client, sample, "gone", |now| now.is_none()).await?;
    }
    if used == 0 { Err("there is nothing to use it with".into()) } else { Ok(()) }
}
