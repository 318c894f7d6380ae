//! Admission: what a controller says about a request before the API server carries it out.

use futures::future::BoxFuture;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};

/// Judges requests that the API server asks about. The webhook server calls it.
///
/// It runs on every replica, leader or not: what it must write, it writes with
/// [`Manager::unfenced`](super::manager::Manager::unfenced), because the other client writes for the leader only.
pub trait Reviewer: Send + Sync + 'static {
    /// The path under which the API server asks, like `/evictions`.
    fn path(&self) -> &'static str;

    /// Allows or denies; it has no way to fail, because a judge who cannot decide must still answer. The server copies
    /// the request's uid into the answer.
    ///
    /// One that takes longer than the API server waits is dropped where it stands.
    fn review(&self, request: AdmissionRequest<DynamicObject>) -> BoxFuture<'_, AdmissionResponse>;
}
