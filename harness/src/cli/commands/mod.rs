//! One file per command. A command takes settings, does its work and says how it ended.

pub mod lint;
pub mod run;
pub mod schema;
pub mod serve;

use super::exit::Exit;
use super::settings::UsageError;

/// Why a command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments make no sense.
    #[error("bad arguments")]
    Usage(#[from] UsageError),
    /// What was asked for is not there, or cannot be read.
    #[error("{what}")]
    Input {
        /// What was tried.
        what: String,
        /// Why it did not work.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The machine would not let us.
    #[error("{what}")]
    Environment {
        /// What was tried.
        what: String,
        /// Why it did not work.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Failure {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Input { .. } => Exit::BadInput,
            Self::Environment { .. } => Exit::Environment,
        }
    }
}
