//! `slipway serve`: the embedded cluster behind a listener, until a signal arrives.

use std::net::{Ipv4Addr, SocketAddr};

use slipway_apiserver::clock::Clock;
use slipway_apiserver::serve::{Certificate, GivenCertificate, random_seed};
use slipway_apiserver::service::{ApiServer, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::serve::ServeSettings;
use crate::cluster::embedded::door::{Door, DoorConfig};
use crate::cluster::embedded::node::tcp::Medium;
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
    // Without TLS kubectl keeps its token to itself, and would be a stranger here.
    let https = match (settings.http, settings.https) {
        (None, None) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        (_, https) => https,
    };
    let given = match &settings.certificate {
        Some((certificate, key)) => Some(GivenCertificate::read(certificate, key).map_err(cannot_serve)?),
        None => None,
    };
    let (clock, seed) = (Clock::system(), random_seed().map_err(cannot_serve)?);
    let (server, cluster) = if settings.bare {
        (ApiServer::new(Config { clock, seed, ..Config::default() }), None)
    } else {
        let config = EmbeddedConfig {
            nodes: if settings.no_nodes { Vec::new() } else { EmbeddedConfig::default_nodes() },
            programs: target::programs(&settings.images),
            // Time is the machine's here, and clients are other processes.
            medium: Medium::Sockets,
            ..EmbeddedConfig::new(clock, seed)
        };
        let cluster = Cluster::start(config).await.map_err(|source| failure("cannot start the cluster", source))?;
        (cluster.server(), Some(cluster))
    };
    let (token, kubeconfig) = (settings.admin_token.clone(), settings.kubeconfig.clone());
    let config = DoorConfig {
        http: settings.http,
        https,
        token,
        certificate: given
            .map(Certificate::Given)
            .or_else(|| cluster.as_ref().map(|cluster| Certificate::Made(cluster.authority()))),
        kubeconfig,
    };
    let door = Door::open(server, config).await.map_err(cannot_serve)?;
    for url in door.urls() {
        printer.line(format_args!("serving {url}"));
    }
    printer.line(format_args!("kubeconfig {}", door.kubeconfig().display()));
    stop.cancelled().await;
    if let Err(error) = door.close().await {
        printer.note(format_args!("cannot remove the kubeconfig: {error}"));
    }
    if let Some(cluster) = cluster {
        cluster.stop().await;
    }
    Ok(Exit::Passed)
}

fn failure(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Environment { what: what.to_owned(), source: source.into() }
}

fn cannot_serve(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
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
