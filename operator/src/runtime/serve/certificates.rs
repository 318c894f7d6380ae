//! Where the certificate comes from: files that somebody else keeps, or a Secret that the operator's replicas share.
//!
//! A Secret holds an authority and the certificate it has signed. Whichever replica finds it missing, unreadable or
//! about to expire writes it anew, on the version it has read: of several replicas one is the first, and the others read
//! what that one wrote. The webhook configurations are told of the authority by every replica, and only where they do
//! not know it yet. A new authority is added to the old one, so that a replica which still shows the old certificate is
//! trusted until it has seen the new one; and what a new authority has signed is shown only after API servers had the
//! time to learn of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::TlsAcceptor;

use super::Replica;
use super::settings::Certificate;
use super::tls::{Shown, Unusable};
use crate::kit::clock::Clock;
use crate::kit::error::{chain, is_already_exists, is_conflict};
use crate::kit::health::Check;

/// How long a certificate counts, and its authority.
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);
/// It is made anew when less than a third of its life is left, so that there is a month to find out why it was not.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// From one look to the next: how long a certificate that somebody else wrote, and a configuration that was installed
/// anew, go unnoticed.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// After a look that failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Keys of the Secret. The first two are those of `kubernetes.io/tls`.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
/// Annotations of the Secret: when it and its authority expire, and for which names it stands.
const EXPIRES: &str = "slipway.dev/certificate-expires";
const AUTHORITY_EXPIRES: &str = "slipway.dev/authority-expires";
const NAMES: &str = "slipway.dev/certificate-names";

