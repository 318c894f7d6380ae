//! `slipway-operator run`: from arguments, environment and a settings file to a running operator.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::util::SubscriberInitExt;

use crate::kit::clock::Clock;
use crate::kit::duration;
use crate::kit::source::Source;
use crate::runtime::telemetry::{LogFormat, TraceError, Traces, subscriber};
use crate::runtime::{self, Address, Controller, Replica, RunError, Settings, rbac};

/// How often to ask in the mode `poll`, unless told otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

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
    /// How to hear of changes: by watches, or by asking again and again where watches cannot be used
    #[arg(long, env = "SLIPWAY_MODE")]
    mode: Option<Mode>,
    /// How often to ask in the mode `poll`; 30s unless told otherwise
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, env = "SLIPWAY_POLL_INTERVAL")]
    poll_interval: Option<Duration>,
    /// Let only one of several replicas write, the one that holds the Lease
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    leader_elect: Option<bool>,
    /// How long reconciles that are under way may take once it is told to stop
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    shutdown_timeout: Option<Duration>,
    /// Where probes ask: an address, `:8081` for every one of the machine, or 0 for nowhere
    #[arg(long, value_name = "ADDRESS")]
    health_probe_bind_address: Option<Address>,
    /// Where metrics are read
    #[arg(long, value_name = "ADDRESS")]
    metrics_bind_address: Option<Address>,
    /// Serve metrics over TLS, to those only who may read them
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    metrics_secure: Option<bool>,
    /// Where the API server asks for admission
    #[arg(long, value_name = "ADDRESS")]
    webhook_bind_address: Option<Address>,
    /// A directory with `tls.crt` and `tls.key`; without, the operator makes its own certificate
    #[arg(long, value_name = "DIRECTORY")]
    certificate_directory: Option<PathBuf>,
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
    /// How to log; as text on a terminal and as JSON elsewhere unless told otherwise
    #[arg(long, env = "SLIPWAY_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What to log, as `tracing` filters say it
    #[arg(long, env = "RUST_LOG", default_value = "info,kube=warn")]
    log: String,
    /// A collector of traces, like `http://collector:4318`
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// This replica's name, which no other may have; made up unless told otherwise
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
    /// The namespace of the Lease and of the certificate's Secret; the one in which it runs unless told otherwise
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    own_namespace: Option<String>,
}

/// How to hear of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Watch,
    Poll,
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
    #[error("failed to set up traces")]
    Traces(#[source] TraceError),
    #[error("--poll-interval says how often to ask in the mode `poll`, and the mode is `watch`: add --mode=poll")]
    PollInterval,
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("failed to find a cluster")]
    Cluster(#[source] Box<kube::Error>),
    #[error("failed to find a cluster")]
    Config(#[source] kube::config::InferConfigError),
    #[error("failed to run")]
    Run(#[source] RunError),
}

impl Error {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::ReadSettings { .. }
            | Self::Settings { .. }
            | Self::LogFilter { .. }
            | Self::Traces(_)
            | Self::PollInterval
            | Self::Run(
                RunError::NoController | RunError::LeaderElection(_) | RunError::PollInterval(..) | RunError::Name(..),
            ) => 2,
            Self::Cluster(_) | Self::Config(_) | Self::Run(RunError::Serve(_)) => 3,
            Self::Signals(_) | Self::Run(RunError::Ended(_)) => 1,
            Self::Run(RunError::LeaseLost) => 4,
            Self::Run(RunError::ShutdownTimedOut(_)) => 5,
        }
    }
}

pub(super) async fn run(args: RunArgs) -> Result<(), Error> {
    let clock = Clock::system();
    let traces = start_telemetry(&args, clock)?;
    let done = operate(args, clock).await;
    if let Some(traces) = traces {
        traces.flush().await;
    }
    done
}

async fn operate(args: RunArgs, clock: Clock) -> Result<(), Error> {
    // It fails only where one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = settings(args, default_host())?;
    let shutdown = signals().map_err(Error::Signals)?;
    let config = kube::Config::infer().await.map_err(Error::Config)?;
    let api_host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let client = kube::Client::try_from(config).map_err(|error| Error::Cluster(Box::new(error)))?;
    let replica = Replica { api_host, ..Replica::from(client) };
    runtime::serve(replica, settings, clock, shutdown).await.map_err(Error::Run)
}

/// A Pod is reached at its address; anything else only from the machine it runs on, unless somebody says so.
fn default_host() -> IpAddr {
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if in_pod { Ipv4Addr::UNSPECIFIED.into() } else { Ipv4Addr::LOCALHOST.into() }
}

