//! A cluster that is not ours alone, with the built-in operator in this process or one that is deployed there: what
//! scenarios need is made on it under the run's label, and removed when each has ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, try_join_all};
use kube::Client;
use slipway_operator::kit::clock::Clock as OperatorClock;
use slipway_operator::runtime::rbac::NAMESPACE;
use slipway_operator::runtime::{Doors, Settings};

use super::callback::Callback;
use super::fit::{Offer, misfit};
use super::in_process::{InProcess, settings};
use super::install::{Asked, Installer};
use super::machines::Machines;
use super::{Operator, RaiseError, Raised, Remains, Stage, Terms, agent, can_isolate, command, deployed, finalizers};
use crate::chain::chain;
use crate::cluster::Cluster;
use crate::cluster::access::Access;
use crate::cluster::foreign::sweep::{Made, Rank, Sweeper};
use crate::cluster::foreign::{self, claim};
use crate::scenario::node::NodeSpec;
use crate::scenario::operator::Which;
use crate::scenario::plan::Plan;
use crate::sim::seed::RunId;

/// How long what a scenario has made may take to go, in each rank: an operator and its agents may clean up meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long putting a scenario away may take in all: its ranks one after the other.
pub(super) const FAREWELL: Duration = Duration::from_mins(3);

/// The namespace of scenarios that say none.
const DEFAULT: &str = "default";

/// A namespace's name is a label.
const NAME_MAX: usize = 63;

/// Which operator it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placed {
    /// The built-in one, in this process.
    #[default]
    InProcess,
    /// One that runs on the cluster already.
    Deployed,
}

/// A cluster behind an [`Access`].
#[derive(Debug)]
pub struct OnCluster {
    access: Access,
    run: RunId,
    placed: Placed,
    /// The nodes and the callback of the scenario that is under way: one at a time.
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    cluster: Arc<foreign::Cluster>,
    callback: Option<Callback>,
}

impl OnCluster {
    /// The cluster there, for this run.
    pub fn new(access: Access, run: RunId, placed: Placed) -> Self {
        Self { access, run, placed, current: Mutex::default() }
    }

    async fn raise(&self, plan: &Plan, terms: Terms) -> Result<Raised, RaiseError> {
        let callback = self.access.callback;
        let nodes = match &self.access.nodes {
            Some(nodes) => Machines::Real { images: nodes.have_images() },
            None => Machines::Simulated,
        };
        let offer = Offer { callback: callback.is_some(), deployed: self.placed == Placed::Deployed, nodes };
        if let Some(why) = misfit(plan, offer) {
            return Err(RaiseError::NotHere(why));
        }
        can_isolate(plan)?;
        let cluster =
            foreign::Cluster::new(self.access.clone(), self.run.clone(), agent::programs(&plan.images), plan.isolation);
        let cluster = Arc::new(cluster.map_err(RaiseError::because("use the cluster"))?);
        self.keep(Some(Current { cluster: Arc::clone(&cluster), callback: None }));
        let client = cluster.client();
        let namespace = match plan.namespace.as_str() {
            DEFAULT => own_namespace(&plan.name, &self.run),
            named => named.to_owned(),
        };
        self.claim(&client, &namespace).await?;
        let which = plan.operator.as_ref().filter(|_| self.placed == Placed::InProcess).map(|operator| &operator.which);
        let operator = match which {
            Some(Which::BuiltIn(spec)) => {
                let settings = settings(spec)?;
                self.claim(&client, NAMESPACE).await?;
                self.nobody_else(&client, &settings).await?;
                let doors = Doors::default();
                let asked = match callback {
                    Some(address) => {
                        let callback = Callback::open(address, doors.webhooks.clone()).await;
                        let callback = callback.map_err(RaiseError::because("be asked by the API server"))?;
                        let (base, authority) = (callback.base.clone(), callback.authority.clone());
                        self.keep(Some(Current { cluster: Arc::clone(&cluster), callback: Some(callback) }));
                        Asked::Url { base, authority }
                    }
                    None => Asked::Nobody,
                };
                let installer = Installer { client: &client, run: Some(&self.run) };
                installer.install(&settings, &namespace, &asked).await?;
                let clock = OperatorClock::starting_at(terms.epoch);
                let operator = InProcess::new(&*cluster, spec.identity, settings, clock, doors);
                Some(Box::new(operator) as Box<dyn Operator>)
            }
            Some(Which::Command(program)) => {
                let cluster = Arc::clone(&cluster) as Arc<dyn Cluster>;
                Some(command::put(program, plan, &namespace, &cluster, &terms).await?)
            }
            Some(Which::Deployed(deployed)) => {
                let cluster = Arc::clone(&cluster) as Arc<dyn Cluster>;
                Some(deployed::put(deployed, &namespace, &cluster).await?)
            }
            None => None,
        };
        // Real ones take their time, all at once.
        try_join_all(plan.nodes.iter().map(|node| add(&cluster, node))).await?;
        Ok(Raised { cluster, operator, namespace })
    }

    async fn claim(&self, client: &Client, namespace: &str) -> Result<(), RaiseError> {
        let claimed = claim::namespace(client, &self.run, namespace).await;
        claimed.map_err(RaiseError::because(format!("have the namespace {namespace}")))
    }

