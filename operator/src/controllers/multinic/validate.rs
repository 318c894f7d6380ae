//! Whether there is anything to do for this configuration on this node. Pure.

use crate::api::agent::OsKind;
use crate::api::multinic::{self, NodeInterfaces, Violation};
use crate::api::names::MachineId;

use super::observe::{NodeFacts, Observed};
use super::os;

/// A configuration and a node that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) interfaces: NodeInterfaces,
    pub(super) node: NodeFacts,
    pub(super) os: OsKind,
}

/// Why no agent can run for this configuration, for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the spec cannot be carried out: {}", join(.0))]
    InvalidSpec(Vec<Violation>),
    #[error("node {0} does not exist")]
    NodeNotFound(String),
    #[error("node {node} is configured by {rival}, which is older")]
    NodeClaimed { node: String, rival: String },
    #[error("node {0} has not reported its operating system and system UUID yet")]
    NodeInfoMissing(String),
    #[error("spec.instanceId is {instance_id}, but node {node} has the system UUID {system_uuid}")]
    InstanceMismatch { node: String, instance_id: String, system_uuid: String },
    #[error(
        "node {node} runs {os_image:?}; supported are Ubuntu, Debian, and Red Hat Enterprise Linux and its relatives"
    )]
    UnsupportedOs { node: String, os_image: String },
}

impl Refusal {
    /// The reason of the condition.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "InvalidSpec",
            Self::NodeNotFound(_) => "NodeNotFound",
            Self::NodeClaimed { .. } => "NodeClaimed",
            Self::NodeInfoMissing(_) => "NodeInfoMissing",
            Self::InstanceMismatch { .. } => "InstanceMismatch",
            Self::UnsupportedOs { .. } => "UnsupportedOS",
        }
    }

    /// Whether this can pass without anybody correcting a mistake.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NodeNotFound(_) | Self::NodeClaimed { .. } | Self::NodeInfoMissing(_) => true,
            Self::InvalidSpec(_) | Self::InstanceMismatch { .. } | Self::UnsupportedOs { .. } => false,
        }
    }
}

/// Brings a configuration and its node together.
pub(super) fn validate(observed: &Observed) -> Result<Accepted, Refusal> {
    let Observed { config, node, rival, .. } = observed;
    let name = config.metadata.name.as_deref().unwrap_or_default();
    let interfaces = multinic::validate(name, &config.spec).map_err(Refusal::InvalidSpec)?;
    let Some(node) = node else {
        return Err(Refusal::NodeNotFound(config.spec.node_name.clone()));
    };
    if let Some(rival) = rival {
        return Err(Refusal::NodeClaimed { node: node.name.clone(), rival: rival.clone() });
    }
    let os = check_node(node, config.spec.instance_id.as_deref())?;
    Ok(Accepted { interfaces, node: node.clone(), os })
}

/// Whether an agent can run on this node, and how the node keeps its configuration.
pub(super) fn check_node(node: &NodeFacts, instance_id: Option<&str>) -> Result<OsKind, Refusal> {
    let (Some(machine), false) = (MachineId::parse(&node.system_uuid), node.os_image.is_empty()) else {
        return Err(Refusal::NodeInfoMissing(node.name.clone()));
    };
    if let Some(instance_id) = instance_id
        && MachineId::parse(instance_id).is_some_and(|instance| instance != machine)
    {
        return Err(Refusal::InstanceMismatch {
            node: node.name.clone(),
            instance_id: instance_id.to_owned(),
            system_uuid: node.system_uuid.clone(),
        });
    }
    os::detect(&node.os_image)
        .ok_or_else(|| Refusal::UnsupportedOs { node: node.name.clone(), os_image: node.os_image.clone() })
}

fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
