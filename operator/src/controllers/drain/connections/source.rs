//! Where the number of a Pod's connections can be learnt, as configuration names it. Pure.
//!
//! A source is a word (`sockets`), or a word with details (`http: { port: 8080, path: /connections }`). Everything is
//! checked here: what is asked later goes out with the operator's rights, and a path that climbs out of the Pod would
//! be somebody else's.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Longer paths are no metrics endpoints.
const PATH_CHARACTERS_MAX: usize = 256;

/// Where Istio's proxy tells its statistics: its own page, the one merged with the application's, and the admin port.
const ENVOY_PORTS: [u16; 3] = [15090, 15020, 15000];

/// Where Linkerd's proxy tells its statistics.
const LINKERD_PORT: u16 = 4191;

/// One way to learn how many connections a Pod has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The kernel's table of sockets, read inside the Pod.
    Sockets(Sockets),
    /// A number that the application tells over HTTP.
    Http(Http),
    /// A gauge of the application's metrics.
    Prometheus(Gauge),
    /// The streams of a gRPC server, from its metrics.
    Grpc(Grpc),
    /// The statistics of an Envoy sidecar, as Istio installs it.
    Envoy(Envoy),
    /// The statistics of a Linkerd sidecar.
    Linkerd(Linkerd),
    /// Whether Services send requests to the Pod: the last resort, because it knows of none that are under way.
    Endpoints(Endpoints),
}

/// How sockets are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sockets {
    /// The container to look from; each that runs, in turn, where none is named. All of a Pod see the same sockets.
    pub container: Option<String>,
    /// Ports whose connections do not count, like one that only metrics are read from.
    pub ignore_ports: Vec<u16>,
}

/// A number over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Http {
    /// The Pod's port.
    pub port: u16,
    /// The path, with its query.
    #[serde(default = "root")]
    pub path: Path,
    /// Over TLS or not.
    #[serde(default)]
    pub scheme: Scheme,
    /// Where the number is in a JSON object, as a JSON pointer.
    #[serde(default = "connections")]
    pub field: String,
}

/// A gauge of a metrics endpoint. Samples whose labels fit are added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gauge {
    /// The Pod's port.
    pub port: u16,
    /// The path, with its query.
    #[serde(default = "metrics")]
    pub path: Path,
    /// Over TLS or not.
    #[serde(default)]
    pub scheme: Scheme,
    /// The gauge's name.
    pub metric: String,
    /// Labels that a sample must have, and their values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Where a gRPC server tells its metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grpc {
    /// The Pod's port: the one of its metrics, not the one that it serves.
    pub port: u16,
    /// The path, with its query.
    #[serde(default = "metrics")]
    pub path: Path,
    /// Over TLS or not.
    #[serde(default)]
    pub scheme: Scheme,
}

/// Where an Envoy sidecar is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Envoy {
    /// Ports, in the order in which they are tried.
    pub ports: Vec<u16>,
}

/// Where a Linkerd sidecar is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Linkerd {
    /// The port of its metrics.
    pub port: u16,
}

/// Nothing to say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {}

/// Over TLS or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// TLS; whose certificate it is, the API server does not check.
    Https,
}

/// A path with its query, that stays within the Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Path(String);

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@?".contains(&byte);
        let route = text.split('?').next().unwrap_or_default();
        if !text.starts_with('/') {
            Err(format!("path {text:?} does not begin with a slash"))
        } else if text.len() > PATH_CHARACTERS_MAX {
            Err(format!("path is longer than {PATH_CHARACTERS_MAX} characters"))
        } else if !text.bytes().all(plain) {
            // No percent either: an escaped dot would climb as well as a plain one.
            Err(format!("path {text:?} has characters that paths here cannot have"))
        } else if route.split('/').any(|segment| segment == "." || segment == "..") {
            Err(format!("path {text:?} climbs"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The path, beginning with a slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn root() -> Path {
    Path("/".to_owned())
}

fn metrics() -> Path {
    Path("/metrics".to_owned())
}

fn connections() -> String {
    "/connections".to_owned()
}

impl Default for Envoy {
    fn default() -> Self {
        Self { ports: ENVOY_PORTS.into() }
    }
}

impl Default for Linkerd {
    fn default() -> Self {
        Self { port: LINKERD_PORT }
    }
}

/// What a source is called: in configuration, Events and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`Source::Sockets`]
    Sockets,
    /// [`Source::Http`]
    Http,
    /// [`Source::Prometheus`]
    Prometheus,
    /// [`Source::Grpc`]
    Grpc,
    /// [`Source::Envoy`]
    Envoy,
    /// [`Source::Linkerd`]
    Linkerd,
    /// [`Source::Endpoints`]
    Endpoints,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 7] =
        [Self::Sockets, Self::Http, Self::Prometheus, Self::Grpc, Self::Envoy, Self::Linkerd, Self::Endpoints];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Http => "http",
            Self::Prometheus => "prometheus",
            Self::Grpc => "grpc",
            Self::Envoy => "envoy",
            Self::Linkerd => "linkerd",
            Self::Endpoints => "endpoints",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Source {
    /// What is tried unless told otherwise: everything that needs no knowledge of the application.
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::Sockets(Sockets::default()),
            Self::Envoy(Envoy::default()),
            Self::Linkerd(Linkerd::default()),
            Self::Endpoints(Endpoints {}),
        ]
    }

    /// What it is called.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sockets(_) => Kind::Sockets,
            Self::Http(_) => Kind::Http,
            Self::Prometheus(_) => Kind::Prometheus,
            Self::Grpc(_) => Kind::Grpc,
            Self::Envoy(_) => Kind::Envoy,
            Self::Linkerd(_) => Kind::Linkerd,
            Self::Endpoints(_) => Kind::Endpoints,
        }
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrDetails)
    }
}

