//! The command line of `slipway-operator`: the only place that reads arguments and environment. One file a subcommand.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | told to stop, and stopped |
//! | 1 | ended by itself, which is a bug |
//! | 2 | bad arguments or settings |
//! | 3 | no cluster, or no way to listen |
//! | 4 | no longer the leader: another replica goes on |
//! | 5 | told to stop, and did not manage in time |
//! | 130, 143 | told to stop twice, by SIGINT or SIGTERM: stopped where it was |

mod crd;
mod drain_release;
mod rbac;
mod run;
mod webhooks;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::kit::error::chain;
use crate::runtime::Controller;

/// The operator's Kubernetes controllers.
#[derive(Debug, Parser)]
#[command(name = "slipway-operator", version, about)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run controllers until a signal says stop
    Run(Box<run::RunArgs>),
    /// Print the custom resource definitions
    Crd {
        /// Of these controllers only
        #[arg(long, value_delimiter = ',')]
        controllers: Vec<Controller>,
    },
    /// Print service accounts, roles and bindings
    Rbac(rbac::RbacArgs),
    /// Print webhook configurations
    Webhooks(webhooks::WebhooksArgs),
    /// Let every Pod go that the drain controller holds, before the operator is removed
    DrainRelease(drain_release::ReleaseArgs),
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Run(run::Error),
    #[error(transparent)]
    DrainRelease(drain_release::Error),
    #[error("failed to write")]
    Write(#[source] std::io::Error),
    #[error("failed to render a manifest")]
    Render(#[source] Box<serde_yaml::ser::Error>),
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Run(error) => error.exit_code(),
            Self::DrainRelease(error) => error.exit_code(),
            Self::Write(_) | Self::Render(_) => 1,
        }
    }
}

/// Does what the arguments say.
pub async fn main(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Run(args) => Box::pin(run::run(*args)).await.map_err(Error::Run),
        Command::Crd { controllers } => crd::print(&controllers),
        Command::Rbac(args) => rbac::print(args),
        Command::Webhooks(args) => webhooks::print(args),
        Command::DrainRelease(args) => Box::pin(drain_release::run(args)).await.map_err(Error::DrainRelease),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "slipway-operator: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}
