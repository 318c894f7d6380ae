//! Graceful drain: Pods that a vertical autoscaler evicts leave without losing a request.
//!
//! ```text
//! eviction → gate: 429, and a note on the Pod → out of its Services → no connections, or the deadline → it may pass
//! deletion → finalizer keeps the object       → no connections, or the deadline, or nothing runs → it is let go
//! ```
//!
//! A look at a Pod is five steps: `intent` decides what the Pod and the configuration alone can decide, `observe` asks
//! the API server for the rest, `plan` decides with it, `apply` writes once, and Events and metrics tell of it. The
//! Pod's annotations are the only state, so any replica goes on where another ended. Guarantees:
//!
//! - A Pod that is not to be held any more is let go, whatever else cannot be read: its deadline has passed, it has
//!   ended, nobody selects it, its namespace is out, the configuration is bad.
//! - Not knowing is never "no connections".
//! - Pods of a `StatefulSet` leave one at a time; no budget is overdrawn by taking Pods out of their Services.

mod apply;
pub mod configuration;
pub mod configured;
pub mod connections;
mod decide;
pub mod gate;
mod intent;
mod isolate;
mod measures;
mod memory;
#[cfg(test)]
mod mock;
pub mod namespaces;
mod notices;
mod observe;
pub mod overrides;
pub mod pattern;
mod plan;
pub mod pod;
mod ready;
mod release;
pub mod selection;
mod sizes;
#[cfg(test)]
mod tests;
mod turn;
mod wiring;
pub mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::apply::Applied;
use self::configured::{Configured, Standing};
use self::intent::{Intent, View, later};
use self::measures::Measures;
use self::memory::Memory;
use self::pod::Pod;
use self::turn::{Peer, are_peers};
use crate::kit::admission::Reviewer;
use crate::kit::backoff::Backoff;
use crate::kit::clock::Clock;
use crate::kit::controller::Failure;
use crate::kit::manager::Manager;
use crate::kit::report::Reporter;

pub use self::decide::{Asked, Decider};
pub use release::{Reach, Released, StillHeld, release_all};

/// The name in logs, Events and metrics.
const CONTROLLER: &str = "drain";
/// Of everything this controller writes.
const FIELD_MANAGER: &str = "slipway-operator/drain";

/// Every source of connections may take its time, and there are a handful of calls besides.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);

/// Waits between looks that fail. Short, because a Pod is held meanwhile, and its deadline may pass.
const ERROR_BACKOFF: Backoff = Backoff { min: Duration::from_millis(500), max: Duration::from_secs(30) };

/// Settings of the drain controller: where its configuration is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The `ConfigMap` with the configuration.
    pub config_map_name: String,
    /// The namespace it is in; the operator's own, unless the operator is given rights elsewhere.
    pub config_map_namespace: String,
    /// How many Pods are looked at at the same time.
    pub concurrency: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config_map_name: "vpa-graceful-drain-config".to_owned(),
            config_map_namespace: "slipway-system".to_owned(),
            // A look that asks every source in vain takes twenty seconds, and a thousand Pods may be evicted at once.
            concurrency: 64,
        }
    }
}

/// The controller, not yet running.
pub struct Drain {
    manager: Manager,
    settings: Settings,
    measures: Measures,
    configured: Configured,
    configure: Option<watch::Sender<Option<Standing>>>,
}

impl Drain {
    /// A controller with these settings.
    pub fn new(manager: Manager, settings: Settings) -> Self {
        let (configure, configured) = Configured::channel();
        Self { measures: Measures::new(&manager.metrics), manager, settings, configured, configure: Some(configure) }
    }

    /// What judges evictions, for the webhook server. Works on every replica, leader or not.
    pub fn reviewers(&self) -> Vec<Arc<dyn Reviewer>> {
        gate::reviewers(&self.manager, &self.configured, &self.measures)
    }

    /// What every replica does, leader or not: it follows the configuration, by which its reviewers judge. The first
    /// call gives it.
    pub fn everywhere(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let configure = self.configure.take()?;
        Some(configured::follow(self.manager.clone(), self.settings.clone(), self.measures.clone(), configure))
    }

    /// Runs the controller until it is told to stop. It waits until [`Drain::everywhere`] knows the configuration.
    pub async fn run(self) {
        let Self { manager, settings, measures, configured, configure: _ } = self;
        wiring::run(manager, settings, measures, configured).await;
    }
}

/// The labels of every namespace.
type Namespaces = Store<PartialObjectMeta<Namespace>>;

/// What every look works with.
struct Ctx {
    client: Client,
    clock: Clock,
    reporter: Reporter,
    configured: Configured,
    measures: Measures,
    namespaces: Namespaces,
    /// Every Pod.
    pods: Store<Pod>,
    memory: Memory,
}

impl Ctx {
    /// The Pods that there is something to do about, of one namespace or of all.
    fn of_interest(&self, namespace: Option<&str>) -> Vec<ObjectRef<Pod>> {
        let Some(standing) = self.configured.now() else { return Vec::new() };
        let pods = self.pods.state();
        let within = pods.iter().filter(|pod| namespace.is_none() || pod.metadata.namespace.as_deref() == namespace);
        let found = within.filter(|pod| is_of_interest(pod, &standing, &self.namespaces));
        found.map(|pod| ObjectRef::from_obj(&**pod)).collect()
    }

