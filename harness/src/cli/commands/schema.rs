//! `slipway schema`: the JSON schema of a file format, as it is committed in `docs/reference/`.

use super::Failure;
use crate::cli::args::{SchemaArgs, SchemaKind};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::scenario::model;

/// Prints a schema.
///
/// # Errors
/// None: the value is always there.
pub fn schema(args: &SchemaArgs, printer: &Printer) -> Result<Exit, Failure> {
    let schema = match args.kind {
        SchemaKind::Scenario => model::schema(),
    };
    printer.line(format_args!("{schema:#}"));
    Ok(Exit::Passed)
}
