//! What the workload controllers share: reading Pods, owning them, making them and doing what was decided.

pub(in crate::cluster::embedded) mod pods;
