//! A scenario ready to run: checked, its manifests read, its expressions compiled, every step with its place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::diagnostic::{Place, SourceFile};
use super::expression::{Bindings, Expression};
use super::forms::{Count, Pattern};
use super::image::Image;
use super::model::{
    EventPattern, ExpectError, ExpectFile, ExpectLink, Fault, Needs, OperatorAction, PatchType, PortRef, Propagation,
    Regarding, Script, Time, Verdict,
};
use super::node::{Isolation, NodeSpec};
use super::operator::{OperatorPlan, Which};
use crate::sli::selector::Selector;

/// A scenario ready to run.
#[derive(Debug)]
pub struct Plan {
    /// File and name: what filters match and reports are ordered by.
    pub title: String,
    /// The name alone.
    pub name: String,
    /// Why it is there.
    pub description: Option<String>,
    /// The file it stands in.
    pub file: SourceFile,
    /// Where it begins.
    pub place: Place,
    /// The clock.
    pub time: Time,
    /// What it needs beyond what every cluster has.
    pub needs: Needs,
    /// The seed, where the scenario insists on one.
    pub seed: Option<u64>,
    /// How long all of it may take on its clock.
    pub timeout: Duration,
    /// The namespace of everything that does not say otherwise.
    pub namespace: String,
    /// Values by name.
    pub bindings: Bindings,
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// What their networks are made of, and those of nodes that come later.
    pub isolation: Isolation,
    /// What stands in for images of others.
    pub images: Vec<Image>,
    /// What befalls requests.
    pub faults: Vec<Fault>,
    /// The operator.
    pub operator: Option<OperatorPlan>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Gives steps this many times as long to come true: limits that suit virtual time are tight where machines and networks
    /// take theirs. What must stay so is looked at no longer than before.
    pub fn be_patient(&mut self, factor: u32) {
        for step in &mut self.steps {
            if let Some(within) = step.action.within_mut() {
                *within = within.saturating_mul(factor);
            }
        }
    }

    /// What of it is a program of its own, which lives in real time: a script, or the operator.
    pub fn outsider(&self) -> Option<&'static str> {
        let has_script = self.steps.iter().any(|step| matches!(step.action, Action::Script { .. }));
        match self.operator.as_ref().map(|operator| &operator.which) {
            Some(Which::Command(_)) => Some("a command as its operator"),
            _ => has_script.then_some("a script"),
        }
    }
}

/// A step ready to run.
#[derive(Debug)]
pub struct Step {
    /// What reports call it.
    pub title: String,
    /// Where it stands.
    pub place: Place,
    /// What happens.
    pub action: Action,
}

/// What happens in a step.
#[derive(Debug)]
pub enum Action {
    /// Server-side apply.
    Apply {
        /// The objects.
        manifests: Vec<Value>,
        /// The field manager.
        field_manager: String,
        /// Take fields over.
        force: bool,
        /// How the server must refuse.
        expect_error: Option<ExpectError>,
    },
    /// Create.
    Create {
        /// The objects.
        manifests: Vec<Value>,
        /// How the server must refuse.
        expect_error: Option<ExpectError>,
    },
    /// Patch one object.
    Patch {
        /// The object.
        target: Target,
        /// The kind of patch.
        strategy: PatchType,
        /// The subresource.
        subresource: Option<String>,
        /// The patch.
        patch: Value,
        /// How the server must refuse.
        expect_error: Option<ExpectError>,
    },
    /// Delete objects.
    Delete {
        /// The objects.
        target: Target,
        /// What becomes of dependents.
        propagation: Option<Propagation>,
        /// Seconds until the object is killed.
        grace_period_seconds: Option<u32>,
        /// How the server must refuse.
        expect_error: Option<ExpectError>,
    },
    /// Ask for evictions.
    Evict {
        /// The Pods.
        target: Target,
        /// How, and what must come of it.
        eviction: Eviction,
    },
    /// Wait until objects are so.
    Expect {
        /// The objects.
        target: Target,
        /// How they must be.
        condition: Condition,
        /// How many.
        count: Count,
        /// How long it may take.
        within: Duration,
        /// New bindings.
        bind: Vec<(String, Expression)>,
    },
    /// No object may be so.
    Never {
        /// The objects.
        target: Target,
        /// How they must not be.
        condition: Condition,
        /// How many are too many.
        count: Count,
        /// How long to look; to the end where it is not said.
        duration: Option<Duration>,
    },
    /// Objects must stay so.
    Consistently {
        /// The objects.
        target: Target,
        /// How they must be.
        condition: Condition,
        /// How many; all, and at least one, where it is not said.
        count: Option<Count>,
        /// How long.
        duration: Duration,
    },
    /// Wait until objects are gone.
    ExpectGone {
        /// The objects.
        target: Target,
        /// How long it may take.
        within: Duration,
    },
    /// Wait until a file is so.
    ExpectFile {
        /// The file.
        file: ExpectFile,
        /// How long it may take.
        within: Duration,
    },
    /// Wait until a link is so.
    ExpectLink {
        /// The link.
        link: ExpectLink,
        /// How long it may take.
        within: Duration,
    },
    /// Wait until Events were recorded.
    ExpectEvents {
        /// What they are about.
        regarding: Regarding,
        /// The Events.
        events: Vec<EventPattern>,
        /// How long it may take.
        within: Duration,
    },
    /// Wait until the operator's metrics are so.
    ExpectMetric {
        /// The series.
        series: Selector,
        /// Their sum.
        value: Count,
        /// How long it may take.
        within: Duration,
    },
    /// Crash, stop, start or uninstall the operator.
    Operator(OperatorAction),
    /// Let time pass.
    Advance(Duration),
    /// Run a command.
    Script {
        /// The command.
        script: Script,
        /// How long it may take.
        timeout: Duration,
    },
    /// Start requests to a Service.
    StartTraffic {
        /// Under which name.
        name: String,
        /// Which.
        spec: TrafficSpec,
    },
    /// Stop requests.
    StopTraffic {
        /// Of which name.
        name: String,
        /// What their counters must be.
        that: Vec<Expression>,
        /// What later steps need to know of them.
        bind: Vec<(String, Expression)>,
    },
    /// Add a node.
    AddNode(Box<NodeSpec>),
    /// Remove a node.
    RemoveNode(String),
}

