//! One node's machine: its root directory, its network and what it says about itself.

use std::future::ready;
use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::watch;

use super::files::{Changes, Files};
use super::netns::NamespaceError;
use super::network::NodeNetwork;
use super::os::{self, Os};
use super::wiring::describe;
use crate::cluster::Node;
use crate::scenario::node::{Isolation, LinkSpec, NodeSpec};
use crate::temporary::Directory;

/// Why a node cannot be built as it is described.
#[derive(Debug, Error)]
pub enum MachineError {
    /// There is no such preset.
    #[error("node {node}: unknown operating system {os:?}")]
    UnknownOs {
        /// The node's name.
        node: String,
        /// What was asked for.
        os: String,
    },
    /// A value that is no MAC address, address, network or next hop.
    #[error("node {node}: link {link}: {value:?} is no {what}")]
    Malformed {
        /// The node's name.
        node: String,
        /// The link's name.
        link: String,
        /// What it should be.
        what: &'static str,
        /// What was written.
        value: String,
    },
    /// The kernel refuses a link, address, route, rule or setting.
    #[error("node {node}: link {link}: {what}")]
    Refused {
        /// The node's name.
        node: String,
        /// The link's name.
        link: String,
        /// What was tried.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It cannot have a network namespace of its own.
    #[error("node {node} has no network")]
    Namespace {
        /// The node's name.
        node: String,
        /// Why not.
        #[source]
        source: NamespaceError,
    },
    /// The root directory or a file in it cannot be made.
    #[error("node {node}: cannot make {path}")]
    File {
        /// The node's name.
        node: String,
        /// The path on the node.
        path: String,
        /// The file system's answer.
        #[source]
        source: io::Error,
    },
}

/// A node's operating system, and what its `/etc/os-release` says.
///
/// # Errors
/// There is no such preset.
pub(in crate::cluster) fn system(spec: &NodeSpec) -> Result<(Os, String), MachineError> {
    let short = spec.os.as_deref().unwrap_or(os::DEFAULT);
    let unknown = || MachineError::UnknownOs { node: spec.name.clone(), os: short.to_owned() };
    let os = os::find(short).ok_or_else(unknown)?;
    Ok((os, os.release(spec.os_image.as_deref().unwrap_or(os.image))))
}

/// A simulated machine. Its root directory goes when it is dropped.
#[derive(Debug)]
pub struct Machine {
    spec: NodeSpec,
    os: Os,
    root: Directory,
    files: Files,
    network: NodeNetwork,
    changes: Changes,
}

/// Directories that the kernel shows on every node, and that Pods mount. What is in them lives in the [`NodeNetwork`].
const KERNEL_DIRECTORIES: [&str; 1] = ["/proc/sys/net/ipv4/conf"];

impl Machine {
    /// Builds a machine.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub fn new(spec: NodeSpec, isolation: Isolation) -> Result<Self, MachineError> {
        let (os, release) = system(&spec)?;
        let failed = |path: &str, source| MachineError::File { node: spec.name.clone(), path: path.to_owned(), source };
        let root = Directory::new("node").map_err(|e| failed("/", e))?;
        let changes = Changes::new();
        let files = Files::node(root.path().to_owned(), changes.clone());
        let given = spec.files.iter().map(|(path, content)| (path.as_str(), content.as_str()));
        for (path, content) in [("/etc/os-release", release.as_str())].into_iter().chain(given) {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            files.create_dir_all(above).map_err(|e| failed(path, e))?;
            files.write(path, content.as_bytes(), 0o644).map_err(|e| failed(path, e))?;
        }
        for path in KERNEL_DIRECTORIES {
            files.create_dir_all(path).map_err(|e| failed(path, e))?;
        }
        let network = NodeNetwork::build(&spec, isolation, os.renames_live_links(), &changes)?;
        Ok(Self { spec, os, root, files, network, changes })
    }

    /// What it was built from.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// Its operating system.
    pub fn os(&self) -> Os {
        self.os
    }

    /// Its file tree as root sees it.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Its network.
    pub fn network(&self) -> &NodeNetwork {
        &self.network
    }

    /// Counts what changes in its files and network.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Where its file tree stands.
    pub fn root(&self) -> &std::path::Path {
        self.root.path()
    }
}

impl Node for Machine {
    fn read_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<Vec<u8>>> {
        ready(self.files.read(path)).boxed()
    }

    fn file_mode<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<u32>> {
        ready(self.files.mode(path)).boxed()
    }

    fn list_dir<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>> {
        ready(self.files.list(path)).boxed()
    }

    fn links(&self) -> BoxFuture<'_, io::Result<Vec<LinkSpec>>> {
        ready(Ok(self.network.look(describe))).boxed()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.listen()
    }
}
