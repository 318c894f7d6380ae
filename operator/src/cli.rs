//! The command line of `slipway-operator`: the only place that reads arguments and environment.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | told to stop, and stopped |
//! | 1 | ended by itself, which is a bug |
//! | 2 | bad arguments or settings |
//! | 3 | no cluster |

use std::io::IsTerminal;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::kit::clock::Clock;
use crate::kit::error::chain;
use crate::runtime::{self, Controller, Doors, RunError, Settings};

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
    Run(RunArgs),
    /// Print the custom resource definitions
    Crd {
        /// Of these controllers only
        #[arg(long, value_delimiter = ',')]
        controllers: Vec<Controller>,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The controllers to run; all of them unless told otherwise
    #[arg(long, value_delimiter = ',', env = "SLIPWAY_CONTROLLERS")]
    controllers: Vec<Controller>,
    /// The only namespace to look at; all of them unless told otherwise
    #[arg(long, env = "SLIPWAY_NAMESPACE")]
    namespace: Option<String>,
    /// Settings as YAML; what the other arguments say goes before
    #[arg(long, value_name = "FILE", env = "SLIPWAY_SETTINGS")]
    settings: Option<PathBuf>,
    /// The `MultiNIC` agent's image
    #[arg(long, env = "AGENT_IMAGE")]
    agent_image: Option<String>,
    /// The service account of `MultiNIC` agents
    #[arg(long, env = "AGENT_SERVICE_ACCOUNT")]
    agent_service_account: Option<String>,
    /// Log as JSON, one object a line
    #[arg(long, env = "SLIPWAY_LOG_JSON")]
    log_json: bool,
    /// What to log, as `tracing` filters say it
    #[arg(long, env = "RUST_LOG", default_value = "info,kube=warn")]
    log: String,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read settings from {}", path.display())]
    ReadSettings {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to understand settings from {}", path.display())]
    Settings {
        path: PathBuf,
        #[source]
        source: Box<serde_yaml::Error>,
    },
    #[error("failed to understand log filter {filter:?}")]
    LogFilter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("failed to find a cluster")]
    Cluster(#[source] Box<kube::Error>),
    #[error("failed to run")]
    Run(#[source] RunError),
    #[error("failed to write")]
    Write(#[source] std::io::Error),
    #[error("failed to render a custom resource definition")]
    Render(#[source] Box<serde_yaml::ser::Error>),
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Self::ReadSettings { .. }
            | Self::Settings { .. }
            | Self::LogFilter { .. }
            | Self::Run(RunError::NoController) => 2,
            Self::Cluster(_) => 3,
            Self::Signals(_) | Self::Run(RunError::Ended(_)) | Self::Write(_) | Self::Render(_) => 1,
        }
    }
}

/// Does what the arguments say.
pub async fn main(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Run(args) => run(args).await,
        Command::Crd { controllers } => print_crds(&controllers),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "slipway-operator: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(args: RunArgs) -> Result<(), Error> {
    start_logs(&args)?;
    let settings = settings(args)?;
    let shutdown = signals().map_err(Error::Signals)?;
    let client = kube::Client::try_default().await.map_err(|error| Error::Cluster(Box::new(error)))?;
    runtime::run(client, settings, Clock::system(), Doors::default(), shutdown).await.map_err(Error::Run)
}

/// Arguments go before the settings file, which goes before the defaults.
fn settings(args: RunArgs) -> Result<Settings, Error> {
    let mut settings = match args.settings {
        None => Settings::default(),
        Some(path) => {
            let text =
                std::fs::read_to_string(&path).map_err(|source| Error::ReadSettings { path: path.clone(), source })?;
            serde_yaml::from_str(&text).map_err(|source| Error::Settings { path, source: Box::new(source) })?
        }
    };
    if !args.controllers.is_empty() {
        settings.controllers = args.controllers.into_iter().collect();
    }
    settings.namespace = args.namespace.or(settings.namespace);
    if let Some(image) = args.agent_image {
        settings.multinic.agent_image = image;
    }
    if let Some(account) = args.agent_service_account {
        settings.multinic.agent_service_account = account;
    }
    Ok(settings)
}

fn start_logs(args: &RunArgs) -> Result<(), Error> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(&args.log)
        .map_err(|source| Error::LogFilter { filter: args.log.clone(), source })?;
    // Colours are for eyes; in a file they are noise.
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // A second start in one process keeps the first one's logs.
    let _ = if args.log_json { logs.json().try_init() } else { logs.try_init() };
    Ok(())
}

/// Resolves at the first SIGINT or SIGTERM.
fn signals() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("interrupted"),
            _ = terminate.recv() => tracing::info!("told to stop"),
        }
    })
}

fn print_crds(controllers: &[Controller]) -> Result<(), Error> {
    let controllers = if controllers.is_empty() { &Controller::ALL } else { controllers };
    for crd in controllers.iter().flat_map(|controller| controller.crds()) {
        let text = render(&crd).map_err(|error| Error::Render(Box::new(error)))?;
        write!(std::io::stdout(), "---\n{text}").map_err(Error::Write)?;
    }
    Ok(())
}

/// A definition as YAML, the same in every run.
fn render(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::ser::Error> {
    serde_yaml::to_string(crd)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Set this variable to write the files anew.
    const UPDATE: &str = "UPDATE_CRDS";

    #[test]
    fn the_committed_definitions_are_those_of_the_types() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crds");
        for crd in Controller::ALL.into_iter().flat_map(Controller::crds) {
            let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            let path = directory.join(&name);
            let text = format!("---\n{}", render(&crd).unwrap());
            if std::env::var_os(UPDATE).is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(committed, text, "{name} is stale: run the tests once with {UPDATE}=1 and commit it");
        }
    }

    #[test]
    fn arguments_go_before_settings() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.yaml");
        std::fs::write(&path, "namespace: here\nmultinic:\n  agentImage: one\n  jobDeadline: 90s\n").unwrap();
        let parse = |more: &[&str]| {
            let line = ["slipway-operator", "run", "--settings", path.to_str().unwrap()];
            let Command::Run(args) = Args::parse_from(line.iter().chain(more)).command else { panic!("not run") };
            settings(args).unwrap()
        };
        let from_file = parse(&[]);
        assert_eq!(from_file.namespace.as_deref(), Some("here"));
        assert_eq!(from_file.multinic.agent_image, "one");
        assert_eq!(from_file.multinic.job_deadline, std::time::Duration::from_secs(90));
        let overridden = parse(&["--namespace", "there", "--agent-image", "two", "--controllers", "multinic"]);
        assert_eq!(overridden.namespace.as_deref(), Some("there"));
        assert_eq!(overridden.multinic.agent_image, "two");
    }

    #[test]
    fn a_misspelt_setting_is_refused_instead_of_ignored() {
        let error = serde_yaml::from_str::<Settings>("multinic:\n  agentImag: one\n").unwrap_err();
        assert!(error.to_string().contains("agentImag"), "{error}");
    }
}