/// Why there is no certificate, or nobody knows of it.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read {path}")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to use the certificate of {place}")]
    Unusable {
        place: String,
        #[source]
        source: Unusable,
    },
    #[error("failed to make a certificate")]
    Make(#[source] rcgen::Error),
    #[error("failed to share the certificate")]
    Secret(#[source] kube::Error),
    #[error("failed to tell webhook configuration {name} who vouches for the certificate")]
    Tell {
        name: String,
        #[source]
        source: kube::Error,
    },
}

/// Keeps the servers' certificate.
pub(super) struct Certificates {
    settings: Certificate,
    namespace: String,
    client: Client,
    clock: Clock,
    shown: Shown,
    check: Check,
    expires: prometheus::Gauge,
}

impl Certificates {
    pub(super) fn new(replica: &Replica, settings: Certificate, clock: Clock) -> Self {
        let namespace = settings.namespace.clone().unwrap_or_else(|| replica.client.default_namespace().to_owned());
        let expires = replica.metrics.plain_gauge(
            "slipway_certificate_expiry_timestamp_seconds",
            "When the certificate that the operator made for itself expires, in seconds since 1970.",
        );
        Self {
            settings,
            namespace,
            client: replica.client.clone(),
            clock,
            shown: Shown::default(),
            check: replica.health.check("certificate"),
            expires,
        }
    }

    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        self.shown.acceptor()
    }

    /// Shows the certificate, and a newer one whenever there is one.
    pub(super) async fn keep(&self) -> Infallible {
        let mut showing = None;
        loop {
            let wait = match self.look(&mut showing).await {
                Ok(()) => {
                    self.check.ready();
                    LOOK_EVERY
                }
                Err(error) => {
                    let error = chain(&error).to_string();
                    tracing::warn!(error, "the certificate needs attention");
                    if showing.is_some() {
                        self.check.noted(error);
                    } else {
                        self.check.waiting(error);
                    }
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn look(&self, showing: &mut Option<Showing>) -> Result<(), Error> {
        if let Some(directory) = &self.settings.directory {
            let pair = read(directory)?;
            return self.show(showing, Showing { pair, authority: Vec::new(), expires: Timestamp::MAX, heard: None });
        }
        let shared = self.shared().await?;
        let told = self.tell_all(&shared.authority).await;
        // Whoever has not heard of a new authority trusts what the old one has signed, as long as that counts.
        let waits = match showing {
            Some(showing) if showing.outlasts(&shared.authority, self.clock.now()) => {
                let is_known = matches!(told, Ok(0)) && showing.heard.as_ref() == Some(&shared.authority);
                if told.is_ok() {
                    showing.heard = Some(shared.authority.clone());
                }
                !is_known
            }
            _ => false,
        };
        if !waits {
            let pair = Pair { certificate: shared.certificate, key: shared.key };
            self.show(showing, Showing { pair, authority: shared.authority, expires: shared.expires, heard: None })?;
            self.expires.set(shared.expires.as_duration().as_secs_f64());
        }
        told.map(drop)
    }

    fn show(&self, showing: &mut Option<Showing>, next: Showing) -> Result<(), Error> {
        if showing.as_ref().map(|showing| &showing.pair) != Some(&next.pair) {
            self.shown
                .show(&next.pair.certificate, &next.pair.key)
                .map_err(|source| Error::Unusable { place: self.place(), source })?;
            tracing::info!("showing a new certificate");
        }
        *showing = Some(next);
        Ok(())
    }

    /// Where the certificate is, for people.
    fn place(&self) -> String {
        match &self.settings.directory {
            Some(directory) => directory.display().to_string(),
            None => format!("Secret {}", self.settings.secret),
        }
    }

    /// Tells every webhook configuration who vouches. How many did not know.
    async fn tell_all(&self, authority: &[u8]) -> Result<usize, Error> {
        let mut news = 0;
        for name in &self.settings.webhook_configurations {
            let told = self.tell(name, authority).await;
            news += told.map_err(|source| Error::Tell { name: name.clone(), source })?;
        }
        Ok(news)
    }

    /// What the Secret holds, after it has been made good where it is not.
    async fn shared(&self) -> Result<Material, Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = &self.settings.secret;
        loop {
            let secret = secrets.get_opt(name).await.map_err(Error::Secret)?;
            let now = self.clock.now();
            let held = secret.as_ref().and_then(Material::read);
            let material = match next(held, &self.names(), now) {
                Next::Keep(material) => return Ok(material),
                Next::Make(old) => Material::make(old, self.names(), now).map_err(Error::Make)?,
            };
            let params = PostParams::default();
            let written = match secret {
                None => secrets.create(&params, &material.write(Secret::default(), name)).await,
                Some(secret) => secrets.replace(name, &params, &material.write(secret, name)).await,
            };
            match written {
                Ok(_) => {
                    tracing::info!(secret = name, expires = %material.expires, "made a certificate");
                    return Ok(material);
                }
                // Another replica was faster: what it wrote is as good.
                Err(error) if is_conflict(&error) || is_already_exists(&error) => {}
                Err(error) => return Err(Error::Secret(error)),
            }
        }
    }

    /// The names that the servers answer to.
    fn names(&self) -> Vec<String> {
        let of_service = |service: &String| {
            let namespace = &self.namespace;
            [
                format!("{service}.{namespace}.svc"),
                format!("{service}.{namespace}.svc.cluster.local"),
                format!("{service}.{namespace}"),
            ]
        };
        let services = self.settings.services.iter().flat_map(of_service);
        services.chain(["localhost".to_owned()]).collect()
    }

    /// Tells the webhook configurations of that name who vouches. How many webhooks did not know.
    async fn tell(&self, name: &str, authority: &[u8]) -> kube::Result<usize> {
        let validating = self.tell_kind::<ValidatingWebhookConfiguration>(name, authority).await?;
        let mutating = self.tell_kind::<MutatingWebhookConfiguration>(name, authority).await?;
        Ok(validating + mutating)
    }

    /// Likewise of one kind; a configuration that is not there needs not be told.
    async fn tell_kind<K: Asks>(&self, name: &str, authority: &[u8]) -> kube::Result<usize> {
        let api: Api<K> = Api::all(self.client.clone());
        let Some(mut configuration) = api.get_opt(name).await? else { return Ok(0) };
        let news = configuration.bundles().map(|bundle| vouch(bundle, authority)).filter(|is_new| *is_new).count();
        if news > 0 {
            settled(api.replace(name, &PostParams::default(), &configuration).await)?;
        }
        Ok(news)
    }
}

/// A configuration of webhooks, each of which trusts a bundle.
trait Asks: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned {
    fn bundles(&mut self) -> impl Iterator<Item = &mut Option<ByteString>>;
}

impl Asks for ValidatingWebhookConfiguration {
    fn bundles(&mut self) -> impl Iterator<Item = &mut Option<ByteString>> {
        self.webhooks.iter_mut().flatten().map(|hook| &mut hook.client_config.ca_bundle)
    }
}

impl Asks for MutatingWebhookConfiguration {
    fn bundles(&mut self) -> impl Iterator<Item = &mut Option<ByteString>> {
        self.webhooks.iter_mut().flatten().map(|hook| &mut hook.client_config.ca_bundle)
    }
}

/// Says who vouches. Whether that was new.
fn vouch(bundle: &mut Option<ByteString>, authority: &[u8]) -> bool {
    if bundle.as_ref().is_some_and(|bundle| bundle.0 == authority) {
        return false;
    }
    *bundle = Some(ByteString(authority.to_vec()));
    true
}

/// Somebody else has written meanwhile: the next look shows whether it was what is wanted.
fn settled<K>(written: kube::Result<K>) -> kube::Result<()> {
    match written {
        Ok(_) => Ok(()),
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is shown at the moment.
struct Showing {
    pair: Pair,
    /// Who vouches for it; nobody that is known here where somebody else keeps the certificate.
    authority: Vec<u8>,
    expires: Timestamp,
    /// Another authority, of which every webhook configuration knew at the last look.
    heard: Option<Vec<u8>>,
}

impl Showing {
    /// Whether it can still be shown while others learn of another authority.
    fn outlasts(&self, authority: &[u8], now: Timestamp) -> bool {
        self.authority != authority && now < self.expires
    }
}

/// A certificate and its key, as PEM.
#[derive(PartialEq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

fn read(directory: &Path) -> Result<Pair, Error> {
    let file = |name| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|source| Error::Read { path: path.display().to_string(), source })
    };
    Ok(Pair { certificate: file(CERTIFICATE)?, key: file(KEY)? })
}

/// What the Secret holds: all PEM.
#[derive(Clone, PartialEq)]
struct Material {
    certificate: Vec<u8>,
    key: Vec<u8>,
    /// Who vouches: the authority, and the one before it.
    authority: Vec<u8>,
    authority_key: Vec<u8>,
    expires: Timestamp,
    authority_expires: Timestamp,
    names: Vec<String>,
}

/// What to do about the Secret.
enum Next {
    /// It is good.
    Keep(Material),
    /// Make it anew, by the same authority where that is still good.
    Make(Option<Material>),
}

fn next(held: Option<Material>, names: &[String], now: Timestamp) -> Next {
    let Some(material) = held else { return Next::Make(None) };
    // What rustls cannot use is as good as nothing.
    let usable = Shown::default().show(&material.certificate, &material.key).is_ok();
    let good = later(now, RENEW_BEFORE) < material.expires && material.names == names && usable;
    if good { Next::Keep(material) } else { Next::Make(Some(material)) }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}

impl Material {
    fn read(secret: &Secret) -> Option<Self> {
        let data = |key: &str| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.clone());
        let annotation = |key: &str| secret.metadata.annotations.as_ref()?.get(key);
        Some(Self {
            certificate: data(CERTIFICATE)?,
            key: data(KEY)?,
            authority: data(AUTHORITY)?,
            authority_key: data(AUTHORITY_KEY)?,
            expires: annotation(EXPIRES)?.parse().ok()?,
            authority_expires: annotation(AUTHORITY_EXPIRES)?.parse().ok()?,
            names: annotation(NAMES)?.split(',').map(str::to_owned).collect(),
        })
    }

    fn write(&self, mut secret: Secret, name: &str) -> Secret {
        let data = [
            (CERTIFICATE, &self.certificate),
            (KEY, &self.key),
            (AUTHORITY, &self.authority),
            (AUTHORITY_KEY, &self.authority_key),
        ];
        let annotations = [
            (EXPIRES, self.expires.to_string()),
            (AUTHORITY_EXPIRES, self.authority_expires.to_string()),
            (NAMES, self.names.join(",")),
        ];
        let data = data.map(|(key, bytes)| (key.to_owned(), ByteString(bytes.clone())));
        secret.data = Some(BTreeMap::from(data));
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.annotations.get_or_insert_default().extend(annotations.map(|(key, at)| (key.to_owned(), at)));
        secret.type_.get_or_insert_with(|| "kubernetes.io/tls".to_owned());
        secret
    }

    /// A new certificate, by the old authority while that outlives it.
    fn make(old: Option<Self>, names: Vec<String>, now: Timestamp) -> Result<Self, rcgen::Error> {
        let expires = later(now, LEAF_LIFE);
        let reusable = old.as_ref().filter(|old| expires < old.authority_expires);
        let key_of = |old: &Self| KeyPair::from_pem(&String::from_utf8_lossy(&old.authority_key));
        if let Some((old, key)) = reusable.and_then(|old| Some((old, key_of(old).ok()?))) {
            let issuer = Issuer::new(authority_params(now, old.authority_expires), key);
            let (certificate, key) = leaf(&names, &issuer, now, expires)?;
            return Ok(Self { certificate, key, expires, names, ..old.clone() });
        }
        let authority_expires = later(now, AUTHORITY_LIFE);
        let params = authority_params(now, authority_expires);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let (certificate, key) = leaf(&names, &issuer, now, expires)?;
        let mut authority = issuer.pem().into_bytes();
        let newest_of_old = old.map(|old| first_certificate(&old.authority)).unwrap_or_default();
        authority.extend(newest_of_old);
        let authority_key = issuer.key().serialize_pem().into_bytes();
        Ok(Self { certificate, key, authority, authority_key, expires, authority_expires, names })
    }
}

/// The first of several certificates in PEM: the newest authority.
fn first_certificate(pem: &[u8]) -> Vec<u8> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    text.find(END).map(|at| format!("{}{END}\n", &text[..at]).into_bytes()).unwrap_or_default()
}

fn authority_params(now: Timestamp, expires: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "slipway-operator authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    live(&mut params, now, expires);
    params
}

fn leaf(
    names: &[String],
    issuer: &Issuer<'_, KeyPair>,
    now: Timestamp,
    expires: Timestamp,
) -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "slipway-operator");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    live(&mut params, now, expires);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem().into_bytes(), key.serialize_pem().into_bytes()))
}

/// From yesterday, for clocks that are behind, until the end of the last day.
fn live(params: &mut CertificateParams, now: Timestamp, expires: Timestamp) {
    let day = |at: Timestamp| {
        let date = jiff::tz::Offset::UTC.to_datetime(at).date();
        let small = |part: i8| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), small(date.month()), small(date.day()))
    };
    let one_day = SignedDuration::from_hours(24);
    params.not_before = day(now.saturating_sub(one_day).unwrap_or(now));
    params.not_after = day(later(expires, one_day));
}

#[cfg(test)]
mod tests;
