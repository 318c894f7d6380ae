//! `slipway lint`: the checks of `slipway run`, without the run.

use super::{Failure, report_problems, vocabulary};
use crate::cli::args::LintArgs;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::scenario::load::load;

/// Checks scenario files and reports everything that is wrong with them.
///
/// # Errors
/// None: what cannot be read is a problem among the others.
pub fn lint(args: &LintArgs, printer: &Printer) -> Result<Exit, Failure> {
    match load(&args.paths, &vocabulary()) {
        Ok(suite) => {
            let (scenarios, files) = (suite.plans.len(), suite.files);
            printer.line(format_args!("{scenarios} scenarios in {files} files, nothing wrong"));
            Ok(Exit::Passed)
        }
        Err(problems) => Ok(report_problems(&problems, printer)),
    }
}
