//! Runs a command of a scenario against its cluster: in real time only, bounded, its output kept. Nothing that it starts
//! outlives its step.

use std::ffi::OsStr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;

use super::trouble::Trouble;
use super::{chain, span};
use crate::cluster::Cluster;
use crate::process::{Group, how};
use crate::scenario::model::Script;

/// As much output as is kept of a script; the rest is read and thrown away, so that the script does not stall.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// What a script runs in.
pub(super) struct Surroundings<'a> {
    /// The cluster its kubeconfig leads to.
    pub(super) cluster: &'a dyn Cluster,
    /// The scenario's namespace.
    pub(super) namespace: &'a str,
    /// Where its commands are looked for; where `sh` looks unless told otherwise.
    pub(super) path: Option<&'a OsStr>,
}

/// Runs a script and returns its output. Whatever it leaves running ends with it.
pub(super) async fn run(script: &Script, limit: Duration, within: &Surroundings<'_>) -> Result<String, Trouble> {
    let kubeconfig = within
        .cluster
        .kubeconfig()
        .await
        .map_err(|error| Trouble::new(format!("the cluster cannot be reached from outside: {}", chain(&error))))?;
    let mut command = Command::new("sh");
    command
        .args(["-eu", "-c", &script.run])
        // The same on every machine, but for where the programs are.
        .env_clear()
        .envs(within.path.map(|path| ("PATH", path)))
        .env("KUBECONFIG", kubeconfig)
        .env("NAMESPACE", within.namespace)
        .envs(&script.env);
    let (mut group, mut pipe) =
        Group::spawn(command).map_err(|error| Trouble::new(format!("cannot start sh: {error}")))?;
    let mut output = Output::default();
    let work = async {
        // Whatever still writes when the script has ended is ended too, so that the pipe closes.
        tokio::join!(group.wait(), output.fill(&mut pipe)).0
    };
    let ended = tokio::time::timeout(limit, work).await;
    // Only now: the output so far is what shows where a script hangs.
    drop(group);
    let output = output.text();
    let trouble = |message| Trouble::new(message).with("its output", output.lines().map(str::to_owned).collect());
    let Ok(status) = ended else {
        return Err(trouble(format!("the script took longer than {}", span(limit))));
    };
    let status = status.map_err(|error| trouble(format!("cannot wait for the script: {error}")))?;
    let wanted = script.exit_code.unwrap_or(0);
    if status.code() != Some(wanted) {
        return Err(trouble(format!("the script ended {}, not with exit code {wanted}", how(status))));
    }
    let missing = script.output.as_ref().map(|parts| parts.missing(&output)).unwrap_or_default();
    if !missing.is_empty() {
        return Err(trouble(format!("the script's output did not contain {missing:?}")));
    }
    Ok(output)
}

/// The beginning of what a script has written.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    left_out: usize,
}

impl Output {
    /// Reads to the end.
    async fn fill(&mut self, pipe: &mut pipe::Receiver) {
        let mut buffer = vec![0; 8192];
        // A pipe that breaks has been closed by the script; what came before is its output.
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            let room = OUTPUT_BYTES_MAX.saturating_sub(self.kept.len()).min(length);
            self.kept.extend_from_slice(&buffer[..room]);
            self.left_out += length - room;
        }
    }

    fn text(&self) -> String {
        let kept = String::from_utf8_lossy(&self.kept);
        match self.left_out {
            0 => kept.into_owned(),
            more => format!("{kept}\n… and {more} more bytes\n"),
        }
    }
}
