//! k3s in a container: a real API server with real controllers, started for a run and removed with it. Two modes: `full`,
//! with k3s's own kubelet in a privileged container, where scenarios' nodes are agents of k3s (`node`), and
//! `control-plane`, without it and unprivileged, where our simulated nodes are the cluster's nodes.
//!
//! Only this room knows containers. `command`, [`image`], `kubeconfig` and `archive` decide and touch nothing;
//! `engine` talks to the Docker engine, `ready` to the API server. Whatever was started is removed: by
//! [`Provider::stop`], when a start fails or is interrupted, and when a [`K3s`] is dropped.

mod archive;
mod build;
mod command;
mod engine;
mod error;
pub mod image;
mod kubeconfig;
pub mod leftovers;
mod node;
mod ready;

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::build::Built;
use self::command::Reach;
use self::engine::{Container, Engine};
pub use self::error::K3sError;
use self::image::ImageName;
use self::node::{Agents, AgentsConfig};
use self::ready::Wait;
use super::access::{Access, Provider, RealNodes};
use super::embedded::door;
use crate::sim::seed::RunId;
use crate::temporary::Directory;

/// The context of the kubeconfigs we hand out.
const CONTEXT: &str = "k3s";

/// How k3s is to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// `full` where the engine lets privileged containers run, else `control-plane`.
    #[default]
    Auto,
    /// This, or nothing.
    Exactly(Mode),
}

/// How k3s is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Privileged, with a kubelet of its own.
    Full,
    /// The control plane alone.
    ControlPlane,
}

impl Mode {
    /// As it is written on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ControlPlane => "control-plane",
        }
    }
}

/// What a run wants of k3s.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image.
    pub image: ImageName,
    /// How it is run.
    pub mode: Wanted,
    /// Archives of images for k3s's own containers.
    pub archives: Vec<PathBuf>,
    /// Whether the images of this checkout are built for them too; only where it is run in full.
    pub build: bool,
    /// The port of this machine that leads to the API server; a free one where it is 0.
    pub port: u16,
    /// Where the Docker engine is, as `DOCKER_HOST` says.
    pub engine: Option<String>,
    /// How long k3s may take until it is ready.
    pub patience: Duration,
}

/// k3s, running.
pub struct K3s {
    access: Access,
    /// The nodes of scenarios, where they are real.
    agents: Option<Arc<Agents>>,
    container: Option<Container>,
    /// The images that were built, for as long as nodes may come.
    built: Option<Built>,
    /// What the kubeconfig is in.
    directory: Option<Directory>,
    /// What the engine is spoken to on.
    runtime: Handle,
}

