//! `slipway clean`: what killed runs have left behind, shown and removed.

use tokio::runtime::Runtime;

use super::Failure;
use super::ground::cannot_use;
use crate::clean::{Found, Source};
use crate::cli::clean::CleanSettings;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cluster::access::Provider;
use crate::cluster::embedded::node::netns::Names;
use crate::cluster::foreign::leftovers::Leftovers;
use crate::cluster::foreign::sweep::Sweeper;
use crate::cluster::{k3s, kubeconfig};
use crate::{target, temporary};

/// Any finalizer.
const ANY: &str = "*";

/// Looks everywhere that the settings name, and removes what is found.
///
/// # Errors
/// [`Failure::Input`] where a cluster must not be used, [`Failure::Environment`] where it cannot be.
pub fn clean(settings: &CleanSettings, printer: &Printer) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::Environment {
        what: "cannot start the runtime".to_owned(),
        source: source.into(),
    })?;
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    if let Some(cluster) = &settings.cluster {
        sources.push(Box::new(on_cluster(&runtime, cluster, settings)?));
    }
    if settings.containers {
        sources.push(Box::new(k3s::leftovers::Leftovers::new(settings.run.clone())));
    }
    if sources.is_empty() {
        sources.push(Box::new(Names::default()));
        sources.push(Box::new(temporary::Leftovers::default()));
    }
    let mut exit = Exit::Passed;
    for source in &mut sources {
        let place = source.place();
        let found = runtime.block_on(source.find());
        let found = found.map_err(|source| Failure::Environment { what: format!("cannot look at {place}"), source })?;
        if found.is_empty() {
            printer.line(format_args!("nothing is left on {place}"));
            continue;
        }
        printer.line(format_args!("left on {place}:"));
        for line in table(&found) {
            printer.line(line);
        }
        if settings.dry_run {
            continue;
        }
        let stays = runtime.block_on(source.remove());
        if stays.is_empty() {
            printer.line(format_args!("removed {}", found.len()));
            continue;
        }
        for line in &stays {
            printer.note(format_args!("stays: {line}"));
        }
        if !settings.force {
            printer.note("--force takes off whatever finalizer holds it");
        }
        exit = Exit::Failed;
    }
    Ok(exit)
}

fn on_cluster(
    runtime: &Runtime,
    cluster: &kubeconfig::Settings,
    settings: &CleanSettings,
) -> Result<Leftovers, Failure> {
    let existing = runtime.block_on(kubeconfig::start(cluster)).map_err(cannot_use)?;
    let access = existing.access();
    // A client lives on the runtime that it is made on.
    let client = runtime.block_on(async { access.client() });
    let client = client
        .map_err(|source| Failure::Environment { what: "cannot use the cluster".to_owned(), source: source.into() })?;
    let mut ours = target::finalizers();
    ours.extend(settings.force.then(|| ANY.to_owned()));
    Ok(Leftovers::new(Sweeper { client, run: settings.run.clone(), ours }, access.context))
}

/// A line each, in columns.
fn table(found: &[Found]) -> Vec<String> {
    let kinds = found.iter().map(|one| one.kind.chars().count()).max().unwrap_or_default();
    let names = found.iter().map(|one| one.name.chars().count()).max().unwrap_or_default();
    let line = |one: &Found| {
        let run = if one.run.is_empty() { String::new() } else { format!("run {}", one.run) };
        format!("  {:kinds$}  {:names$}  {run}", one.kind, one.name).trim_end().to_owned()
    };
    found.iter().map(line).collect()
}
