//! A cluster on somebody else's API server: its scheduler and its controllers, with our nodes among its own: simulated ones,
//! or real ones where whoever provides the cluster makes such.
//!
//! What is made carries the run's label ([`RUN_LABEL`]), and what is there before us is neither changed nor removed.
//! Our nodes carry the label and a taint of the same name: other people's Pods stay off, but for those that tolerate
//! everything, and the scenario's own are led there (`mark`). The kubelet of a node asks for the Pods of that node only.

pub mod claim;
pub mod leftovers;
mod mark;
pub mod sweep;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, TryFutureExt, join_all};
use http::header::HeaderValue;
use http::{HeaderName, Request};
use kube::api::DynamicObject;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::access::{Access, Passage, RUN_LABEL, Trouble};
use super::embedded::fleet::{Fleet, FleetConfig};
use super::embedded::node::program::Programs;
use super::embedded::node::tcp::Medium;
use super::embedded::system_clock;
use super::{Connection, NodeError};
use crate::chain::chain;
use crate::scenario::node::{Isolation, NodeSpec};
use crate::sim::seed::RunId;
use crate::sli::observed::Recorder;

/// How often our nodes renew their Leases, as kubelets do: a cluster takes a node for lost after 40 s.
const LEASE_RENEWAL: Duration = Duration::from_secs(10);

/// A cluster behind an [`Access`].
pub struct Cluster {
    access: Access,
    run: RunId,
    client: Client,
    fleet: Fleet,
    /// The real nodes by name, with those that are on their way.
    real: Mutex<BTreeMap<String, Option<Arc<dyn super::Node>>>>,
    /// Made when a program of another process wants in.
    passage: OnceCell<Passage>,
}

impl Cluster {
    /// The cluster there, without any node of ours yet.
    ///
    /// # Errors
    /// The access makes no client.
    pub fn new(access: Access, run: RunId, programs: Programs, isolation: Isolation) -> Result<Self, kube::Error> {
        let client = access.client()?;
        let fleet = Fleet::new(FleetConfig {
            clock: system_clock(),
            programs,
            // Its time is the machine's, and its clients are other processes.
            medium: Medium::Sockets,
            isolation,
            lease_renewal: Some(LEASE_RENEWAL),
            labels: BTreeMap::from([(RUN_LABEL.to_owned(), run.0.clone())]),
            pods: None,
        });
        Ok(Self { access, run, client, fleet, real: Mutex::default(), passage: OnceCell::new() })
    }

    /// Makes a node part of the cluster.
    ///
    /// # Errors
    /// It cannot be made as it is described, or the cluster does not take it.
    pub async fn join(&self, mut spec: NodeSpec) -> Result<(), Trouble> {
        mark::node(&mut spec, &self.run);
        let Some(nodes) = &self.access.nodes else {
            return Ok(self.fleet.join(self.client.clone(), spec).await?);
        };
        let name = spec.name.clone();
        // Known before it is there: whoever stops waiting for it must be able to remove it.
        self.real().entry(name.clone()).or_default();
        let node = Arc::clone(nodes).add(spec).await?;
        self.real().insert(name, Some(node));
        Ok(())
    }

    /// The names of our nodes.
    pub fn nodes(&self) -> Vec<String> {
        let mut names = self.fleet.names();
        names.extend(self.real().keys().cloned());
        names
    }

    /// Removes the real nodes; simulated ones go by themselves. What stays is said.
    pub async fn dismiss(&self) -> Vec<String> {
        let names: Vec<String> = self.real().keys().cloned().collect();
        let parted = join_all(names.iter().map(|name| self.part(name))).await;
        let stays = names.iter().zip(parted).filter_map(|(name, parted)| parted.err().map(|error| (name, error)));
        stays.map(|(name, error)| format!("Node {name}: {}", chain(&*error))).collect()
    }

    /// Removes a node.
    async fn part(&self, name: &str) -> Result<(), Trouble> {
        let there = self.real().contains_key(name);
        match &self.access.nodes {
            Some(nodes) if there => {
                Arc::clone(nodes).remove(name.to_owned()).await?;
                self.real().remove(name);
                Ok(())
            }
            _ => Ok(self.fleet.leave(self.client.clone(), name).await?),
        }
    }

    fn real(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<dyn super::Node>>>> {
        self.real.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.fleet.power_off();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access, run, .. } = self;
        f.debug_struct("Cluster").field("context", &access.context).field("run", run).finish_non_exhaustive()
    }
}

impl super::Cluster for Cluster {
    fn client(&self) -> Client {
        self.client.clone()
    }

    fn client_as(&self, user: &str, groups: &[String]) -> Client {
        impersonating(self.client.clone(), user, groups)
    }

    fn node(&self, name: &str) -> Option<Arc<dyn super::Node>> {
        let simulated = || self.fleet.machine(name).map(|machine| machine as Arc<dyn super::Node>);
        self.real().get(name).cloned().flatten().or_else(simulated)
    }

    fn add_node(&self, spec: NodeSpec) -> BoxFuture<'_, Result<(), NodeError>> {
        let node = spec.name.clone();
        self.join(spec).map_err(|source| NodeError { action: "add", node, source }).boxed()
    }

    fn remove_node<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        self.part(name).map_err(|source| NodeError { action: "remove", node: name.to_owned(), source }).boxed()
    }

    fn kubeconfig(&self) -> BoxFuture<'_, io::Result<PathBuf>> {
        let open = async || Passage::open(&self.access);
        async move { self.passage.get_or_try_init(open).await.map(Passage::kubeconfig) }.boxed()
    }

    /// Nothing: what others' API servers are asked is theirs to know.
    fn observe(&self, _: Arc<Mutex<Recorder>>, _: &str) {}

    fn claim<'a>(&'a self, manifest: &'a mut Value, api: &'a Api<DynamicObject>) -> BoxFuture<'a, Result<(), String>> {
        async move {
            mark::place(manifest, &self.run);
            if claim::is_takeable(&self.client, &self.run, api, manifest).await? {
                mark::label(manifest, &self.run);
            }
            Ok(())
        }
        .boxed()
    }

    fn dial(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        self.fleet.dial(to)
    }

    fn pod_log(&self, namespace: &str, pod: &str) -> Option<String> {
        self.fleet.log(namespace, pod, None, false)
    }
}

/// A client that acts as somebody else.
fn impersonating(client: Client, user: &str, groups: &[String]) -> Client {
    const USER: HeaderName = HeaderName::from_static("impersonate-user");
    const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
    let namespace = client.default_namespace().to_owned();
    let value = |text: &str| HeaderValue::from_str(text).ok();
    // Names that cannot be sent are nobody's: the API server refuses a group without a user.
    let user = value(user);
    let groups: Vec<HeaderValue> = groups.iter().filter_map(|group| value(group)).collect();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let headers = request.headers_mut();
        if let Some(user) = &user {
            headers.insert(USER, user.clone());
        }
        for group in &groups {
            headers.append(GROUP, group.clone());
        }
        let client = client.clone();
        async move { client.send(request).await }
    });
    Client::new(service, namespace)
}
