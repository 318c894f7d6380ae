//! The scenario format, as it is written. The JSON schema is generated from these types, files are checked against that
//! schema, and only then read into them: the three cannot disagree.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration::Span;
use super::forms::{Count, Exactly, Expressions, Manifest, Pattern, Texts};
use super::node::{LinkSpec, NodeSpec, RouteSpec, RuleSpec};

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
    pub nodes: Vec<NodeSpec>,
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

/// The operator under test.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorSpec {
    /// Which controllers run.
    pub controllers: Vec<String>,
    /// Settings of the operator, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// With whose rights it runs.
    #[serde(default, rename = "as")]
    pub identity: Identity,
    /// Not started before a step says `operator: start`.
    #[serde(default)]
    pub stopped: bool,
}

/// With whose rights the operator runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Identity {
    /// With those of its own service account, as the manifests it is shipped with grant them.
    #[default]
    ServiceAccount,
    /// With an administrator's.
    Admin,
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

/// Manifests to apply.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Apply {
    /// One object, or a list of them.
    #[serde(default)]
    pub manifest: Option<Manifest>,
    /// A file with one or several objects, relative to the scenario.
    #[serde(default)]
    pub file: Option<String>,
    /// The field manager; `slipway` unless told otherwise.
    #[serde(default)]
    pub field_manager: Option<String>,
    /// Take fields over from other managers; yes unless told otherwise.
    #[serde(default)]
    pub force: Option<bool>,
    /// The API server must refuse, like this.
    #[serde(default)]
    pub expect_error: Option<ExpectError>,
}

/// Objects to create.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    /// One object, or a list of them.
    #[serde(default)]
    pub manifest: Option<Manifest>,
    /// A file with one or several objects, relative to the scenario.
    #[serde(default)]
    pub file: Option<String>,
    /// The API server must refuse, like this.
    #[serde(default)]
    pub expect_error: Option<ExpectError>,
}

/// How the API server must refuse.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectError {
    /// The HTTP status code.
    #[serde(default)]
    pub code: Option<u16>,
    /// The reason, like `Invalid` or `AlreadyExists`.
    #[serde(default)]
    pub reason: Option<String>,
    /// A text, or texts, that the message contains.
    #[serde(default)]
    pub message: Option<Pattern>,
}

/// A patch of one object.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// The resource, in any way kubectl takes it: kind, plural, short name, with or without its group.
    pub resource: String,
    /// The object's name.
    pub name: String,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The kind of patch.
    #[serde(default, rename = "type")]
    pub strategy: PatchType,
    /// A subresource, like `status`.
    #[serde(default)]
    pub subresource: Option<String>,
    /// The patch: a partial object, or a list of operations for `json`.
    pub patch: Value,
    /// The API server must refuse, like this.
    #[serde(default)]
    pub expect_error: Option<ExpectError>,
}

/// The kinds of patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PatchType {
    /// RFC 7386.
    #[default]
    Merge,
    /// Kubernetes' own, which knows lists by their keys.
    Strategic,
    /// RFC 6902.
    Json,
}

/// Objects to delete.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// The resource, in any way kubectl takes it.
    pub resource: String,
    /// The object's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels of the objects, where they are not named.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// What becomes of dependents.
    #[serde(default)]
    pub propagation: Option<Propagation>,
    /// Seconds until the object is killed.
    #[serde(default)]
    pub grace_period_seconds: Option<u32>,
    /// The API server must refuse, like this.
    #[serde(default)]
    pub expect_error: Option<ExpectError>,
}

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay.
    Orphan,
}

/// Pods to evict, and what must come of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evict {
    /// The Pod's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels of the Pods, where they are not named.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Who asks, like `system:serviceaccount:kube-system:vpa-updater`; an administrator unless told otherwise. Whoever
    /// it is has an administrator's rights.
    #[serde(default, rename = "as")]
    pub user: Option<String>,
    /// Groups of whoever asks, beside those that every user of its kind is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Seconds until the Pod is killed.
    #[serde(default)]
    pub grace_period_seconds: Option<u32>,
    /// What the API server must say; that it passes unless told otherwise.
    #[serde(default)]
    pub expect: Verdict,
    /// A text, or texts, that the refusal contains.
    #[serde(default)]
    pub message: Option<Pattern>,
    /// When the API server must say that it is worth asking again.
    #[serde(default)]
    pub retry_after: Option<Span>,
    /// Ask again this often while the answer is another 429, as evictors do; once unless told otherwise.
    #[serde(default)]
    pub every: Option<Span>,
    /// How long to ask again; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
}

