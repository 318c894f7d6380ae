//! What a step may expect of the cluster. Data only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::duration::Span;
use super::super::forms::{Count, Exactly, Expressions, Pattern};
use super::super::node::{LinkSpec, RouteSpec, RuleSpec};

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
