//! What we wish kube-runtime had: small, and without knowledge of any controller.

pub mod admission;
pub mod apply;
pub mod backoff;
pub mod clock;
pub mod controller;
pub mod duration;
pub mod error;
pub mod fence;
pub mod finalize;
pub mod health;
pub mod lean;
pub mod manager;
pub mod metrics;
pub mod process;
mod queue;
pub mod report;
pub mod source;
pub mod traffic;
