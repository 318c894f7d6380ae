//! Network namespaces of this machine's kernel, as the networks of simulated nodes: links, addresses, routes and rules are
//! real, and nothing else of the machine can see or be reached from them.
//!
//! A namespace lives as long as the thread that is in it, so nothing of it can outlast the process, however that ends. All
//! that could stay behind is its name under `/run/netns`, a symbolic link: see [`leftovers`].

mod error;
mod left;
mod names;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod read;
#[cfg(target_os = "linux")]
mod rights;
#[cfg(target_os = "linux")]
mod wire;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Namespace, check, prepare};
pub use error::NamespaceError;
pub use left::Names;
pub use names::{DIRECTORY, Leftover, forget_own, leftovers};
#[cfg(target_os = "linux")]
pub use namespace::Namespace;
#[cfg(target_os = "linux")]
pub use rights::{check, prepare};
