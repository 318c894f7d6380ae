//! What a node's network is made of: a table in this process, or a namespace of this machine's kernel.

use std::sync::{Arc, Mutex, PoisonError};

use super::files::Changes;
use super::host::Network;
use super::machine::MachineError;
use super::netns::Namespace;
use super::wiring;
use crate::scenario::node::{Isolation, NodeSpec};

/// A node's or a Pod's network.
#[derive(Clone, Debug)]
pub enum NodeNetwork {
    /// A table that answers as the kernel does.
    Simulated(Arc<Mutex<Network>>),
    /// The kernel itself.
    Namespace(Arc<Namespace>),
}

impl NodeNetwork {
    /// A simulated one with nothing but a loopback link; `live_rename` as for [`Network::new`].
    pub fn empty(live_rename: bool) -> Self {
        Self::Simulated(Arc::new(Mutex::new(Network::new(live_rename))))
    }

    /// Builds the network that a node has at first.
    pub(super) fn build(
        spec: &NodeSpec,
        isolation: Isolation,
        live_rename: bool,
        changes: &Changes,
    ) -> Result<Self, MachineError> {
        match isolation {
            Isolation::Simulated => {
                let mut network = Network::new(live_rename);
                wiring::build(&mut network, spec)?;
                Ok(Self::Simulated(Arc::new(Mutex::new(network))))
            }
            Isolation::Netns => {
                let made = Namespace::new(&spec.name, changes.clone());
                let namespace = made.map_err(|source| MachineError::Namespace { node: spec.name.clone(), source })?;
                #[cfg(target_os = "linux")]
                wiring::build(&mut &namespace, spec)?;
                Ok(Self::Namespace(Arc::new(namespace)))
            }
        }
    }

    /// What is in it now.
    pub fn look<T>(&self, look: impl FnOnce(&Network) -> T) -> T {
        match self {
            Self::Simulated(network) => look(&network.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Namespace(namespace) => look(&namespace.look()),
        }
    }
}
