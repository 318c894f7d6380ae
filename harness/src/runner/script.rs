//! Runs a command of a scenario against its cluster: in real time only, bounded, its output kept.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::trouble::Trouble;
use super::{chain, span};
use crate::cluster::Cluster;
use crate::scenario::model::Script;

/// As much output as is kept of a script; the rest is read and thrown away, so that the script does not stall.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Runs a script and returns its output.
pub(super) async fn run(
    script: &Script,
    limit: Duration,
    cluster: &dyn Cluster,
    namespace: &str,
) -> Result<String, Trouble> {
    let kubeconfig = cluster
        .kubeconfig()
        .await
        .map_err(|error| Trouble::new(format!("the cluster cannot be reached from outside: {}", chain(&error))))?;
    let mut command = Command::new("sh");
    command
        .args(["-eu", "-c", &script.run])
        .env("KUBECONFIG", kubeconfig)
        .env("NAMESPACE", namespace)
        .envs(&script.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| Trouble::new(format!("cannot start sh: {error}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async { tokio::join!(child.wait(), read(stdout), read(stderr)) };
    let Ok((status, stdout, stderr)) = tokio::time::timeout(limit, work).await else {
        return Err(Trouble::new(format!("the script took longer than {}", span(limit))));
    };
    let status = status.map_err(|error| Trouble::new(format!("cannot wait for the script: {error}")))?;
    let output = format!("{stdout}{stderr}");
    let lines = || output.lines().map(str::to_owned).collect();
    let wanted = script.exit_code.unwrap_or(0);
    if status.code() != Some(wanted) {
        let ended = status.code().map_or_else(|| "by a signal".to_owned(), |code| format!("with exit code {code}"));
        let message = format!("the script ended {ended}, not with exit code {wanted}");
        return Err(Trouble::new(message).with("its output", lines()));
    }
    let missing = script.output.as_ref().map(|parts| parts.missing(&output)).unwrap_or_default();
    if !missing.is_empty() {
        return Err(
            Trouble::new(format!("the script's output did not contain {missing:?}")).with("its output", lines())
        );
    }
    Ok(output)
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 8192];
    if let Some(mut stream) = stream {
        // A pipe that breaks has been closed by the script; what came before is its output.
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(length);
            kept.extend_from_slice(&buffer[..room]);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
