//! Any operator that the cluster runs itself, by the manifests that deploy it. Its Deployments are all that is known of
//! it: they are scaled up to start it and down to stop it, its Pods are killed for a crash, and a container that ends
//! although nobody told it to is trouble.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::command::renews;
use super::manifests::{self, Installed};
use super::{Operator, RaiseError, Teller};
use crate::chain::chain;
use crate::cluster::Cluster;
use crate::scenario::duration::Span;
use crate::scenario::operator::{Deployed as Plan, Sign};

/// How long its Pods may take to be available unless the scenario says, and to be gone.
const WITHIN: Duration = Duration::from_mins(1);

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(100);

/// Deploys an operator without a Pod: it does not run yet.
pub(super) async fn put(
    deployed: &Plan,
    namespace: &str,
    cluster: &Arc<dyn Cluster>,
) -> Result<Box<dyn Operator>, RaiseError> {
    let mut objects = deployed.manifests.clone();
    let mut workloads = Vec::new();
    let client = cluster.client();
    for object in objects.iter_mut().filter(|object| object["kind"] == "Deployment") {
        let workload = Workload::take(object, namespace, client.clone());
        for image in &workload.images {
            if !cluster.runs(image) {
                let why = format!(
                    "no program is known for the image {image}, and this cluster pulls none: run the operator by \
                     `command`, or on a cluster that has its image"
                );
                return Err(RaiseError::because("deploy the operator")(why));
            }
        }
        workloads.push(workload);
    }
    if workloads.is_empty() {
        return Err(RaiseError::because("deploy the operator")("there is no Deployment among its manifests"));
    }
    let installed = manifests::install(&**cluster, namespace, &objects).await?;
    let (cluster, namespace, plan) = (Arc::clone(cluster), namespace.to_owned(), deployed.clone());
    Ok(Box::new(Deployed { cluster, namespace, plan, workloads, installed, runs: false, pods: Arc::default() }))
}

/// A Deployment of the operator's.
#[derive(Clone)]
struct Workload {
    name: String,
    namespace: String,
    /// How many Pods it wants when it runs.
    replicas: i64,
    /// Selects its Pods.
    selector: String,
    images: Vec<String>,
    /// Whom the API server takes it for.
    user: String,
    deployments: Api<Deployment>,
    pods: Api<Pod>,
}

