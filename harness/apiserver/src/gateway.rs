//! How the server reaches what runs in Pods: their logs, commands in their containers, their ports.
//!
//! A server alone runs no containers. A cluster that does answers for them with a [`PodGateway`]; what the server makes of
//! it (`pods/log`, `pods/exec`, `pods/portforward`, `pods/proxy`, `services/proxy`) is decided here and in
//! `handle`. Nothing of it needs a socket, so all of it works in virtual time.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// A container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    /// The Pod's namespace.
    pub namespace: String,
    /// The Pod's name.
    pub pod: String,
    /// The Pod's uid.
    pub uid: String,
    /// The node that the Pod is bound to.
    pub node: String,
    /// The container's name.
    pub container: String,
}

/// What of a log is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The attempt before the current one.
    pub previous: bool,
    /// Goes on as lines are written, until the container has ended.
    pub follow: bool,
    /// Each line begins with when it was written.
    pub timestamps: bool,
    /// Lines written at that time or later.
    pub since: Option<Timestamp>,
    /// The last lines only.
    pub tail_lines: Option<usize>,
    /// No more than this many bytes.
    pub limit_bytes: Option<usize>,
}

/// What a command prints, in the order in which it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To its standard output.
    Out(Bytes),
    /// To its standard error.
    Err(Bytes),
}

/// A command to be run in a container.
#[derive(Debug)]
pub struct Exec {
    /// The command and its arguments; never empty.
    pub command: Vec<String>,
    /// What it reads; ends where the client's input ends.
    pub input: mpsc::UnboundedReceiver<Bytes>,
    /// Where it prints; a full channel makes it wait, as a full pipe does.
    pub output: mpsc::Sender<Output>,
}

/// A command that has been started: resolves to its exit code. Dropping it kills it.
pub type Running = BoxFuture<'static, Result<i32, Unreachable>>;

/// Why a container or port could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The container does not run, or has never run.
    #[error("container not found ({0:?})")]
    NoContainer(String),
    /// It has no log: it has not started, or there was no attempt before.
    #[error("{} {container:?} in pod {pod:?} not found", if *previous { "previous terminated container" } else { "container" })]
    NoLog {
        /// The container's name.
        container: String,
        /// The Pod's name.
        pod: String,
        /// Whether the attempt before was asked for.
        previous: bool,
    },
    /// There is no such program in the container.
    #[error(
        "OCI runtime exec failed: exec failed: unable to start container process: exec: {0:?}: executable file not \
         found in $PATH"
    )]
    NoProgram(String),
    /// Nobody listens there, or nobody any more.
    #[error("dial tcp {0}:{1}: connect: connection refused")]
    Refused(IpAddr, u16),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// A connection to a port of a Pod.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A way to what runs in Pods.
pub trait PodGateway: fmt::Debug + Send + Sync {
    /// A container's log, in pieces.
    ///
    /// # Errors
    /// [`Unreachable::NoLog`].
    fn log(&self, from: &ContainerRef, options: &LogOptions) -> Result<BoxStream<'static, Bytes>, Unreachable>;

    /// Starts a command in a container.
    ///
    /// # Errors
    /// [`Unreachable::NoContainer`] at once; what is wrong with the command itself comes with its end.
    fn exec(&self, within: &ContainerRef, exec: Exec) -> Result<Running, Unreachable>;

    /// Connects to a port of a Pod's address.
    fn dial(&self, address: IpAddr, port: u16) -> BoxFuture<'static, Result<Box<dyn Connection>, Unreachable>>;
}
