//! What can go wrong with k3s in a container: what the engine said, what the container said last, and what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use testcontainers_modules::testcontainers::TestcontainersError;
use testcontainers_modules::testcontainers::bollard::errors::Error as EngineError;
use testcontainers_modules::testcontainers::core::client::ClientError;
use thiserror::Error;

use super::Mode;
use super::image::ImageName;
use crate::chain::chain;
use crate::scenario::duration::Span;

/// Why there is no k3s.
#[derive(Debug, Error)]
pub enum K3sError {
    /// A file that should hold images does not.
    #[error("{} holds no images: give what `docker save` or `ctr images export` writes", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// Where the engine is cannot be understood.
    #[error("no Docker engine can be asked: DOCKER_HOST must be like unix:///run/docker.sock or tcp://HOST:2375")]
    Address(#[source] Box<ClientError>),
    /// Nothing answers there.
    #[error(
        "no Docker engine answers: start one (`dockerd`, `systemctl start docker`), or say with DOCKER_HOST where it is"
    )]
    NoEngine(#[source] Box<EngineError>),
    /// It is not for us.
    #[error(
        "the Docker engine may not be used by this user: become a member of the group `docker`, \
         or run an engine of your own (rootless) and name it with DOCKER_HOST"
    )]
    Forbidden(#[source] Box<EngineError>),
    /// It is from another time.
    #[error(
        "the Docker engine {engine} is too old: it speaks API {api}, and {} (Docker 20.10) is the oldest that will do; update it",
        super::engine::API_MIN
    )]
    TooOld {
        /// Its version.
        engine: String,
        /// What it speaks.
        api: String,
    },
    /// The image is not there.
    #[error(
        "the image {image} is not here and cannot be pulled: name one that is with --k3s-image NAME:TAG, \
         or bring it with `docker save` and `docker load`"
    )]
    NoImage {
        /// Which.
        image: ImageName,
        /// What the engine says.
        #[source]
        source: Box<TestcontainersError>,
    },
    /// Somebody else listens there.
    #[error(
        "port {port} is taken: name another with --k3s-port, or leave it out for a free one. The engine says: {said}"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// What the engine says.
        said: String,
    },
    /// Containers may not have all rights.
    #[error(
        "the engine runs no privileged container, which k3s needs for its kubelet: use --k3s-mode control-plane. The engine says: {said}"
    )]
    Privileged {
        /// What the engine says.
        said: String,
    },
    /// The container does not start.
    #[error("the container of {image} does not start; the engine says: {said}")]
    NotStarted {
        /// Of which image.
        image: ImageName,
        /// What the engine says.
        said: String,
    },
    /// The container ended.
    #[error("k3s ended with exit code {code} before it was ready; {}", lines(log))]
    Died {
        /// Its exit code.
        code: i64,
        /// Its last lines.
        log: Vec<String>,
    },
    /// It takes too long.
    #[error(
        "k3s is not ready after {}: {why}; give it more time with --k3s-timeout, or look at what it says; {}",
        Span(*after), lines(log)
    )]
    NotReady {
        /// How long was waited.
        after: Duration,
        /// What it lacked.
        why: String,
        /// Its last lines.
        log: Vec<String>,
    },
    /// There is nothing to build.
    #[error(
        "there is no {} here: --image-build builds the images of the checkout in whose root it is called",
        super::build::CONTAINERFILE
    )]
    NoContainerfile,
    /// There is nothing to build with.
    #[error("there is no `docker` to build images with: install it, or bring them with --image-archive")]
    NoCommand(#[source] io::Error),
    /// A build fails.
    #[error("`docker` does not {what} ({status}); {}", lines(log))]
    Build {
        /// What it should do.
        what: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its last lines.
        log: Vec<String>,
    },
    /// Its agents would not find it.
    #[error(
        "the container of k3s has no address in its network, at which its nodes could find it: is the engine's network `none`?"
    )]
    NoAddress,
    /// There is no secret by which it could know its agents.
    #[error("cannot make a secret for k3s's nodes")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// k3s takes no images.
    #[error("k3s does not import {}: {said}", path.display())]
    Import {
        /// The archive.
        path: PathBuf,
        /// What it says.
        said: String,
    },
    /// What k3s wrote leads nowhere.
    #[error("the kubeconfig that k3s wrote cannot be used")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no place for the kubeconfig.
    #[error("cannot keep the kubeconfig in a temporary directory")]
    Directory(#[source] io::Error),
    /// The engine does not do what it was asked to.
    #[error("the Docker engine does not {what}")]
    Engine {
        /// What it was asked.
        what: &'static str,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody wants to stop.
    #[error("interrupted while k3s was starting")]
    Interrupted,
}

impl K3sError {
    /// What it means that no client can be made.
    pub(super) fn of_client(source: ClientError) -> Self {
        match source {
            ClientError::Init(source @ EngineError::SocketNotFoundError(_)) => Self::of_engine(source),
            source => Self::Address(source.into()),
        }
    }

    /// What an engine that does not answer as it should means.
    pub(super) fn of_engine(source: EngineError) -> Self {
        if chain(&source).to_ascii_lowercase().contains("permission denied") {
            Self::Forbidden(Box::new(source))
        } else {
            Self::NoEngine(Box::new(source))
        }
    }

    /// What it means that a container does not start.
    pub(super) fn of_start(source: &TestcontainersError, image: &ImageName, mode: Mode, port: u16) -> Self {
        let said = chain(source);
        let lower = said.to_ascii_lowercase();
        let any = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
        if any(&["port is already allocated", "address already in use", "ports are not available"]) {
            return Self::PortTaken { port, said };
        }
        if mode == Mode::Full
            && any(&["not permitted", "privileged", "permission denied", "denied by plugin", "userns"])
        {
            return Self::Privileged { said };
        }
        Self::NotStarted { image: image.clone(), said }
    }

    /// The same, with what the container said last.
    pub(super) fn with_log(mut self, tail: Vec<String>) -> Self {
        if let Self::Died { log, .. } | Self::NotReady { log, .. } = &mut self {
            *log = tail;
        }
        self
    }

    /// Whether k3s may do without a kubelet where it cannot do with one.
    pub(super) fn is_about_privileges(&self) -> bool {
        matches!(self, Self::Privileged { .. } | Self::Died { .. })
    }

    /// What went wrong, in one line.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Privileged { said } => format!("the engine runs no privileged container ({said})"),
            Self::Died { code, log } => {
                format!(
                    "with one it ended with exit code {code} ({})",
                    log.last().map_or("it said nothing", String::as_str)
                )
            }
            other => other.to_string(),
        }
    }
}

