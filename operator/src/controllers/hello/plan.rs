//! What to do. Pure.

use kube::ResourceExt;

use crate::api::hello::Hello;

use super::FINALIZER;
use super::validate::{Greeting, Refusal};

/// What a reconcile does, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Hold the object, so that it is not gone before its cleanup.
    pub(super) hold: bool,
    /// What the status is to say; `None` leaves it as it is.
    pub(super) say: Option<Result<Greeting, Refusal>>,
    /// Clean up, and let the object go.
    pub(super) release: bool,
}

/// Decides what to do about an object.
pub(super) fn plan(hello: &Hello, verdict: Result<Greeting, Refusal>) -> Plan {
    let held = hello.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if hello.metadata.deletion_timestamp.is_some() {
        // The API server takes no new finalizer now, and nobody reads a status that is about to go.
        return Plan { hold: false, say: None, release: held };
    }
    Plan { hold: !held, say: Some(verdict), release: false }
}
