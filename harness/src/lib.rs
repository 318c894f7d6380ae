//! The harness: scenarios, the clusters they run on, and what is measured while they run.

pub mod bench;
mod chain;
pub mod clean;
pub mod cli;
pub mod cluster;
pub mod event;
pub mod gate;
pub mod parity;
pub mod process;
pub mod remote;
pub mod runner;
pub mod scenario;
pub mod sim;
pub mod sli;
pub mod target;
pub mod temporary;
