//! The `slipway-operator` command.

use std::process::ExitCode;

use clap::Parser;
use slipway_operator::cli;

#[tokio::main]
async fn main() -> ExitCode {
    Box::pin(cli::main(cli::Args::parse())).await
}
