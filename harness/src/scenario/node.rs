//! A simulated node and its links, as a scenario describes them and as `expectLink` compares them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What a node's network is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Isolation {
    /// A table in this process that answers as Linux does; it works anywhere.
    #[default]
    Simulated,
    /// A network namespace of this machine's kernel, with real links in it. Linux only, and not without the rights.
    Netns,
}

/// A cluster's nodes: a list, or a map that also says what their networks are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Nodes {
    /// What their networks are made of.
    pub isolation: Isolation,
    /// The nodes.
    pub list: Vec<NodeSpec>,
}

/// The longer form, as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IsolatedNodes {
    /// What the nodes' networks are made of.
    #[serde(default)]
    isolation: Isolation,
    /// The nodes.
    #[serde(default)]
    list: Vec<NodeSpec>,
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = if value.is_array() {
            serde_json::from_value(value).map(|list| Self { isolation: Isolation::default(), list })
        } else {
            serde_json::from_value(value).map(|IsolatedNodes { isolation, list }| Self { isolation, list })
        };
        read.map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Nodes {
    fn schema_name() -> Cow<'static, str> {
        "Nodes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (list, isolated) = (generator.subschema_for::<Vec<NodeSpec>>(), generator.subschema_for::<IsolatedNodes>());
        json_schema!({
            "description": "The cluster's nodes: a list, or a map that also says what their networks are made of.",
            "anyOf": [list, isolated],
        })
    }
}

/// A simulated node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    /// The node's name.
    pub name: String,
    /// An operating system by short name (`ubuntu-22.04`, `debian-12`, `rhel-8`, `rocky-9`, …): sets `osImage` and
    /// `/etc/os-release`.
    #[serde(default)]
    pub os: Option<String>,
    /// `status.nodeInfo.osImage`, where the short name is not enough.
    #[serde(default)]
    pub os_image: Option<String>,
    /// `status.nodeInfo.systemUUID`; made from the name where it is not given.
    #[serde(default, rename = "systemUUID")]
    pub system_uuid: Option<String>,
    /// Labels beside `kubernetes.io/hostname`, `kubernetes.io/os` and `kubernetes.io/arch`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Taints.
    #[serde(default)]
    pub taints: Vec<TaintSpec>,
    /// Cordoned.
    #[serde(default)]
    pub unschedulable: bool,
    /// Network links beside `lo`.
    #[serde(default)]
    pub links: Vec<LinkSpec>,
    /// Files that are there from the start: path on the node to content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// A node's taint.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaintSpec {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A network link of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkSpec {
    /// The device name.
    pub name: String,
    /// The MAC address.
    pub mac: String,
    /// Up or down; down unless told otherwise.
    #[serde(default)]
    pub up: bool,
    /// Bytes; 1500 unless told otherwise.
    #[serde(default = "default_mtu")]
    pub mtu: u32,
    /// Addresses with prefix, like `11.11.11.33/24`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Routes through this link.
    #[serde(default)]
    pub routes: Vec<RouteSpec>,
    /// Policy rules that look up a table which has routes through this link, or that name the link.
    #[serde(default)]
    pub rules: Vec<RuleSpec>,
    /// Per-interface sysctls, by the last part of their name (`rp_filter`, `arp_ignore`, `arp_announce`).
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

/// A route.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    /// Destination network, like `11.11.11.0/24`; `default` for the default route.
    pub to: String,
    /// Next hop.
    #[serde(default)]
    pub via: Option<String>,
    /// Routing table; 254 is main.
    #[serde(default = "main_table")]
    pub table: u32,
    /// Priority.
    #[serde(default)]
    pub metric: u32,
    /// Preferred source address.
    #[serde(default)]
    pub src: Option<String>,
}

/// A policy routing rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSpec {
    /// Source network, like `11.11.11.33/32`.
    pub from: String,
    /// The table looked up.
    pub table: u32,
    /// Lower is asked first.
    #[serde(default)]
    pub priority: u32,
}

fn default_mtu() -> u32 {
    1500
}

fn main_table() -> u32 {
    254
}
