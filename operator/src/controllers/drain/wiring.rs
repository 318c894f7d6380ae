//! What wakes the controller, and for whom: Pods that there is something to do about, the Pods that wait for them, and
//! everybody when the configuration or the labels of a namespace change.
//!
//! Most Pods of a cluster are nobody's business here. They are kept, because a change of the configuration may
//! make them so, but they are not reconciled.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};

use crate::api::drain::{FINALIZERS, Hold};
use crate::kit::controller::{Controller, Limits};
use crate::kit::manager::Manager;
use crate::kit::report::Reporter;

use super::configured::Configured;
use super::measures::{By, Measures};
use super::memory::Memory;
use super::pod::Pod;
use super::turn::are_peers;
use super::workload::Workload;
use super::{CONTROLLER, Ctx, ERROR_BACKOFF, FIELD_MANAGER, RECONCILE_TIMEOUT, Settings, reconcile};

/// Runs the controller until it is told to stop, and then until the reconciles that are under way have ended.
pub(super) async fn run(manager: Manager, settings: Settings, measures: Measures, configured: Configured) {
    let (namespaces, writer) = reflector::store();
    let only = manager.namespace.as_ref().map(|name| format!("metadata.name={name}"));
    let config = only.iter().fold(watcher::Config::default(), |config, only| config.fields(only));
    let changed = manager.changes(CONTROLLER, Api::<PartialObjectMeta<Namespace>>::all(manager.client.clone()), config);
    let only_labels = |namespace: &mut PartialObjectMeta<Namespace>| namespace.metadata.annotations = None;
    let changed = reflector::reflector(writer, changed.modify(only_labels)).touched_objects();

    let (waiting, limits) = (configured.clone(), limits(&settings));
    let (pods, wakes) = (manager.scope::<Pod>(), configured.clone());
    let (looked_in, decides) = (namespaces.clone(), configured.clone());
    let controller = Controller::of_many(&manager, CONTROLLER, pods, watcher::Config::default(), move |pods, pod| {
        let Some(standing) = decides.now() else { return Vec::new() };
        let own = super::is_of_interest(pod, &standing, &looked_in);
        let own = own.then(|| ObjectRef::from_obj(pod));
        own.into_iter().chain(waiting_for(pods, pod)).collect()
    });
    let store = controller.store();
    count_before_scrapes(&manager, &measures, store.clone());
    let ctx = Arc::new(Ctx {
        reporter: Reporter::new(manager.client.clone(), FIELD_MANAGER, manager.clock),
        client: manager.client.clone(),
        clock: manager.clock,
        configured,
        measures,
        namespaces,
        pods: store.clone(),
        memory: Memory::default(),
    });
    let (everybody, neighbours) = (Arc::clone(&ctx), Arc::clone(&ctx));
    let configuration_changed = wakes.changes().flat_map(move |()| futures::stream::iter(everybody.of_interest(None)));
    let namespace_changed = changed.flat_map(move |namespace| {
        let name = namespace.ok().map(|namespace| namespace.name_any());
        futures::stream::iter(name.map(|name| neighbours.of_interest(Some(&name))).unwrap_or_default())
    });
    // Before it is known what to do, there is nothing to do.
    tokio::select! {
        () = waiting.known() => {}
        () = manager.shutdown.clone() => return,
    }
    controller
        .wakes(configuration_changed)
        .wakes(namespace_changed)
        .run(limits, move |pod| reconcile(pod, Arc::clone(&ctx)))
        .await;
}

fn limits(settings: &Settings) -> Limits {
    Limits { concurrency: settings.concurrency, timeout: RECONCILE_TIMEOUT, backoff: ERROR_BACKOFF }
}

/// The Pods of its set that wait for this one, and may have waited long enough.
fn waiting_for(pods: &Store<Pod>, pod: &Pod) -> Vec<ObjectRef<Pod>> {
    if Workload::of(pod) != Workload::StatefulSet {
        return Vec::new();
    }
    let waits = |other: &&Arc<Pod>| are_peers(pod, other) && held(other).is_some();
    pods.state().iter().filter(waits).map(|other| ObjectRef::from_obj(&**other)).collect()
}

/// What holds the Pod at the moment.
fn held(pod: &Pod) -> Option<By> {
    let guarded = || pod.finalizers().iter().any(|finalizer| FINALIZERS.contains(&finalizer.as_str()));
    if pod.metadata.deletion_timestamp.is_some() {
        guarded().then_some(By::Finalizer)
    } else {
        Hold::of(pod.annotations()).filter(|hold| hold.released.is_none()).map(|_| By::EvictionGate)
    }
}

fn count_before_scrapes(manager: &Manager, measures: &Measures, pods: Store<Pod>) {
    let measures = measures.clone();
    manager.metrics.before_scrape(move || {
        let held: Vec<_> = pods.state().iter().filter_map(|pod| held(pod)).collect();
        for by in By::ALL {
            let count = held.iter().filter(|other| **other == by).count();
            measures.held(by, u32::try_from(count).unwrap_or(u32::MAX));
        }
    });
}
