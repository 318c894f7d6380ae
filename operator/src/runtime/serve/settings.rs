//! Where the servers listen, and with which certificate.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An address to listen on, as Go programs write it: `127.0.0.1:8081`, `:8081` for every address of the machine, `0` for
/// not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Address {
    /// Not at all.
    Off,
    /// There.
    At(SocketAddr),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::Off);
        }
        let spelled = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        spelled.parse().map(Self::At).map_err(|_| format!("{text:?} is neither an address with a port nor 0"))
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("0"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// The servers on sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Servers {
    /// What an address has that is not given: every address of a Pod, loopback elsewhere.
    #[schemars(with = "String")]
    pub host: IpAddr,
    /// Of `/healthz` and `/readyz`; port 8081 unless told otherwise.
    pub health_address: Option<Address>,
    /// Of `/metrics`; port 8443 unless told otherwise, or 8080 when it is plain.
    pub metrics_address: Option<Address>,
    /// Whether metrics are served over TLS, and only to those who may read them.
    pub metrics_secure: bool,
    /// Of the webhooks; port 9443 unless told otherwise.
    pub webhooks_address: Option<Address>,
    /// What the servers identify themselves with.
    pub certificate: Certificate,
}

impl Default for Servers {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            health_address: None,
            metrics_address: None,
            metrics_secure: true,
            webhooks_address: None,
            certificate: Certificate::default(),
        }
    }
}

impl Servers {
    pub(super) fn health(&self) -> Option<SocketAddr> {
        self.address(self.health_address, 8081)
    }

    pub(super) fn metrics(&self) -> Option<SocketAddr> {
        self.address(self.metrics_address, if self.metrics_secure { 8443 } else { 8080 })
    }

    pub(super) fn webhooks(&self) -> Option<SocketAddr> {
        self.address(self.webhooks_address, 9443)
    }

    /// Whether anything is served over TLS.
    pub(super) fn need_certificate(&self) -> bool {
        self.webhooks().is_some() || (self.metrics_secure && self.metrics().is_some())
    }

    fn address(&self, address: Option<Address>, port: u16) -> Option<SocketAddr> {
        match address.unwrap_or(Address::At((self.host, port).into())) {
            Address::Off => None,
            Address::At(address) => Some(address),
        }
    }
}

/// What the servers identify themselves with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Certificate {
    /// A directory with `tls.crt` and `tls.key`, as a mounted Secret has them. Without, the operator makes its own
    /// certificate and tells its webhook configurations who vouches for it.
    pub directory: Option<PathBuf>,
    /// The Secret in which replicas share the certificate that they make.
    pub secret: String,
    /// The namespace of the Secret and of the Services; the operator's own unless told otherwise.
    pub namespace: Option<String>,
    /// The Services that lead to the servers.
    pub services: Vec<String>,
    /// The webhook configurations, validating and mutating, that must know who vouches.
    pub webhook_configurations: Vec<String>,
}

impl Default for Certificate {
    fn default() -> Self {
        Self {
            directory: None,
            secret: SECRET.to_owned(),
            namespace: None,
            services: vec!["slipway-operator-webhooks".to_owned(), "slipway-operator-metrics".to_owned()],
            webhook_configurations: vec![WEBHOOK_CONFIGURATION.to_owned()],
        }
    }
}

/// The Secret that replicas share, as the operator's rights name it.
pub(in crate::runtime) const SECRET: &str = "slipway-operator-certificate";
/// The webhook configurations, as the operator's rights name them.
pub(in crate::runtime) const WEBHOOK_CONFIGURATION: &str = "slipway-drain";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_go_programs_write_them() {
        for (text, address) in [
            ("0", None),
            (":8081", Some("0.0.0.0:8081")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("[::1]:2", Some("[::1]:2")),
        ] {
            let read = Servers { health_address: Some(text.parse().unwrap()), ..Servers::default() };
            assert_eq!(read.health(), address.map(|address| address.parse().unwrap()), "{text}");
        }
        for bad in ["", "8081", "host:80", ":port"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_is_waited_for_only_where_one_is_shown() {
        for (metrics, secure, webhooks, needed) in [
            (":1", true, ":2", true),
            (":1", true, "0", true),
            ("0", true, "0", false),
            (":1", false, "0", false),
            (":1", false, ":2", true),
        ] {
            let servers = Servers {
                metrics_address: Some(metrics.parse().unwrap()),
                metrics_secure: secure,
                webhooks_address: Some(webhooks.parse().unwrap()),
                ..Servers::default()
            };
            assert_eq!(servers.need_certificate(), needed, "{metrics} {secure} {webhooks}");
        }
    }

    #[test]
    fn nothing_is_reachable_from_outside_unless_somebody_says_so() {
        let servers = Servers::default();
        for (address, port) in [(servers.health(), 8081), (servers.metrics(), 8443), (servers.webhooks(), 9443)] {
            assert_eq!(address, Some((Ipv4Addr::LOCALHOST, port).into()));
        }
        let plain = Servers { metrics_secure: false, ..servers };
        assert_eq!(plain.metrics().map(|address| address.port()), Some(8080));
    }
}
