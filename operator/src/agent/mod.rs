//! The `MultiNIC` node agent: what it is told, what it decides, what it does to its host.
//!
//! The library has no state of its own and touches neither environment, clock nor processes: everything comes in as
//! a [`Request`] and a [`Host`], and goes out as an [`Outcome`] and log events.

pub mod host;
mod request;

pub use host::Host;
pub use request::{Request, RequestError, SpecSource, spec_from_json};

use tokio::sync::watch;

use crate::api::agent::{AgentExit, AgentSummary};

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

/// Does what the request says to the host. Never fails: what goes wrong is in the outcome.
pub async fn run<H: Host>(request: &Request, host: &H, stop: &Stop) -> Outcome {
    let _ = (request, host, stop);
    Outcome {
        exit: AgentExit::Host,
        summary: AgentSummary {
            action: request.action,
            node: String::new(),
            config_uid: String::new(),
            generation: 0,
            interfaces: Vec::new(),
            removed: Vec::new(),
            error: None,
        },
        message: String::new(),
    }
}
