//! What the Job of an agent looks like. Pure.
//!
//! The Pod shares the node's network and may administer it; beyond that it has no privilege, no view of the node's
//! processes, no API access, and of the node's files only the directories it writes.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, HostPathVolumeSource, LocalObjectReference, ObjectFieldSelector,
    PodSpec, PodTemplateSpec, SELinuxOptions, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use crate::api::agent::{
    AgentAction, AgentInterface, AgentSettings, AgentSpec, OsKind, SYSCTL_HOST_PATH, SYSCTL_MOUNT_PATH, env,
};
use crate::api::multinic::{Interface, MultiNicNodeConfig};

use super::observe::NodeFacts;
use super::{Settings, labels};

/// The container's name.
pub(super) const CONTAINER: &str = "agent";

/// A Job that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) action: AgentAction,
    /// 1 for the first try.
    pub(super) attempt: i32,
    pub(super) node: NodeFacts,
    pub(super) os: OsKind,
    /// None for a cleanup.
    pub(super) interfaces: Vec<Interface>,
}

impl Order {
    /// The name of the Job.
    pub(super) fn job_name(&self, config: &MultiNicNodeConfig) -> String {
        let uid = config.uid().unwrap_or_default();
        let generation = config.metadata.generation.unwrap_or_default();
        labels::job_name(self.action, &self.node.name, &self.node.system_uuid, &uid, generation, self.attempt)
    }
}

