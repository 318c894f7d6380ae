//! Reads the metrics of an operator that runs somewhere else, by its URL.
//!
//! What is on the other end is not trusted, and neither is the way there:
//!
//! - Only places are asked that are the run's own business: loopback, and Services of the cluster outside of its system
//!   namespaces. Others must be allowed by name ([`address`]).
//! - A token comes from a file or from the API server, goes over TLS or loopback only, and is in nothing that is ever
//!   printed or kept ([`token`]).
//! - An answer is read while it comes, so much and no longer; one that is no exposition, breaks off or leads elsewhere is
//!   an error in words. An error is a value that the summary shows: it never fails a scenario.
//!
//! Calls are made on the machine's clock, so [`Scraper::scrape_now`] brings a runtime of its own.

pub mod address;
pub mod token;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Response, header};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use self::address::{Address, AddressError};
use self::token::Token;
use super::exposition::{ExpositionError, Scrape};

/// As much as is read of one answer; an operator's metrics are a hundredth of it.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a connection may take to come about, and how long everything may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects that are followed, as long as they stay with the host that was asked.
const REDIRECTS_MAX: usize = 3;

/// What is asked for: the format that every exporter knows.
const ACCEPT: &str = "text/plain;version=0.0.4, text/plain;q=0.9";

/// Content types of expositions; the second is read as far as it is the first.
const CONTENT_TYPES: [&str; 2] = ["text/plain", "application/openmetrics-text"];

/// Why an endpoint cannot be asked at all: wrong input, found before anything runs.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL is not one that is asked.
    #[error("the metrics URL cannot be used")]
    Address(#[from] AddressError),
    /// TLS, and nothing to verify the certificate by.
    #[error("an https metrics URL needs a file with the authorities that its certificate is verified by")]
    NoAuthority,
    /// The file with the authorities cannot be read.
    #[error("cannot read the authorities in {}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no certificate.
    #[error("there is no certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why an operator was not heard this time.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// No runtime to make the call on.
    #[error("cannot make a runtime")]
    Runtime(#[source] std::io::Error),
    /// A token that would go over an open line.
    #[error("a token is sent over https or to loopback only")]
    OpenLine,
    /// No connection, or none that is trusted, or one that broke off.
    #[error("{address} did not answer")]
    Call {
        /// Who.
        address: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is no success.
    #[error("{address} answered {code}{}", meaning(*code))]
    Refused {
        /// Who.
        address: String,
        /// The status.
        code: u16,
    },
    /// A page for people, or something else.
    #[error("{address} answered {content_type:?}, which is no exposition of metrics")]
    Foreign {
        /// Who.
        address: String,
        /// What it says it is.
        content_type: String,
    },
    /// More than anybody's metrics come to.
    #[error("{address} answered more than {BYTES_MAX} bytes")]
    TooMuch {
        /// Who.
        address: String,
    },
    /// Bytes that are no text.
    #[error("{address} answered no text")]
    NoText {
        /// Who.
        address: String,
    },
    /// An answer that does not end with its last line.
    #[error("the answer of {address} breaks off")]
    Cut {
        /// Who.
        address: String,
    },
    /// An answer without a number in it.
    #[error("{address} answered no metrics")]
    Nothing {
        /// Who.
        address: String,
    },
    /// Text that is no exposition.
    #[error("the answer of {address} is no exposition of metrics")]
    Garbled {
        /// Who.
        address: String,
        /// Where.
        #[source]
        source: ExpositionError,
    },
}

/// What an operator means that refuses, where that is known.
fn meaning(code: u16) -> &'static str {
    match code {
        401 => ": it wants a token that the cluster vouches for",
        403 => ": the token's account may not read its metrics",
        404 => ": there are no metrics at that path",
        _ => "",
    }
}

/// Who is asked, and as whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Who is asked.
    pub scraper: Scraper,
    /// As whom.
    pub credentials: Credentials,
}

/// Where the token comes from that is shown to an operator. Never from an argument: those are for everybody to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// There is none.
    #[default]
    None,
    /// From a file, read again each time.
    File(PathBuf),
    /// From the API server, for a service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Asks one endpoint.
#[derive(Clone, Debug)]
pub struct Scraper {
    address: Address,
    client: Client,
    patience: Duration,
}

