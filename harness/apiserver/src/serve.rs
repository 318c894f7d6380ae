//! The optional listener: HTTP or HTTPS, and the kubeconfig that leads to it.
//!
//! A server needs no listener; this room puts one before it for clients of other processes. Its certificate authority
//! is its own, made when HTTPS is asked for, and lives as long as the process.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::service::ApiServer;

/// Connections at a time: far above what a test needs, far below the usual limit on open files.
const CONNECTIONS_MAX: usize = 512;
/// How long a client may take to shake hands.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to say what it wants, the silence between two requests among it. No multiple of ten seconds:
/// whoever asks at such intervals would ask at the moment at which its connection is closed.
const SILENCE: Duration = Duration::from_secs(95);
/// How long open requests may take to end once the listener is told to stop.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long to wait when no more connections can be accepted, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a listener did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// A certificate or key that somebody else has made cannot be read.
    #[error("cannot read {} as PEM", path.display())]
    Pem {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The certificate cannot be used.
    #[error("cannot set up TLS: the certificate and its key cannot be used")]
    Tls(#[source] rustls::Error),
    /// The system gives no random bytes.
    #[error("cannot draw random bytes")]
    Random,
    /// The kubeconfig cannot be written.
    #[error("cannot write {}", path.display())]
    Kubeconfig {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Bound addresses, not yet served.
pub struct Listener {
    http: Option<(TcpListener, SocketAddr)>,
    https: Option<(TcpListener, SocketAddr, Secured)>,
}

/// Who vouches for the certificates of listeners; clones are the same authority.
#[derive(Clone)]
pub struct Authority(Arc<CertifiedIssuer<'static, KeyPair>>);

impl std::fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// An authority with a key that nobody else has.
    ///
    /// # Errors
    /// [`ServeError::Certificate`].
    pub fn new() -> Result<Self, ServeError> {
        let issuer = || {
            let mut authority = CertificateParams::default();
            authority.distinguished_name.push(DnType::CommonName, "slipway");
            authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            CertifiedIssuer::self_signed(authority, KeyPair::generate()?)
        };
        issuer().map(|issuer| Self(Arc::new(issuer))).map_err(ServeError::Certificate)
    }

    /// Its certificate, by which clients know what it vouches for.
    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

/// Where the listener's certificate comes from.
#[derive(Debug)]
pub enum Certificate {
    /// It is made for the occasion, and vouched for.
    Made(Authority),
    /// Somebody else has made it, and clients know by whom it is vouched for.
    Given(GivenCertificate),
}

/// A certificate with its chain, and its key.
pub struct GivenCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl GivenCertificate {
    /// Reads both from PEM files.
    ///
    /// # Errors
    /// [`ServeError::Pem`].
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, ServeError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| ServeError::Pem { path, source }
        };
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let key_read = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
        Ok(Self { chain: chain.map_err(failed(certificate))?, key: key_read })
    }
}

impl std::fmt::Debug for GivenCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenCertificate").finish_non_exhaustive()
    }
}

/// A certificate of the server and who vouches for it, where that is not known anyway.
struct Secured {
    acceptor: TlsAcceptor,
    ca_pem: Option<String>,
}

impl Listener {
    /// Binds the given addresses; port 0 is a free port. What is served over TLS shows `certificate`.
    ///
    /// # Errors
    /// An address that cannot be bound, a certificate that cannot be made.
    pub async fn bind(
        http: Option<SocketAddr>,
        https: Option<SocketAddr>,
        certificate: Certificate,
    ) -> Result<Self, ServeError> {
        let http = match http {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let https = match https {
            Some(address) => {
                let (listener, bound) = bind(address).await?;
                Some((listener, bound, Secured::new(bound, certificate)?))
            }
            None => None,
        };
        Ok(Self { http, https })
    }

    /// The URLs that are served, HTTPS first.
    pub fn urls(&self) -> Vec<String> {
        let https = self.https.iter().map(|(_, address, _)| format!("https://{address}"));
        https.chain(self.http.iter().map(|(_, address)| format!("http://{address}"))).collect()
    }

    /// A kubeconfig that leads to the server with the rights of `token`.
    pub fn kubeconfig(&self, token: &str) -> String {
        let mut cluster = json!({"server": self.urls().first()});
        if let Some(ca_pem) = self.https.as_ref().and_then(|(_, _, secured)| secured.ca_pem.as_ref()) {
            cluster["certificate-authority-data"] = STANDARD.encode(ca_pem).into();
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "slipway",
            "clusters": [{"name": "slipway", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "slipway", "context": {"cluster": "slipway", "user": "admin"}}],
        });
        // Whatever is JSON can be YAML, and is read as such.
        serde_yaml::to_string(&config).unwrap_or_else(|_| config.to_string())
    }

