//! Simulated nodes: a root directory, a network, an operating system by name, and the kubelet that runs Pods on them.

pub(in crate::cluster::embedded) mod containers;
pub mod files;
pub(in crate::cluster::embedded) mod gateway;
pub mod host;
pub mod images;
pub(in crate::cluster::embedded) mod kubelet;
pub(in crate::cluster::embedded) mod lease;
pub mod log;
pub mod machine;
pub mod netns;
pub mod network;
pub mod os;
pub mod program;
pub(in crate::cluster::embedded) mod registration;
mod shell;
pub mod tcp;
pub(in crate::cluster) mod wiring;
