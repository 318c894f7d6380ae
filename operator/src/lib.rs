//! The operator: its API types, its controllers and the `MultiNIC` node agent.
//!
//! Directions: `cli`, `runtime` → `controllers` → `kit`, `api`; a controller never imports another; `agent` imports
//! `api` only.

pub mod agent;
pub mod api;
pub mod cli;
pub mod controllers;
pub mod kit;
pub mod runtime;
