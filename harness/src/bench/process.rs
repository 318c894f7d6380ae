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
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::{BenchError, Memory, refused};
use crate::cluster::Cluster;
use crate::temporary::Directory;

/// As much as is read of its metrics; they are a hundredth of it.
const METRICS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The kubeconfig that it is given.
const KUBECONFIG: &str = "kubeconfig";

/// How long it may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// An operator that runs until it is dropped.
pub(super) struct Process {
    child: Child,
    metrics: SocketAddr,
    /// Removed with it.
    _files: Directory,
}

impl Process {
    /// Starts `operator` on a cluster, as `user`.
    pub(super) async fn start(operator: &Path, cluster: &dyn Cluster, user: &str) -> Result<Self, BenchError> {
        let failed = |what: &str| {
            let what = format!("{what} {}", operator.display());
            move |source| BenchError::Process { what, source }
        };
        let admin = cluster.kubeconfig().await.map_err(failed("open the cluster for"))?;
        let token = token(cluster, user).await?;
        let files = kubeconfig(&admin, &token).map_err(failed("write a kubeconfig for"))?;
        let metrics = free_port().await.map_err(failed("find a port for"))?;
        let child = Command::new(operator)
            .args(["run", "--health-probe-bind-address=0", "--webhook-bind-address=0", "--metrics-secure=false"])
            .arg(format!("--metrics-bind-address={metrics}"))
            .args(["--log=warn", "--log-format=text"])
            .env("KUBECONFIG", files.path().join(KUBECONFIG))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed("start"))?;
        Ok(Self { child, metrics, _files: files })
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

/// A token of a service account by its user's name.
async fn token(cluster: &dyn Cluster, user: &str) -> Result<String, BenchError> {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (namespace, name) = account.ok_or_else(|| BenchError::Operator(format!("{user} is no service account")))?;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), namespace);
    let issued = accounts.create_token_request(name, &PostParams::default(), &TokenRequest::default()).await;
    let issued = issued.map_err(refused("make a token for", name))?;
    let token = issued.status.and_then(|status| status.token);
    token.ok_or_else(|| BenchError::Operator(format!("there is no token for {name}")))
}

/// The administrator's kubeconfig, with somebody else's token.
fn kubeconfig(admin: &Path, token: &str) -> io::Result<Directory> {
    let mut config: Value = serde_yaml::from_str(&std::fs::read_to_string(admin)?).map_err(io::Error::other)?;
    for user in config["users"].as_array_mut().into_iter().flatten() {
        user["user"] = json!({ "token": token });
    }
    let directory = Directory::new("operator")?;
    directory.keep(KUBECONFIG, &config.to_string())?;
    Ok(directory)
}

/// A port that was free a moment ago.
async fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_of_a_kubeconfig_changes() {
        let mut admin = tempfile::NamedTempFile::new().unwrap();
        let text = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                    users: [{name: admin, user: {token: secret, client-key-data: key}}]\n";
        io::Write::write_all(&mut admin, text.as_bytes()).unwrap();
        let written = kubeconfig(admin.path(), "theirs").unwrap();
        let written: Value =
            serde_json::from_str(&std::fs::read_to_string(written.path().join(KUBECONFIG)).unwrap()).unwrap();
        assert_eq!(written["users"][0], json!({ "name": "admin", "user": { "token": "theirs" } }));
        assert_eq!(written["clusters"][0]["cluster"]["server"], "https://127.0.0.1:1");
    }
}
