//! How many connections a Pod has that an eviction would cut.
//!
//! Sources are tried in the order in which they are configured, and the first that can be read decides. One that cannot
//! be read is not "no connections": the next is tried, and a [`Reading`] says which were left out, and why. The Pod is
//! reached through the API server alone, so that this works from anywhere. What arrives is read in `sockets`, `mesh`,
//! `grpc`, `number`, `promtext` and `slices`, which are pure; `reach` has the calls.

mod grpc;
mod mesh;
mod number;
mod pod;
mod promtext;
mod reach;
mod slices;
mod sockets;
mod source;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;

pub use self::source::{Endpoints, Envoy, Gauge, Grpc, Http, Kind, Linkerd, Path, Scheme, Sockets, Source};
use super::pod::Pod;
use crate::kit::error::{chain, message};

/// How long one source may take. A probe that hangs must not hold up a Pod that is idle.
pub const SOURCE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known about a Pod's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the first source that could be read says; nothing is known where none could.
    pub found: Option<Found>,
    /// The sources before it.
    pub skipped: Vec<Skipped>,
}

/// What a source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub source: Kind,
    /// How many connections there are. [`Kind::Endpoints`] knows only none, or some.
    pub connections: u64,
}

/// A source that does not say anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which one.
    pub source: Kind,
    /// Why.
    pub why: String,
    /// It should have said something; one for a sidecar that the Pod does not have should not.
    pub failed: bool,
}

impl Reading {
    /// Nothing would be cut. What is not known may be anything.
    pub fn is_idle(&self) -> bool {
        self.found.is_some_and(|found| found.connections == 0)
    }

    /// Sources that should have said something, and did not.
    pub fn failures(&self) -> impl Iterator<Item = &Skipped> {
        self.skipped.iter().filter(|skipped| skipped.failed)
    }
}

/// For people, in Events.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            Some(Found { source: Kind::Endpoints, connections: 0 }) => f.write_str("no Service sends requests to it"),
            Some(Found { source: Kind::Endpoints, .. }) => f.write_str("Services send requests to it"),
            Some(Found { source: Kind::Grpc, connections: 1 }) => f.write_str("1 stream by grpc"),
            Some(Found { source: Kind::Grpc, connections }) => write!(f, "{connections} streams by grpc"),
            Some(Found { source, connections: 1 }) => write!(f, "1 connection by {source}"),
            Some(Found { source, connections }) => write!(f, "{connections} connections by {source}"),
            None => f.write_str("its connections are not known"),
        }?;
        for (index, skipped) in self.failures().enumerate() {
            let lead = if index == 0 { " (" } else { "; " };
            write!(f, "{lead}{}: {}", skipped.source, skipped.why)?;
        }
        if self.failures().next().is_some() { f.write_str(")") } else { Ok(()) }
    }
}

/// Reads a Pod's connections from the first of the sources that tells them.
pub async fn read(client: &Client, pod: &Pod, sources: &[Source]) -> Reading {
    let mut reading = Reading::default();
    for source in sources {
        let kind = source.kind();
        let asked = tokio::time::timeout(SOURCE_TIMEOUT, ask(client, pod, source)).await;
        match asked.unwrap_or(Err(Unreadable::TimedOut(SOURCE_TIMEOUT))) {
            Ok(connections) => {
                reading.found = Some(Found { source: kind, connections });
                break;
            }
            Err(error) => {
                let failed = !matches!(error, Unreadable::NoSidecar);
                reading.skipped.push(Skipped { source: kind, why: error.why(), failed });
            }
        }
    }
    reading
}

/// The rights that reading these sources takes, beyond those of reading Pods. Printing files inside a Pod is a right to
/// run anything there: it is asked for only where sockets are a source.
pub fn rules(sources: &[Source]) -> Vec<PolicyRule> {
    let has = |kinds: &[Kind]| sources.iter().any(|source| kinds.contains(&source.kind()));
    let rule = |group: &str, resource: &str, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(ToString::to_string).collect(),
        ..PolicyRule::default()
    };
    let mut rules = Vec::new();
    if has(&[Kind::Sockets]) {
        // A WebSocket is opened by a GET, and recent API servers want the right to create as well.
        rules.push(rule("", "pods/exec", &["create", "get"]));
    }
    if has(&[Kind::Http, Kind::Prometheus, Kind::Grpc, Kind::Envoy, Kind::Linkerd]) {
        rules.push(rule("", "pods/proxy", &["get"]));
    }
    if has(&[Kind::Endpoints]) {
        rules.push(rule("discovery.k8s.io", "endpointslices", &["list"]));
    }
    rules
}

