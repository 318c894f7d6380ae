//! How a command ends: the one place where exit codes are written down.

use std::process::ExitCode;

/// The documented exit codes; anything else is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything passed.
    Passed,
    /// 1: a scenario failed or was cut short by a signal, the gate says no, or what was fetched is not what was pinned.
    Failed,
    /// 2: bad input or usage; nothing was run.
    BadInput,
    /// 3: the environment would not let us: an address in use, a report that cannot be written.
    Environment,
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::Environment => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
