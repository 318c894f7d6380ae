//! The API: one file per kind, and the contracts between the operator and its agent.

pub mod agent;
pub mod conditions;
pub mod multinic;
pub mod names;
