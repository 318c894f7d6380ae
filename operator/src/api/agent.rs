//! The contract between the `MultiNIC` controller and the agent it runs as a Job: what the agent is told in its
//! environment, and what it says in its termination message. Both sides use these types, so they cannot drift apart.
//!
//! The agent answers with an exit code and one [`AgentSummary`]; a summary is written in every case, also for bad
//! input, and always fits a Kubernetes termination message.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::multinic::Interface;
use super::names::Mtu;

/// Environment variables of the agent.
pub mod env {
    /// What to do: `apply` (also when empty or absent), `cleanup` or `verify`; see [`super::AgentAction`].
    pub const ACTION: &str = "AGENT_ACTION";
    /// Where the spec comes from: `env` (also when empty or absent), `file` or `nodecr`.
    pub const DATA_SOURCE: &str = "DATA_SOURCE";
    /// The [`super::AgentSpec`] as JSON, for the data source `env`.
    pub const SPEC: &str = "MULTINIC_SPEC";
    /// Path of a file that holds the [`super::AgentSpec`] as JSON, for the data source `file`.
    pub const SPEC_FILE: &str = "MULTINIC_SPEC_FILE";
    /// The node the agent runs on. When it is set it must be the spec's node; `nodecr` needs it.
    pub const NODE_NAME: &str = "NODE_NAME";
    /// Namespace of the custom resource, for the data source `nodecr`.
    pub const NODE_CR_NAMESPACE: &str = "NODE_CR_NAMESPACE";
    /// The [`super::OsKind`], for the data source `nodecr`.
    pub const OS: &str = "MULTINIC_OS";
    /// The [`super::AgentSettings`] as JSON, for the data source `nodecr`; defaults where it is absent.
    pub const SETTINGS: &str = "MULTINIC_SETTINGS";
    /// The least log level: `error`, `warn`, `info`, `debug` or `trace`.
    pub const LOG_LEVEL: &str = "LOG_LEVEL";
    /// Where the summary goes: a container's `terminationMessagePath`, where that is not [`super::TERMINATION_LOG`].
    pub const TERMINATION_MESSAGE_PATH: &str = "TERMINATION_MESSAGE_PATH";
}

/// Where the kubelet reads a container's termination message from, unless it is told otherwise.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// The kubelet cuts longer messages off; every encoded summary is shorter than this many bytes.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// The host's directory of per-link IPv4 sysctls. A container without privilege sees its own copy read-only; mounted at
/// [`SYSCTL_MOUNT_PATH`] it can be written. Without the mount the sysctls of the spec stay as they are, with a warning.
pub const SYSCTL_HOST_PATH: &str = "/proc/sys/net/ipv4/conf";

/// Where [`SYSCTL_HOST_PATH`] is mounted: container runtimes refuse mounts inside `/proc`.
pub const SYSCTL_MOUNT_PATH: &str = "/host/proc/sys/net/ipv4/conf";

/// The most interfaces a node can have: names are `multinic0` to `multinic9`.
pub const MAX_INTERFACES: usize = 10;

/// What the agent is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentAction {
    /// Make the node's interfaces what the spec says.
    #[default]
    Apply,
    /// Remove whatever an earlier apply made. Interfaces of the spec are not looked at.
    Cleanup,
    /// Compare and report, changing nothing.
    Verify,
}

impl AgentAction {
    /// The value of [`env::ACTION`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Cleanup => "cleanup",
            Self::Verify => "verify",
        }
    }
}

/// How the node's operating system keeps its network configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OsKind {
    /// netplan files: Ubuntu, Debian.
    Netplan,
    /// ifcfg files: RHEL-likes up to 8.
    Ifcfg,
    /// NetworkManager keyfiles and systemd `.link` files: RHEL-likes from 9.
    NetworkManager,
}

impl OsKind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Netplan, Self::Ifcfg, Self::NetworkManager];

    /// The host directories the agent reads and writes on this kind of node. They are mounted at the same path.
    pub fn directories(self) -> &'static [&'static str] {
        match self {
            Self::Netplan => &["/etc/netplan"],
            Self::Ifcfg => &["/etc/sysconfig/network-scripts"],
            Self::NetworkManager => &["/etc/NetworkManager/system-connections", "/etc/systemd/network"],
        }
    }

    /// The value of [`env::OS`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Netplan => "Netplan",
            Self::Ifcfg => "Ifcfg",
            Self::NetworkManager => "NetworkManager",
        }
    }
}

