//! The scenario format, as it is written. The JSON schema is generated from these types, files are checked against that
//! schema, and only then read into them: the three cannot disagree.

mod actions;
mod expectations;
mod operator;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::actions::{
    Apply, Create, Delete, Evict, ExpectError, OperatorAction, Patch, PatchType, PortRef, Propagation, Script, Traffic,
    Verdict,
};
pub use self::expectations::{
    Consistently, EventPattern, Expect, ExpectEvents, ExpectFile, ExpectGone, ExpectLink, ExpectMetric, Never,
    PartialLink, Regarding,
};
pub use self::operator::{Identity, OperatorSpec, ReadySpec};
use super::duration::Span;
use super::image::Image;
use super::node::{NodeSpec, Nodes};

/// What an operator is put through, and what must come of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// The version of this format.
    pub api_version: ApiVersion,
    /// Always `Scenario`.
    pub kind: Kind,
    /// What the scenario is called.
    pub metadata: Metadata,
    /// The clock it runs on.
    #[serde(default)]
    pub time: Time,
    /// What it needs that clusters of others may not have; there it is skipped with the reason.
    #[serde(default)]
    pub needs: Needs,
    /// The seed of uids, generated names and jitter; the run's own unless it is given here.
    #[serde(default)]
    pub seed: Option<u64>,
    /// How long the whole scenario may take on its clock; one hour beside `advance` and `for` unless told otherwise.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// The namespace of everything that does not say otherwise; made before the first step.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Values by name: `${name}` in any string below stands for them, and expressions know them as variables.
    #[serde(default)]
    pub bindings: BTreeMap<String, Value>,
    /// The cluster's nodes.
    #[serde(default)]
    pub nodes: Nodes,
    /// What containers run whose image nobody has here; the first that matches counts, behind the images that every
    /// embedded cluster has. Nodes that are no simulated ones pull their images themselves.
    #[serde(default)]
    pub images: Vec<Image>,
    /// What the API server does to requests, from the first step on.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// The operator under test; none leaves the cluster to the steps alone.
    #[serde(default)]
    pub operator: Option<OperatorSpec>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// The versions of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first.
    #[serde(rename = "slipway.dev/v1alpha1")]
    V1Alpha1,
}

/// The kinds of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A scenario.
    Scenario,
}

/// What a scenario is called.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// A slug that reads like a sentence; no two scenarios of a run share one.
    pub name: String,
    /// Why the scenario is there.
    #[serde(default)]
    pub description: Option<String>,
}

/// What a scenario needs of its cluster beyond what every cluster has: each with the reason why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Needs {
    /// Time that passes only when everything that can happen has happened.
    #[serde(default)]
    pub virtual_time: Option<String>,
    /// An API server that reaches into the Pods of simulated nodes: `exec`, `log`, `proxy`.
    #[serde(default)]
    pub pod_access: Option<String>,
}

/// The clock a scenario runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Time {
    /// A clock that jumps to the next timer when nothing else is left to do.
    #[default]
    Virtual,
    /// The machine's clock; scripts need it.
    Real,
}

/// What befalls requests, the operator's and everybody else's. A part that is not given is about every request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Verbs: get, list, watch, create, update, patch, delete, deletecollection.
    #[serde(default)]
    pub verbs: Vec<FaultVerb>,
    /// `plural.group`, or the plural alone in the core group.
    #[serde(default)]
    pub resource: Option<String>,
    /// The subresource; an empty one is the object itself.
    #[serde(default)]
    pub subresource: Option<String>,
    /// How long each request waits before it is carried out.
    pub delay: Span,
}

/// A verb of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the documented verbs of Kubernetes")]
pub enum FaultVerb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// One thing that happens or must hold: a name, and exactly one of the other fields.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// What the step is for, in reports.
    #[serde(default)]
    pub name: Option<String>,
    /// Server-side apply manifests.
    #[serde(default)]
    pub apply: Option<Apply>,
    /// Create objects that must not be there yet.
    #[serde(default)]
    pub create: Option<Create>,
    /// Patch an object.
    #[serde(default)]
    pub patch: Option<Patch>,
    /// Delete objects.
    #[serde(default)]
    pub delete: Option<Delete>,
    /// Ask for the eviction of Pods.
    #[serde(default)]
    pub evict: Option<Evict>,
    /// Wait until objects are as described.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// No object may be as described: during `for`, or from here to the end.
    #[serde(default)]
    pub never: Option<Never>,
    /// Objects must be as described now, and stay so.
    #[serde(default)]
    pub consistently: Option<Consistently>,
    /// Wait until objects are gone.
    #[serde(default)]
    pub expect_gone: Option<ExpectGone>,
    /// Wait until a file on a node is as described.
    #[serde(default)]
    pub expect_file: Option<ExpectFile>,
    /// Wait until a link of a node is as described.
    #[serde(default)]
    pub expect_link: Option<ExpectLink>,
    /// Wait until Events were recorded.
    #[serde(default)]
    pub expect_events: Option<ExpectEvents>,
    /// Wait until the operator's metrics are as described.
    #[serde(default)]
    pub expect_metric: Option<ExpectMetric>,
    /// Crash, stop, start or uninstall the operator.
    #[serde(default)]
    pub operator: Option<OperatorAction>,
    /// Let time pass.
    #[serde(default)]
    pub advance: Option<Span>,
    /// Run a command on this machine against the cluster; needs `time: real`.
    #[serde(default)]
    pub script: Option<Script>,
    /// Start requests to a Service, or stop them and look at what became of them.
    #[serde(default)]
    pub traffic: Option<Traffic>,
    /// Add a node to the cluster.
    #[serde(default)]
    pub add_node: Option<NodeSpec>,
    /// Take a node out of the cluster.
    #[serde(default)]
    pub remove_node: Option<String>,
}

/// The JSON schema of the format.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Scenario);
    schema.insert("$id".to_owned(), "https://slipway.dev/schemas/scenario-v1alpha1.json".into());
    schema.to_value()
}
