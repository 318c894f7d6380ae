//! A program of the control plane: its last lines are kept, and nothing of it outlives this process.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::binaries::Program;
use crate::process::{Group, how};

/// How long a program may take to end after it was asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long its last words may be under way.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// As many of its last lines as an error shows.
const TAIL_LINES: usize = 15;

/// A program that runs.
pub(super) struct Process {
    pub(super) program: Program,
    group: Group,
    tail: Arc<Mutex<VecDeque<String>>>,
    /// Ends when nobody is left who could write.
    reader: JoinHandle<()>,
}

impl Process {
    /// Starts a program on the ambient runtime. It has nothing of this process's environment.
    pub(super) fn start(program: Program, file: &Path, arguments: &[OsString]) -> io::Result<Self> {
        let mut command = Command::new(file);
        command.args(arguments).env_clear();
        let (group, output) = Group::spawn(command)?;
        let tail = Arc::<Mutex<VecDeque<String>>>::default();
        let reader = tokio::spawn(keep(output, Arc::clone(&tail)));
        Ok(Self { program, group, tail, reader })
    }

    /// How it ended, where it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.group.wait().now_or_never()? {
            Ok(status) => Some(format!("ended {}", how(status))),
            Err(error) => Some(format!("cannot be waited for: {error}")),
        }
    }

    /// The last lines that it wrote, those of its end among them.
    pub(super) async fn tail(&mut self) -> Vec<String> {
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.reader).await;
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Asks it to end, and ends it where it does not.
    pub(super) async fn stop(mut self) {
        self.group.signal(Signal::SIGTERM);
        // Whether it ended in time or not, what is left of its group is killed.
        let _ = tokio::time::timeout(FAREWELL, self.group.wait()).await;
        self.group.end().await;
    }
}

/// Keeps the end of what a program writes.
async fn keep(output: pipe::Receiver, tail: Arc<Mutex<VecDeque<String>>>) {
    let (mut output, mut line) = (BufReader::new(output), Vec::new());
    while let Ok(1..) = output.read_until(b'\n', &mut line).await {
        // Text or not: whatever it writes is read, so that it never waits.
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            continue;
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }
}