    /// Objects of others are nobody's business here: the operator would act on them.
    async fn nobody_else(&self, client: &Client, settings: &Settings) -> Result<(), RaiseError> {
        let sweeper = self.sweeper(client.clone());
        for definition in settings.controllers.iter().flat_map(|controller| controller.crds()) {
            let others = sweeper.instances_of_others(&definition).await;
            let others = others.map_err(RaiseError::because("see whom else the operator would serve"))?;
            if let Some(one) = others.first() {
                let kind = &definition.spec.names.kind;
                let why = format!(
                    "{kind} {one} and {} more are there and not ours: choose another cluster, or `--operator deployed`",
                    others.len() - 1
                );
                return Err(RaiseError::because("start the operator in this process")(why));
            }
        }
        Ok(())
    }

    /// Removes everything that the scenario has made: first what the operator may have to clean up after, while it runs.
    async fn put_away(&self, raised: Option<Raised>) -> Result<(), Remains> {
        let Some(mut current) = self.keep(None) else { return Ok(()) };
        // One of this runtime: the scenario's own may have ended with a panic.
        let client = self
            .access
            .client()
            .map_err(|error| self.remains("the cluster cannot be used any more", vec![chain(&error)]))?;
        let mut sweeper = self.sweeper(client);
        if raised.is_none() && self.placed == Placed::InProcess {
            // Its operator ended with it, and nobody else takes its finalizers off.
            sweeper.ours = finalizers();
        }
        let mut operator = raised.and_then(|raised| raised.operator);
        let mut stays = Vec::new();
        let made = self.made(&sweeper).await?;
        let (custom, _): (Vec<Made>, Vec<Made>) = made.into_iter().partition(|one| one.rank == Rank::Custom);
        if !custom.is_empty() {
            if let Some(operator) = &mut operator {
                operator.start();
            }
            let held = sweeper.remove(&custom, PATIENCE).await;
            if !held.is_empty() {
                // What was to be cleaned up on the nodes goes with them.
                for node in current.cluster.nodes() {
                    drop(current.cluster.remove_node(&node).await);
                }
                stays = sweeper.remove(&custom, PATIENCE).await;
            }
        }
        if let Some(operator) = &mut operator
            && let Err(why) = operator.uninstall().await
        {
            stays.push(why);
        }
        // Nobody asks any more.
        if let Some(callback) = current.callback.take() {
            callback.close().await;
        }
        let rest = self.made(&sweeper).await?;
        let (nodes, rest): (Vec<Made>, Vec<Made>) = rest.into_iter().partition(|one| one.rank == Rank::Node);
        stays.extend(sweeper.remove(&rest, PATIENCE).await);
        // A real one would register itself again.
        stays.extend(current.cluster.dismiss().await);
        stays.extend(sweeper.remove(&nodes, PATIENCE).await);
        stays.sort();
        stays.dedup();
        if stays.is_empty() { Ok(()) } else { Err(self.remains("what it made on the cluster does not go", stays)) }
    }

    async fn made(&self, sweeper: &Sweeper) -> Result<Vec<Made>, Remains> {
        let asked = tokio::time::timeout(PATIENCE, sweeper.find()).await;
        let why = match asked {
            Ok(Ok(made)) => return Ok(made),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        let server = format!("{}: {why}", self.access.config.cluster_url);
        Err(self.remains("the API server does not say what is left there", vec![server]))
    }

    fn remains(&self, message: &str, mut lines: Vec<String>) -> Remains {
        lines.push(format!("`slipway clean --run {}` removes what is left", self.run));
        Remains { message: message.to_owned(), lines }
    }

    fn sweeper(&self, client: Client) -> Sweeper {
        Sweeper { client, run: Some(self.run.clone()), ours: Vec::new() }
    }

    /// Puts what a scenario holds in place of what was held before.
    fn keep(&self, current: Option<Current>) -> Option<Current> {
        std::mem::replace(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner), current)
    }
}

impl Stage for OnCluster {
    fn raise<'a>(&'a self, plan: &'a Plan, terms: Terms) -> BoxFuture<'a, Result<Raised, RaiseError>> {
        self.raise(plan, terms).boxed()
    }

    fn clear(&self, raised: Option<Raised>) -> BoxFuture<'_, Result<(), Remains>> {
        self.put_away(raised).boxed()
    }

    fn farewell(&self) -> Duration {
        FAREWELL
    }
}

async fn add(cluster: &foreign::Cluster, node: &NodeSpec) -> Result<(), RaiseError> {
    let joined = cluster.join(node.clone()).await;
    joined.map_err(RaiseError::because(format!("add the node {}", node.name)))
}

/// A namespace that nobody else has.
fn own_namespace(scenario: &str, run: &RunId) -> String {
    let room = NAME_MAX - "slipway--".len() - run.0.len();
    let slug: String = scenario.chars().take(room).collect();
    format!("slipway-{}-{run}", slug.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_called_as_its_scenario_and_its_run_within_what_a_name_may_be() {
        let run = RunId("0123456789".to_owned());
        assert_eq!(own_namespace("a-b", &run), "slipway-a-b-0123456789");
        let long = own_namespace(&"long-".repeat(30), &run);
        assert!(long.len() <= NAME_MAX && long.ends_with("-0123456789") && !long.contains("--"), "{long}");
    }
}
