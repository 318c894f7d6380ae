//! `MultiNIC`: per-node network configuration by agent Jobs.
//!
//! ```text
//! MultiNicNodeConfig → Job on the node → termination message → status
//! ```
//!
//! A reconcile is five steps: `observe` reads everything there is, `validate` and `plan` decide without touching
//! anything, `apply` makes it so, and the status tells of it. Guarantees:
//!
//! - Never two agents on one node: an agent starts when no Job and no Pod of another one is left there.
//! - A Job counts only for the configuration (uid), generation and machine it was made for.
//! - A Job is removed only after the status tells what it came to.
//! - A deleted configuration stays until its node is cleaned up, or cannot be, and an Event says which.

mod apply;
mod decide;
mod job;
mod labels;
mod observe;
mod os;
mod outcome;
mod plan;
mod settings;
mod status;
mod validate;
mod wiring;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource};

use crate::api::multinic::MultiNicNodeConfig;
use crate::kit::backoff::Backoff;
use crate::kit::clock::Clock;
use crate::kit::controller::Failure;
use crate::kit::report::{Kind, Notice, Reporter};

pub use self::decide::decide;
pub use labels::FINALIZER;
pub use settings::Settings;
pub use wiring::run;

/// The name in logs, Events and metrics.
const CONTROLLER: &str = "multinic";

/// A reconcile is a dozen API calls; one that hangs must not hold its node's place forever.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);

/// A look at every object even if no watch says so.
const RESYNC: Duration = Duration::from_hours(1);

/// Waits between reconciles that fail.
const ERROR_BACKOFF: Backoff = Backoff { min: Duration::from_millis(500), max: Duration::from_mins(5) };

/// What every reconcile works with.
struct Ctx {
    client: Client,
    /// The only namespace looked at; all of them where there is none.
    namespace: Option<String>,
    settings: Settings,
    clock: Clock,
    reporter: Reporter,
    /// Every configuration, as the watch has it.
    configs: Store<DeserializeGuard<MultiNicNodeConfig>>,
}

impl Ctx {
    /// Objects of a kind, as far as this operator looks.
    fn scope<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

/// Why a reconcile failed: one variant a step.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to observe")]
    Observe(#[source] observe::Error),
    #[error("failed to apply")]
    Apply(#[source] apply::Error),
    #[error("failed to write the status")]
    Status(#[source] apply::Error),
    #[error("failed to settle")]
    Settle(#[source] apply::Error),
}

impl Failure for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Apply(_) => "apply",
            Self::Status(_) => "status",
            Self::Settle(_) => "settle",
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Apply(error) | Self::Status(error) | Self::Settle(error) => error.is_conflict(),
            Self::Observe(_) => false,
        }
    }
}

/// One look at one object.
async fn reconcile(object: Arc<DeserializeGuard<MultiNicNodeConfig>>, ctx: Arc<Ctx>) -> Result<Action, Error> {
    let meta = object.meta();
    let name = meta.name.clone().unwrap_or_default();
    let namespace = meta.namespace.clone().unwrap_or_default();
    match &object.0 {
        Ok(_) => steps(&ctx, &namespace, &name).await,
        Err(invalid) => Ok(unreadable(&ctx, &object, &invalid.error).await),
    }
}

async fn steps(ctx: &Ctx, namespace: &str, name: &str) -> Result<Action, Error> {
    // Reads.
    let Some(observed) = observe::observe(ctx, namespace, name).await.map_err(Error::Observe)? else {
        return Ok(Action::await_change());
    };
    // Pure.
    let now = ctx.clock.now();
    let verdict = validate::validate(&observed);
    let plan = plan::plan(&observed, verdict, &ctx.settings, now);
    // Writes.
    let applied = apply::apply(ctx, observed.config, plan).await.map_err(Error::Apply)?;
    let told = apply::tell(ctx, applied, now).await.map_err(Error::Status)?;
    let wake = apply::settle(ctx, told).await.map_err(Error::Settle)?;

    let wait = wake.map_or(RESYNC, |wake| Duration::try_from(wake.duration_since(now)).unwrap_or_default());
    Ok(Action::requeue(wait.min(RESYNC)))
}

/// An object of the right kind that is not one: says so, and waits until somebody corrects it.
async fn unreadable(ctx: &Ctx, object: &DeserializeGuard<MultiNicNodeConfig>, error: &str) -> Action {
    tracing::warn!(error, "object cannot be read");
    let notice = Notice {
        kind: Kind::Warning,
        reason: "Unreadable".to_owned(),
        action: "Read".to_owned(),
        note: error.to_owned(),
    };
    ctx.reporter.publish(&object.object_ref(&()), &notice).await;
    Action::await_change()
}
