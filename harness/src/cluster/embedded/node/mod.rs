//! Simulated nodes: a root directory, a network, an operating system by name, and the kubelet that runs Pods on them.

pub mod files;
pub mod host;
pub(in crate::cluster::embedded) mod kubelet;
pub(in crate::cluster::embedded) mod lease;
pub mod log;
pub mod machine;
pub mod os;
pub mod program;
pub(in crate::cluster::embedded) mod registration;
