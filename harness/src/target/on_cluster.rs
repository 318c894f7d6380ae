//! A cluster that is not ours alone, with the built-in operator in this process: what scenarios need is made on it under
//! the run's label, and removed when each has ended.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{RaiseError, Raised, Stage, Terms};
use crate::cluster::access::Access;
use crate::scenario::plan::Plan;
use crate::sim::seed::RunId;

/// A cluster behind an [`Access`].
#[derive(Clone, Debug)]
pub struct OnCluster {
    access: Access,
    run: RunId,
}

impl OnCluster {
    /// The cluster there, for this run.
    pub fn new(access: Access, run: RunId) -> Self {
        Self { access, run }
    }
}

impl Stage for OnCluster {
    fn raise<'a>(&'a self, plan: &'a Plan, _: Terms) -> BoxFuture<'a, Result<Raised, RaiseError>> {
        async move {
            let (context, run) = (&self.access.context, &self.run);
            Err(RaiseError::NotHere(format!("{} cannot run on {context} yet (run {run})", plan.name)))
        }
        .boxed()
    }
}
