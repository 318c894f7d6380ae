//! `multinic.io/v1alpha1 MultiNicNodeConfig`: the interfaces of one node.
//!
//! The types are what the API server stores: plain strings and numbers. Schema and CEL rules, in `rules`, refuse what
//! the agent could not carry out; [`validate()`] is the same decision in Rust, and a property test holds the two together.

#![expect(unreachable_pub, reason = "`KubeSchema` puts a copy of each struct into a function")]

mod rules;
#[cfg(test)]
mod tests;
mod validate;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use validate::{Interface, NodeInterfaces, Violation, validate};

/// The interfaces of one node. The object is named as the node.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multinic.io",
    version = "v1alpha1",
    kind = "MultiNicNodeConfig",
    plural = "multinicnodeconfigs",
    singular = "multinicnodeconfig",
    shortname = "mnnc",
    namespaced,
    status = "MultiNicNodeConfigStatus",
    derive = "PartialEq",
    doc = "The network interfaces of one node, configured by an agent Job on that node.",
    validation = rules::named_as_node(),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeName"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MultiNicNodeConfigSpec {
    /// The node. It cannot be changed, and it is the object's name too.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::immutable())]
    pub node_name: String,

    /// The provider's id of the machine; it must equal the node's system UUID. Not checked where it is left out.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,

    /// The interfaces, in any order.
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["id".to_owned()]),
        validation = rules::unique_ids(),
        validation = rules::unique_macs(),
        validation = rules::unique_names(),
        validation = rules::unique_addresses()
    )]
    pub interfaces: Vec<InterfaceSpec>,
}

/// One interface.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = rules::address_with_cidr(),
    validation = rules::address_in_cidr(),
    validation = rules::not_network_address(),
    validation = rules::not_broadcast_address(),
    validation = rules::mtu_carries_ipv6()
)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceSpec {
    /// Which of the node's ten interfaces. Decides the routing table, and the name where none is given.
    #[schemars(range(min = 0, max = 9))]
    pub id: i32,

    /// The MAC address of the network card, in any case.
    #[schemars(length(max = 17), regex(pattern = rules::MAC_PATTERN))]
    #[x_kube(validation = rules::mac_not_zero())]
    pub mac_address: String,

    /// The provider's id of the port. For people to read; nothing depends on it.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_id: Option<String>,

    /// The name of the device; `multinic<id>` where it is left out.
    #[schemars(length(max = 9), regex(pattern = rules::NAME_PATTERN))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// The IPv4 or IPv6 address, without a prefix. Together with `cidr`; without both, only name and MTU are set.
    #[schemars(length(max = 45))]
    #[x_kube(validation = rules::unicast_address())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,

    /// The network of the address, like `11.11.11.0/24`; host bits are ignored.
    #[schemars(length(max = 49))]
    #[x_kube(validation = rules::network())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,

    /// The largest packet in bytes; the card's own where it is left out.
    #[schemars(range(min = 68, max = 9000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
}

/// What the controller knows about the node.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiNicNodeConfigStatus {
    /// Where the configuration stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,

    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Accepted` (spec and node fit together) and `Ready` (every interface is configured).
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,

    /// One entry for each interface of the spec, in its order.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".to_owned()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interface_statuses: Vec<InterfaceStatus>,

    /// The Job that this status was last taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job_name: Option<String>,

    /// How many Jobs this generation has had; starts again when the object is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,

    /// When the next Job is made, after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_time: Option<Time>,

    /// The system UUID of the machine that a Job was last made for: a node that comes back as another machine is
    /// configured anew, and is not cleaned up for what its predecessor had.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "systemUUID")]
    pub system_uuid: Option<String>,
}

/// Where a configuration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// No Job yet: something must happen first. The `Ready` condition says what.
    Pending,
    /// A Job is at work.
    InProgress,
    /// Every interface is configured.
    Configured,
    /// Not every interface is configured, or none can be.
    Failed,
}

/// What became of one interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceStatus {
    /// The interface's id in the spec.
    pub id: i32,
    /// Its device name.
    pub name: String,
    /// Its MAC address, in lower case.
    pub mac_address: String,
    /// Its address, as in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its network, as in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// Its MTU, as in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// Where it stands.
    pub status: State,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// When anything in this entry was last different.
    pub last_change: Time,
}
