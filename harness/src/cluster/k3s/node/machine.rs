//! A real node's machine, as scenarios look at it: through commands that are run in its container.

use std::io;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::engine::{Done, Inside};
use super::{read, wire};
use crate::chain::chain;
use crate::cluster::Node;
use crate::cluster::embedded::node::wiring::describe;
use crate::scenario::node::LinkSpec;

/// The exit code of our scripts for what is not there.
const MISSING: i64 = 44;

/// How often whoever waits for a change may look again: nothing tells of changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A node of k3s's in a container.
pub(super) struct AgentMachine {
    inside: Inside,
    runtime: Handle,
    changes: watch::Receiver<u64>,
    /// What counts as a change; it ends with the node.
    _ticking: JoinSet<()>,
}

impl AgentMachine {
    /// The node in this container; `runtime` is what the engine is spoken to on.
    pub(super) fn new(inside: Inside, runtime: Handle) -> Self {
        let (sender, changes) = watch::channel(0);
        let mut ticking = JoinSet::new();
        ticking.spawn_on(
            async move {
                loop {
                    tokio::time::sleep(LOOK_EVERY).await;
                    sender.send_modify(|count| *count += 1);
                }
            },
            &runtime,
        );
        Self { inside, runtime, changes, _ticking: ticking }
    }

    /// Runs a command, and gives what it prints.
    fn run(&self, command: wire::Command) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        let inside = self.inside.clone();
        let running = self.runtime.spawn(async move { inside.run(&command).await });
        async move { output(running.await.map_err(io::Error::other)?.map_err(|error| io::Error::other(chain(&error)))?) }
            .boxed()
    }

    /// Runs a script that is about a path.
    fn ask(&self, script: &str, path: &str) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        self.run(["sh", "-c", script, "sh", path].map(str::to_owned).to_vec())
    }
}

/// What a command has printed, if it could.
fn output(done: Done) -> io::Result<Vec<u8>> {
    match done.code {
        0 => Ok(done.output),
        MISSING => Err(io::ErrorKind::NotFound.into()),
        code => Err(io::Error::other(format!("exit code {code}: {}", done.complaint))),
    }
}

impl Node for AgentMachine {
    fn read_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<Vec<u8>>> {
        self.ask(r#"[ -e "$1" ] || exit 44; cat "$1""#, path)
    }

    fn file_mode<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<u32>> {
        let printed = self.ask(r#"[ -e "$1" ] || exit 44; stat -L -c %a "$1""#, path);
        let read = |bits: Vec<u8>| u32::from_str_radix(String::from_utf8_lossy(&bits).trim(), 8);
        async move { read(printed.await?).map_err(io::Error::other) }.boxed()
    }

    fn list_dir<'a>(&'a self, path: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>> {
        let printed = self.ask(r#"[ -d "$1" ] || exit 44; ls -A -1 "$1""#, path);
        async move {
            let printed = printed.await?;
            let mut names: Vec<String> = String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect();
            names.sort();
            Ok(names)
        }
        .boxed()
    }

    fn links(&self) -> BoxFuture<'_, io::Result<Vec<LinkSpec>>> {
        let asked = read::questions().map(|question| self.run(question));
        async move {
            let mut answers = <[String; 6]>::default();
            for (answer, printed) in answers.iter_mut().zip(asked) {
                *answer = String::from_utf8_lossy(&printed.await?).into_owned();
            }
            let network = read::network(&answers).map_err(|error| io::Error::other(chain(&error)))?;
            Ok(describe(&network))
        }
        .boxed()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_from_a_node_that_cannot_be_asked() {
        let done = |code| Done { code, output: b"a".to_vec(), complaint: "sh: killed".to_owned() };
        assert_eq!(output(done(0)).unwrap(), b"a");
        assert_eq!(output(done(MISSING)).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(output(done(137)).unwrap_err().to_string().contains("137: sh: killed"));
    }
}
