//! The containers that run now, so that commands can be run in them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::FutureExt;
use slipway_apiserver::gateway::{Exec, Output, Running, Unreachable};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::program::PodNetwork;
use super::shell::{self, Shell};

/// The exit code of a command whose container ended.
const KILLED: i32 = 137;

/// Pieces of output that may wait to be read.
const OUTPUT_WAITING_MAX: usize = 16;

/// As much of what a probe or a hook prints as is kept, as a kubelet does.
const PRINTED_BYTES_MAX: usize = 10 * 1024;

/// A container that runs.
#[derive(Clone, Debug)]
pub(in crate::cluster::embedded) struct Live {
    pub(in crate::cluster::embedded) env: BTreeMap<String, String>,
    pub(in crate::cluster::embedded) files: Files,
    pub(in crate::cluster::embedded) network: PodNetwork,
    /// Cancelled by a signal to its first process.
    pub(in crate::cluster::embedded) signal: CancellationToken,
    /// Cancelled once it has ended.
    pub(in crate::cluster::embedded) ended: CancellationToken,
    /// Whether its image holds any command beside the program.
    pub(in crate::cluster::embedded) has_commands: bool,
}

/// The running containers of a cluster by Pod (its uid) and name; clones are the same.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster::embedded) struct Containers(Arc<Mutex<BTreeMap<(String, String), Live>>>);

/// A container's place among those that run; it is gone from there when this is dropped.
#[derive(Debug)]
pub(in crate::cluster::embedded) struct Place {
    containers: Containers,
    key: (String, String),
    ended: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ended.cancel();
        self.containers.lock().remove(&self.key);
    }
}

impl Containers {
    /// A container has started.
    pub(in crate::cluster::embedded) fn enter(&self, uid: &str, container: &str, live: Live) -> Place {
        let key = (uid.to_owned(), container.to_owned());
        let ended = live.ended.clone();
        self.lock().insert(key.clone(), live);
        Place { containers: self.clone(), key, ended }
    }

    /// Starts a command in a container.
    pub(in crate::cluster::embedded) fn exec(
        &self,
        uid: &str,
        container: &str,
        exec: Exec,
    ) -> Result<Running, Unreachable> {
        let live = self.lock().get(&(uid.to_owned(), container.to_owned())).cloned();
        let live = live.ok_or_else(|| Unreachable::NoContainer(container.to_owned()))?;
        Ok(live.exec(exec).boxed())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Runs a command; it is killed when the container ends.
    async fn exec(self, exec: Exec) -> Result<i32, Unreachable> {
        let Exec { command, input, output } = exec;
        let program = command.first().cloned().unwrap_or_default();
        if !self.has_commands || !shell::knows(&program) {
            return Err(Unreachable::NoProgram(program));
        }
        let ended = self.ended.clone();
        let shell = Shell { env: self.env, files: self.files, network: self.network, signal: self.signal, output };
        tokio::select! {
            biased;
            code = shell.run(&command, input) => Ok(code),
            () = ended.cancelled() => Ok(KILLED),
        }
    }

    /// Runs a command and returns its exit code and what it has printed, the first 10 KiB of it.
    pub(in crate::cluster::embedded) async fn output_of(
        self,
        command: Vec<String>,
    ) -> Result<(i32, String), Unreachable> {
        let (output, mut printed) = mpsc::channel(OUTPUT_WAITING_MAX);
        let (_, input) = mpsc::unbounded_channel::<Bytes>();
        let read = async {
            let mut text = Vec::new();
            while let Some(Output::Out(piece) | Output::Err(piece)) = printed.recv().await {
                // Read to the end, so that whoever prints is not kept waiting.
                let room = PRINTED_BYTES_MAX.saturating_sub(text.len());
                text.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            }
            String::from_utf8_lossy(&text).into_owned()
        };
        let (code, text) = tokio::join!(self.exec(Exec { command, input, output }), read);
        Ok((code?, text))
    }
}
