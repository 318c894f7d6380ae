//! A cluster as a place where killed runs have left things.

use std::error::Error;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::sweep::{Made, Sweeper};
use crate::clean::{Found, Source};

/// How long things may take to go, in each rank. Half of it is for an operator that may still run there.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is left on a cluster.
pub struct Leftovers {
    sweeper: Sweeper,
    context: String,
    made: Vec<Made>,
}

impl Leftovers {
    /// On the cluster of this context.
    pub fn new(sweeper: Sweeper, context: String) -> Self {
        Self { sweeper, context, made: Vec::new() }
    }
}

impl Source for Leftovers {
    fn place(&self) -> String {
        format!("the cluster of {}", self.context)
    }

    fn find(&mut self) -> BoxFuture<'_, Result<Vec<Found>, Box<dyn Error + Send + Sync>>> {
        async {
            self.made = self.sweeper.find().await?;
            let found = |one: &Made| Found { kind: one.resource.kind.clone(), name: one.place(), run: one.run.clone() };
            Ok(self.made.iter().map(found).collect())
        }
        .boxed()
    }

    fn remove(&mut self) -> BoxFuture<'_, Vec<String>> {
        async { self.sweeper.remove(&self.made, PATIENCE).await }.boxed()
    }
}