/// Arguments go before the settings file, which goes before the defaults.
fn settings(args: RunArgs, host: IpAddr) -> Result<Settings, Error> {
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
    let interval = args.poll_interval.or(match settings.source {
        Source::Poll { interval } => Some(interval),
        Source::Watch => None,
    });
    match args.mode {
        Some(Mode::Watch) => settings.source = Source::Watch,
        Some(Mode::Poll) => settings.source = Source::Poll { interval: interval.unwrap_or(POLL_INTERVAL) },
        None => match (&settings.source, interval) {
            (Source::Poll { .. }, Some(interval)) => settings.source = Source::Poll { interval },
            (Source::Watch, Some(_)) => return Err(Error::PollInterval),
            (_, None) => {}
        },
    }
    let election = &mut settings.leader_election;
    set(&mut election.enabled, args.leader_elect);
    election.identity = args.identity.or(election.identity.take()).or_else(|| Some(made_up()));
    election.namespace = args.own_namespace.clone().or(election.namespace.take());
    set(&mut settings.shutdown_timeout, args.shutdown_timeout);
    let servers = &mut settings.servers;
    if servers.host == IpAddr::from(Ipv4Addr::LOCALHOST) {
        servers.host = host;
    }
    servers.health_address = args.health_probe_bind_address.or(servers.health_address);
    servers.metrics_address = args.metrics_bind_address.or(servers.metrics_address);
    set(&mut servers.metrics_secure, args.metrics_secure);
    servers.webhooks_address = args.webhook_bind_address.or(servers.webhooks_address);
    servers.certificate.directory = args.certificate_directory.or(servers.certificate.directory.take());
    servers.certificate.namespace = args.own_namespace.or(servers.certificate.namespace.take());
    set(&mut settings.multinic.agent_image, args.agent_image);
    set(&mut settings.multinic.agent_service_account, args.agent_service_account);
    set(&mut settings.drain.config_map_name, args.config_map_name);
    set(&mut settings.drain.config_map_namespace, args.config_map_namespace);
    Ok(settings)
}

/// A name that no other replica has.
fn made_up() -> String {
    let mut chance = [0; 8];
    // Without chance there is no name, and an election refuses whoever has none.
    match rustls::crypto::ring::default_provider().secure_random.fill(&mut chance) {
        Ok(()) => format!("{}-{:016x}", rbac::NAME, u64::from_ne_bytes(chance)),
        Err(_) => String::new(),
    }
}

fn set<T>(setting: &mut T, argument: Option<T>) {
    if let Some(argument) = argument {
        *setting = argument;
    }
}

/// Starts logs, and traces where there is somebody who collects them.
fn start_telemetry(args: &RunArgs, clock: Clock) -> Result<Option<Traces>, Error> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(&args.log)
        .map_err(|source| Error::LogFilter { filter: args.log.clone(), source })?;
    let endpoint = args.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    let traces = endpoint.map(Traces::to).transpose().map_err(Error::Traces)?;
    let on_terminal = std::io::stderr().is_terminal();
    let format = args.log_format.unwrap_or(if on_terminal { LogFormat::Text } else { LogFormat::Json });
    let sink = Arc::new(|line: &str| {
        // Where even that fails, there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{line}");
    });
    // A second start in one process keeps the first one's logs.
    let _ = subscriber(format, filter, clock, sink, traces.as_ref()).try_init();
    Ok(traces)
}

/// Resolves at the first SIGINT or SIGTERM. The second one ends the process where it is.
fn signals() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("interrupted"),
            _ = terminate.recv() => tracing::info!("told to stop"),
        }
        tokio::spawn(async move {
            let code = tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            };
            tracing::warn!("told to stop at once");
            std::process::exit(code);
        });
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Args, Command};
    use super::*;

    /// Says something else of every setting that has a flag, and of one that has none.
    const FILE: &str = "
controllers: [hello]
namespace: of-file
source: {poll: {interval: 7s}}
leaderElection: {enabled: true, identity: of-file, namespace: of-file}
shutdownTimeout: 7s
servers:
  healthAddress: 127.0.0.1:7
  metricsAddress: 127.0.0.1:7
  metricsSecure: false
  webhooksAddress: 127.0.0.1:7
  certificate: {directory: /of-file, namespace: of-file}
