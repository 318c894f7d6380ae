//! Programs of this machine that the harness starts: each with everything it starts itself, so that all of it can be
//! ended together, and is, whatever becomes of this process.

use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

/// Waits until nobody holds the other end of its input any more, and ends a process group then.
const LEASH: &str = "read -r _; kill -s KILL -- \"-$1\"";

/// How long a group that was killed may take to go, and how often it is looked for. Whoever is still there then has been
/// killed too, and only waits for somebody to take note of it.
const GOES_WITHIN: Duration = Duration::from_millis(50);
const LOOKS_EVERY: Duration = Duration::from_millis(1);

/// A child with everything it starts. All of it is killed when the child has ended, when this is dropped, and when this
/// process ends in any way.
pub struct Group {
    child: Child,
    /// None once there is nothing to kill any more: the number may then be somebody else's.
    held: Option<(Pid, Leash)>,
}

impl Group {
    /// Starts a command as the leader of a group of its own. Its output and its errors come out of one pipe, in the
    /// order in which they were written.
    ///
    /// # Errors
    /// Those of the machine: there is no such program, it may not be run, there is no process to be had.
    pub fn spawn(mut command: Command) -> io::Result<(Self, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0).kill_on_drop(true);
        let child = command.spawn()?;
        let held = match child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) {
            Some(id) => Some((id, Leash::around(id)?)),
            None => None,
        };
        // The command is dropped on return, and with it our own ends of what is written to.
        Ok((Self { child, held }, pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?))
    }

    /// Waits until the child has ended, and ends what it has left behind.
    ///
    /// # Errors
    /// Those of the machine.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.kill();
        status
    }

    /// Sends a signal to everybody in the group.
    pub fn signal(&self, signal: Signal) {
        if let Some((id, _)) = &self.held {
            // It fails where nobody is left, and then there is nobody to tell.
            let _ = killpg(*id, signal);
        }
    }

    /// Kills the group and waits until it is gone, so that what it held is free.
    pub async fn end(mut self) {
        let Some((id, leash)) = self.held.take() else { return };
        let _ = killpg(id, Signal::SIGKILL);
        // It was killed: how it ended is known.
        drop(self.child.wait().await);
        let gone = async {
            while killpg(id, None).is_ok() {
                tokio::time::sleep(LOOKS_EVERY).await;
            }
        };
        drop(tokio::time::timeout(GOES_WITHIN, gone).await);
        drop(leash);
    }

    fn kill(&mut self) {
        if let Some((id, leash)) = self.held.take() {
            // It fails where nobody is left, which is what was wanted.
            let _ = killpg(id, Signal::SIGKILL);
            drop(leash);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process beside a group that kills it when this one is gone, however it went.
struct Leash {
    watcher: std::process::Child,
    /// What it reads from; closed with this process.
    end: Option<PipeWriter>,
}

impl Leash {
    fn around(group: Pid) -> io::Result<Self> {
        let (reader, end) = io::pipe()?;
        let watcher = std::process::Command::new("sh")
            .args(["-c", LEASH, "leash", &group.to_string()])
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal from the terminal is for others.
            .process_group(0)
            .spawn()?;
        Ok(Self { watcher, end: Some(end) })
    }
}

impl Drop for Leash {
    /// The group is gone: nobody may be killed in its name from now on.
    fn drop(&mut self) {
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
        drop(self.end.take());
    }
}

/// How a process ended, in words.
pub fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("with exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("by signal {number} ({})", signal.as_str()),
            Err(_) => format!("by signal {number}"),
        },
        (None, None) => format!("in no known way ({status})"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[tokio::test]
    async fn what_a_command_has_left_running_ends_with_it() {
        let (mut group, mut output) = Group::spawn(shell("sleep 600 & echo begun; exit 3")).unwrap();
        let status = group.wait().await.unwrap();
        assert_eq!(how(status), "with exit code 3");
        // The pipe closes when nobody is left who could write to it.
        let mut text = String::new();
        output.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "begun\n");
    }

    #[tokio::test]
    async fn a_group_that_was_ended_is_gone_when_that_returns() {
        let (group, mut output) = Group::spawn(shell("trap '' TERM; echo $$; sleep 600 & wait")).unwrap();
        output.read_u8().await.unwrap();
        group.signal(Signal::SIGTERM);
        group.end().await;
        // Whoever could still write would keep the pipe open.
        let mut rest = String::new();
        output.read_to_string(&mut rest).await.unwrap();
    }

    #[tokio::test]
    async fn a_group_ends_with_whoever_holds_its_leash() {
        let mut child = shell("sleep 600");
        child.process_group(0);
        let mut child = child.spawn().unwrap();
        let mut leash = Leash::around(Pid::from_raw(child.id().unwrap().try_into().unwrap())).unwrap();
        // As when this process is gone: the end is closed, and nobody calls the watcher off.
        drop(leash.end.take());
        assert_eq!(how(child.wait().await.unwrap()), "by signal 9 (SIGKILL)");
    }
}
