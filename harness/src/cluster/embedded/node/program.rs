//! What containers run: an image reference maps to a program.
//!
//! A program gets what a process in that container would have: arguments, environment, a file tree, the network it is
//! allowed to see, somewhere to write its log, and word when it is told to stop. An image that no pattern matches does
//! not exist, and is reported so.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::files::{Changes, Files};
use super::host::Errno;
use super::log::Log;
use super::network::NodeNetwork;
use super::tcp::{Entry, Kind, Listener, Socket, State, Stream, Tcp};

/// The path that a container writes its last words to, unless its Pod names another.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// What a container runs.
pub trait Program: Send + Sync + 'static {
    /// Runs until it ends, or until it has been told to stop and has done so.
    fn run(&self, process: Process) -> BoxFuture<'static, Exit>;

    /// Whether the image holds a shell and the usual commands, so that some can be run in its containers.
    fn has_commands(&self, _env: &BTreeMap<String, String>) -> bool {
        true
    }
}

impl<F, Run> Program for F
where
    F: Fn(Process) -> Run + Send + Sync + 'static,
    Run: Future<Output = Exit> + Send + 'static,
{
    fn run(&self, process: Process) -> BoxFuture<'static, Exit> {
        self(process).boxed()
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub i32);

impl Exit {
    /// Code 0.
    pub const SUCCESS: Self = Self(0);
}

/// A program's surroundings.
#[derive(Clone, Debug)]
pub struct Process {
    /// The node it runs on.
    pub node: String,
    /// Command and arguments, with `$(VAR)` expanded; empty where the Pod leaves both to the image.
    pub args: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// File tree.
    pub files: Files,
    /// Network.
    pub network: NetworkAccess,
    /// Its Pod's ports and connections.
    pub tcp: PodNetwork,
    /// Where what it prints goes.
    pub log: Log,
    /// Where it writes its last words.
    pub termination_log: String,
    /// Cancelled by SIGTERM; what still runs after the grace period is dropped.
    pub stop: CancellationToken,
}

impl Process {
    /// Leaves last words for the container's status; what does not fit is cut off by the kubelet.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn last_words(&self, text: &str) -> std::io::Result<()> {
        self.files.write(&self.termination_log, text.as_bytes(), 0o666)
    }
}

/// A Pod's TCP: where its programs listen and connect.
#[derive(Clone, Debug)]
pub struct PodNetwork {
    tcp: Tcp,
    address: IpAddr,
}

impl PodNetwork {
    /// The TCP of the Pod that has an address.
    pub fn new(tcp: Tcp, address: IpAddr) -> Self {
        Self { tcp, address }
    }

    /// The Pod's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Listens on a port; `v6` makes it an IPv6 socket, which serves IPv4 all the same.
    ///
    /// # Errors
    /// `EADDRINUSE`, or what the system says.
    pub async fn listen(&self, port: u16, v6: bool) -> io::Result<Listener> {
        self.tcp.listen(self.address, port, v6).await
    }

    /// Connects to an address of the cluster; `localhost` is the Pod itself.
    ///
    /// # Errors
    /// `ECONNREFUSED`, an address that is none, or what the system says.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        let to = match host {
            "localhost" | "127.0.0.1" | "::1" => self.address,
            address => address.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        self.tcp.connect(self.address, SocketAddr::new(to, port)).await
    }

    /// Connects to the Pod from somewhere else.
    ///
    /// # Errors
    /// See [`PodNetwork::connect`].
    pub async fn connect_from(&self, client: IpAddr, port: u16) -> io::Result<Stream> {
        self.tcp.connect(client, SocketAddr::new(self.address, port)).await
    }

    /// Keeps a connection from somewhere in the Pod's table, whose bytes nobody looks at.
    pub fn hold(&self, port: u16, remote: SocketAddr, kind: Kind) -> Entry {
        let local = SocketAddr::new(self.address, port);
        self.tcp.enter(Socket { local, remote, state: State::Established, kind })
    }

    /// Keeps a socket in the Pod's table that takes datagrams from anybody.
    pub fn take_datagrams(&self, port: u16) -> Entry {
        let local = SocketAddr::new(self.address, port);
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.tcp.enter(Socket { local, remote: nobody, state: State::Unconnected, kind: Kind::Udp })
    }

    /// The Pod's sockets.
    pub fn sockets(&self) -> Vec<(u64, Socket)> {
        self.tcp.sockets(self.address)
    }
}

/// A network namespace, with what a container may do to it.
#[derive(Clone, Debug)]
pub struct NetworkAccess {
    network: NodeNetwork,
    net_admin: bool,
    writable_sysctls: bool,
    changes: Changes,
}

impl NetworkAccess {
    /// Access with `CAP_NET_ADMIN` or without; `/proc/sys` is writable for privileged containers only.
    pub fn new(network: NodeNetwork, net_admin: bool, writable_sysctls: bool, changes: Changes) -> Self {
        Self { network, net_admin, writable_sysctls, changes }
    }

