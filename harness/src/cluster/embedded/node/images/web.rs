//! HTTP/1.1 on a port of a Pod: every connection is one that a client has opened, and stands in the Pod's sockets while
//! it is open.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::embedded::node::tcp::{Listener, Stream};

/// What answers requests.
pub(super) type Handler = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync>;

/// Serves until `finish`: then the port is closed, requests in flight are answered, idle connections closed, and once the
/// last is gone this returns. Dropping it cuts every connection.
pub(super) async fn serve(mut listener: Listener, handler: Handler, finish: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = finish.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, Arc::clone(&handler), finish.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                }
            },
            // Those that have ended need no room.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: Stream, handler: Handler, finish: CancellationToken) {
    let answer = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let exchange = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    let mut exchange = std::pin::pin!(exchange);
    let mut asked = false;
    loop {
        tokio::select! {
            ended = &mut exchange => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke off");
                }
                return;
            }
            () = finish.cancelled(), if !asked => {
                asked = true;
                exchange.as_mut().graceful_shutdown();
            }
        }
    }
}
