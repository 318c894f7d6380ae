//! How the server reaches what stands behind a Service: webhooks, above all.
//!
//! A server alone has no cluster network. Whoever runs it with a cluster, or in one process with an operator, answers
//! for the Services with a [`ServiceDialer`]; nothing of that needs a socket, so it works in virtual time too. That a
//! Service is there, with the port that is asked for, is checked before the dialer is: as in a real cluster, a webhook
//! without its Service is not reached.

pub(crate) mod client;
mod tls;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};

/// A port of a Service, as a webhook configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The Service's own port (not its target's), 443 unless the configuration says otherwise.
    pub port: u16,
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.svc:{}", self.name, self.namespace, self.port)
    }
}

/// Why nobody answered, as a connection would have failed: `connect: connection refused`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(pub String);

/// What a dialled request comes to.
pub type Dialled = BoxFuture<'static, Result<Response<Bytes>, Unanswered>>;

/// Who answers for the Services of a cluster.
///
/// The request's URI is whole (`https://name.namespace.svc:443/path?timeout=10s`); its body is JSON. The server drops
/// the future when the caller's time is up, so it needs no timeout of its own.
pub trait ServiceDialer: fmt::Debug + Send + Sync {
    /// Sends a request to a Service.
    fn dial(&self, service: ServicePort, request: Request<Bytes>) -> Dialled;
}

/// The dialer that is in charge now.
#[derive(Debug, Default)]
pub(crate) struct Dialer(RwLock<Option<Arc<dyn ServiceDialer>>>);

impl Dialer {
    pub(crate) fn set(&self, dialer: Arc<dyn ServiceDialer>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(dialer);
    }

    pub(crate) fn get(&self) -> Option<Arc<dyn ServiceDialer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