fn lines(log: &[String]) -> String {
    if log.is_empty() {
        return "it said nothing".to_owned();
    }
    format!("its last lines:\n    {}", log.join("\n    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(said: &str, mode: Mode) -> K3sError {
        let source = TestcontainersError::other(said.to_owned());
        K3sError::of_start(&source, &"k3s:local".parse().unwrap(), mode, 6443)
    }

    #[test]
    fn what_an_engine_says_becomes_what_is_to_be_done() {
        let taken =
            start("driver failed: Bind for 127.0.0.1:6443 failed: port is already allocated", Mode::ControlPlane);
        assert!(taken.to_string().contains("--k3s-port") && taken.to_string().contains("already allocated"), "{taken}");
        let refused = start("runc create failed: unable to apply caps: operation not permitted", Mode::Full);
        assert!(refused.is_about_privileges() && refused.to_string().contains("--k3s-mode control-plane"), "{refused}");
        // Without privileges it is something else that is not permitted.
        let other = start("exec format error: operation not permitted", Mode::ControlPlane);
        assert!(matches!(&other, K3sError::NotStarted { said, .. } if said.contains("exec format error")), "{other}");
    }

    #[test]
    fn a_socket_that_is_not_for_us_is_told_from_one_that_is_not_there() {
        let io = |kind| EngineError::IOError { err: io::Error::from(kind) };
        assert!(matches!(K3sError::of_engine(io(io::ErrorKind::PermissionDenied)), K3sError::Forbidden(_)));
        assert!(matches!(K3sError::of_engine(io(io::ErrorKind::NotFound)), K3sError::NoEngine(_)));
    }

    #[test]
    fn what_a_container_said_last_is_shown_where_it_matters() {
        let died =
            K3sError::Died { code: 1, log: Vec::new() }.with_log(vec!["a".to_owned(), "no space left".to_owned()]);
        assert!(died.to_string().ends_with("    a\n    no space left"), "{died}");
        assert!(died.reason().ends_with("(no space left)"), "{}", died.reason());
        let late = K3sError::NotReady { after: Duration::from_secs(3), why: "no answer".to_owned(), log: Vec::new() };
        assert!(
            late.to_string().contains("after 3s: no answer") && late.to_string().contains("it said nothing"),
            "{late}"
        );
    }
}
