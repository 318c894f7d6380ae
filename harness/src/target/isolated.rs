//! A cluster for each scenario: started when the scenario begins, and put away with it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::fit::{Offer, misfit};
use super::machines::Machines;
use super::{OnCluster, Placed, RaiseError, Raised, Remains, Stage, Terms};
use crate::chain::chain;
use crate::cluster::access::Provider;
use crate::scenario::plan::Plan;
use crate::sim::seed::RunId;

type Trouble = Box<dyn Error + Send + Sync>;

/// Starts a cluster.
pub type Provide = Box<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Provider>, Trouble>> + Send + Sync>;

/// Clusters from a provider, one at a time.
pub struct Isolated {
    provide: Provide,
    run: RunId,
    placed: Placed,
    /// That of the scenario that is under way.
    current: Mutex<Option<Current>>,
}

/// A cluster, and what a scenario makes on it.
struct Current {
    provider: Box<dyn Provider>,
    stage: Arc<OnCluster>,
}

impl Isolated {
    /// Clusters that `provide` starts, for this run.
    pub fn new(provide: Provide, run: RunId, placed: Placed) -> Self {
        Self { provide, run, placed, current: Mutex::default() }
    }

    async fn start(&self, plan: &Plan, terms: Terms) -> Result<Raised, RaiseError> {
        // A cluster is not started only to find that it does not do.
        let deployed = self.placed == Placed::Deployed;
        if let Some(why) = misfit(plan, Offer { callback: true, deployed, nodes: Machines::Unknown }) {
            return Err(RaiseError::NotHere(why));
        }
        let provider = (self.provide)().await.map_err(RaiseError::because("start a cluster for it"))?;
        let stage = Arc::new(OnCluster::new(provider.access(), self.run.clone(), self.placed));
        *self.current.lock().await = Some(Current { provider, stage: Arc::clone(&stage) });
        Stage::raise(&*stage, plan, terms).await
    }

    async fn end(&self, raised: Option<Raised>) -> Result<(), Remains> {
        let Some(Current { provider, stage }) = self.current.lock().await.take() else { return Ok(()) };
        let cleared = stage.clear(raised).await;
        match provider.stop().await {
            // What was made on it has gone with it.
            Ok(()) => Ok(()),
            Err(error) => {
                let message = "its cluster cannot be put away".to_owned();
                let mut lines = vec![chain(&*error)];
                lines.extend(cleared.err().map(|remains| remains.lines).unwrap_or_default());
                Err(Remains { message, lines })
            }
        }
    }
}

impl fmt::Debug for Isolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolated").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Stage for Isolated {
    fn raise<'a>(&'a self, plan: &'a Plan, terms: Terms) -> BoxFuture<'a, Result<Raised, RaiseError>> {
        self.start(plan, terms).boxed()
    }

    fn clear(&self, raised: Option<Raised>) -> BoxFuture<'_, Result<(), Remains>> {
        self.end(raised).boxed()
    }

    fn farewell(&self) -> Duration {
        super::on_cluster::FAREWELL
    }
}
