//! What a controller manager and a scheduler do, each in its own folder: a pure decision and a thin edge.
//!
//! The edges share one cache per kind ([`informer`]) and wait on a [`queue`]; none of them polls.

pub(super) mod aggregation;
pub(super) mod cronjob;
pub(super) mod daemonset;
pub(super) mod deployment;
pub(super) mod disruption;
pub(super) mod endpointslice;
mod follow;
pub(super) mod garbage;
pub(super) mod informer;
pub(super) mod job;
pub(super) mod kinds;
pub(super) mod namespace;
pub(super) mod orphans;
pub(super) mod queue;
pub(super) mod recorder;
pub(super) mod replicaset;
pub(super) mod scheduler;
pub(super) mod serviceaccount;
pub(super) mod start;
pub(super) mod statefulset;
pub(super) mod volumes;
pub(super) mod workload;
