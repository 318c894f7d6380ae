//! One file per command. A command takes settings, does its work and says how it ended.

pub mod baseline;
pub mod bench;
pub mod clean;
pub mod gate;
mod ground;
pub mod lint;
mod measured;
pub mod parity;
pub mod policy;
mod reference;
pub mod run;
pub mod schema;
pub mod serve;
pub mod slint;

use super::exit::Exit;
use super::printer::Printer;
use super::usage::UsageError;
use crate::cluster::embedded;
use crate::scenario::diagnostic::Problem;
use crate::scenario::load::Vocabulary;
use crate::target;

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
    /// What was asked for is there, and is not what it should be.
    #[error("{what}")]
    Refused {
        /// What it is.
        what: String,
        /// Why it was refused.
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
            Self::Refused { .. } => Exit::Failed,
            Self::Environment { .. } => Exit::Environment,
        }
    }
}

/// What scenarios may speak of beside the format itself.
pub fn vocabulary() -> Vocabulary {
    Vocabulary {
        controllers: target::controllers(),
        settings: target::settings_schema(),
        systems: embedded::node::os::names().map(str::to_owned).collect(),
    }
}

/// Shows what is wrong with scenario files, each thing with its excerpt.
fn report_problems(problems: &[Problem], printer: &Printer) -> Exit {
    for problem in problems {
        printer.note(problem.render(printer.colours_errors()).trim_end());
        printer.note("");
    }
    let things = if problems.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", problems.len()) };
    printer.note(format_args!("{things}, nothing was run"));
    Exit::BadInput
}