/// Starts k3s and waits until it is ready. `tell` hears what takes long.
///
/// # Errors
/// See [`K3sError`]. Nothing that was started stays.
pub async fn start(
    settings: &Settings,
    run: &RunId,
    stop: &CancellationToken,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<K3s, K3sError> {
    for path in &settings.archives {
        archive::check(path)?;
    }
    let engine = Engine::connect().await?;
    tokio::select! {
        provided = engine.provide(&settings.image, tell) => provided?,
        () = stop.cancelled() => return Err(K3sError::Interrupted),
    }
    let first = match settings.mode {
        Wanted::Exactly(Mode::Full) if settings.build => {
            let built = build::build(stop, tell).await?;
            let mut settings = settings.clone();
            settings.archives.push(built.archive.clone());
            let mut k3s = bring_up(&engine, &settings, Mode::Full, run, stop, tell).await?;
            k3s.built = Some(built);
            return Ok(k3s);
        }
        Wanted::Exactly(mode) => return bring_up(&engine, settings, mode, run, stop, tell).await,
        Wanted::Auto => bring_up(&engine, settings, Mode::Full, run, stop, tell).await,
    };
    match first {
        Err(error) if error.is_about_privileges() => {
            tell(&format!("k3s runs without a kubelet of its own (--k3s-mode control-plane): {}", error.reason()));
            bring_up(&engine, settings, Mode::ControlPlane, run, stop, tell).await
        }
        other => other,
    }
}

async fn bring_up(
    engine: &Engine,
    settings: &Settings,
    mode: Mode,
    run: &RunId,
    stop: &CancellationToken,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<K3s, K3sError> {
    if mode == Mode::ControlPlane && !settings.archives.is_empty() {
        tell("--image-archive is for --k3s-mode full: nothing pulls images without a kubelet");
    }
    tell(&format!("k3s: starting {} ({})", settings.image, mode.word()));
    let reach = Reach::of(settings.engine.as_deref());
    let token = door::token().map_err(|source| K3sError::Token(source.into()))?;
    // Not to be interrupted: what the engine has begun to make has no name yet by which it could be removed.
    let container = match engine.launch(settings, mode, &reach, run, &token).await {
        Ok(container) => container,
        Err(error) => {
            engine.sweep(run, None).await?;
            return Err(error);
        }
    };
    let prepared = tokio::select! {
        prepared = prepare(&container, settings, mode, &reach, tell) => prepared,
        () = stop.cancelled() => Err(K3sError::Interrupted),
    };
    match prepared {
        Ok((mut access, server, directory)) => {
            tell(&format!("k3s: ready at {}", access.config.cluster_url));
            let runtime = Handle::current();
            let agents = server.map(|server| {
                Arc::new(Agents::new(AgentsConfig {
                    engine: engine.clone(),
                    settings: settings.clone(),
                    run: run.clone(),
                    token,
                    server,
                    config: access.config.clone(),
                    runtime: runtime.clone(),
                }))
            });
            access.nodes = agents.clone().map(|agents| agents as Arc<dyn RealNodes>);
            Ok(K3s { access, agents, container: Some(container), built: None, directory: Some(directory), runtime })
        }
        Err(error) => {
            let error = error.with_log(container.inside().tail().await);
            container.remove().await?;
            Err(error)
        }
    }
}

/// Waits until it can be used, and finds the way in; and where its agents find it, where it can have any.
async fn prepare(
    container: &Container,
    settings: &Settings,
    mode: Mode,
    reach: &Reach,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(Access, Option<IpAddr>, Directory), K3sError> {
    let inside = container.inside();
    let mut wait = Wait::new(inside.clone(), settings.patience, tell);
    let written = wait.kubeconfig(container).await?;
    // A container that has ended publishes nothing: that it is alive is known by now.
    let port = container.port().await?;
    let text = kubeconfig::rewritten(&written, &reach.url(port), CONTEXT).map_err(K3sError::Kubeconfig)?;
    let (directory, path) = kubeconfig::keep(&text).map_err(K3sError::Directory)?;
    let config = config(&text).await.map_err(|source| K3sError::Kubeconfig(source.into()))?;
    wait.answer(&config, mode).await?;
    let mut server = None;
    if mode == Mode::Full {
        for (number, path) in settings.archives.iter().enumerate() {
            tell(&format!("k3s: importing {}", path.display()));
            inside.import(number, path).await?;
        }
        server = Some(inside.address().await?.ok_or(K3sError::NoAddress)?);
    }
    let callback = inside.gateway().await?.map(|address| SocketAddr::new(address, 0));
    Ok((Access { kubeconfig: path, config, context: CONTEXT.to_owned(), callback, nodes: None }, server, directory))
}

async fn config(text: &str) -> Result<Config, kube::config::KubeconfigError> {
    Config::from_custom_kubeconfig(Kubeconfig::from_yaml(text)?, &KubeConfigOptions::default()).await
}

impl Provider for K3s {
    fn access(&self) -> Access {
        self.access.clone()
    }

    fn stop(mut self: Box<Self>) -> BoxFuture<'static, Result<(), Box<dyn Error + Send + Sync>>> {
        let (container, directory) = (self.container.take(), self.directory.take());
        let (agents, built) = (self.agents.take(), self.built.take());
        // Whoever stops it may live on another runtime than the connections to the engine.
        let removed = self.runtime.spawn(async move {
            let closed = match agents {
                Some(agents) => agents.close().await,
                None => Ok(()),
            };
            match container {
                Some(container) => closed.and(container.remove().await),
                None => closed,
            }
        });
        async move {
            removed.await??;
            directory.map_or(Ok(()), Directory::close)?;
            built.map_or(Ok(()), Built::close)?;
            Ok(())
        }
        .boxed()
    }
}

impl Drop for K3s {
    fn drop(&mut self) {
        // The container removes itself when it is dropped, and needs a runtime for that.
        let _runtime = self.runtime.enter();
        drop(self.container.take());
    }
}
