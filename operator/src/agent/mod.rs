//! The `MultiNIC` node agent: what it is told, what it decides, what it does to its host.
//!
//! The library has no state of its own and touches neither environment, clock nor processes: everything comes in as
//! a [`Request`] and a [`Host`], and goes out as an [`Outcome`] and log events.

mod apply;
mod files;
pub mod host;
mod ifcfg;
mod netplan;
mod networkmanager;
mod observe;
mod plan;
mod record;
mod request;
mod run;
mod spec;
mod state;
mod summary;

pub use host::Host;
pub use request::{Request, RequestError, SpecSource, spec_from_json};
pub use run::{bad_input, run};

use tokio::sync::watch;

use crate::api::agent::{AgentExit, AgentSpec, AgentSummary};

/// Told the agent to stop: it finishes, or puts back, the interface it is at, and leaves the others alone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A sender to stop with, and what the agent looks at.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// One that nobody will ever use.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether the agent is to stop.
    pub fn requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// Of how many groups a plan for a fresh host with these links consists, decided without touching any. Links that wait for
/// each other are one group; those that are refused are in none.
pub fn groups(spec: &AgentSpec, links: &[host::Link]) -> usize {
    let observed = observe::Observed { links: links.to_vec(), ..observe::Observed::default() };
    plan::plan(&observed, spec.os, &spec.settings, &spec::interfaces(spec)).groups.len()
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The process exit code.
    pub exit: AgentExit,
    /// The result for each interface.
    pub summary: AgentSummary,
    /// The summary as the termination message: JSON, always below the kubelet's limit.
    pub message: String,
}

#[cfg(test)]
mod tests;
