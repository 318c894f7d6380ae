//! Where metrics are asked for, and where they are not. Pure.
//!
//! A run asks what it is told to ask, and what it is told may come from a file that nobody has read. So it asks this
//! machine and the cluster's own Services, and of those not the system's; everybody else has to be allowed by name.

use std::fmt;

use reqwest::Url;

/// Namespaces whose Services are not the business of an operator's test.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// What follows the namespace in a Service's name.
const CLUSTER_SUFFIXES: [&str; 2] = [".svc.cluster.local", ".svc"];

/// Where metrics are, unless the URL says otherwise.
const PATH: &str = "/metrics";

/// A URL that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: Url,
    place: Place,
}

/// What sort of host it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// This machine, by a number.
    LoopbackNumber,
    /// This machine, by a name.
    LoopbackName,
    /// A Service of the cluster.
    Cluster,
    /// Another one, allowed by name.
    Allowed,
}

/// Why a URL is not asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL. What it is stays unsaid: there may be a password in it.
    #[error("it is no URL: {0}")]
    NoUrl(String),
    /// Neither http nor https.
    #[error("it begins with {0:?} and must begin with \"http\" or \"https\"")]
    Scheme(String),
    /// A user or a password in it.
    #[error("it holds a user or a password; a token is given in a file")]
    Credentials,
    /// A system namespace.
    #[error("{host} is a Service of {namespace}, which is asked only when --allow-metrics-host {host} says so")]
    System {
        /// The host.
        host: String,
        /// Its namespace.
        namespace: String,
    },
    /// Somewhere else.
    #[error(
        "{0} is neither loopback nor a Service of the cluster, and is asked only when --allow-metrics-host {0} says so"
    )]
    Elsewhere(String),
}

impl Address {
    /// Checks a URL. `allowed` are hosts, as they stand in URLs, that may be asked whatever they are.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(text: &str, allowed: &[String]) -> Result<Self, AddressError> {
        let mut url = Url::parse(text.trim()).map_err(|error| AddressError::NoUrl(error.to_string()))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        // The parser has made lower case of it, and numbers of whatever numbers can be written as.
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host).to_owned();
        let is_allowed = allowed.iter().any(|name| bare(name) == bare(&host));
        let place = match place(&host) {
            Ok(place) => place,
            Err(_) if is_allowed => Place::Allowed,
            Err(error) => return Err(error),
        };
        if url.path() == "/" {
            url.set_path(PATH);
        }
        url.set_fragment(None);
        Ok(Self { url, place })
    }

    /// What is asked.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Whether it is asked over TLS.
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether nobody reads along.
    pub fn takes_tokens(&self) -> bool {
        self.is_secure() || matches!(self.place, Place::LoopbackNumber | Place::LoopbackName)
    }

    /// The name by which it means this machine.
    pub fn loopback_name(&self) -> Option<&str> {
        self.url.host_str().filter(|_| self.place == Place::LoopbackName)
    }
}

/// Without the query: some put secrets there.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        url.set_query(None);
        f.write_str(url.as_str())
    }
}

/// A host without what may be around it.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

