//! The `multinic-agent` command: one run on the node it is started on. The edge of the agent: it reads the environment,
//! the spec's file or custom resource, and signals; it writes logs to standard output and the summary to the
//! termination log. Exit codes are those of `AgentExit`.

#[cfg(target_os = "linux")]
mod edge {
    use std::collections::BTreeMap;
    use std::error::Error;
    use std::path::Path;

    use kube::{Api, Client};
    use slipway_operator::agent::host::linux::LinuxHost;
    use slipway_operator::agent::{Outcome, Request, SpecSource, Stop, bad_input, run, spec_from_json};
    use slipway_operator::api::agent::{
        AgentAction, AgentExit, AgentInterface, AgentSpec, SYSCTL_HOST_PATH, SYSCTL_MOUNT_PATH, TERMINATION_LOG, env,
    };
    use slipway_operator::api::multinic::{MultiNicNodeConfig, validate};
    use tokio::signal::unix::{SignalKind, signal};
    use tracing::level_filters::LevelFilter;

    /// Why there is no outcome to report.
    #[derive(Debug, thiserror::Error)]
    enum EdgeError {
        #[error("cannot read the spec from {path}")]
        File {
            path: String,
            #[source]
            source: std::io::Error,
        },
        #[error("cannot read the custom resource {namespace}/{name}")]
        Resource {
            namespace: String,
            name: String,
            #[source]
            source: kube::Error,
        },
        #[error("the custom resource cannot be carried out: {0}")]
        Invalid(String),
        #[error("cannot make sense of the spec")]
        Spec(#[source] slipway_operator::agent::RequestError),
    }

    pub(super) async fn main() -> AgentExit {
        let vars: BTreeMap<String, String> = std::env::vars().collect();
        log_to_stdout(vars.get(env::LOG_LEVEL).map(String::as_str));
        let node = vars.get(env::NODE_NAME).map(String::as_str);
        let outcome = match Request::from_env(&vars) {
            Ok(request) => outcome(request).await,
            Err(error) => bad_input(AgentAction::Apply, node, chain(&error)),
        };
        let path = vars.get(env::TERMINATION_MESSAGE_PATH).filter(|path| !path.is_empty());
        let path = path.map_or(TERMINATION_LOG, String::as_str);
        if let Err(error) = std::fs::write(path, &outcome.message) {
            tracing::error!(%error, path, summary = outcome.message, "the summary cannot be written");
        }
        outcome.exit
    }

    async fn outcome(request: Request) -> Outcome {
        let (action, node) = (request.action, request.node.clone());
        let request = match at_hand(request.clone()).await {
            Ok(request) => request,
            // An API that cannot be reached is nobody's input.
            Err(error @ EdgeError::Resource { .. }) => return Outcome::host_unavailable(&request, &chain(&error)),
            Err(error) => return bad_input(action, node.as_deref(), chain(&error)),
        };
        // Where the container has the node's own sysctls they can be written; those in /proc are read-only there.
        let mounted = Path::new(SYSCTL_MOUNT_PATH);
        let sysctls = if mounted.is_dir() { mounted } else { Path::new(SYSCTL_HOST_PATH) };
        let host = match LinuxHost::connect("/", sysctls) {
            Ok(host) => host,
            Err(error) => return Outcome::host_unavailable(&request, &format!("no netlink socket: {error}")),
        };
        let (stop, stopped) = Stop::new();
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::spawn(async move {
                    while terminate.recv().await.is_some() {
                        tracing::warn!("told to stop: finishing the interface at hand");
                        // Nobody listens any more once the run is over.
                        let _ = stop.send(true);
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "cannot listen for SIGTERM"),
        }
        run(&request, &host, &stopped).await
    }

    /// Reads the spec from where the request says it is.
    async fn at_hand(request: Request) -> Result<Request, EdgeError> {
        let spec = match &request.source {
            SpecSource::Given(_) => return Ok(request),
            SpecSource::File(path) => {
                let path = path.display().to_string();
                match std::fs::read_to_string(&path) {
                    Ok(text) => spec_from_json(&path, &text).map_err(EdgeError::Spec)?,
                    Err(source) => return Err(EdgeError::File { path, source }),
                }
            }
            SpecSource::NodeCr { namespace, name, os, settings } => {
                let config = read_resource(namespace, name).await?;
                let interfaces = validate(name, &config.spec).map_err(|violations| {
                    let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
                    EdgeError::Invalid(violations.join("; "))
                })?;
                AgentSpec {
                    node_name: interfaces.node,
                    config_uid: config.metadata.uid.unwrap_or_default(),
                    generation: config.metadata.generation.unwrap_or_default(),
                    os: *os,
                    interfaces: interfaces.interfaces.iter().map(AgentInterface::from).collect(),
                    settings: settings.as_ref().clone(),
                }
            }
        };
        Ok(request.with_spec(spec))
    }

    async fn read_resource(namespace: &str, name: &str) -> Result<MultiNicNodeConfig, EdgeError> {
        let failed = |source| EdgeError::Resource { namespace: namespace.to_owned(), name: name.to_owned(), source };
        let client = Client::try_default().await.map_err(failed)?;
        Api::<MultiNicNodeConfig>::namespaced(client, namespace).get(name).await.map_err(failed)
    }

    fn log_to_stdout(level: Option<&str>) {
        let parsed = level.filter(|level| !level.is_empty()).map(str::parse::<LevelFilter>);
        let filter = match &parsed {
            Some(Ok(filter)) => *filter,
            Some(Err(_)) | None => LevelFilter::INFO,
        };
        tracing_subscriber::fmt().json().flatten_event(true).with_max_level(filter).init();
        if let Some(Err(error)) = parsed {
            tracing::warn!(level, %error, "{} is not a log level; using info", env::LOG_LEVEL);
        }
    }

    /// An error with its causes.
    fn chain(error: &dyn Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Some errors quote their cause already.
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        text
    }
}

#[cfg(target_os = "linux")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(edge::main().await.code())
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    // There is no host of this kind to configure.
    std::process::ExitCode::from(slipway_operator::api::agent::AgentExit::Host.code())
}