impl Workload {
    /// What a manifest says, which then wants no Pod until it is started.
    fn take(manifest: &mut Value, namespace: &str, client: kube::Client) -> Self {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let namespace = text("/metadata/namespace").unwrap_or_else(|| namespace.to_owned());
        let account = text("/spec/template/spec/serviceAccountName").unwrap_or_else(|| "default".to_owned());
        let labels = manifest.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")));
        let containers = manifest.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        let images = containers.into_iter().flatten().filter_map(|it| it["image"].as_str()).map(str::to_owned);
        let workload = Self {
            name: text("/metadata/name").unwrap_or_default(),
            replicas: manifest.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1),
            selector: labels.collect::<Vec<_>>().join(","),
            images: images.collect(),
            user: format!("system:serviceaccount:{namespace}:{account}"),
            deployments: Api::namespaced(client.clone(), &namespace),
            pods: Api::namespaced(client, &namespace),
            namespace,
        };
        manifest["spec"]["replicas"] = 0.into();
        workload
    }

    async fn scale(&self, replicas: i64) -> Result<(), kube::Error> {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.deployments.patch_scale(&self.name, &PatchParams::default(), &patch).await.map(drop)
    }

    async fn list(&self) -> Result<Vec<Pod>, kube::Error> {
        self.pods.list(&ListParams::default().labels(&self.selector)).await.map(|list| list.items)
    }

    /// Waits until every Pod is available; `last` is how many there were.
    async fn available(&self, last: &mut String) {
        loop {
            match self.deployments.get_opt(&self.name).await {
                Ok(found) => {
                    let generation = found.as_ref().and_then(|it| it.metadata.generation);
                    let status = found.and_then(|it| it.status).unwrap_or_default();
                    let there = i64::from(status.available_replicas.unwrap_or_default());
                    if there >= self.replicas && status.observed_generation >= generation {
                        return;
                    }
                    *last = format!("{there} of {} Pods of {} are available", self.replicas, self.name);
                }
                Err(error) => *last = chain(&error),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Waits until it has no Pod.
    async fn gone(&self) {
        while !self.list().await.is_ok_and(|pods| pods.is_empty()) {
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Waits until a container ends although nobody told it to.
    async fn ended(&self) -> String {
        let config = watcher::Config::default().labels(&self.selector);
        let mut pods = watcher::watcher(self.pods.clone(), config).default_backoff().applied_objects().boxed();
        while let Some(seen) = pods.next().await {
            let Ok(pod) = seen else { continue };
            if pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
            if let Some(why) = statuses.into_iter().flatten().find_map(end) {
                return format!("the operator ({}) ended: {why}", pod.name_any());
            }
        }
        std::future::pending().await
    }
}

/// How a container has ended, if it has.
fn end(status: &ContainerStatus) -> Option<String> {
    let states = [status.state.as_ref(), status.last_state.as_ref()];
    let ended = states.into_iter().flatten().find_map(|state| state.terminated.as_ref())?;
    let reason = ended.reason.as_deref().unwrap_or("Error");
    Some(format!("its container {} with exit code {} ({reason})", status.name, ended.exit_code))
}

/// An operator that the cluster runs.
struct Deployed {
    cluster: Arc<dyn Cluster>,
    namespace: String,
    plan: Plan,
    workloads: Vec<Workload>,
    installed: Vec<Installed>,
    /// Whether it should run.
    runs: bool,
    /// Its Pods, by namespace and name, as they were last seen.
    pods: Arc<Mutex<Vec<(String, String)>>>,
}

impl Deployed {
    /// Lets it have no Pod; those it has are told to stop, or killed.
    async fn end(&mut self, grace: Option<u32>) {
        self.runs = false;
        let ending = async {
            for workload in &self.workloads {
                // What cannot be scaled is found out by whoever waits for its Pods.
                drop(workload.scale(0).await);
                for pod in workload.list().await.unwrap_or_default().iter().filter(|_| grace.is_some()) {
                    let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
                    drop(workload.pods.delete(&pod.name_any(), &params).await);
                }
            }
            for workload in &self.workloads {
                workload.gone().await;
            }
        };
        drop(tokio::time::timeout(WITHIN, ending).await);
    }
}

impl Operator for Deployed {
    /// Its Pods begin when somebody waits for them: scaling is a request.
    fn start(&mut self) {
        self.runs = true;
    }

    fn ready(&self) -> BoxFuture<'static, Result<(), String>> {
        let (workloads, pods, namespace) = (self.workloads.clone(), Arc::clone(&self.pods), self.namespace.clone());
        let (within, sign) = match &self.plan.ready {
            Some(ready) => (ready.within, Some(ready.by.clone())),
            None => (WITHIN, None),
        };
        async move {
            for workload in &workloads {
                workload.scale(workload.replicas).await.map_err(|error| format!("cannot scale: {}", chain(&error)))?;
            }
            let mut last = String::new();
            let waiting = async {
                for workload in &workloads {
                    workload.available(&mut last).await;
                }
                if let (Some(Sign::Lease(lease)), Some(first)) = (&sign, workloads.first()) {
                    let client = first.pods.clone().into_client();
                    let leases = Api::namespaced(client, lease.namespace(&namespace));
                    renews(&leases, &lease.name, &mut last).await;
                }
            };
            let waited = tokio::time::timeout(within, waiting).await;
            for workload in &workloads {
                let found = workload.list().await.unwrap_or_default();
                let found = found.iter().map(|pod| (workload.namespace.clone(), pod.name_any()));
                pods.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            }
            waited.map_err(|_| format!("the operator was not ready within {}: {last}", Span(within)))
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        self.end(None).boxed()
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        self.end(Some(0)).boxed()
    }

    fn uninstall(&mut self) -> BoxFuture<'_, Result<(), String>> {
        async {
            self.stop().await;
            manifests::remove(&self.installed).await
        }
        .boxed()
    }

    fn user(&self) -> String {
        self.workloads.first().map(|workload| workload.user.clone()).unwrap_or_default()
    }

    fn teller(&self) -> Option<Arc<dyn Teller>> {
        None
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        if !self.runs {
            return std::future::pending().boxed();
        }
        let ends = self.workloads.iter().map(|workload| workload.ended().boxed());
        futures::future::select_all(ends).map(|(why, ..)| why).boxed()
    }

    fn output(&self, lines: usize) -> Vec<String> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let logs = pods.iter().filter_map(|(namespace, pod)| self.cluster.pod_log(namespace, pod));
        let all: Vec<String> = logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        all[all.len().saturating_sub(lines)..].to_vec()
    }
}
