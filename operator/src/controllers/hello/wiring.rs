//! What wakes the controller, and for whom: the objects themselves.

use std::sync::Arc;

use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;

use crate::api::hello::Hello;
use crate::kit::controller::{Controller, Limits};
use crate::kit::manager::Manager;
use crate::kit::report::Reporter;

use super::{CONTROLLER, Ctx, ERROR_BACKOFF, FIELD_MANAGER, RECONCILE_TIMEOUT, Settings, reconcile};

/// One that cannot be read still has a name and a finalizer.
type Guarded = DeserializeGuard<Hello>;

/// Runs the controller until it is told to stop, and then until the reconciles that are under way have ended.
pub async fn run(manager: Manager, settings: Settings) {
    let hellos: Api<Guarded> = manager.scope();
    let ctx = Arc::new(Ctx {
        reporter: Reporter::new(manager.client.clone(), FIELD_MANAGER, manager.clock),
        client: manager.client.clone(),
        clock: manager.clock,
    });
    let limits = Limits { concurrency: settings.concurrency, timeout: RECONCILE_TIMEOUT, backoff: ERROR_BACKOFF };
    Controller::new(&manager, CONTROLLER, hellos, watcher::Config::default())
        .run(limits, move |object| reconcile(object, Arc::clone(&ctx)))
        .await;
}
