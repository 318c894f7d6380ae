//! The door for programs of other processes: a listener before the API server, an administrator's token, and the
//! kubeconfig that names both. Whoever opens it owns it: nothing of it outlives the [`Door`].

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use slipway_apiserver::access::user::MASTERS;
use slipway_apiserver::serve::{self, Authority, Certificate, Listener, ServeError};
use slipway_apiserver::service::{ApiServer, User};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::temporary::Directory;

/// Where a door is, and who may come in.
#[derive(Debug, Default)]
pub struct DoorConfig {
    /// Address for plain HTTP; port 0 is a free port.
    pub http: Option<SocketAddr>,
    /// Address for HTTPS; port 0 is a free port.
    pub https: Option<SocketAddr>,
    /// The administrator's token; one that nobody can guess unless told otherwise.
    pub token: Option<String>,
    /// The certificate of HTTPS; one that an authority of its own vouches for unless told otherwise.
    pub certificate: Option<Certificate>,
    /// Where to write the kubeconfig, which then stays; a temporary directory unless told otherwise.
    pub kubeconfig: Option<PathBuf>,
}

impl DoorConfig {
    /// A door for this machine only: HTTPS on a free loopback port.
    pub fn loopback() -> Self {
        Self { https: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), ..Self::default() }
    }
}

/// Why a door does not open.
#[derive(Debug, Error)]
pub enum DoorError {
    /// There is no listener or no kubeconfig.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// There is no place for the kubeconfig.
    #[error("cannot make a temporary directory")]
    Directory(#[source] io::Error),
}

/// A bearer token that nobody can guess.
///
/// # Errors
/// The system gives no random bytes.
pub fn token() -> Result<String, DoorError> {
    Ok(serve::random_token()?)
}

/// An open door.
#[derive(Debug)]
pub struct Door {
    urls: Vec<String>,
    kubeconfig: PathBuf,
    /// What the kubeconfig is in, where nobody asked for it at a certain place.
    directory: Option<Directory>,
    /// Closes the door when it is dropped.
    stop: DropGuard,
    serving: JoinHandle<()>,
}

impl Door {
    /// Opens a door to a server, on the ambient runtime.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub async fn open(server: ApiServer, config: DoorConfig) -> Result<Self, DoorError> {
        let certificate = config.certificate.map_or_else(|| Authority::new().map(Certificate::Made), Ok)?;
        let listener = Listener::bind(config.http, config.https, certificate).await?;
        let token = config.token.map_or_else(token, Ok)?;
        let (kubeconfig, directory) = if let Some(path) = config.kubeconfig {
            (path, None)
        } else {
            let directory = Directory::new("door").map_err(DoorError::Directory)?;
            (directory.path().join("kubeconfig"), Some(directory))
        };
        serve::write_kubeconfig(&kubeconfig, &listener.kubeconfig(&token))?;
        // A name of its own tells what people do from what the cluster's own client does.
        server.admit(token, User::new("admin", [MASTERS]));
        let (urls, stop) = (listener.urls(), CancellationToken::new());
        let serving = tokio::spawn(listener.run(server, stop.clone()));
        Ok(Self { urls, kubeconfig, directory, stop: stop.drop_guard(), serving })
    }

    /// The URLs that are served, HTTPS first.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The kubeconfig that leads through it; only its owner can read it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Ends every watch, lets open requests finish, and removes a kubeconfig that is temporary.
    ///
    /// # Errors
    /// The kubeconfig cannot be removed.
    pub async fn close(self) -> io::Result<()> {
        self.stop.disarm().cancel();
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the listener broke down");
        }
        self.directory.map_or(Ok(()), Directory::close)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use slipway_apiserver::service::Config;

    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_is_for_its_owner_only_and_goes_with_its_door() {
        let server = ApiServer::new(Config::default());
        let door = Door::open(server.clone(), DoorConfig::loopback()).await.unwrap();
        let path = door.kubeconfig().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&path).unwrap().contains(&door.urls()[0]));
        door.close().await.unwrap();
        assert!(!path.exists() && !path.parent().unwrap().exists());
        let dropped = Door::open(server, DoorConfig::loopback()).await.unwrap();
        let path = dropped.kubeconfig().to_owned();
        drop(dropped);
        assert!(!path.parent().unwrap().exists());
    }

    #[tokio::test]
    async fn a_kubeconfig_at_a_place_that_was_asked_for_stays_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.kubeconfig");
        let config =
            DoorConfig { token: Some("known".to_owned()), kubeconfig: Some(path.clone()), ..DoorConfig::loopback() };
        let door = Door::open(ApiServer::new(Config::default()), config).await.unwrap();
        door.close().await.unwrap();
        assert!(std::fs::read_to_string(path).unwrap().contains("token: known"));
    }
}
