//! What wakes the controller, and for whom: the objects themselves.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::StreamExt;
use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;

use crate::api::hello::Hello;
use crate::kit::error::chain;
use crate::kit::manager::Manager;
use crate::kit::report::Reporter;

use super::{CONTROLLER, Ctx, Error, FIELD_MANAGER, Settings, on_error, reconcile};

/// One that cannot be read still has a name and a finalizer.
type Guarded = DeserializeGuard<Hello>;

/// Runs the controller until it is told to stop, and then until the reconciles that are under way have ended.
pub async fn run(manager: Manager, settings: Settings) {
    let hellos: Api<Guarded> = manager.scope();
    let ctx = Arc::new(Ctx {
        reporter: Reporter::new(manager.client.clone(), FIELD_MANAGER, manager.clock),
        client: manager.client,
        clock: manager.clock,
        failures: std::sync::Mutex::default(),
        next: AtomicU64::new(1),
    });
    Controller::new(hellos, watcher::Config::default())
        .with_config(controller::Config::default().concurrency(settings.concurrency))
        .graceful_shutdown_on(manager.shutdown)
        .run(reconcile, |object, error, ctx| on_error(&object, error, &ctx), ctx)
        .for_each(|result| {
            report(result);
            std::future::ready(())
        })
        .await;
}

/// The one place where what became of a reconcile is looked at.
fn report(result: Result<(ObjectRef<Guarded>, controller::Action), controller::Error<Error, watcher::Error>>) {
    match result {
        Ok((object, _)) => tracing::debug!(controller = CONTROLLER, %object, "reconciled"),
        // Woken for an object that has gone since.
        Err(controller::Error::ObjectNotFound(object)) => {
            tracing::debug!(controller = CONTROLLER, %object, "object is gone");
        }
        Err(controller::Error::ReconcilerFailed(error, object)) if error.is_conflict() => {
            tracing::debug!(controller = CONTROLLER, %object, "object has changed meanwhile");
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            let category = error.category();
            tracing::warn!(controller = CONTROLLER, %object, category, error = %chain(&error), "reconcile failed");
        }
        Err(error) => tracing::warn!(controller = CONTROLLER, error = %chain(&error), "watch failed"),
    }
}
