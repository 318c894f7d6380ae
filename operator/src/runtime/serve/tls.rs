//! The certificate that TLS servers show, which can be replaced while they run.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Why something is no certificate with its key.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the certificate is not PEM")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    #[error("there is no certificate")]
    Empty,
    #[error("the key is not PEM")]
    Key(#[source] rustls::pki_types::pem::Error),
    #[error("the key is not this certificate's")]
    Pair(#[source] rustls::Error),
}

/// The certificate that is shown; none at first. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Shown(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl Shown {
    /// Shows this one from now on. Connections that are open keep the one they were opened with.
    pub(super) fn show(&self, certificate_pem: &[u8], key_pem: &[u8]) -> Result<(), Unusable> {
        let chain = CertificateDer::pem_slice_iter(certificate_pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(Unusable::Certificate)?;
        if chain.is_empty() {
            return Err(Unusable::Empty);
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(Unusable::Key)?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(Unusable::Pair)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// What accepts connections with it.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
