//! A control plane made of the programs that are on this machine: `etcd` and `kube-apiserver`, on loopback, with keys of
//! its own, in a directory that goes with it.
//!
//! A `kube-controller-manager` and a `kube-scheduler` are used where they are found. Where they are not, as in the
//! directory that `setup-envtest` makes, the embedded cluster's controllers do their work through the real API server:
//! Jobs run, owners are followed, Pods are scheduled. Nodes are simulated in any case.

pub mod binaries;
mod command;
mod files;
mod process;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde_json::json;
use thiserror::Error;
use tokio::time::Instant;

use self::binaries::{Binaries, Missing, Places, Program};
use self::command::Ports;
use self::files::{Files, FilesError};
use self::process::Process;
use super::access::{Access, Provider};
use super::embedded::stand_in::StandIn;
use crate::temporary::Directory;

/// What its context is called.
const CONTEXT: &str = "slipway-local";

/// How long the API server may take to be ready; it takes five seconds on a small machine.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A port that was free may be taken before the program listens on it: then others are tried.
const ATTEMPTS: usize = 3;
const PORT_TAKEN: &str = "address already in use";

/// What a control plane is made from.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// Where the programs may be.
    pub places: Places,
    /// The administrator's token.
    pub token: String,
}

/// Why there is no control plane.
#[derive(Debug, Error)]
pub enum LocalError {
    /// A program is missing.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// There is no place for its files.
    #[error("cannot make a temporary directory")]
    Directory(#[source] std::io::Error),
    /// Its keys, certificates or kubeconfig.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// There is no free port on loopback.
    #[error("cannot find a free port on 127.0.0.1")]
    Port(#[source] std::io::Error),
    /// A program cannot be started.
    #[error("cannot start {}", file.display())]
    Start {
        /// Which.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A program ended before the API server was ready.
    #[error("{program} {how} before the API server was ready; its last words:\n{}", indented(tail))]
    Ended {
        /// Which.
        program: Program,
        /// How.
        how: String,
        /// Its last lines.
        tail: Vec<String>,
    },
    /// The API server does not get ready.
    #[error("the API server was not ready after {} s: {why}; its last words:\n{}", waited.as_secs(), indented(tail))]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
        /// What it said last.
        why: String,
        /// Its last lines.
        tail: Vec<String>,
    },
    /// The kubeconfig that was written cannot be used.
    #[error("cannot use the kubeconfig of the control plane")]
    Kubeconfig(#[from] KubeconfigError),
    /// No client can be made of it.
    #[error("cannot make a client of the control plane")]
    Client(#[from] kube::Error),
}

fn indented(lines: &[String]) -> String {
    if lines.is_empty() {
        return "    (it wrote nothing)".to_owned();
    }
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// A control plane that runs.
pub struct Local {
    access: Access,
    /// What the programs that are not there would do.
    stand_in: StandIn,
    /// In the order in which they were started.
    processes: Vec<Process>,
    /// Removed last.
    directory: Directory,
}

impl Local {
    /// Starts a control plane on the ambient runtime; its API server is ready when this returns.
    ///
    /// # Errors
    /// See [`LocalError`].
    pub async fn start(settings: LocalSettings) -> Result<Self, LocalError> {
        let binaries = binaries::find(&settings.places)?;
        let mut attempt = 1;
        loop {
            match Self::attempt(&binaries, &settings).await {
                Err(LocalError::Ended { tail, .. }) if attempt < ATTEMPTS && is_port_taken(&tail) => attempt += 1,
                ended => return ended,
            }
        }
    }

    async fn attempt(binaries: &Binaries, settings: &LocalSettings) -> Result<Self, LocalError> {
        let directory = Directory::new("local").map_err(LocalError::Directory)?;
        let files = Files::at(directory.path());
        let authority = files.make(&settings.token)?;
        let ports = free_ports().map_err(LocalError::Port)?;
        let kubeconfig = kubeconfig(ports, &files, &settings.token);
        files::write(&files.kubeconfig(), &kubeconfig)?;
        let start = |program: Program, file: &PathBuf, arguments: &[_]| {
            Process::start(program, file, arguments).map_err(|source| LocalError::Start { file: file.clone(), source })
        };
        let mut processes = vec![
            start(Program::Etcd, &binaries.etcd, &command::etcd(&files, ports))?,
            start(Program::ApiServer, &binaries.api_server, &command::api_server(&files, ports))?,
        ];
        let options = KubeConfigOptions { context: Some(CONTEXT.to_owned()), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(Kubeconfig::from_yaml(&kubeconfig)?, &options).await?;
        let client = kube::Client::try_from(config.clone())?;
        ready(&client, &mut processes).await?;
        if let Some(file) = &binaries.controller_manager {
            processes.push(start(Program::ControllerManager, file, &command::controller_manager(&files))?);
        }
        if let Some(file) = &binaries.scheduler {
            processes.push(start(Program::Scheduler, file, &command::scheduler(&files))?);
        }
        let stand_in = match (&binaries.controller_manager, &binaries.scheduler) {
            (None, None) => StandIn::for_both(&client, authority),
            (None, Some(_)) => StandIn::for_controller_manager(&client, authority),
            (Some(_), None) => StandIn::for_scheduler(&client),
            (Some(_), Some(_)) => StandIn::default(),
        };
        let access = Access {
            kubeconfig: files.kubeconfig(),
            config,
            context: CONTEXT.to_owned(),
            callback: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            nodes: None,
        };
        Ok(Self { access, stand_in, processes, directory })
    }

    async fn end(self) -> Result<(), std::io::Error> {
        let Self { stand_in, mut processes, directory, .. } = self;
        stand_in.stop().await;
        // The API server before etcd: it cannot end well without.
        while let Some(process) = processes.pop() {
            process.stop().await;
        }
        directory.close()
    }
}

impl Provider for Local {
    fn access(&self) -> Access {
        self.access.clone()
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, Result<(), Box<dyn std::error::Error + Send + Sync>>> {
        async move { self.end().await.map_err(Into::into) }.boxed()
    }
}

/// Waits until the API server says that it is ready, or a program has ended.
async fn ready(client: &kube::Client, processes: &mut [Process]) -> Result<(), LocalError> {
    let began = Instant::now();
    loop {
        for process in &mut *processes {
            if let Some(how) = process.ended() {
                return Err(LocalError::Ended { program: process.program, how, tail: process.tail().await });
            }
        }
        let why = match ask(client).await {
            Ok(()) => return Ok(()),
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= READY_WITHIN {
            let mut tail = Vec::new();
            if let Some(server) = processes.iter_mut().find(|process| process.program == Program::ApiServer) {
                tail = server.tail().await;
            }
            return Err(LocalError::NotReady { waited: READY_WITHIN, why, tail });
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask(client: &kube::Client) -> Result<(), kube::Error> {
    let request = Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await.map(drop)
}

/// Two ports that nobody listens on; both are held until both are found.
fn free_ports() -> Result<Ports, std::io::Error> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (etcd, api_server) = (listen()?, listen()?);
    Ok(Ports { etcd: etcd.local_addr()?.port(), api_server: api_server.local_addr()?.port() })
}

fn is_port_taken(tail: &[String]) -> bool {
    tail.iter().any(|line| line.contains(PORT_TAKEN))
}

/// A kubeconfig that leads to the API server as its administrator. JSON is YAML.
fn kubeconfig(ports: Ports, files: &Files, token: &str) -> String {
    let server = format!("https://127.0.0.1:{}", ports.api_server);
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": server, "certificate-authority": files.authority()}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin"}}],
    })
    .to_string()
}