    /// The other Pods of a Pod's set, where its Pods take turns.
    fn peers(&self, pod: &Pod) -> Vec<Peer> {
        if !workload::Workload::of(pod).policy().takes_turns {
            return Vec::new();
        }
        self.pods.state().iter().filter(|other| are_peers(pod, other)).map(|other| Peer::of(other)).collect()
    }
}

/// The labels of a Pod's namespace, where it is known.
fn labels(namespaces: &Namespaces, pod: &Pod) -> Option<BTreeMap<String, String>> {
    let found = namespaces.get(&ObjectRef::new(pod.metadata.namespace.as_deref().unwrap_or_default()))?;
    Some(found.metadata.labels.clone().unwrap_or_default())
}

/// Whether there is anything to do about a Pod, now or later.
fn is_of_interest(pod: &Pod, standing: &Standing, namespaces: &Namespaces) -> bool {
    let labels = labels(namespaces, pod);
    if labels.is_none() && standing.configuration.namespaces.goes_by_labels() {
        return true;
    }
    let view = View { pod, standing, namespace_labels: &labels.unwrap_or_default(), peers: &[] };
    // No deadline has passed at the beginning of time, so whoever waits for one is still waiting.
    let (intent, problems) = intent::intent(view, Timestamp::UNIX_EPOCH);
    intent != Intent::Rest(None) || !problems.is_empty()
}

/// Why a look failed: one variant a step.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to observe")]
    Observe(#[source] observe::Error),
    #[error("failed to apply")]
    Apply(#[source] apply::Error),
}

impl Failure for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Apply(_) => "apply",
        }
    }

    fn is_conflict(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_conflict(),
            Self::Observe(_) => false,
        }
    }
}

/// One look at one Pod.
async fn reconcile(pod: Arc<Pod>, ctx: Arc<Ctx>) -> Result<Action, Error> {
    let Some(standing) = ctx.configured.now() else { return Ok(Action::await_change()) };
    let now = ctx.clock.now();
    let labels = observe::labels(&ctx, &pod, &standing.configuration).await.map_err(Error::Observe)?;
    let peers = ctx.peers(&pod);
    let view = View { pod: &pod, standing: &standing, namespace_labels: &labels, peers: &peers };
    // Pure.
    let (intent, problems) = intent::intent(view, now);
    complain(&ctx, &pod, &problems).await;
    let (step, wake) = match intent {
        Intent::Rest(wake) => (None, wake),
        Intent::Do(step) => (Some(step), None),
        Intent::Drain(drain) => {
            // Reads.
            let questions = plan::questions(&drain, &pod, now);
            let facts = observe::observe(&ctx, &drain, &pod, &peers, questions, now).await.map_err(Error::Observe)?;
            // Pure. Asking took its time.
            let now = ctx.clock.now();
            let plan = plan::plan(&drain, &pod, &peers, &facts, &standing.configuration, now);
            tell(&ctx, &pod, &drain, &facts, &plan).await;
            (plan.step, Some(plan.wake))
        }
    };
    // Writes.
    let wake = match step {
        None => wake,
        Some(step) => {
            let recheck = later(now, standing.configuration.recheck);
            let applied = apply::apply(&ctx, &pod, step, ctx.clock.now()).await.map_err(Error::Apply)?;
            // What was written comes back as a change, and is looked at then.
            (applied == Applied::NotNow).then_some(recheck)
        }
    };
    let now = ctx.clock.now();
    Ok(wake.map_or_else(Action::await_change, |wake| {
        Action::requeue(wake.duration_since(now).try_into().unwrap_or_default())
    }))
}

/// Says what is wrong with a Pod's annotations, once.
async fn complain(ctx: &Ctx, pod: &Pod, problems: &[configuration::Problem]) {
    let uid = pod.uid().unwrap_or_default();
    for problem in problems {
        let notice = notices::bad_override(problem);
        if ctx.memory.is_news(&uid, &notice.note) {
            ctx.measures.bad_override(&problem.key);
            ctx.reporter.publish(&pod.object_ref(&()), &notice).await;
        }
    }
    let pods = &ctx.pods;
    ctx.memory.sweep(pods.len(), |uid| pods.find(|pod| pod.metadata.uid.as_deref() == Some(uid)).is_some());
}

/// Says what a drain waits for, once for each kind of thing, and what could not be read.
async fn tell(ctx: &Ctx, pod: &Pod, drain: &intent::Drain, facts: &plan::Facts, plan: &plan::Plan) {
    let uid = pod.uid().unwrap_or_default();
    if let Some(reading) = &facts.reading {
        ctx.measures.probed(reading);
        if let Some(notice) = notices::unreadable(reading).filter(|notice| ctx.memory.is_news(&uid, &notice.note)) {
            ctx.reporter.publish(&pod.object_ref(&()), &notice).await;
        }
    }
    if let Some(waits) = &plan.waits {
        let notice = notices::waiting(drain, waits);
        // Numbers of connections change all the time.
        let news = (
            &notice.reason,
            drain.requested.as_nanosecond(),
            matches!(waits, plan::Waits::Turn(_)).then_some(&notice.note),
            // That nobody has counted them yet is another thing.
            facts.reading.is_some(),
        );
        if ctx.memory.is_news(&uid, &news) {
            ctx.reporter.publish(&pod.object_ref(&()), &notice).await;
        }
    }
}
