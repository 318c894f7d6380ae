//! Carries out a plan. Client required; decides nothing.
//!
//! The order is in the types: [`apply`] gives [`Applied`], only that can be told ([`tell`]), and only what was [`Told`]
//! lets the object go ([`settle`]). A crash between any two calls loses nothing: the next reconcile finds what was done
//! and goes on from there.

use kube::ResourceExt;

use crate::api::hello::Hello;
use crate::kit::{self, error};

use super::plan::Plan;
use super::validate::{Greeting, Refusal};
use super::{Ctx, FIELD_MANAGER, FINALIZER, status};

/// What could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to add the finalizer")]
    Hold(#[source] kube::Error),
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
    #[error("failed to remove the finalizer")]
    Release(#[source] kube::Error),
}

impl Error {
    /// Somebody else changed the object, which is no failure: it is read again.
    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Hold(source) | Self::Status(source) | Self::Release(source) => error::is_conflict(source),
        }
    }
}

/// A plan whose object is held.
pub(super) struct Applied {
    hello: Hello,
    say: Option<Result<Greeting, Refusal>>,
    release: bool,
}

/// A plan whose outcome the status tells.
pub(super) struct Told {
    hello: Hello,
    release: bool,
}

/// Holds the object.
pub(super) async fn apply(ctx: &Ctx, hello: Hello, plan: Plan) -> Result<Applied, Error> {
    let Plan { hold, say, release } = plan;
    let hello = if hold {
        kit::finalize::hold(&ctx.client, FIELD_MANAGER, &hello, FINALIZER).await.map_err(Error::Hold)?
    } else {
        hello
    };
    Ok(Applied { hello, say, release })
}

/// Writes the status, if it is news.
pub(super) async fn tell(ctx: &Ctx, applied: Applied) -> Result<Told, Error> {
    let Applied { mut hello, say, release } = applied;
    if let Some(status) = say.and_then(|verdict| status::render(&hello, &verdict, ctx.clock.now())) {
        let version = hello.resource_version().unwrap_or_default();
        let told = kit::apply::status(&ctx.client, FIELD_MANAGER, &hello, &version, &status);
        hello = told.await.map_err(Error::Status)?;
        tracing::info!(greeting = status.greeting, "status written");
    }
    Ok(Told { hello, release })
}

/// Cleans up, and then lets the object go.
pub(super) async fn settle(ctx: &Ctx, told: Told) -> Result<(), Error> {
    let Told { hello, release } = told;
    if release {
        // There is nothing outside the cluster to clean up; a controller that has something does it here.
        tracing::info!(greeting = hello.status.as_ref().and_then(|status| status.greeting.as_deref()), "cleaned up");
        kit::finalize::release(&ctx.client, FIELD_MANAGER, &hello, FINALIZER).await.map_err(Error::Release)?;
    }
    Ok(())
}