/// What becomes of an eviction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The Pod is being deleted.
    #[default]
    Passed,
    /// Held while the Pod drains.
    Held,
    /// Refused for another reason, like a disruption budget.
    Refused,
}

impl Verdict {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }
}

/// Objects as they must become.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The resource, in any way kubectl takes it.
    pub resource: String,
    /// The object's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels of the objects.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// A partial object: fields that are not named may be anything, lists must be as long as given; `null` means absent.
    #[serde(default)]
    pub object: Option<Value>,
    /// CEL expressions over `self`, `all` (every selected object) and the bindings; all must hold.
    #[serde(default)]
    pub that: Option<Expressions>,
    /// How many objects must be so, like `3`, `">=2"` or `"<=1"`; at least one unless told otherwise.
    #[serde(default)]
    pub count: Option<Count>,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
    /// New bindings for later steps: name to CEL expression over the object that was found.
    #[serde(default)]
    pub bind: BTreeMap<String, String>,
}

/// Objects as they must never be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Never {
    /// The resource, in any way kubectl takes it.
    pub resource: String,
    /// The object's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels of the objects.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// A partial object.
    #[serde(default)]
    pub object: Option<Value>,
    /// CEL expressions over `self`, `all` (every selected object) and the bindings; all must hold for an object to count.
    #[serde(default)]
    pub that: Option<Expressions>,
    /// How many objects at a time are too many, like `">=2"`; one unless told otherwise.
    #[serde(default)]
    pub count: Option<Count>,
    /// How long to look before the next step; without it the scenario goes on, and looks until its end.
    #[serde(default, rename = "for")]
    pub duration: Option<Span>,
}

/// Objects as they must stay.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consistently {
    /// The resource, in any way kubectl takes it.
    pub resource: String,
    /// The object's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels of the objects.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// A partial object.
    #[serde(default)]
    pub object: Option<Value>,
    /// CEL expressions over `self`, `all` (every selected object) and the bindings; all must hold.
    #[serde(default)]
    pub that: Option<Expressions>,
    /// How many objects must be so; every selected object, and at least one, unless told otherwise.
    #[serde(default)]
    pub count: Option<Count>,
    /// How long.
    #[serde(rename = "for")]
    pub duration: Span,
}

/// Objects that must disappear.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectGone {
    /// The resource, in any way kubectl takes it.
    pub resource: String,
    /// The object's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels of the objects.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
}

/// A file on a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectFile {
    /// The node.
    pub node: String,
    /// The path on the node; with `absent`, its last part may hold `*`.
    pub path: String,
    /// The whole content.
    #[serde(default)]
    pub content: Option<String>,
    /// A text, or texts, that the content contains.
    #[serde(default)]
    pub contains: Option<Pattern>,
    /// The file must not be there.
    #[serde(default)]
    pub absent: bool,
    /// Permission bits in octal, like `"0600"`.
    #[serde(default)]
    pub mode: Option<String>,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
}

/// A link of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectLink {
    /// The node.
    pub node: String,
    /// The link: found by `name` if given, else by `mac`; fields that are not named may be anything.
    pub link: PartialLink,
    /// There must be no such link.
    #[serde(default)]
    pub absent: bool,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
}

/// What is known of a link.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartialLink {
    /// The device name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Up or down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// All addresses, with prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Exactly<String>>,
    /// All routes through the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Exactly<RouteSpec>>,
    /// All policy rules of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Exactly<RuleSpec>>,
    /// Some per-interface sysctls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sysctls: Option<BTreeMap<String, String>>,
}

