//! The EndpointSlice controller: writes down which Pods a Service's traffic may go to.
//!
//! [`slices`] says which slices a Service needs and [`endpoints`] what a Pod is in them; this edge hears of changes that
//! matter and writes.

mod endpoints;
mod slices;
#[cfg(test)]
mod tests;
mod trigger;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::workload::pods;
use slices::{Backend, Plan};
use trigger::Answered;

/// The controller.
pub(in crate::cluster::embedded) struct EndpointSliceController {
    client: Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    /// By the key of their Service.
    slices: Informer<EndpointSlice>,
    queue: Queue<Key>,
    answered: HashMap<Key, Answered>,
}

/// What EndpointSlices are found by: the key of the Service, for those that this controller looks after.
pub(in crate::cluster::embedded) fn service_of(slice: &EndpointSlice) -> Option<String> {
    service_key(slice).map(|key| key.to_string())
}

fn service_key(slice: &EndpointSlice) -> Option<Key> {
    let labels = slice.labels();
    let ours = labels.get(slices::MANAGED_BY).is_some_and(|manager| manager == slices::CONTROLLER);
    let name = labels.get(slices::SERVICE_NAME).filter(|_| ours)?.clone();
    Some(Key { namespace: slice.namespace().unwrap_or_default(), name })
}

impl EndpointSliceController {
    /// A controller that hears of Services, Pods, nodes and slices from the caches.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        services: Informer<Service>,
        pods: Informer<Pod>,
        nodes: Informer<Node>,
        slices: Informer<EndpointSlice>,
    ) -> Self {
        let queue = Queue::new();
        let (by_service, by_pod, by_node, by_slice) = (queue.clone(), queue.clone(), queue.clone(), queue.clone());
        services.on_change(move |change| by_service.add(Key::of(change.object().as_ref())));
        let known = services.clone();
        pods.on_change(move |change| pod_changed(change, &known, &by_pod));
        let (known, there) = (services.clone(), pods.clone());
        nodes.on_change(move |change| node_changed(change, &known, &there, &by_node));
        slices.on_change(move |change| {
            let old = if let Change::Applied { old, .. } = change { old.as_deref() } else { None };
            for key in [old, Some(change.object().as_ref())].into_iter().flatten().filter_map(service_key) {
                by_slice.add(key);
            }
        });
        Self { client, services, pods, nodes, slices, queue, answered: HashMap::new() }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(mut self) {
        self.services.ready().await;
        self.pods.ready().await;
        self.nodes.ready().await;
        self.slices.ready().await;
        loop {
            let key = self.queue.next().await;
            match self.sync(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(%error, %key, "endpoints will be written again");
                    self.queue.retry(key);
                }
            }
        }
    }

    async fn sync(&mut self, key: &Key) -> Result<(), kube::Error> {
        // The slices of a Service that is gone are garbage; those of one without a selector are somebody else's.
        let Some(service) = self.services.get(key) else {
            self.answered.remove(key);
            return Ok(());
        };
        let Some(selector) = selector(&service) else { return Ok(()) };
        let selected: Vec<Backend> = self
            .pods
            .in_namespace(&key.namespace)
            .into_iter()
            .filter(|pod| selects(selector, pod))
            .map(|pod| {
                let node = pods::node(&pod).and_then(|node| self.nodes.get(&cluster_key(node)));
                (pod, node)
            })
            .collect();
        let plan = slices::decide(&service, &selected, &self.slices.by_index(&key.to_string()));
        let answered = self.answered.get(key).cloned().unwrap_or_default();
        let (since, answered) = answered.next(&service, selected.iter().map(|(pod, _)| pod.as_ref()));
        self.write(key, &service, plan, since.map(|since| since.to_string())).await?;
        self.answered.insert(key.clone(), answered);
        Ok(())
    }

    async fn write(&self, key: &Key, service: &Service, plan: Plan, since: Option<String>) -> Result<(), kube::Error> {
        let Plan { create, update, delete } = plan;
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        let stamped = |mut slice: EndpointSlice| {
            slice.annotations_mut().remove(trigger::ANNOTATION);
            if let Some(since) = &since {
                slice.annotations_mut().insert(trigger::ANNOTATION.to_owned(), since.clone());
            }
            slice
        };
        // Who is about to collect the slices of a Service that goes shall not be raced.
        let create = if pods::is_deleting(service) { Vec::new() } else { create };
        for slice in create.into_iter().map(stamped) {
            let made = api.create(&PostParams::default(), &slice).await?;
            self.slices.until(&Key::of(&made), |shown| shown.is_some()).await;
        }
        for slice in update.into_iter().map(stamped) {
            let written = api.replace(&slice.name_any(), &PostParams::default(), &slice).await?;
            let version = written.resource_version();
            let old = slice.resource_version();
            let echoed = |shown: &EndpointSlice| shown.resource_version() == version || shown.resource_version() != old;
            self.slices.until(&Key::of(&written), |shown| shown.is_none_or(echoed)).await;
        }
        for slice in delete {
            match api.delete(&slice.name_any(), &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                answer => answer.map(drop)?,
            }
            self.slices.until(&Key::of(slice.as_ref()), |shown| shown.is_none()).await;
        }
        Ok(())
    }
}

/// What a Service selects Pods by, where that is its endpoints' source.
fn selector(service: &Service) -> Option<&std::collections::BTreeMap<String, String>> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName"))?;
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

fn selects(selector: &std::collections::BTreeMap<String, String>, pod: &Pod) -> bool {
    let labels = pod.labels();
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn cluster_key(name: &str) -> Key {
    Key { namespace: String::new(), name: name.to_owned() }
}

/// Asks for the Services that have a Pod, or had it, when something that they show of it has changed.
fn pod_changed(change: &Change<Pod>, services: &Informer<Service>, queue: &Queue<Key>) {
    let pod = change.object();
    let old = match change {
        Change::Applied { old: Some(old), .. } if endpoints::facts(old) == endpoints::facts(pod) => return,
        Change::Applied { old, .. } => old.as_ref(),
        Change::Deleted(_) => None,
    };
    // A Pod without an address is in no slice, before and after.
    let shown = |pod: &Arc<Pod>| endpoints::belongs(pod);
    if !shown(pod) && old.is_none_or(|old| !shown(old)) {
        return;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for service in services.in_namespace(namespace) {
        let hit = |pod: &Arc<Pod>| selector(&service).is_some_and(|selector| selects(selector, pod));
        if hit(pod) || old.is_some_and(hit) {
            queue.add(Key::of(service.as_ref()));
        }
    }
}

/// Asks for the Services with Pods on a node that has come or moved to another zone.
fn node_changed(change: &Change<Node>, services: &Informer<Service>, there: &Informer<Pod>, queue: &Queue<Key>) {
    let node = change.object().name_any();
    if let Change::Applied { old: Some(old), new } = change
        && old.labels() == new.labels()
    {
        return;
    }
    let here: Vec<Arc<Pod>> = there.all().into_iter().filter(|pod| pods::node(pod) == Some(node.as_str())).collect();
    for pod in here {
        for service in services.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            if selector(&service).is_some_and(|selector| selects(selector, &pod)) {
                queue.add(Key::of(service.as_ref()));
            }
        }
    }
}
