//! Admission: what a controller says about a request before the API server carries it out.

use futures::future::BoxFuture;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};

/// Judges requests that the API server asks about. The webhook server calls it.
pub trait Reviewer: Send + Sync + 'static {
    /// The path under which the API server asks, like `/evictions`.
    fn path(&self) -> &'static str;

    /// Allows or denies; it has no way to fail, because a judge who cannot decide must still answer.
    fn review(&self, request: AdmissionRequest<DynamicObject>) -> BoxFuture<'_, AdmissionResponse>;
}