impl Action {
    /// How long the action may take to come true.
    fn within_mut(&mut self) -> Option<&mut Duration> {
        match self {
            Self::Expect { within, .. }
            | Self::ExpectGone { within, .. }
            | Self::ExpectFile { within, .. }
            | Self::ExpectLink { within, .. }
            | Self::ExpectEvents { within, .. }
            | Self::ExpectMetric { within, .. } => Some(within),
            Self::Evict { eviction, .. } => Some(&mut eviction.within),
            _ => None,
        }
    }

    /// The time the action takes in any case.
    pub fn duration(&self) -> Duration {
        match self {
            Self::Advance(duration)
            | Self::Consistently { duration, .. }
            | Self::Never { duration: Some(duration), .. } => *duration,
            _ => Duration::ZERO,
        }
    }
}

/// How evictions are asked for, and what must come of them.
#[derive(Clone, Debug)]
pub struct Eviction {
    /// Who asks; an administrator where nobody is named.
    pub user: Option<String>,
    /// Groups of whoever asks.
    pub groups: Vec<String>,
    /// Seconds until the Pod is killed.
    pub grace_period_seconds: Option<u32>,
    /// What the API server must say.
    pub expect: Verdict,
    /// What the refusal contains.
    pub message: Option<Pattern>,
    /// When it must be said to be worth asking again.
    pub retry_after: Option<Duration>,
    /// How often to ask again.
    pub every: Option<Duration>,
    /// How long to ask again.
    pub within: Duration,
}

/// Requests to a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficSpec {
    /// The Service.
    pub service: String,
    /// Its namespace, where it is not the scenario's.
    pub namespace: Option<String>,
    /// Its port; the only one where it is not said.
    pub port: Option<PortRef>,
    /// The paths of the requests, which every client takes in turn.
    pub paths: Vec<String>,
    /// How many clients.
    pub clients: u32,
    /// How long each waits between an answer and its next request.
    pub pause: Duration,
    /// How many requests a connection carries.
    pub requests_per_connection: u32,
    /// How long a client waits for an answer.
    pub timeout: Duration,
    /// How long until clients know that the endpoints have changed.
    pub propagation: Duration,
}

/// Which objects are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The resource, in any way kubectl takes it.
    pub resource: String,
    /// The name.
    pub name: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The namespace, where it is not the scenario's.
    pub namespace: Option<String>,
}

/// How objects are to be.
#[derive(Debug, Default)]
pub struct Condition {
    /// A partial object.
    pub object: Option<Value>,
    /// Expressions that must all hold.
    pub that: Vec<Expression>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource)?;
        if let Some(name) = &self.name {
            write!(f, "/{name}")?;
        }
        if !self.labels.is_empty() {
            let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            write!(f, " with {}", labels.join(","))?;
        }
        Ok(())
    }
}
