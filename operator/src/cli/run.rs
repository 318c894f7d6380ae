//! `slipway-operator run`: from arguments, environment and a settings file to a running operator.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::kit::clock::Clock;
use crate::runtime::{self, Controller, Doors, RunError, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
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
    /// The `ConfigMap` with the configuration of graceful drain
    #[arg(long, env = "SLIPWAY_CONFIG_MAP_NAME")]
    config_map_name: Option<String>,
    /// The namespace of that `ConfigMap`
    #[arg(long, env = "SLIPWAY_CONFIG_MAP_NAMESPACE")]
    config_map_namespace: Option<String>,
    /// Log as JSON, one object a line
    #[arg(long, env = "SLIPWAY_LOG_JSON")]
    log_json: bool,
    /// What to log, as `tracing` filters say it
    #[arg(long, env = "RUST_LOG", default_value = "info,kube=warn")]
    log: String,
}

/// Why it could not run, or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
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
}

impl Error {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::ReadSettings { .. }
            | Self::Settings { .. }
            | Self::LogFilter { .. }
            | Self::Run(RunError::NoController | RunError::LeaderElection(_)) => 2,
            Self::Cluster(_) => 3,
            Self::Signals(_) | Self::Run(RunError::Ended(_)) => 1,
            Self::Run(RunError::LeaseLost) => 4,
            Self::Run(RunError::ShutdownTimedOut(_)) => 5,
        }
    }
}

pub(super) async fn run(args: RunArgs) -> Result<(), Error> {
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
    if let Some(name) = args.config_map_name {
        settings.drain.config_map_name = name;
    }
    if let Some(namespace) = args.config_map_namespace {
        settings.drain.config_map_namespace = namespace;
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Args, Command};
    use super::*;

    #[test]
    fn arguments_go_before_settings() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.yaml");
        std::fs::write(&path, "namespace: here\nmultinic:\n  agentImage: one\n  jobDeadline: 90s\n").unwrap();
        let parse = |more: &[&str]| {
            let line = ["slipway-operator", "run", "--settings", path.to_str().unwrap()];
            let Command::Run(args) = Args::parse_from(line.iter().chain(more)).command else { panic!("not run") };
            settings(*args).unwrap()
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
