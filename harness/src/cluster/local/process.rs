//! A program of the control plane as a child process with a group of its own: what it writes goes to a file, and nothing
//! of it outlives this.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::binaries::Program;

/// How long a program may take to end after it was asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// As many of its last lines as an error shows.
const TAIL_LINES: usize = 15;
/// As much of the end of its log as is read for them.
const TAIL_BYTES: usize = 16 * 1024;

/// The variable by which whoever cleans up knows whose process it is.
pub const RUN_VARIABLE: &str = "SLIPWAY_RUN";

/// A program that runs.
pub(super) struct Process {
    pub(super) program: Program,
    pub(super) log: PathBuf,
    child: Child,
    /// None once there is nothing left to kill: the number may then be somebody else's.
    group: Option<Pid>,
}

impl Process {
    /// Starts a program. It has nothing of this process's environment but the run's name.
    pub(super) fn start(
        program: Program,
        file: &Path,
        arguments: &[OsString],
        log: PathBuf,
        run: &str,
    ) -> io::Result<Self> {
        let output = File::create(&log)?;
        let mut command = Command::new(file);
        command
            .args(arguments)
            .env_clear()
            .env(RUN_VARIABLE, run)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { program, log, child, group })
    }

    /// How it ended, where it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(describe(status)),
            Err(error) => Some(format!("cannot be waited for: {error}")),
        }
    }

    /// The last lines that it wrote.
    pub(super) fn tail(&self) -> Vec<String> {
        let Ok(bytes) = std::fs::read(&self.log) else { return Vec::new() };
        let end = String::from_utf8_lossy(bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
        let lines: Vec<&str> = end.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect()
    }

    /// Asks it to end, and ends it where it does not.
    pub(super) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        // Whether it ended in time or not, what is left of its group is killed.
        let _ = tokio::time::timeout(FAREWELL, self.child.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails where nobody is left, which is what was wanted.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.group = None;
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
