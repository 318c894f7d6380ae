//! Why a scenario's node does not become an agent of k3s.

use thiserror::Error;

use super::super::K3sError;
use super::super::engine::Done;
use super::MachineError;

/// Why there is no such node.
#[derive(Debug, Error)]
pub(super) enum AgentError {
    /// Its container does not run, or not as it should.
    #[error(transparent)]
    K3s(#[from] K3sError),
    /// It cannot be made as it is described.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The cluster has one of this name.
    #[error("the cluster has a node {0} already: give the scenario's another name")]
    Taken(String),
    /// Something that the scenario says of it cannot be made true.
    #[error("`{command}` fails on it with exit code {code}: {said}")]
    Refused {
        /// What was tried.
        command: String,
        /// How it ended.
        code: i64,
        /// What was said.
        said: String,
    },
    /// The API server does not do its part.
    #[error("the API server cannot {what}")]
    Api {
        /// What it was asked.
        what: &'static str,
        /// Its answer.
        #[source]
        source: kube::Error,
    },
    /// It comes too late.
    #[error("k3s is being removed")]
    Over,
}

impl AgentError {
    /// For `map_err`.
    pub(super) fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { what, source }
    }

    /// A command has ended badly.
    pub(super) fn refused(command: &[String], done: Done) -> Self {
        let said = if done.complaint.is_empty() { "it said nothing".to_owned() } else { done.complaint };
        Self::Refused { command: command.join(" "), code: done.code, said }
    }

    /// The same, with what the container said last.
    pub(super) fn with_log(self, tail: Vec<String>) -> Self {
        match self {
            Self::K3s(error) => Self::K3s(error.with_log(tail)),
            other => other,
        }
    }
}
