//! The life of an operator: start, lead, stop.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all, try_join_all};

use crate::controllers::{drain, hello, multinic};
use crate::kit::admission::Reviewer;
use crate::kit::clock::Clock;
use crate::kit::fence::Fence;
use crate::kit::manager::{Manager, Shutdown};
use crate::kit::{process, traffic};

use super::check::check;
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
    check(&settings)?;
    let namespace = settings.namespace.as_deref().unwrap_or("*");
    tracing::info!(controllers = ?settings.controllers, namespace, version = env!("CARGO_PKG_VERSION"), "starting manager");
    let election = settings.leader_election.clone();
    let Prepared { manager, fence, controllers, everywhere, reviewers } =
        prepared(replica.into(), &settings, clock, shutdown);
    let shutdown = manager.shutdown.clone();
    let _open = [
        doors.health.open(servers::health::router(manager.health.clone())),
        doors.metrics.open(servers::metrics::router(manager.metrics.clone())),
        doors.webhooks.open(servers::webhooks::router(reviewers, &manager.metrics.webhooks)),
    ];
    let leading = manager.metrics.leading.with_label_values(&[&election.name]);
    let living = async {
        if !election.enabled {
            leading.set(1);
            return in_time(controllers, shutdown, settings.shutdown_timeout).await;
        }
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
    };
    let everywhere = async {
        join_all(everywhere).await;
        std::future::pending::<Infallible>().await
    };
    let done = tokio::select! {
        done = living => done,
        never = everywhere => match never {},
    };
    tracing::info!("stopped manager");
    done
}

/// The controllers' lives.
type Running = BoxFuture<'static, Result<(), RunError>>;

/// An operator that is put together and does nothing yet.
pub(super) struct Prepared {
    manager: Manager,
    fence: Fence,
    /// What the leader does.
    controllers: Running,
    /// What every replica does.
    everywhere: Vec<BoxFuture<'static, ()>>,
    /// Who judges, on every replica.
    reviewers: Vec<Arc<dyn Reviewer>>,
}

pub(super) fn prepared(
    replica: Replica,
    settings: &Settings,
    clock: Clock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Prepared {
    let Replica { client, api_host, health, metrics } = replica;
    process::measure(&metrics);
    let fence = if settings.leader_election.enabled { Fence::closed() } else { Fence::open() };
    let manager = {
        let manager = Manager { metrics, health, ..Manager::new(client, clock, shutdown) };
        let observed = |fence| traffic::observed(&manager.unfenced, &api_host, &manager.metrics, fence);
        let (client, unfenced) = (observed(Some(fence.clone())), observed(None));
        let (namespace, source) = (settings.namespace.clone(), settings.source.clone());
        Manager { client, unfenced, namespace, source, ..manager }
    };
    let (mut everywhere, mut reviewers) = (Vec::new(), Vec::new());
    let mut runs = Vec::new();
    for &controller in &settings.controllers {
        let (manager, shutdown) = (manager.clone(), manager.shutdown.clone());
        let run = match controller {
            Controller::Hello => hello::run(manager, settings.hello.clone()).boxed(),
            Controller::Multinic => multinic::run(manager, settings.multinic.clone()).boxed(),
            Controller::Drain => {
                let mut drain = drain::Drain::new(manager, settings.drain.clone());
                reviewers.extend(drain.reviewers());
                everywhere.extend(drain.everywhere().map(FutureExt::boxed));
                drain.run().boxed()
            }
        };
        runs.push(async move {
            run.await;
            if shutdown.peek().is_some() { Ok(()) } else { Err(RunError::Ended(controller)) }
        });
    }
    let controllers = async move { try_join_all(runs).await.map(drop) }.boxed();
    Prepared { manager, fence, controllers, everywhere, reviewers }
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