struct WordOrDetails;

impl<'de> Visitor<'de> for WordOrDetails {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a source, or a map of one name to its details")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Source, E> {
        // A word alone is the same as one without details.
        details(word, de::value::MapDeserializer::new(std::iter::empty::<(String, String)>()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
        let Some(word) = map.next_key::<String>()? else {
            return Err(de::Error::invalid_length(0, &self));
        };
        let source = map.next_value_seed(Details(&word, PhantomData))?;
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom(format!("{word} is followed by another source: each is an item of its own")));
        }
        Ok(source)
    }
}

struct Details<'a>(&'a str, PhantomData<Source>);

impl<'de> de::DeserializeSeed<'de> for Details<'_> {
    type Value = Source;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Source, D::Error> {
        details(self.0, deserializer)
    }
}

fn details<'de, D: Deserializer<'de>>(word: &str, deserializer: D) -> Result<Source, D::Error> {
    fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(word: &str, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer).map_err(|error| de::Error::custom(format!("{word}: {error}")))
    }
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == word) else {
        return Err(de::Error::custom(format!(
            "{word:?} is no source of connections; there are {}",
            Kind::ALL.map(Kind::as_str).join(", ")
        )));
    };
    Ok(match kind {
        Kind::Sockets => Source::Sockets(read(word, deserializer)?),
        Kind::Http => Source::Http(read(word, deserializer)?),
        Kind::Prometheus => Source::Prometheus(read(word, deserializer)?),
        Kind::Grpc => Source::Grpc(read(word, deserializer)?),
        Kind::Envoy => Source::Envoy(read(word, deserializer)?),
        Kind::Linkerd => Source::Linkerd(read(word, deserializer)?),
        Kind::Endpoints => Source::Endpoints(read(word, deserializer)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Source>, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_is_a_word_or_a_word_with_details() {
        let sources = read(
            "[sockets, {sockets: {ignorePorts: [9090]}}, {http: {port: 8080, path: /active?all}}, \
             {prometheus: {port: 9090, metric: open, labels: {listener: public}}}, {grpc: {port: 9092}}, envoy, {linkerd: {port: 4192}}, endpoints]",
        );
        let expected = vec![
            Source::Sockets(Sockets::default()),
            Source::Sockets(Sockets { container: None, ignore_ports: vec![9090] }),
            Source::Http(Http {
                port: 8080,
                path: Path("/active?all".to_owned()),
                scheme: Scheme::Http,
                field: "/connections".to_owned(),
            }),
            Source::Prometheus(Gauge {
                port: 9090,
                path: metrics(),
                scheme: Scheme::Http,
                metric: "open".to_owned(),
                labels: [("listener".to_owned(), "public".to_owned())].into(),
            }),
            Source::Grpc(Grpc { port: 9092, path: metrics(), scheme: Scheme::Http }),
            Source::Envoy(Envoy { ports: vec![15090, 15020, 15000] }),
            Source::Linkerd(Linkerd { port: 4192 }),
            Source::Endpoints(Endpoints {}),
        ];
        assert_eq!(sources.unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_with_a_source_is_said() {
        for (text, says) in [
            ("[socket]", "no source of connections"),
            ("[http]", "missing field `port`"),
            ("[{http: {port: 8080, pat: /}}]", "unknown field `pat`"),
            ("[{http: {port: 8080, path: active}}]", "does not begin with a slash"),
            ("[{http: {port: 8080, path: /a/../../secrets}}]", "climbs"),
            ("[{http: {port: 8080, path: /a/%2e%2e/secrets}}]", "characters"),
            ("[{http: {port: 8080, path: '/a#b'}}]", "characters"),
            ("[{http: {port: 80800}}]", "port"),
            ("[{prometheus: {port: 9090}}]", "missing field `metric`"),
            ("[{grpc: {port: 9090, path: /../x}}]", "climbs"),
            ("[{sockets: {}, envoy: {}}]", "each is an item of its own"),
            ("[{}]", "invalid length 0"),
            ("[7]", "expected the name of a source"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn sources_are_written_as_they_are_read() {
        let sources = Source::defaults();
        let text = serde_json::to_string(&sources).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Source>>(&text).unwrap(), sources);
        for (source, written) in sources.iter().zip(serde_json::to_value(&sources).unwrap().as_array().unwrap()) {
            assert!(written.get(source.kind().as_str()).is_some(), "{written}");
        }
    }
}