impl Scraper {
    /// Asks this URL. `allowed` are hosts that may be asked although they are none of the run's own business; whoever is
    /// asked over TLS is known by the authorities in the file.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn new(url: &str, allowed: &[String], authorities: Option<&Path>) -> Result<Self, EndpointError> {
        let address = Address::parse(url, allowed)?;
        let roots = match authorities {
            Some(path) => read_roots(path)?,
            None if address.is_secure() => return Err(EndpointError::NoAuthority),
            None => RootCertStore::empty(),
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(EndpointError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .referer(false)
            .redirect(Policy::custom(stay))
            .connect_timeout(CONNECT_TIMEOUT)
            // A connection belongs to the runtime it was made on, and each call has its own.
            .pool_max_idle_per_host(0);
        if let Some(name) = address.loopback_name() {
            // Whatever the system makes of that name: here it is this machine.
            let here = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
            client = client.resolve_to_addrs(name, &here.map(|ip| SocketAddr::new(ip, 0)));
        }
        Ok(Self { client: client.build().map_err(EndpointError::Client)?, address, patience: TIMEOUT })
    }

    /// Waits this long for everything, and no longer.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Reads the metrics, and gives them as text that is an exposition.
    ///
    /// # Errors
    /// See [`ScrapeError`]. No error holds the token, whatever the other end says.
    pub async fn scrape(&self, token: Option<&Token>) -> Result<String, ScrapeError> {
        let address = || self.address.to_string();
        let mut request = self.client.get(self.address.url()).header(header::ACCEPT, ACCEPT).timeout(self.patience);
        if let Some(token) = token {
            if !self.address.takes_tokens() {
                return Err(ScrapeError::OpenLine);
            }
            request = request.header(header::AUTHORIZATION, token.header());
        }
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        let code = answer.status();
        if !code.is_success() {
            return Err(ScrapeError::Refused { address: address(), code: code.as_u16() });
        }
        if let Some(content_type) = foreign(&answer) {
            let content_type = token.map_or(content_type.clone(), |token| token.redact(&content_type));
            return Err(ScrapeError::Foreign { address: address(), content_type });
        }
        let text =
            String::from_utf8(self.body(answer).await?).map_err(|_| ScrapeError::NoText { address: address() })?;
        // Whoever tells us our own token is not repeated.
        let text = token.map_or(text.clone(), |token| token.redact(&text));
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(ScrapeError::Cut { address: address() });
        }
        match Scrape::parse(&text) {
            Ok(scrape) if scrape.series.is_empty() => Err(ScrapeError::Nothing { address: address() }),
            Ok(_) => Ok(text),
            Err(source) => Err(ScrapeError::Garbled { address: address(), source }),
        }
    }

    /// [`Self::scrape`] on this thread, whatever clock others go by.
    ///
    /// # Errors
    /// As [`Self::scrape`]; [`ScrapeError::Runtime`].
    pub fn scrape_now(&self, token: Option<&Token>) -> Result<String, ScrapeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(ScrapeError::Runtime)?.block_on(self.scrape(token))
    }

    /// The body, given up as soon as it is too much, whatever its head says.
    async fn body(&self, mut answer: Response) -> Result<Vec<u8>, ScrapeError> {
        let too_much = || ScrapeError::TooMuch { address: self.address.to_string() };
        if answer.content_length().is_some_and(|length| length > BYTES_MAX as u64) {
            return Err(too_much());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(error))? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(too_much());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The URL may have been led elsewhere, and who was asked is said already.
    fn failed(&self, error: reqwest::Error) -> ScrapeError {
        ScrapeError::Call { address: self.address.to_string(), source: error.without_url() }
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, EndpointError> {
    let pem = std::fs::read(path).map_err(|source| EndpointError::Authority { path: path.to_owned(), source })?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    if added == 0 { Err(EndpointError::NoCertificate(path.to_owned())) } else { Ok(roots) }
}

/// Follows a redirect to the same host, port and scheme, and no other.
fn stay(attempt: Attempt<'_>) -> Action {
    let Some(asked) = attempt.previous().first() else { return attempt.stop() };
    let next = attempt.url();
    let same = (asked.scheme(), asked.host(), asked.port_or_known_default())
        == (next.scheme(), next.host(), next.port_or_known_default());
    if !same {
        attempt.error("it leads to another host")
    } else if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("it leads in circles")
    } else {
        attempt.follow()
    }
}

/// The content type, where it is none of an exposition's. Whoever says nothing is read as if it were.
fn foreign(answer: &Response) -> Option<String> {
    let content_type = answer.headers().get(header::CONTENT_TYPE)?;
    let said: String = String::from_utf8_lossy(content_type.as_bytes()).chars().take(80).collect();
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!CONTENT_TYPES.contains(&essence.as_str())).then_some(said)
}
