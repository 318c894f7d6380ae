//! What a scenario says of its operator. Data only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::duration::Span;

/// The operator under test: exactly one of `controllers`, `command` and `manifests`, and what belongs to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorSpec {
    /// Ours, in this process: which controllers run.
    #[serde(default)]
    pub controllers: Vec<String>,
    /// With `controllers`: settings of the operator, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// Any operator that is a program of this machine: the program, and its first arguments. Needs `time: real`.
    #[serde(default)]
    pub command: Vec<String>,
    /// With `command`: more arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// With `command`: environment beside `KUBECONFIG`, `PATH` and the scenario's own variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// With `command`: names of variables that it has from the environment of `slipway`.
    #[serde(default)]
    pub inherit_env: Vec<String>,
    /// With `command`: where it runs, relative to the scenario's directory, which it is unless told otherwise.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// With `command`: names of ports of this machine that are free: `${name}` stands for the number, in whatever else is
    /// said of the operator.
    #[serde(default)]
    pub ports: Vec<String>,
    /// With `command`: files and directories of manifests that are applied before it starts, relative to the scenario:
    /// its definitions, its rights.
    #[serde(default)]
    pub install: Vec<String>,
    /// Any operator that runs in the cluster: files and directories of the manifests that deploy it, relative to the
    /// scenario.
    #[serde(default)]
    pub manifests: Vec<String>,
    /// With whose rights it runs.
    #[serde(default, rename = "as")]
    pub identity: Identity,
    /// With `command`: the service account whose rights it has, as `namespace/name`, or the name alone in the scenario's
    /// namespace.
    #[serde(default)]
    pub service_account: Option<String>,
    /// With `command` and `manifests`: how it is known to be at work. The first step waits for it, and so does whatever
    /// starts it again.
    #[serde(default)]
    pub ready: Option<ReadySpec>,
    /// With `command`: where it tells its metrics, on a loopback address.
    #[serde(default)]
    pub metrics: Option<String>,
    /// With `command`: how long it may take to stop before it is killed; 30s unless told otherwise.
    #[serde(default)]
    pub grace_period: Option<Span>,
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

/// How an operator is known to be at work: exactly one of `url`, `log` and `lease`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadySpec {
    /// With `command`: a URL on a loopback address that answers with success.
    #[serde(default)]
    pub url: Option<String>,
    /// With `command`: a text in a line that it writes.
    #[serde(default)]
    pub log: Option<String>,
    /// A Lease that it holds, as `namespace/name`, or the name alone in the scenario's namespace.
    #[serde(default)]
    pub lease: Option<String>,
    /// How long it may take; one minute unless told otherwise.
    #[serde(default)]
    pub within: Option<Span>,
}
