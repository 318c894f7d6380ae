//! Hello: the smallest complete example of the pattern that every controller here follows.
//!
//! A reconcile is five steps: `observe` reads what there is, `validate` and `plan` decide without touching anything,
//! `apply` makes it so, and the status tells of it. Guarantees:
//!
//! - The same object gives the same writes, and an object that is as it should be gives none.
//! - The status is written only when it says something new, and only on the object that it is about.
//! - A deleted object stays until its cleanup is done.
//!
//! The larger controllers differ in what they read and write, not in this.

mod apply;
mod observe;
mod plan;
mod status;
mod validate;
mod wiring;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Client, Resource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::hello::{Hello, HelloStatus};
use crate::kit::backoff::Backoff;
use crate::kit::clock::Clock;
use crate::kit::controller::Failure;
use crate::kit::report::{Kind, Notice, Reporter};

pub use wiring::run;

/// The name in logs, Events and metrics.
const CONTROLLER: &str = "hello";
/// Of everything this controller writes.
const FIELD_MANAGER: &str = "slipway-operator/hello";
/// Holds an object until its cleanup is done.
pub const FINALIZER: &str = "demo.example.com/cleanup";

/// A reconcile is three API calls at most; one that hangs must not hold its object's place forever.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);

/// Waits between reconciles that fail.
const ERROR_BACKOFF: Backoff = Backoff { min: Duration::from_millis(500), max: Duration::from_mins(5) };

/// Settings of the Hello controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How many objects are reconciled at the same time.
    pub concurrency: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { concurrency: 4 }
    }
}

/// What every reconcile works with.
struct Ctx {
    client: Client,
    clock: Clock,
    reporter: Reporter,
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

/// What would become of an object, decided without a cluster: whether it is held from now on, and the status it would be
/// told, where that is another one.
pub fn decide(hello: &Hello, now: Timestamp) -> (bool, Option<HelloStatus>) {
    let verdict = validate::validate(hello);
    let status = status::render(hello, &verdict, now);
    (plan::plan(hello, verdict).hold, status)
}

/// One look at one object.
async fn reconcile(object: Arc<DeserializeGuard<Hello>>, ctx: Arc<Ctx>) -> Result<Action, Error> {
    let meta = object.meta();
    let name = meta.name.clone().unwrap_or_default();
    let namespace = meta.namespace.clone().unwrap_or_default();
    if let Err(invalid) = &object.0 {
        return Ok(unreadable(&ctx, &object, &invalid.error).await);
    }
    steps(&ctx, &namespace, &name).await?;
    // Nothing but the object decides, so nothing but a change of the object can make a difference.
    Ok(Action::await_change())
}

async fn steps(ctx: &Ctx, namespace: &str, name: &str) -> Result<(), Error> {
    // Reads.
    let Some(hello) = observe::observe(ctx, namespace, name).await.map_err(Error::Observe)? else {
        return Ok(());
    };
    // Pure.
    let verdict = validate::validate(&hello);
    let plan = plan::plan(&hello, verdict);
    // Writes.
    let applied = apply::apply(ctx, hello, plan).await.map_err(Error::Apply)?;
    let told = apply::tell(ctx, applied).await.map_err(Error::Status)?;
    apply::settle(ctx, told).await.map_err(Error::Settle)
}

/// An object of the right kind that is not one: says so, and waits until somebody corrects it.
async fn unreadable(ctx: &Ctx, object: &DeserializeGuard<Hello>, error: &str) -> Action {
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