/// The Job for an order.
///
/// # Errors
/// When the agent's spec cannot be written as JSON, which no spec that was accepted is known to do.
pub(super) fn build(config: &MultiNicNodeConfig, order: &Order, settings: &Settings) -> Result<Job, serde_json::Error> {
    let labels = labels_of(config, order);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() }),
        spec: Some(pod(config, order, settings)?),
    };
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(order.job_name(config)),
            namespace: config.namespace(),
            labels: Some(labels),
            annotations: Some(BTreeMap::from([(labels::SYSTEM_UUID.to_owned(), order.node.system_uuid.clone())])),
            owner_references: Some(vec![owner(config, order)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(seconds(settings.job_deadline)),
            // The controller decides about another try: the second Pod of a Job would hide why the first one failed.
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            // A Pod that is still stopping is still an agent on the node.
            pod_replacement_policy: Some("Failed".to_owned()),
            ttl_seconds_after_finished: Some(i32::try_from(settings.job_ttl.as_secs()).unwrap_or(i32::MAX)),
            template,
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// An apply belongs to its configuration. A cleanup belongs to the node: a configuration that is deleted in the
/// foreground has its dependents removed first, and would never see its cleanup end.
fn owner(config: &MultiNicNodeConfig, order: &Order) -> OwnerReference {
    match order.action {
        AgentAction::Cleanup => OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: order.node.name.clone(),
            uid: order.node.uid.clone(),
            ..OwnerReference::default()
        },
        AgentAction::Apply | AgentAction::Verify => OwnerReference {
            api_version: MultiNicNodeConfig::api_version(&()).into_owned(),
            kind: MultiNicNodeConfig::kind(&()).into_owned(),
            name: config.name_any(),
            uid: config.uid().unwrap_or_default(),
            controller: Some(true),
            ..OwnerReference::default()
        },
    }
}

fn labels_of(config: &MultiNicNodeConfig, order: &Order) -> BTreeMap<String, String> {
    [
        (labels::LABEL_NAME, labels::AGENT.to_owned()),
        (labels::LABEL_MANAGED_BY, labels::MANAGED_BY.to_owned()),
        (labels::NODE, labels::node_label(&order.node.name)),
        (labels::CONFIG_UID, config.uid().unwrap_or_default()),
        (labels::GENERATION, config.metadata.generation.unwrap_or_default().to_string()),
        (labels::ATTEMPT, order.attempt.to_string()),
        (labels::ACTION, order.action.as_str().to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn pod(config: &MultiNicNodeConfig, order: &Order, settings: &Settings) -> Result<PodSpec, serde_json::Error> {
    let mounts = mounts(order.os, &settings.agent);
    let some = |list: Vec<_>| (!list.is_empty()).then_some(list);
    Ok(PodSpec {
        // Bound by name, so that neither a label that differs nor a cordon keeps the agent from its node.
        node_name: Some(order.node.name.clone()),
        host_network: Some(true),
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(settings.agent_service_account.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: some(
            settings.agent_image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
        ),
        tolerations: Some(settings.agent_tolerations.clone()).filter(|list| !list.is_empty()),
        containers: vec![Container {
            name: CONTAINER.to_owned(),
            image: Some(settings.agent_image.clone()),
            image_pull_policy: Some(settings.agent_image_pull_policy.clone()),
            env: Some(environment(config, order, settings)?),
            security_context: Some(security(order.os)),
            // An agent that dies before it can report leaves its last words.
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            volume_mounts: Some(mounts.iter().map(Mount::in_container).collect()),
            ..Container::default()
        }],
        volumes: Some(mounts.iter().map(Mount::on_node).collect()),
        ..PodSpec::default()
    })
}

fn environment(
    config: &MultiNicNodeConfig,
    order: &Order,
    settings: &Settings,
) -> Result<Vec<EnvVar>, serde_json::Error> {
    let spec = AgentSpec {
        node_name: order.node.name.clone(),
        config_uid: config.uid().unwrap_or_default(),
        generation: config.metadata.generation.unwrap_or_default(),
        os: order.os,
        interfaces: order.interfaces.iter().map(AgentInterface::from).collect(),
        settings: settings.agent.clone(),
    };
    let value = |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    let node_name = EnvVar {
        name: env::NODE_NAME.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: None, field_path: "spec.nodeName".to_owned() }),
            ..EnvVarSource::default()
        }),
    };
    Ok(vec![
        value(env::ACTION, order.action.as_str().to_owned()),
        node_name,
        value(env::SPEC, serde_json::to_string(&spec)?),
    ])
}

fn security(os: OsKind) -> SecurityContext {
    SecurityContext {
        privileged: Some(false),
        allow_privilege_escalation: Some(false),
        // The directories belong to root.
        run_as_user: Some(0),
        capabilities: Some(Capabilities {
            add: Some(vec!["NET_ADMIN".to_owned()]),
            drop: Some(vec!["ALL".to_owned()]),
        }),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        // Under the containers' usual type, SELinux refuses to write to the node's /etc, whatever the mounts say.
        se_linux_options: match os {
            OsKind::Netplan => None,
            OsKind::Ifcfg | OsKind::NetworkManager => {
                Some(SELinuxOptions { type_: Some("spc_t".to_owned()), ..SELinuxOptions::default() })
            }
        },
        ..SecurityContext::default()
    }
}

/// A directory of the node that the agent works in.
struct Mount {
    name: String,
    host_path: &'static str,
    path: &'static str,
    type_: &'static str,
}

impl Mount {
    fn on_node(&self) -> Volume {
        Volume {
            name: self.name.clone(),
            host_path: Some(HostPathVolumeSource {
                path: self.host_path.to_owned(),
                type_: Some(self.type_.to_owned()),
            }),
            ..Volume::default()
        }
    }

    fn in_container(&self) -> VolumeMount {
        VolumeMount { name: self.name.clone(), mount_path: self.path.to_owned(), ..VolumeMount::default() }
    }
}

fn mounts(os: OsKind, agent: &AgentSettings) -> Vec<Mount> {
    let directories = os.directories().iter().enumerate().map(|(index, &path)| Mount {
        name: format!("config-{index}"),
        host_path: path,
        path,
        // A node that never had a file of that kind may not have the directory either.
        type_: "DirectoryOrCreate",
    });
    let sysctls = (agent.arp_sysctls || agent.rp_filter_loose).then(|| Mount {
        name: "sysctls".to_owned(),
        host_path: SYSCTL_HOST_PATH,
        path: SYSCTL_MOUNT_PATH,
        type_: "Directory",
    });
    directories.chain(sysctls).collect()
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).max(1)
}
