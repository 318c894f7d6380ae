//! `slipway schema`: the JSON schema of a file format.

use super::Failure;
use crate::cli::args::SchemaArgs;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;

/// Prints a schema.
///
/// # Errors
/// None yet.
pub fn schema(_args: &SchemaArgs, _printer: &Printer) -> Result<Exit, Failure> {
    Ok(Exit::Passed)
}
