//! The operator as a process of its own, with the rights it ships with and nothing else: what it holds is its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::theatre::NAMESPACE;
use super::{BenchError, Memory};
use crate::cluster::Cluster;
use crate::target::Identity;

/// As much as is read of its metrics; they are a hundredth of it.
const METRICS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long it may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// An operator that runs until it is dropped.
pub(super) struct Process {
    child: Child,
    metrics: SocketAddr,
    /// Removed with it.
    _identity: Identity,
}

impl Process {
    /// Starts `operator` on a cluster, as `user`.
    pub(super) async fn start(operator: &Path, cluster: &dyn Cluster, user: &str) -> Result<Self, BenchError> {
        let failed = |what: &str| {
            let what = format!("{what} {}", operator.display());
            move |source| BenchError::Process { what, source }
        };
        let identity = Identity::new(cluster, NAMESPACE, Some(account(user)?)).await?;
        let metrics = free_port().await.map_err(failed("find a port for"))?;
        let child = Command::new(operator)
            .args(["run", "--health-probe-bind-address=0", "--webhook-bind-address=0", "--metrics-secure=false"])
            .arg(format!("--metrics-bind-address={metrics}"))
            .args(["--log=warn", "--log-format=text"])
            .env("KUBECONFIG", identity.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed("start"))?;
        Ok(Self { child, metrics, _identity: identity })
    }

    /// What it holds.
    pub(super) fn memory(&mut self) -> Result<Memory, BenchError> {
        let looked = |source| BenchError::Process { what: "look at the operator".to_owned(), source };
        match (self.child.try_wait().map_err(looked)?, self.child.id()) {
            (None, Some(id)) => Memory::of(id).map_err(looked),
            (ended, _) => Err(BenchError::Operator(format!("the operator ended: {ended:?}"))),
        }
    }

    /// What it tells.
    pub(super) async fn metrics(&self) -> Result<String, BenchError> {
        let told = |error: &dyn std::fmt::Display| BenchError::Metrics(error.to_string());
        let socket = TcpStream::connect(self.metrics).await.map_err(|error| told(&error))?;
        let connection = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
        let (mut sender, connection) = connection.map_err(|error| told(&error))?;
        let connection = tokio::spawn(connection);
        let request = Request::get("/metrics").header(header::HOST, self.metrics.to_string());
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| told(&error))?;
        let response = sender.send_request(request).await.map_err(|error| told(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), METRICS_BYTES_MAX).collect().await;
        connection.abort();
        if !status.is_success() {
            return Err(told(&status));
        }
        let body = body.map_err(|error| BenchError::Metrics(error.to_string()))?.to_bytes();
        String::from_utf8(body.into()).map_err(|error| told(&error))
    }

    /// Stops it as a signal does, and says how long that took.
    pub(super) async fn stop(mut self) -> Result<Duration, BenchError> {
        let stopped = |source| BenchError::Process { what: "stop the operator".to_owned(), source };
        let since = tokio::time::Instant::now();
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            kill(Pid::from_raw(id), Signal::SIGTERM).map_err(io::Error::from).map_err(stopped)?;
        }
        let ended = tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await;
        let ended = ended.unwrap_or_else(|late| Err(io::Error::new(io::ErrorKind::TimedOut, late))).map_err(stopped)?;
        if ended.success() {
            Ok(since.elapsed())
        } else {
            Err(BenchError::Operator(format!("it stopped with {ended}")))
        }
    }
}

/// The namespace and the name of a service account, by its user's name.
fn account(user: &str) -> Result<(&str, &str), BenchError> {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    account.ok_or_else(|| BenchError::Operator(format!("{user} is no service account")))
}

/// A port that was free a moment ago.
async fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}