multinic: {agentImage: of-file, agentServiceAccount: of-file, jobDeadline: 90s}
drain: {configMapName: of-file, configMapNamespace: of-file}
";

    #[test]
    fn arguments_go_before_settings() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.yaml");
        std::fs::write(&path, FILE).unwrap();
        let parse = |more: &[&str]| {
            let line = ["slipway-operator", "run", "--settings", path.to_str().unwrap()];
            let Command::Run(args) = Args::parse_from(line.iter().chain(more)).command else { panic!("not run") };
            settings(*args, Ipv4Addr::UNSPECIFIED.into()).unwrap()
        };
        let host = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let mut expected: Settings = serde_yaml::from_str(FILE).unwrap();
        expected.servers.host = host;
        assert_eq!(parse(&[]), expected, "the file goes before the defaults");
        let flags = parse(&[
            "--controllers=multinic",
            "--namespace=of-flag",
            "--mode=watch",
            "--leader-elect=false",
            "--identity=of-flag",
            "--own-namespace=of-flag",
            "--shutdown-timeout=9s",
            "--health-probe-bind-address=:9",
            "--metrics-bind-address=:9",
            "--metrics-secure",
            "--webhook-bind-address=:9",
            "--certificate-directory=/of-flag",
            "--agent-image=of-flag",
            "--agent-service-account=of-flag",
            "--config-map-name=of-flag",
            "--config-map-namespace=of-flag",
        ]);
        let of_flags = FILE
            .replace("of-file", "of-flag")
            .replace("hello", "multinic")
            .replace("{poll: {interval: 7s}}", "watch")
            .replace("enabled: true", "enabled: false")
            .replace("metricsSecure: false", "metricsSecure: true")
            .replace("Timeout: 7s", "Timeout: 9s")
            .replace("127.0.0.1:7", "0.0.0.0:9");
        let mut expected: Settings = serde_yaml::from_str(&of_flags).unwrap();
        expected.servers.host = host;
        assert_eq!(flags, expected, "flags go before the file, which keeps what has none");
        assert_eq!(parse(&["--poll-interval=9s"]).source, Source::Poll { interval: Duration::from_secs(9) });
    }

    #[test]
    fn replicas_that_nobody_named_are_called_differently() {
        let name = || {
            let Command::Run(args) = Args::parse_from(["slipway-operator", "run", "--leader-elect"]).command else {
                panic!("not run")
            };
            settings(*args, Ipv4Addr::LOCALHOST.into()).unwrap().leader_election.identity.unwrap()
        };
        let (one, two) = (name(), name());
        assert!(one.starts_with("slipway-operator-") && two.starts_with("slipway-operator-"), "{one} {two}");
        assert_ne!(one, two, "both would take the Lease for theirs");
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let parse = |flags: &[&str]| {
            let Command::Run(args) = Args::parse_from(["slipway-operator", "run"].iter().chain(flags)).command else {
                panic!("not run")
            };
            settings(*args, Ipv4Addr::UNSPECIFIED.into()).unwrap()
        };
        let plain = parse(&[]);
        assert_eq!((plain.source, plain.leader_election.enabled), (Source::Watch, false));
        assert_eq!(plain.servers.host, IpAddr::from(Ipv4Addr::UNSPECIFIED), "a Pod is reached from outside");
        let told = parse(&[
            "--mode",
            "poll",
            "--poll-interval=10s",
            "--leader-elect",
            "--identity=me",
            "--own-namespace=here",
            "--shutdown-timeout=5s",
            "--health-probe-bind-address=:1",
            "--metrics-bind-address=0",
            "--metrics-secure=false",
            "--webhook-bind-address=127.0.0.1:3",
            "--certificate-directory=/certs",
            "--config-map-name=cm",
            "--config-map-namespace=ns",
        ]);
        assert_eq!(told.source, Source::Poll { interval: Duration::from_secs(10) });
        let election = told.leader_election;
        assert_eq!((election.enabled, election.identity.as_deref()), (true, Some("me")));
        assert_eq!(election.namespace.as_deref(), Some("here"));
        assert_eq!(told.shutdown_timeout, Duration::from_secs(5));
        let servers = told.servers;
        let addresses = [servers.health_address, servers.metrics_address, servers.webhooks_address];
        assert_eq!(addresses.map(|address| address.unwrap().to_string()), ["0.0.0.0:1", "0", "127.0.0.1:3"]);
        assert!(!servers.metrics_secure);
        assert_eq!(servers.certificate.directory, Some("/certs".into()));
        assert_eq!(servers.certificate.namespace.as_deref(), Some("here"));
        assert_eq!((told.drain.config_map_name.as_str(), told.drain.config_map_namespace.as_str()), ("cm", "ns"));
        assert_eq!(parse(&["--mode=poll"]).source, Source::Poll { interval: POLL_INTERVAL });
        assert!(!parse(&["--leader-elect=false"]).leader_election.enabled);
    }

    #[test]
    fn an_interval_without_polling_is_refused_instead_of_ignored() {
        let of = |flags: &[&str]| {
            let Command::Run(args) = Args::parse_from(["slipway-operator", "run"].iter().chain(flags)).command else {
                panic!("not run")
            };
            settings(*args, Ipv4Addr::UNSPECIFIED.into())
        };
        let error = of(&["--poll-interval=10s"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("add --mode=poll"), "{error}");
        assert_eq!(of(&["--poll-interval=10s", "--mode=watch"]).unwrap().source, Source::Watch, "said so on purpose");
    }

    #[test]
    fn a_misspelt_setting_is_refused_instead_of_ignored() {
        let error = serde_yaml::from_str::<Settings>("multinic:\n  agentImag: one\n").unwrap_err();
        assert!(error.to_string().contains("agentImag"), "{error}");
    }
}
