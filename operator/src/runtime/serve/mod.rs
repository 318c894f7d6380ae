//! Puts the operator's servers on sockets, and runs the operator behind them.
//!
//! | server | port | |
//! | --- | --- | --- |
//! | health | 8081 | plain |
//! | metrics | 8443 | TLS, for whoever may `get` the non-resource URL `/metrics`; or 8080, plain, for everybody |
//! | webhooks | 9443 | TLS |
//!
//! A connection that says nothing, says it slowly or says too much is closed; so many are served at a time.

mod access;
mod certificates;
mod settings;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures::future::join_all;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use self::access::Access;
use self::certificates::Certificates;
use super::check::check;
use super::{Closed, Door, Doors, Replica, RunError, Settings, operate};
use crate::kit::clock::Clock;

pub use self::settings::{Address, Certificate, Servers};
pub(super) use self::settings::{SECRET, WEBHOOK_CONFIGURATION};

/// Connections to one server at a time: the API server keeps a few, Prometheus one, a kubelet one.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to say what it wants, or to shake hands.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a request may take: longer than the API server waits for a webhook.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);
/// Of a request's head. Service account tokens are a kilobyte or two.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long to wait when no more connections can be accepted, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the operator cannot be reached from outside.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// As [`operate::run`], with the servers on the sockets that the settings name.
///
/// # Errors
/// As [`operate::run`], and [`RunError::Serve`] when an address cannot be listened on.
pub async fn serve(
    replica: Replica,
    settings: Settings,
    clock: Clock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    check(&settings)?;
    let doors = Doors::default();
    // Where nothing is behind TLS, nobody waits for a certificate to be ready.
    let certificate = settings.servers.certificate.clone();
    let certificates = settings.servers.need_certificate().then(|| Certificates::new(&replica, certificate, clock));
    let sockets = sockets(&settings.servers, &doors, certificates.as_ref(), &replica).await;
    let sockets = sockets.map_err(RunError::Serve)?;
    let keeping = async {
        match certificates {
            Some(certificates) => certificates.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = operate::run(replica, settings, clock, doors, shutdown) => done,
        never = keeping => match never {},
        // Without sockets there is nothing that could end.
        _ = join_all(sockets.iter().map(accept)), if !sockets.is_empty() => Ok(()),
    }
}

/// A bound address, and who is behind it.
struct Socket {
    name: &'static str,
    listener: TcpListener,
    door: Door,
    tls: Option<TlsAcceptor>,
    access: Option<Arc<Access>>,
}

async fn sockets(
    servers: &Servers,
    doors: &Doors,
    certificates: Option<&Certificates>,
    replica: &Replica,
) -> Result<Vec<Socket>, ServeError> {
    let acceptor = || certificates.map(Certificates::acceptor).transpose().map_err(ServeError::Tls);
    let mut sockets = Vec::new();
    if let Some(address) = servers.health() {
        sockets.push(bind("health", address, &doors.health).await?);
    }
    if let Some(address) = servers.metrics() {
        let mut socket = bind("metrics", address, &doors.metrics).await?;
        if servers.metrics_secure {
            socket.tls = acceptor()?;
            socket.access = Some(Arc::new(Access::new(replica.client.clone())));
        }
        sockets.push(socket);
    }
    if let Some(address) = servers.webhooks() {
        let socket = bind("webhooks", address, &doors.webhooks).await?;
        sockets.push(Socket { tls: acceptor()?, ..socket });
    }
    Ok(sockets)
}

async fn bind(name: &'static str, address: SocketAddr, door: &Door) -> Result<Socket, ServeError> {
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
    tracing::info!(server = name, %address, "listening");
    Ok(Socket { name, listener, door: door.clone(), tls: None, access: None })
}

/// Serves one socket, until dropped; its connections go with it.
async fn accept(socket: &Socket) -> Infallible {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(server = socket.name, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (name, door, tls, access) = (socket.name, socket.door.clone(), socket.tls.clone(), socket.access.clone());
        connections.spawn(async move {
            let _slot = slot;
            // Small answers should not wait for larger ones; without, they only come later.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else { return connection(name, stream, door, access).await };
            match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(name, stream, door, access).await,
                Ok(Err(error)) => tracing::debug!(server = name, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(server = name, "a TLS handshake took too long"),
            }
        });
    }
}

async fn connection(
    name: &'static str,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    door: Door,
    access: Option<Arc<Access>>,
) {
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let (door, access) = (door.clone(), access.clone());
        async move { Ok::<_, Infallible>(answer(&door, access.as_deref(), request.map(Body::new)).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await {
        tracing::debug!(server = name, %error, "a connection broke off");
    }
}

async fn answer(door: &Door, access: Option<&Access>, request: Request<Body>) -> Response<Body> {
    let answering = async {
        if let Some(access) = access
            && let Err(denied) = access.check(request.headers()).await
        {
            return denied.into_response();
        }
        match door.call(request).await {
            Ok(answer) => answer,
            Err(closed @ Closed) => (StatusCode::SERVICE_UNAVAILABLE, closed.to_string()).into_response(),
        }
    };
    let late = || (StatusCode::GATEWAY_TIMEOUT, "no answer in time").into_response();
    tokio::time::timeout(REQUEST_TIMEOUT, answering).await.unwrap_or_else(|_| late())
}

/// Registers what is measured here, for the test that compares it with what is documented.
#[cfg(test)]
pub(super) fn register(replica: &Replica, clock: Clock) {
    drop(Certificates::new(replica, Certificate::default(), clock));
}

#[cfg(test)]
mod tests;
