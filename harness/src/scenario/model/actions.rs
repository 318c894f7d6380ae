//! What a step may do to the cluster, its users and its operator. Data only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::duration::Span;
use super::super::forms::{Expressions, Manifest, Pattern, Texts};

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