/// Why a source says nothing.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("the Pod has no such sidecar")]
    NoSidecar,
    #[error("none of its containers runs")]
    NothingRuns,
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("failed to look inside container {container}")]
    Exec {
        container: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("container {container} printed no sockets ({said})")]
    Printed {
        container: String,
        said: String,
        #[source]
        source: sockets::table::Error,
    },
    #[error("the list of sockets breaks off, and has no connections until there")]
    Cut,
    #[error("failed to ask port {port}")]
    Ask {
        port: u16,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("port {port} answered {code}{said}")]
    Answered { port: u16, code: u16, said: String },
    #[error("port {port} answered more than {bytes} bytes, or broke off")]
    Broken { port: u16, bytes: usize },
    #[error("port {port} answered no text")]
    NoText { port: u16 },
    #[error("failed to read the answer")]
    Number(#[source] number::Error),
    #[error("failed to read the metrics")]
    Metrics(#[source] promtext::Error),
    #[error("no port is configured")]
    NoPort,
    #[error("failed to list EndpointSlices")]
    Slices(#[source] Box<kube::Error>),
}

impl Unreadable {
    /// For people: of what the API server says, its sentence alone.
    fn why(&self) -> String {
        match self {
            Self::Exec { source, .. } | Self::Ask { source, .. } | Self::Slices(source) => {
                format!("{self}: {}", message(source))
            }
            _ => chain(self).to_string(),
        }
    }
}

async fn ask(client: &Client, pod: &Pod, source: &Source) -> Result<u64, Unreadable> {
    match source {
        Source::Sockets(sockets) => {
            let tables = reach::sockets(client, pod, sockets.container.as_deref()).await?;
            let connections = sockets::count::connections(&tables, &pod::ports(pod, &sockets.ignore_ports));
            // That there are some is known; that there are none is not.
            if connections == 0 && tables.is_cut { Err(Unreadable::Cut) } else { Ok(connections) }
        }
        Source::Http(http) => {
            let body = reach::get(client, pod, http.scheme, http.port, http.path.as_str()).await?;
            number::connections(&body, &http.field).map_err(Unreadable::Number)
        }
        Source::Prometheus(gauge) => {
            let page = reach::get(client, pod, gauge.scheme, gauge.port, gauge.path.as_str()).await?;
            let fits = |labels: &promtext::Labels| gauge.labels.iter().all(|(name, value)| labels.get(name) == value);
            whole(&page, promtext::sum(&page, &gauge.metric, fits))
        }
        Source::Grpc(grpc) => {
            let page = reach::get(client, pod, grpc.scheme, grpc.port, grpc.path.as_str()).await?;
            whole(&page, grpc::streams(&page))
        }
        Source::Envoy(envoy) if pod::has_container(pod, &mesh::ENVOY_CONTAINERS) => {
            let mut last = Unreadable::NoPort;
            for (port, path) in envoy.ports.iter().flat_map(|port| mesh::ENVOY_PATHS.map(|path| (*port, path))) {
                let page = reach::get(client, pod, Scheme::Http, port, path).await;
                match page.and_then(|page| whole(&page, mesh::envoy(&page))) {
                    Ok(connections) => return Ok(connections),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        Source::Linkerd(linkerd) if pod::has_container(pod, &mesh::LINKERD_CONTAINERS) => {
            let page = reach::get(client, pod, Scheme::Http, linkerd.port, mesh::LINKERD_PATH).await?;
            whole(&page, mesh::linkerd(&page))
        }
        Source::Envoy(_) | Source::Linkerd(_) => Err(Unreadable::NoSidecar),
        Source::Endpoints(_) => {
            let slices = reach::slices(client, pod).await?;
            Ok(u64::from(slices::is_served(pod, &slices)))
        }
    }
}

fn whole(page: &str, sum: Result<u64, promtext::Error>) -> Result<u64, Unreadable> {
    sum.and_then(|sum| promtext::whole(page, sum)).map_err(Unreadable::Metrics)
}
