//! `slipway serve`: the embedded cluster behind a listener, until a signal arrives.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use slipway_apiserver::clock::Clock;
use slipway_apiserver::serve::{self, Listener, ServeError};
use slipway_apiserver::service::{ApiServer, Config, User};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::ServeSettings;
use crate::cluster::embedded::{Cluster, EmbeddedConfig};
use crate::target;

/// Serves until told to stop.
///
/// # Errors
/// [`Failure::Environment`] when an address cannot be bound or the kubeconfig cannot be written.
pub fn serve(settings: &ServeSettings, printer: &Printer) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| failure("cannot start the runtime", source))?;
    let exit = runtime.block_on(run(settings, printer));
    // Programs of a cluster's nodes may still run in threads of their own; they are not waited for.
    runtime.shutdown_background();
    exit
}

async fn run(settings: &ServeSettings, printer: &Printer) -> Result<Exit, Failure> {
    let stop = stop_on_signal().map_err(|source| failure("cannot listen for signals", source))?;
    let token = match &settings.admin_token {
        Some(token) => token.clone(),
        None => serve::random_token().map_err(cannot_serve)?,
    };
    // Without TLS kubectl keeps its token to itself, and would be a stranger here.
    let https = match (settings.http, settings.https) {
        (None, None) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        (_, https) => https,
    };
    let listener = Listener::bind(settings.http, https).await.map_err(cannot_serve)?;
    let tokens = vec![(token.clone(), User::admin())];
    let (clock, seed) = (Clock::system(), serve::random_seed().map_err(cannot_serve)?);
    let (server, cluster) = if settings.bare {
        (ApiServer::new(Config { clock, seed, tokens, ..Config::default() }), None)
    } else {
        let config = EmbeddedConfig {
            tokens,
            nodes: EmbeddedConfig::default_nodes(),
            programs: target::programs(),
            ..EmbeddedConfig::new(clock, seed)
        };
        let cluster = Cluster::start(config).await.map_err(|source| failure("cannot start the cluster", source))?;
        (cluster.server(), Some(cluster))
    };
    let kubeconfig = Kubeconfig::write(settings.kubeconfig.clone(), &listener.kubeconfig(&token))?;
    for url in listener.urls() {
        printer.line(format_args!("serving {url}"));
    }
    printer.line(format_args!("kubeconfig {}", kubeconfig.path.display()));
    listener.run(server, stop).await;
    if let Some(cluster) = cluster {
        cluster.stop().await;
    }
    kubeconfig.remove(printer);
    Ok(Exit::Passed)
}

fn failure(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Environment { what: what.to_owned(), source: source.into() }
}

fn cannot_serve(error: ServeError) -> Failure {
    failure("cannot serve", error)
}

/// A token that is cancelled by SIGINT or SIGTERM.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let heard = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        heard.cancel();
    });
    Ok(stop)
}

/// The file through which clients find the server.
struct Kubeconfig {
    path: PathBuf,
    /// Nobody asked for it at this place, so it goes when the server does.
    temporary: bool,
}

impl Kubeconfig {
    fn write(path: Option<PathBuf>, text: &str) -> Result<Self, Failure> {
        let (path, temporary) = if let Some(path) = path {
            (path, false)
        } else {
            let file = tempfile::Builder::new().prefix("slipway-").suffix(".kubeconfig").tempfile();
            let kept = file.and_then(|file| file.keep().map_err(|error| error.error));
            let (_, path) = kept.map_err(|source| failure("cannot make a temporary file", source))?;
            (path, true)
        };
        serve::write_kubeconfig(&path, text).map_err(cannot_serve)?;
        Ok(Self { path, temporary })
    }

    fn remove(&self, printer: &Printer) {
        if self.temporary
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            printer.note(format_args!("cannot remove {}: {error}", self.path.display()));
        }
    }
}
