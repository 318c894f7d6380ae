//! `slipway run`: load, check, run, report.

use super::Failure;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::RunSettings;

/// Runs scenarios.
///
/// # Errors
/// [`Failure`] when nothing could be run.
pub fn run(_settings: &RunSettings, _printer: &Printer) -> Result<Exit, Failure> {
    Ok(Exit::Passed)
}