/// What one node's interfaces are to be: the value of [`env::SPEC`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentSpec {
    /// The node this is for.
    pub node_name: String,
    /// The uid of the custom resource; comes back in the summary.
    #[serde(default)]
    pub config_uid: String,
    /// The generation of the custom resource; comes back in the summary.
    #[serde(default)]
    pub generation: i64,
    /// How the node keeps its configuration.
    pub os: OsKind,
    /// The interfaces; may be empty for a cleanup.
    #[serde(default)]
    pub interfaces: Vec<AgentInterface>,
    /// What holds for all of them.
    #[serde(default)]
    pub settings: AgentSettings,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentInterface {
    /// 0 to 9, unique in the spec. Decides the routing table and the metric.
    pub id: u8,
    /// The name it gets, `multinic0` to `multinic9`: the explicit one, or `multinic<id>`.
    pub name: String,
    /// The MAC address that picks the link, six hexadecimal octets in any case.
    pub mac: String,
    /// Its address; always together with `cidr`. Without one the interface gets a name and an MTU only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The network of the address, also in the form address/prefix; only its prefix and network are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<IpNet>,
    /// Bytes; the link's own where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

impl From<&Interface> for AgentInterface {
    fn from(interface: &Interface) -> Self {
        Self {
            id: interface.id.number(),
            name: interface.name.to_string(),
            mac: interface.mac.to_string(),
            address: interface.addressing.map(|addressing| addressing.address()),
            cidr: interface.addressing.map(|addressing| addressing.network()),
            mtu: interface.mtu.map(Mtu::bytes),
        }
    }
}

/// What holds for all interfaces of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentSettings {
    /// A routing table and a source rule for each interface with an address.
    pub policy_routing: bool,
    /// The table of interface N is this plus N.
    pub routing_table_base: u32,
    /// The metric of interface N's route is this plus N.
    pub route_metric: u32,
    /// Addresses make no route in the main table. Only with policy routing: without it that route is the only one.
    pub noprefixroute: bool,
    /// Answer and ask ARP only for an interface's own addresses (`arp_ignore=1`, `arp_announce=2`). IPv4 only.
    pub arp_sysctls: bool,
    /// Loose reverse path filter (`rp_filter=2`). IPv4 only.
    pub rp_filter_loose: bool,
    /// Take over a link that is up and in use by something else. Off: such a link is refused.
    pub allow_busy: bool,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            policy_routing: true,
            routing_table_base: 100,
            route_metric: 100,
            noprefixroute: true,
            arp_sysctls: true,
            rp_filter_loose: true,
            allow_busy: false,
        }
    }
}

/// The agent's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AgentExit {
    /// Done.
    Done = 0,
    /// Some or all interfaces failed, or drifted.
    Interfaces = 1,
    /// Bad input: nothing was looked at.
    BadInput = 2,
    /// The host could not be read at all: nothing was changed.
    Host = 3,
}

impl AgentExit {
    /// The process exit code.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// What became of the node: the termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentSummary {
    /// What was done.
    pub action: AgentAction,
    /// The node.
    pub node: String,
    /// [`AgentSpec::config_uid`].
    #[serde(default)]
    pub config_uid: String,
    /// [`AgentSpec::generation`].
    #[serde(default)]
    pub generation: i64,
    /// One entry for each interface of the spec, in its order.
    #[serde(default)]
    pub interfaces: Vec<InterfaceResult>,
    /// One entry for each interface that an earlier apply made and that is not in the spec, or is cleaned up.
    /// Their ids and names may be those of interfaces of the spec, which got them from these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<InterfaceResult>,
    /// Why nothing was done at all (exit codes 2 and 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AgentError>,
}

/// Why nothing was done at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentError {
    /// The kind of error.
    pub reason: Reason,
    /// The error itself.
    pub message: String,
}

/// What became of one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceResult {
    /// [`AgentInterface::id`]; of a removed interface the number in its name.
    pub id: u8,
    /// [`AgentInterface::name`].
    pub name: String,
    /// The outcome.
    pub status: InterfaceOutcome,
    /// Whether anything on the node is different from before.
    pub changed: bool,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in a sentence. May be shortened to make the summary fit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The outcome for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceOutcome {
    /// It is what the spec says.
    Configured,
    /// It is not, and it was left as it was before unless the reason says otherwise.
    Failed,
    /// An interface that is not in the spec: what an earlier apply made of it is gone.
    Removed,
    /// Verify only: it is not what the spec says.
    Drifted,
}

/// Why an interface has the outcome it has, or why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Configured: something was changed.
    Applied,
    /// Configured: everything was right already.
    UpToDate,
    /// Removed: not in the spec any more.
    Stale,
    /// Removed: by a cleanup.
    CleanedUp,
    /// Drifted.
    Drifted,
    /// Bad input: environment or spec cannot be read, or the spec as a whole makes no sense.
    InvalidInput,
    /// The interface's own part of the spec makes no sense.
    InvalidSpec,
    /// Two interfaces of the spec claim the same id, MAC, name or address.
    Conflict,
    /// No link has the MAC.
    LinkNotFound,
    /// More than one link has the MAC.
    LinkAmbiguous,
    /// Another link, which is not ours, has the name.
    NameInUse,
    /// The link is up and in use by something else.
    InterfaceBusy,
    /// Renaming failed.
    RenameFailed,
    /// Setting the MTU failed.
    MtuFailed,
    /// Bringing the link up or down failed.
    LinkStateFailed,
    /// Adding or removing an address failed.
    AddressFailed,
    /// Adding or removing a route failed.
    RouteFailed,
    /// Adding or removing a policy rule failed.
    RuleFailed,
    /// Writing or removing a configuration file failed.
    PersistFailed,
    /// Every step worked, yet the host is not in the state asked for.
    NotEffective,
    /// The host could not be read.
    HostUnavailable,
    /// An interface that has, or gets, what this one is to have or had, failed. It is as it was before.
    DependencyFailed,
    /// A step failed, and so did putting back what was there before.
    RollbackFailed,
    /// The agent was told to stop before it came to this interface.
    Interrupted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A unit variant's Debug form is its name, which is what serde writes too.
        fmt::Debug::fmt(self, f)
    }
}
