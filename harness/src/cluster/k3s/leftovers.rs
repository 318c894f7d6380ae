//! The Docker engine as a place where killed runs have left containers. Those of runs that are still under way on this
//! machine are left alone.

use std::error::Error;
use std::fs;

use futures::FutureExt;
use futures::future::BoxFuture;
use testcontainers_modules::testcontainers::bollard::models::ContainerSummary;

use super::engine::Engine;
use crate::chain::chain;
use crate::clean::{Found, Source};
use crate::cluster::access::RUN_LABEL;
use crate::sim::seed::RunId;

/// The label of the process that looks after a container.
pub(super) const KEEPER_LABEL: &str = "slipway.dev/keeper";

/// The label of a container that is a node of a scenario: the node's name.
pub(super) const NODE_LABEL: &str = "slipway.dev/node";

/// What is left on the engine.
#[derive(Default)]
pub struct Leftovers {
    run: Option<RunId>,
    containers: Vec<(String, String)>,
}

impl Leftovers {
    /// Of this run, or of all.
    pub fn new(run: Option<RunId>) -> Self {
        Self { run, containers: Vec::new() }
    }

    async fn look(&mut self) -> Result<Vec<Found>, Box<dyn Error + Send + Sync>> {
        let all = Engine::connect().await?.containers(self.run.as_ref()).await?;
        let left = all.into_iter().filter(|container| !is_kept(&label(container, KEEPER_LABEL)));
        let mut found = Vec::new();
        self.containers.clear();
        for container in left {
            let name = container.names.iter().flatten().next().map(|name| name.trim_start_matches('/').to_owned());
            let id = container.id.clone().unwrap_or_default();
            let name = name.unwrap_or_else(|| id.clone());
            found.push(Found { kind: "container".to_owned(), name: name.clone(), run: label(&container, RUN_LABEL) });
            self.containers.push((id, name));
        }
        Ok(found)
    }

    async fn clear(&mut self) -> Vec<String> {
        let engine = match Engine::connect().await {
            Ok(engine) => engine,
            Err(error) => return vec![chain(&error)],
        };
        let mut stays = Vec::new();
        for (id, name) in self.containers.drain(..) {
            if let Err(error) = engine.remove(&id).await {
                stays.push(format!("container {name}: {}", chain(&error)));
            }
        }
        stays
    }
}

impl Source for Leftovers {
    fn place(&self) -> String {
        "the Docker engine".to_owned()
    }

    fn find(&mut self) -> BoxFuture<'_, Result<Vec<Found>, Box<dyn Error + Send + Sync>>> {
        self.look().boxed()
    }

    fn remove(&mut self) -> BoxFuture<'_, Vec<String>> {
        self.clear().boxed()
    }
}

fn label(container: &ContainerSummary, name: &str) -> String {
    container.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default()
}

/// This process, told from every other one that this machine ever had under its number.
pub(super) fn keeper() -> String {
    let id = std::process::id();
    began(id).map(|began| format!("{id}-{began}")).unwrap_or_default()
}

/// Whether a container's keeper is still there.
fn is_kept(keeper: &str) -> bool {
    let Some((id, began_then)) = keeper.split_once('-') else { return false };
    id.parse().ok().and_then(began).is_some_and(|began| began == began_then)
}

/// When a process began: the 22nd word of what the kernel says of it, whose second one may hold spaces.
fn began(id: u32) -> Option<String> {
    const AFTER_NAME: usize = 19;
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(AFTER_NAME).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_of_a_run_that_is_under_way_are_left_alone() {
        assert!(is_kept(&keeper()));
        for gone in ["", "0", "4294967295-1", &format!("{}-0", std::process::id())] {
            assert!(!is_kept(gone), "{gone}");
        }
    }
}
