//! Where the clusters of a run come from, kept until the run has ended.

use std::sync::Arc;

use futures::FutureExt;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::cli::cluster::{ClusterSettings, IsolateArg};
use crate::cli::printer::Printer;
use crate::cluster::access::Provider;
use crate::cluster::embedded::door;
use crate::cluster::k3s::{self, K3sError};
use crate::cluster::kubeconfig::{self, KubeconfigError};
use crate::cluster::local::{Local, LocalSettings};
use crate::sim::seed::RunId;
use crate::target::{BuiltIn, Isolated, OnCluster, Placed, Provide, Stage};

/// What scenarios are run on.
pub(super) struct Ground {
    /// Makes each scenario's cluster.
    pub(super) stage: Arc<dyn Stage>,
    /// What is behind a cluster that all of them share.
    behind: Option<Box<dyn Provider>>,
    /// What providers live on; it outlives them.
    runtime: Runtime,
}

impl Ground {
    /// Starts what the settings ask for.
    ///
    /// # Errors
    /// [`Failure::Input`] where it must not be used, [`Failure::Environment`] where it cannot be.
    pub(super) fn open(
        settings: &ClusterSettings,
        placed: Placed,
        interrupt: &CancellationToken,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| failed("cannot start the runtime", source))?;
        let run = RunId::random();
        let Some(provider) = runtime.block_on(provide(settings, &run, interrupt, printer))? else {
            let stage: Arc<dyn Stage> = match settings {
                ClusterSettings::K3s { settings: k3s, .. } => {
                    let handle = runtime.handle().clone();
                    let provide = one_each(k3s.clone(), run.clone(), interrupt.clone(), handle);
                    Arc::new(Isolated::new(provide, run, placed))
                }
                _ => Arc::new(BuiltIn),
            };
            return Ok(Self { stage, behind: None, runtime });
        };
        let access = provider.access();
        // Whoever has to clean up after a run that was killed needs its name.
        printer.note(format_args!("on the cluster of {}, as run {run}", access.context));
        let stage = Arc::new(OnCluster::new(access, run, placed));
        Ok(Self { stage, behind: Some(provider), runtime })
    }

    /// Removes what was started.
    ///
    /// # Errors
    /// [`Failure::Environment`] where something of it stays.
    pub(super) fn close(self) -> Result<(), Failure> {
        let Some(provider) = self.behind else { return Ok(()) };
        let stopped = self.runtime.block_on(provider.stop());
        stopped.map_err(|source| Failure::Environment { what: "cannot put the cluster away".to_owned(), source })
    }
}

/// What is behind the cluster that scenarios share; none where each has its own.
async fn provide(
    settings: &ClusterSettings,
    run: &RunId,
    interrupt: &CancellationToken,
    printer: &Printer,
) -> Result<Option<Box<dyn Provider>>, Failure> {
    Ok(Some(match settings {
        ClusterSettings::Embedded | ClusterSettings::K3s { isolate: IsolateArg::Cluster, .. } => return Ok(None),
        ClusterSettings::Kubeconfig(settings) => match kubeconfig::start(settings).await {
            Ok(existing) => Box::new(existing),
            Err(error) => return Err(cannot_use(error)),
        },
        ClusterSettings::K3s { settings, .. } => {
            match k3s::start(settings, run, interrupt, &|text| printer.note(text)).await {
                Ok(k3s) => Box::new(k3s),
                // As a scenario that was cut short.
                Err(error @ K3sError::Interrupted) => {
                    return Err(Failure::Refused { what: error.to_string(), source: None });
                }
                Err(error) => return Err(failed("cannot run k3s", error)),
            }
        }
        ClusterSettings::Local(places) => {
            let token = door::token().map_err(|source| failed("cannot start a control plane", source))?;
            let settings = LocalSettings { places: places.clone(), token };
            let local = Local::start(settings).await;
            Box::new(local.map_err(|error| failed("cannot start a control plane", error))?)
        }
    }))
}

/// k3s for each scenario, told of in the log: what is printed is the scenarios'.
fn one_each(settings: k3s::Settings, run: RunId, interrupt: CancellationToken, runtime: Handle) -> Provide {
    Box::new(move || {
        let (settings, run, interrupt, runtime) = (settings.clone(), run.clone(), interrupt.clone(), runtime.clone());
        async move {
            let on = runtime.clone();
            // Starting it stays on one thread: what copies files out of containers cannot change it.
            let started = runtime.spawn_blocking(move || {
                on.block_on(k3s::start(&settings, &run, &interrupt, &|text| tracing::info!("{text}")))
            });
            Ok(Box::new(started.await??) as Box<dyn Provider>)
        }
        .boxed()
    })
}

/// What keeps a cluster from being used: that it must not be, or that it cannot be.
pub(super) fn cannot_use(error: KubeconfigError) -> Failure {
    match error {
        KubeconfigError::NotAllowed { .. } => Failure::Input { what: error.to_string(), source: None },
        error => failed("cannot use the cluster", error),
    }
}

fn failed(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Environment { what: what.to_owned(), source: source.into() }
}