    /// The namespace, which anybody may look at.
    pub fn network(&self) -> &NodeNetwork {
        &self.network
    }

    /// Changes the namespace, as a netlink request does.
    ///
    /// # Errors
    /// [`Errno::Perm`] without `CAP_NET_ADMIN`, else what the change answers.
    pub fn change<T, E: From<Errno>>(&self, change: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if !self.net_admin {
            return Err(Errno::Perm.into());
        }
        let answer = change();
        self.changes.mark();
        answer
    }

    /// Whether a write to `/proc/sys/net` gets through: only in a privileged container. The same settings can be
    /// changed by netlink (`IFLA_INET_CONF`), which needs `CAP_NET_ADMIN` alone.
    pub fn sysctls_are_writable(&self) -> bool {
        self.writable_sysctls
    }
}

/// A program that does what it is told: waits, writes, ends.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// How long it runs; for ever where there is none.
    pub after: Option<Duration>,
    /// What it prints first.
    pub output: String,
    /// What it leaves as its termination message.
    pub message: Option<String>,
    /// The code it ends with.
    pub exit_code: i32,
    /// Runs on when told to stop, until it is killed.
    pub ignores_stop: bool,
}

impl Program for Script {
    fn run(&self, process: Process) -> BoxFuture<'static, Exit> {
        let script = self.clone();
        async move {
            if !script.output.is_empty() {
                process.log.write(&script.output);
            }
            let ended = async {
                match script.after {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ended => {}
                // As a process that has no handler for the signal.
                () = process.stop.cancelled(), if !script.ignores_stop => return Exit(143),
            }
            if let Some(message) = &script.message
                && let Err(error) = process.last_words(message)
            {
                process.log.write(&format!("cannot write {}: {error}", process.termination_log));
            }
            Exit(script.exit_code)
        }
        .boxed()
    }
}

/// Which images there are, and what they run. The first pattern that matches counts.
#[derive(Clone, Default)]
pub struct Programs {
    known: Vec<(String, Arc<dyn Program>)>,
    /// What stands in for images that are not known.
    otherwise: Vec<(String, Arc<dyn Program>)>,
}

impl Programs {
    /// No image at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image by reference, in which `*` stands for anything: `multinic-agent:*`, `*/multinic-agent:v1`.
    #[must_use]
    pub fn with(mut self, pattern: impl Into<String>, program: impl Program) -> Self {
        self.known.push((pattern.into(), Arc::new(program)));
        self
    }

    /// Adds what stands in for images that no other pattern matches, whenever those are added.
    #[must_use]
    pub fn otherwise(mut self, pattern: impl Into<String>, program: impl Program) -> Self {
        self.otherwise.push((pattern.into(), Arc::new(program)));
        self
    }

    /// Adds an image whose program is a function.
    #[must_use]
    pub fn with_function<F, Run>(self, pattern: impl Into<String>, function: F) -> Self
    where
        F: Fn(Process) -> Run + Send + Sync + 'static,
        Run: Future<Output = Exit> + Send + 'static,
    {
        self.with(pattern, function)
    }

    /// The program of an image.
    pub fn find(&self, image: &str) -> Option<Arc<dyn Program>> {
        let (_, program) = self.all().find(|(pattern, _)| matches(pattern.as_bytes(), image.as_bytes()))?;
        Some(Arc::clone(program))
    }

    /// Whether an image is known; what only has a stand-in is not.
    pub fn knows(&self, image: &str) -> bool {
        self.known.iter().any(|(pattern, _)| matches(pattern.as_bytes(), image.as_bytes()))
    }

    fn all(&self) -> impl Iterator<Item = &(String, Arc<dyn Program>)> {
        self.known.iter().chain(&self.otherwise)
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|(pattern, _)| pattern)).finish()
    }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skipped| matches(rest, text.get(skipped..).unwrap_or_default())),
        Some((byte, rest)) => text.split_first().is_some_and(|(first, text)| first == byte && matches(rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_takes_no_image_that_is_known_and_passes_for_none() {
        let ends_with = |code| move |_: Process| std::future::ready(Exit(code));
        let programs = Programs::new()
            .otherwise("*", ends_with(2))
            .with_function("agent:*", ends_with(1))
            .otherwise("nginx:*", ends_with(3));
        assert!(programs.knows("agent:1") && !programs.knows("nginx:1"));
        assert!(programs.find("nginx:1").is_some());
        assert_eq!(format!("{programs:?}"), r#"["agent:*", "*", "nginx:*"]"#);
    }

    #[test]
    fn an_image_runs_the_first_program_whose_pattern_matches_it() {
        let cases = [
            ("agent:1", "agent:1", true),
            ("agent:1", "agent:10", false),
            ("agent:*", "agent:1.2.3", true),
            ("*/agent:*", "registry.example.com/team/agent:v1", true),
            ("*/agent:*", "agent:v1", false),
            ("*agent*", "my-agent@sha256:00", true),
            ("*", "", true),
            ("", "x", false),
        ];
        for (pattern, image, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), image.as_bytes()), expected, "{pattern} on {image}");
        }
    }
}
