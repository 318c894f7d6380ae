//! What the runner sees of a cluster, whichever it is.

pub mod access;
pub mod embedded;
pub mod foreign;
pub mod k3s;
pub mod kubeconfig;
pub mod local;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::scenario::node::{LinkSpec, NodeSpec};
use crate::sli::observed::Recorder;

/// A cluster that a scenario runs on.
pub trait Cluster: Send + Sync {
    /// A client with an administrator's rights.
    fn client(&self) -> kube::Client;

    /// A client with the rights of the given user.
    fn client_as(&self, user: &str, groups: &[String]) -> kube::Client;

    /// A node of the scenario's by name; none where there is no such node, or it is the cluster's own.
    fn node(&self, name: &str) -> Option<Arc<dyn Node>>;

    /// Adds a node while the cluster runs; it is registered and ready when this returns.
    fn add_node(&self, spec: NodeSpec) -> BoxFuture<'_, Result<(), NodeError>>;

    /// Switches a node off and removes its Node object, as a cloud provider does; its machine is lost.
    fn remove_node<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), NodeError>>;

    /// A kubeconfig with an administrator's rights, for programs outside this process; the cluster listens on a loopback
    /// address from then on.
    ///
    /// # Errors
    /// Those of the network and the file system.
    fn kubeconfig(&self) -> BoxFuture<'_, io::Result<PathBuf>>;

    /// Lets a recorder see what `operator`, a user of this cluster, asks for and what is written from now on. Nothing is
    /// recorded on a cluster that cannot be looked into.
    fn observe(&self, recorder: Arc<Mutex<Recorder>>, operator: &str);

    /// Connects to an address of the cluster's network from outside of it, as a client of a Service is led there.
    fn dial(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Connection>>>;

    /// Makes an object that a step is about to write known as this run's, and leads its Pods to this run's nodes; or says
    /// why it must not be written. On a cluster of the scenario's own nothing needs to be told apart.
    fn claim<'a>(&'a self, manifest: &'a mut Value, api: &'a Api<DynamicObject>) -> BoxFuture<'a, Result<(), String>> {
        let _ = (manifest, api);
        std::future::ready(Ok(())).boxed()
    }

    /// Whether there is a program for an image; clusters that can pull images may have any.
    fn runs(&self, image: &str) -> bool {
        let _ = image;
        true
    }

    /// What a container has written to its log so far, newest lines last.
    fn pod_log(&self, namespace: &str, pod: &str) -> Option<String>;
}

/// A connection to a program of the cluster.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Why a node did not come or go.
#[derive(Debug, Error)]
#[error("cannot {action} node {node}")]
pub struct NodeError {
    /// `add` or `remove`.
    pub action: &'static str,
    /// The node's name.
    pub node: String,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A node's machine, as a scenario may look at it. Simulated ones answer at once, real ones are asked.
pub trait Node: Send + Sync {
    /// A file's content, by its path on the node.
    ///
    /// # Errors
    /// Those of the file system; a path that leaves the node's root is [`io::ErrorKind::PermissionDenied`].
    fn read_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<Vec<u8>>>;

    /// A file's permission bits.
    ///
    /// # Errors
    /// As [`Node::read_file`].
    fn file_mode<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<u32>>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As [`Node::read_file`].
    fn list_dir<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>>;

    /// The link table as it is now, in the form scenarios write it in.
    ///
    /// # Errors
    /// The node cannot be asked.
    fn links(&self) -> BoxFuture<'_, io::Result<Vec<LinkSpec>>>;

    /// Counts every change of the node's files and links, so that whoever waits for one need not look again and again.
    fn changes(&self) -> watch::Receiver<u64>;
}