    /// Serves until `stop`; then watches end, open requests may finish, and connections are closed.
    pub async fn run(self, server: ApiServer, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        {
            let front = Front { server: server.clone(), slots, graceful: &graceful };
            let plain = async {
                match &self.http {
                    Some((listener, _)) => accept(listener, None, &front).await,
                    None => std::future::pending().await,
                }
            };
            let secure = async {
                match &self.https {
                    Some((listener, _, secured)) => accept(listener, Some(&secured.acceptor), &front).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = plain => {}
                () = secure => {}
            }
        }
        drop((self.http, self.https));
        server.close();
        // Whoever does not finish in time is cut off with the runtime.
        let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let refused = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

impl Secured {
    fn new(address: SocketAddr, certificate: Certificate) -> Result<Self, ServeError> {
        let (chain, key, ca_pem) = match certificate {
            Certificate::Made(authority) => {
                let (certificate, key) = vouched_for(address, &authority).map_err(ServeError::Certificate)?;
                (vec![certificate], key, Some(authority.pem()))
            }
            Certificate::Given(GivenCertificate { chain, key }) => (chain, key, None),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(ServeError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem })
    }
}

/// A certificate for an address, and its key.
fn vouched_for(
    address: SocketAddr,
    authority: &Authority,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
    let addresses = [address.ip().to_string(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let mut server = CertificateParams::new(names.into_iter().chain(addresses).collect::<Vec<_>>())?;
    server.distinguished_name.push(DnType::CommonName, "slipway apiserver");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority.0)?;
    Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into())))
}

/// What every connection is given.
struct Front<'a> {
    server: ApiServer,
    slots: Arc<Semaphore>,
    graceful: &'a GracefulShutdown,
}

async fn accept(listener: &TcpListener, tls: Option<&TlsAcceptor>, front: &Front<'_>) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&front.slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (server, watcher, tls) = (front.server.clone(), front.graceful.watcher(), tls.cloned());
        tokio::spawn(async move {
            let _slot = slot;
            // Small answers should not wait for larger ones.
            let _ = stream.set_nodelay(true);
            match tls {
                None => connection(stream, server, watcher).await,
                Some(tls) => secure_connection(stream, &tls, server, watcher).await,
            }
        });
    }
}

async fn secure_connection(stream: TcpStream, tls: &TlsAcceptor, server: ApiServer, watcher: Watcher) {
    match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, server, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, server: ApiServer, watcher: Watcher) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(SILENCE);
    builder.http2().timer(TokioTimer::new());
    let exchange =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(server)).into_owned();
    if let Err(error) = watcher.watch(exchange).await {
        tracing::debug!(error, "a connection broke off");
    }
}

/// A bearer token that nobody can guess.
///
/// # Errors
/// [`ServeError::Random`] when the system gives no random bytes.
pub fn random_token() -> Result<String, ServeError> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// A seed for a server that is not to be repeated.
///
/// # Errors
/// [`ServeError::Random`] when the system gives no random bytes.
pub fn random_seed() -> Result<u64, ServeError> {
    Ok(u64::from_le_bytes(random()?))
}

fn random<const N: usize>() -> Result<[u8; N], ServeError> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| ServeError::Random)?;
    Ok(bytes)
}

/// Writes a kubeconfig that only its owner can read, in place of what was there.
///
/// # Errors
/// [`ServeError::Kubeconfig`] with the path.
pub fn write_kubeconfig(path: &Path, text: &str) -> Result<(), ServeError> {
    let failed = |source| ServeError::Kubeconfig { path: path.to_owned(), source };
    let beside = path.with_extension("tmp");
    let write = || {
        // A left-over of another run might be readable for others.
        if let Err(error) = std::fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&beside, path)
    };
    write().map_err(failed)
}
