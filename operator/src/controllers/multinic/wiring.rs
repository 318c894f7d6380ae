//! What wakes the controller, and for whom: configurations, and the Jobs, Pods and Nodes that belong to them.
//!
//! Jobs and Pods wake every configuration of their node, not only the one they were made for: another one may be waiting
//! for them to go. That they changed is all that is asked for: what they are is read when it is looked at.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, ResourceExt};

use crate::api::multinic::MultiNicNodeConfig;
use crate::kit::controller::{Controller, Limits};
use crate::kit::manager::Manager;
use crate::kit::report::Reporter;

use super::{CONTROLLER, Ctx, ERROR_BACKOFF, RECONCILE_TIMEOUT, Settings, labels, reconcile};

/// One that cannot be read still has a name and a finalizer.
type Config = DeserializeGuard<MultiNicNodeConfig>;

/// Runs the controller until `shutdown` resolves, and then until the reconciles that are under way have ended.
pub async fn run(manager: Manager, settings: Settings) {
    let configs: Api<Config> = manager.scope();
    let agents = watcher::Config::default().labels(&labels::selector());
    let controller = Controller::new(&manager, CONTROLLER, configs, watcher::Config::default());
    let limits = Limits { concurrency: settings.concurrency, timeout: RECONCILE_TIMEOUT, backoff: ERROR_BACKOFF };
    let store = controller.store();
    let ctx = Arc::new(Ctx {
        reporter: Reporter::new(manager.client.clone(), labels::FIELD_MANAGER, manager.clock),
        client: manager.client.clone(),
        namespace: manager.namespace.clone(),
        settings,
        clock: manager.clock,
        configs: store.clone(),
    });
    let (of_job, of_pod, of_node) = (store.clone(), store.clone(), store);
    controller
        .watches(manager.scope::<PartialObjectMeta<Job>>(), agents.clone(), move |job| of_agent(&of_job, &job))
        .watches(manager.scope::<PartialObjectMeta<Pod>>(), agents, move |pod| of_agent(&of_pod, &pod))
        .watches(Api::<PartialObjectMeta<Node>>::all(manager.client.clone()), watcher::Config::default(), move |node| {
            with_node_label(&of_node, &labels::node_label(&node.name_any()))
        })
        .run(limits, move |object| reconcile(object, Arc::clone(&ctx)))
        .await;
}

/// The configurations of an agent's node.
fn of_agent<K: ResourceExt>(configs: &Store<Config>, agent: &K) -> Vec<ObjectRef<Config>> {
    agent.labels().get(labels::NODE).map(|label| with_node_label(configs, label)).unwrap_or_default()
}

fn with_node_label(configs: &Store<Config>, label: &str) -> Vec<ObjectRef<Config>> {
    let of_node = |config: &&Arc<Config>| {
        config.0.as_ref().is_ok_and(|config| labels::node_label(&config.spec.node_name) == label)
    };
    configs.state().iter().filter(of_node).map(|config| ObjectRef::from_obj(&**config)).collect()
}
