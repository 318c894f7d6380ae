//! Where the API server of another process asks the operator of this one: a listener over TLS before the operator's
//! webhooks, with an authority of its own that lives as long as it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use slipway_operator::runtime::Door;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A review holds an object twice, and API servers take objects of 3 MiB.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why nobody can ask.
#[derive(Debug, Error)]
pub(super) enum CallbackError {
    /// There is no address to listen on.
    #[error("cannot listen for the API server's questions on {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// There is no certificate.
    #[error("cannot make a certificate for {0}")]
    Certificate(IpAddr, #[source] rcgen::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// A listener; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Callback {
    /// What the paths of the webhooks are below.
    pub(super) base: String,
    /// Who vouches for it, in PEM.
    pub(super) authority: String,
    serving: JoinSet<()>,
}

impl Callback {
    /// Listens at an address by which API servers reach this process, port 0 being any that is free; on all of this
    /// machine's addresses where it is none of them, but that of whatever leads here.
    pub(super) async fn open(address: SocketAddr, door: Door) -> Result<Self, CallbackError> {
        let bound = match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                TcpListener::bind(everywhere(address)).await
            }
            bound => bound,
        };
        let failed = |source| CallbackError::Bind(address, source);
        let listener = bound.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let (acceptor, authority) = secured(address.ip())?;
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, acceptor, door));
        Ok(Self { base: format!("https://{}", SocketAddr::new(address.ip(), port)), authority, serving })
    }

    /// Ends it, and waits until its port is free.
    pub(super) async fn close(mut self) {
        self.serving.shutdown().await;
    }
}

/// All of this machine's addresses of the same family, at the same port.
fn everywhere(address: SocketAddr) -> SocketAddr {
    let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(any, address.port())
}

/// A certificate for the address, and who vouches for it.
fn secured(address: IpAddr) -> Result<(TlsAcceptor, String), CallbackError> {
    let failed = |source| CallbackError::Certificate(address, source);
    let make = || {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "slipway run");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![address.to_string()])?.signed_by(&key, &issuer)?;
        Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()), issuer.pem()))
    };
    let (certificate, key, authority) = make().map_err(failed)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(CallbackError::Tls)?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, acceptor.clone(), door.clone()))),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, door: Door) {
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
    };
    let service = service_fn(move |request| answer(door.clone(), request));
    let exchange = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = exchange.await {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn answer(door: Door, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let refused = |status: StatusCode| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(refused(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let Ok(answer) = door.call(Request::from_parts(head, body.to_bytes().into())).await else {
        // As long as the operator is down: nobody is there.
        return Ok(refused(StatusCode::SERVICE_UNAVAILABLE));
    };
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Response::from_parts(head, Full::new(body)))
}