fn place(host: &str) -> Result<Place, AddressError> {
    if let Ok(ip) = bare(host).parse::<std::net::IpAddr>() {
        let loopback = ip.to_canonical().is_loopback();
        return if loopback { Ok(Place::LoopbackNumber) } else { Err(AddressError::Elsewhere(host.to_owned())) };
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(Place::LoopbackName);
    }
    // `NAME.NAMESPACE.svc`, and Pods of a headless Service before it.
    let service = CLUSTER_SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix));
    match service.and_then(|service| service.rsplit_once('.')) {
        Some((_, namespace)) if SYSTEM_NAMESPACES.contains(&namespace) => {
            Err(AddressError::System { host: host.to_owned(), namespace: namespace.to_owned() })
        }
        Some((name, namespace)) if !name.is_empty() && !namespace.is_empty() => Ok(Place::Cluster),
        _ => Err(AddressError::Elsewhere(host.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_the_runs_own_business_is_asked() {
        let elsewhere = |host: &str| Err(AddressError::Elsewhere(host.to_owned()));
        let system = |host: &str, namespace: &str| {
            Err(AddressError::System { host: host.to_owned(), namespace: namespace.to_owned() })
        };
        for (url, expected) in [
            ("http://127.0.0.1:8080", Ok(Place::LoopbackNumber)),
            ("http://127.9.9.9/metrics", Ok(Place::LoopbackNumber)),
            ("http://2130706433/", Ok(Place::LoopbackNumber)),
            ("http://[::1]:8080", Ok(Place::LoopbackNumber)),
            ("http://[::ffff:127.0.0.1]:8080", Ok(Place::LoopbackNumber)),
            ("https://LocalHost:8443", Ok(Place::LoopbackName)),
            ("https://operator.localhost", Ok(Place::LoopbackName)),
            ("https://operator.slipway-system.svc:8443", Ok(Place::Cluster)),
            ("https://operator.slipway-system.svc.cluster.local.", Ok(Place::Cluster)),
            ("https://operator-0.operator.slipway-system.svc", Ok(Place::Cluster)),
            ("https://metrics.kube-system.svc", system("metrics.kube-system.svc", "kube-system")),
            ("https://a.b.KUBE-System.svc.cluster.local", system("a.b.kube-system.svc.cluster.local", "kube-system")),
            ("https://x.kube-public.svc.", system("x.kube-public.svc", "kube-public")),
            ("http://x.kube-node-lease.svc", system("x.kube-node-lease.svc", "kube-node-lease")),
            ("http://example.com/metrics", elsewhere("example.com")),
            ("http://169.254.169.254/latest", elsewhere("169.254.169.254")),
            ("http://10.0.0.1", elsewhere("10.0.0.1")),
            ("http://0.0.0.0", elsewhere("0.0.0.0")),
            ("http://[::ffff:10.0.0.1]", elsewhere("[::ffff:a00:1]")),
            ("http://localhost.example.com", elsewhere("localhost.example.com")),
            ("http://svc", elsewhere("svc")),
            ("http://ns.svc", elsewhere("ns.svc")),
            ("http://operator.ns", elsewhere("operator.ns")),
            ("http://a.b.svc.example.com", elsewhere("a.b.svc.example.com")),
            ("ftp://localhost", Err(AddressError::Scheme("ftp".to_owned()))),
            ("file:///etc/passwd", Err(AddressError::Scheme("file".to_owned()))),
            ("http://me:secret@localhost", Err(AddressError::Credentials)),
            ("http://me@localhost", Err(AddressError::Credentials)),
        ] {
            assert_eq!(Address::parse(url, &[]).map(|address| address.place), expected, "{url}");
        }
        assert!(matches!(Address::parse("localhost", &[]), Err(AddressError::NoUrl(_))));
    }

    #[test]
    fn a_host_that_is_allowed_by_name_is_asked_and_no_other() {
        let allowed = ["Metrics.kube-system.svc".to_owned(), "10.0.0.1".to_owned(), "::2".to_owned()];
        for (url, ok) in [
            ("https://metrics.kube-system.svc:443/m", true),
            ("http://10.0.0.1:9/", true),
            ("http://[::2]/", true),
            ("https://other.kube-system.svc", false),
            ("http://10.0.0.2", false),
            ("http://x.10.0.0.1.nip.io", false),
        ] {
            assert_eq!(Address::parse(url, &allowed).is_ok(), ok, "{url}");
        }
        assert!(Address::parse("http://me:pw@10.0.0.1", &allowed).is_err(), "what else is wrong stays wrong");
    }

    #[test]
    fn tokens_go_where_nobody_reads_along() {
        let allowed = ["example.com".to_owned()];
        for (url, ok) in [
            ("http://127.0.0.1", true),
            ("http://localhost", true),
            ("http://a.b.svc", false),
            ("https://a.b.svc", true),
            ("http://example.com", false),
            ("https://example.com", true),
        ] {
            assert_eq!(Address::parse(url, &allowed).unwrap().takes_tokens(), ok, "{url}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_query() {
        let address = Address::parse("http://localhost:1/m?token=secret#x", &[]).unwrap();
        assert_eq!(address.to_string(), "http://localhost:1/m");
        assert_eq!(Address::parse("http://localhost:1", &[]).unwrap().to_string(), "http://localhost:1/metrics");
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_foreign_number_is_taken_for_loopback(number in any::<u32>()) {
            let ip = std::net::Ipv4Addr::from(number);
            for url in [format!("http://{number}/"), format!("http://{ip}/"), format!("http://0x{number:x}/"), format!("http://[::ffff:{ip}]/")] {
                prop_assert_eq!(Address::parse(&url, &[]).is_ok(), ip.is_loopback(), "{}", url);
            }
        }

        #[test]
        fn nothing_that_is_typed_panics(text in "\\PC{0,60}") {
            let _ = Address::parse(&text, &[]);
            let _ = Address::parse(&format!("http://{text}"), &[]);
        }
    }
}