/// Events that must be recorded.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectEvents {
    /// What the Events are about.
    pub regarding: Regarding,
    /// The Events; others may be there too.
    pub events: Vec<EventPattern>,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
}

/// What an Event is about.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Regarding {
    /// The kind.
    pub kind: String,
    /// The name.
    #[serde(default)]
    pub name: Option<String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// What is known of an Event.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventPattern {
    /// `Normal` or `Warning`.
    #[serde(default, rename = "type")]
    pub severity: Option<String>,
    /// The reason.
    pub reason: String,
    /// A text, or texts, that the note contains.
    #[serde(default)]
    pub message: Option<Pattern>,
}

/// What is done with the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OperatorAction {
    /// Crash: whatever it is doing ends where it is, and a new one starts.
    Restart,
    /// Stop as on a signal.
    Stop,
    /// Start.
    Start,
    /// Stop it, let everything go that it holds, as `slipway-operator drain-release --all` does, and take its webhooks
    /// away.
    Uninstall,
}

/// The operator's metrics as they must become.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectMetric {
    /// Which series, as Prometheus selects them: `name{label="value",other=~"pattern"}`.
    pub series: String,
    /// Their sum without its fraction, like `3`, `">=2"` or `"<=1"`.
    pub value: Count,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
}

/// A command to run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// The text, run by `sh -eu`. What it leaves running ends with it.
    pub run: String,
    /// Environment beside `KUBECONFIG`, `NAMESPACE` and `PATH`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// The exit code it must end with; 0 unless told otherwise.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// A text, or texts, that its output contains.
    #[serde(default)]
    pub output: Option<Pattern>,
}

/// Requests to a Service, as clients behind kube-proxy send them: `start` or `stop` by a name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Traffic {
    /// Start traffic under this name.
    #[serde(default)]
    pub start: Option<String>,
    /// Stop the traffic of this name, wait for the answers that are due, and report what became of its requests.
    #[serde(default)]
    pub stop: Option<String>,
    /// With `start`: the Service.
    #[serde(default)]
    pub service: Option<String>,
    /// The namespace, where it is not the scenario's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The Service's port by number or name; its only one unless told otherwise.
    #[serde(default)]
    pub port: Option<PortRef>,
    /// The path of the requests, or several that every client takes in turn; `/` unless told otherwise.
    #[serde(default)]
    pub path: Option<Texts>,
    /// How many clients send at a time, up to 1000; one unless told otherwise.
    #[serde(default)]
    pub clients: Option<u32>,
    /// How long each client waits between an answer and its next request; 10ms unless told otherwise.
    #[serde(default)]
    pub pause: Option<Span>,
    /// How many requests a connection carries before the client makes a new one; one unless told otherwise.
    #[serde(default)]
    pub requests_per_connection: Option<u32>,
    /// How long a client waits for an answer; 30s unless told otherwise.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// How long it takes until clients know that the endpoints have changed; 100ms unless told otherwise.
    #[serde(default)]
    pub propagation: Option<Span>,
    /// With `stop`: CEL expressions over `self`, the counters (`sent`, `succeeded`, `failed`, `dropped`, `refused`, `reset`,
    /// `timedOut`, `unavailable`, and `latency` with `p50`, `p99` and `max` in milliseconds); all must hold.
    #[serde(default)]
    pub that: Option<Expressions>,
    /// With `stop`: new bindings for later steps, name to CEL expression over the counters.
    #[serde(default)]
    pub bind: BTreeMap<String, String>,
}

/// A port by number or name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortRef {
    /// Its number.
    Number(u16),
    /// Its name.
    Name(String),
}

impl PartialLink {
    /// Whether a link is the one that is meant.
    pub fn selects(&self, link: &LinkSpec) -> bool {
        match (&self.name, &self.mac) {
            (Some(name), _) => *name == link.name,
            (None, Some(mac)) => mac.eq_ignore_ascii_case(&link.mac),
            (None, None) => true,
        }
    }
}

/// The JSON schema of the format.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Scenario);
    schema.insert("$id".to_owned(), "https://slipway.dev/schemas/scenario-v1alpha1.json".into());
    schema.to_value()
}
