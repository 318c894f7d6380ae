//! The command line: arguments as they were typed ([`args`], and a file for each command with what they mean), the commands,
//! their exit codes ([`exit`]), and the only place that prints ([`printer`]).

pub mod args;
pub mod baseline;
pub mod bench;
pub mod clean;
pub mod cluster;
pub mod commands;
pub mod exit;
pub mod files;
pub mod gate;
pub mod parity;
pub mod policy;
pub mod printer;
pub mod reference;
pub mod run;
pub mod serve;
pub mod slint;
pub mod usage;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};
use self::exit::Exit;
use self::gate::GateUsageError;
use self::printer::Printer;
use self::usage::UsageError;

/// Parses the process's arguments, runs the command and says how it ended.
pub fn main() -> ExitCode {
    let printer = Printer::standard();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Passed };
            printer.usage(&error);
            return exit.into();
        }
    };
    match dispatch(args, &printer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit().into()
        }
    }
}

fn dispatch(args: Args, printer: &Printer) -> Result<Exit, commands::Failure> {
    match args.command {
        Command::Run(args) => commands::run::run(&(*args).try_into()?, printer),
        Command::Parity(args) => commands::parity::parity(&(*args).try_into()?, printer),
        Command::Lint(args) => commands::lint::lint(&args, printer),
        Command::Serve(args) => commands::serve::serve(&args.into(), printer),
        Command::Gate(args) => match args.settings() {
            Ok(settings) => commands::gate::gate(&settings, printer),
            Err(GateUsageError::Help) => {
                printer.text(gate::HELP);
                Ok(Exit::Passed)
            }
            Err(error) => Err(UsageError::from(error).into()),
        },
        Command::Bench(args) => commands::bench::bench(&args.try_into()?, printer),
        Command::Clean(args) => commands::clean::clean(&args.into(), printer),
        Command::Slint(args) => commands::slint::slint(&args.try_into()?, printer),
        Command::Baseline(args) => commands::baseline::baseline(&args.command, printer),
        Command::Policy(args) => commands::policy::policy(&args.command, printer),
        Command::Schema(args) => commands::schema::schema(&args, printer),
    }
}
