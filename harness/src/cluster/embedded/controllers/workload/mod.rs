//! What the workload controllers share: reading Pods, owning them, making them and doing what was decided.

pub(in crate::cluster::embedded) mod amount;
pub(in crate::cluster::embedded) mod answer;
mod go_dump;
pub(in crate::cluster::embedded) mod hash;
pub(in crate::cluster::embedded) mod objects;
pub(in crate::cluster::embedded) mod ownership;
pub(in crate::cluster::embedded) mod pod_control;
pub(in crate::cluster::embedded) mod pods;
pub(in crate::cluster::embedded) mod revisions;
pub(in crate::cluster::embedded) mod start;
pub(in crate::cluster::embedded) mod template;
