//! What answers behind Services although no Pod does: programs of this process, an operator's webhooks above all.
//!
//! Whoever registers a Service here answers for it as long as it likes; when it does not, the connection is refused, as
//! if nobody listened.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use slipway_apiserver::dial::{Dialled, ServiceDialer, ServicePort, Unanswered};

/// Answers a request to a Service; none while nobody listens.
pub type Answerer = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Option<Response<Bytes>>> + Send + Sync>;

/// The Services that this process answers for. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Services(Arc<RwLock<HashMap<ServicePort, Answerer>>>);

impl Services {
    /// Answers for a Service's port from now on.
    pub(super) fn register(&self, port: ServicePort, answerer: Answerer) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(port, answerer);
    }
}

impl ServiceDialer for Services {
    fn dial(&self, service: ServicePort, request: Request<Bytes>) -> Dialled {
        let answerer = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&service).cloned();
        async move {
            let answer = match answerer {
                Some(answerer) => answerer(request).await,
                None => None,
            };
            answer.ok_or_else(|| Unanswered("connect: connection refused".to_owned()))
        }
        .boxed()
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(ports.keys().map(ToString::to_string)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_is_answered_for_while_somebody_listens() {
        let port = |name: &str| ServicePort { namespace: "ops".to_owned(), name: name.to_owned(), port: 443 };
        let services = Services::default();
        services.register(port("here"), Arc::new(|_| async { Some(Response::new(Bytes::from("yes"))) }.boxed()));
        services.register(port("gone"), Arc::new(|_| async { None }.boxed()));
        let dial = |name: &str| services.dial(port(name), Request::new(Bytes::new()));
        assert_eq!(dial("here").await.unwrap().body(), "yes");
        for name in ["gone", "unknown"] {
            assert_eq!(dial(name).await.unwrap_err().to_string(), "connect: connection refused");
        }
    }
}
