//! The life of an operator: start, lead, stop.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};

use crate::controllers::{drain, hello, multinic};
use crate::kit::admission::Reviewer;
use crate::kit::clock::Clock;
use crate::kit::fence::Fence;
use crate::kit::manager::{Manager, Shutdown};
use crate::kit::traffic;

use super::lease::Elector;
use super::{Controller, Doors, Replica, RunError, Settings, servers};

/// Runs the chosen controllers until `shutdown` resolves, and then until the reconciles that are under way have ended.
/// Dropping the future stops everything at once, as a crash would. While it runs, its servers are behind `doors`.
///
/// With leader election, the servers are there at once and the controllers when this replica leads.
///
/// # Errors
/// [`RunError`] when there is nothing to run, a controller ends before it is told to, the lease is lost, or stopping
/// takes too long.
pub async fn run(
    replica: impl Into<Replica>,
    settings: Settings,
    clock: Clock,
    doors: Doors,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    settings.check()?;
    let Replica { client, api_host, health, metrics } = replica.into();
    let namespace = settings.namespace.as_deref().unwrap_or("*");
    tracing::info!(controllers = ?settings.controllers, namespace, version = env!("CARGO_PKG_VERSION"), "starting manager");
    let election = settings.leader_election.clone();
    let fence = if election.enabled { Fence::closed() } else { Fence::open() };
    let manager = {
        let manager = Manager { metrics, health, ..Manager::new(client, clock, shutdown) };
        let observed = |fence| traffic::observed(&manager.unfenced, &api_host, &manager.metrics, fence);
        let (client, unfenced) = (observed(Some(fence.clone())), observed(None));
        let (namespace, source) = (settings.namespace.clone(), settings.source.clone());
        Manager { client, unfenced, namespace, source, ..manager }
    };
    let shutdown = manager.shutdown.clone();
    let (controllers, reviewers) = controllers(&manager, &settings);
    let _open = [
        doors.health.open(servers::health::router(manager.health.clone())),
        doors.metrics.open(servers::metrics::router(manager.metrics.clone())),
        doors.webhooks.open(servers::webhooks::router(reviewers, &manager.metrics.webhooks)),
    ];
    let leading = manager.metrics.leading.with_label_values(&[&election.name]);
    let done = if election.enabled {
        let check = manager.health.check("lease");
        let mut elector = Elector::new(manager.unfenced.clone(), election, clock, fence, check);
        tokio::select! {
            () = elector.acquire() => {
                leading.set(1);
                let done = tokio::select! {
                    done = in_time(controllers, shutdown, settings.shutdown_timeout) => done,
                    // The controllers are dropped where they are.
                    () = elector.keep() => Err(RunError::LeaseLost),
                };
                leading.set(0);
                elector.release().await;
                done
            }
            () = shutdown.clone() => {
                elector.release().await;
                Ok(())
            }
        }
    } else {
        leading.set(1);
        in_time(controllers, shutdown, settings.shutdown_timeout).await
    };
    tracing::info!("stopped manager");
    done
}

/// The controllers' lives.
type Running = BoxFuture<'static, Result<(), RunError>>;

/// The controllers, not running yet, and what judges in their name on every replica.
fn controllers(manager: &Manager, settings: &Settings) -> (Running, Vec<Arc<dyn Reviewer>>) {
    let mut reviewers: Vec<Arc<dyn Reviewer>> = Vec::new();
    let mut runs = Vec::new();
    for &controller in &settings.controllers {
        let (manager, shutdown) = (manager.clone(), manager.shutdown.clone());
        let run = match controller {
            Controller::Hello => hello::run(manager, settings.hello.clone()).boxed(),
            Controller::Multinic => multinic::run(manager, settings.multinic.clone()).boxed(),
            Controller::Drain => {
                let drain = drain::Drain::new(manager, settings.drain.clone());
                reviewers.extend(drain.reviewers());
                drain.run().boxed()
            }
        };
        runs.push(async move {
            run.await;
            if shutdown.peek().is_some() { Ok(()) } else { Err(RunError::Ended(controller)) }
        });
    }
    (async move { try_join_all(runs).await.map(drop) }.boxed(), reviewers)
}

/// Runs `controllers`; once told to stop, they have `timeout`.
async fn in_time(controllers: Running, shutdown: Shutdown, timeout: std::time::Duration) -> Result<(), RunError> {
    let too_late = async {
        shutdown.await;
        tracing::info!(?timeout, "stopping manager");
        tokio::time::sleep(timeout).await;
    };
    tokio::select! {
        done = controllers => done,
        () = too_late => Err(RunError::ShutdownTimedOut(timeout)),
    }
}
