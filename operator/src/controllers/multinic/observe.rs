//! What there is: the configuration, its node, and every agent of that node. Client required; reads only.
//!
//! Everything is read from the API server, not from a cache: what is decided here (may an agent start, is a Job lost)
//! must not depend on how far a watch has come. The watches only say when to look.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt};

use crate::api::agent::AgentAction;
use crate::api::multinic::MultiNicNodeConfig;
use kube::core::DeserializeGuard;

use super::{Ctx, labels};

/// Everything that is known before anything is decided.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// The configuration.
    pub(super) config: MultiNicNodeConfig,
    /// The node it is for, if there is one.
    pub(super) node: Option<NodeFacts>,
    /// Every agent Job for that node, of this configuration and of others.
    pub(super) jobs: Vec<AgentJob>,
    /// Every agent Pod for that node.
    pub(super) pods: Vec<AgentPod>,
    /// Another configuration for the same node that was there first, as `namespace/name`.
    pub(super) rival: Option<String>,
}

/// What matters about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeFacts {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) os_image: String,
    pub(super) system_uuid: String,
}

/// A Job that runs an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AgentJob {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The uid of the configuration it is for.
    pub(super) config_uid: String,
    /// The generation of the configuration it is for.
    pub(super) generation: i64,
    /// The machine it is for, as the node named it then.
    pub(super) system_uuid: String,
    pub(super) action: AgentAction,
    /// 1 for the first try.
    pub(super) attempt: i32,
    pub(super) phase: JobPhase,
    /// It is being deleted.
    pub(super) leaving: bool,
}

/// Where a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobPhase {
    Active,
    Complete,
    Failed { reason: String, message: String },
}

/// A Pod of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AgentPod {
    pub(super) name: String,
    /// The uid of its Job.
    pub(super) job_uid: String,
    /// Nothing of it runs any more, nor will.
    pub(super) ended: bool,
    /// Why its container does not run yet: reason and message.
    pub(super) waiting: Option<(String, String)>,
    /// What its container said last, and when that was.
    pub(super) termination: Option<Termination>,
    /// Why the Pod as a whole failed: reason and message.
    pub(super) failure: Option<(String, String)>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Termination {
    pub(super) exit_code: i32,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) finished: Option<Timestamp>,
}

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the configuration")]
    Config(#[source] kube::Error),
    #[error("failed to read node {name}")]
    Node {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to list agent Jobs of node {name}")]
    Jobs {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to list agent Pods of node {name}")]
    Pods {
        name: String,
        #[source]
        source: kube::Error,
    },
}

/// Reads everything about a configuration; `None` when it is gone.
pub(super) async fn observe(ctx: &Ctx, namespace: &str, name: &str) -> Result<Option<Observed>, Error> {
    let configs: Api<MultiNicNodeConfig> = Api::namespaced(ctx.client.clone(), namespace);
    let Some(config) = configs.get_opt(name).await.map_err(Error::Config)? else {
        return Ok(None);
    };
    let node = config.spec.node_name.clone();
    let facts = Api::<Node>::all(ctx.client.clone())
        .get_opt(&node)
        .await
        .map_err(|source| Error::Node { name: node.clone(), source })?
        .map(|node| NodeFacts::from(&node));
    let of_node = ListParams::default().labels(&labels::selector_of_node(&node));
    let jobs = ctx
        .scope::<Job>()
        .list(&of_node)
        .await
        .map_err(|source| Error::Jobs { name: node.clone(), source })?
        .iter()
        .map(AgentJob::from)
        .collect();
    let pods = ctx
        .scope::<Pod>()
        .list(&of_node)
        .await
        .map_err(|source| Error::Pods { name: node.clone(), source })?
        .iter()
        .map(AgentPod::from)
        .collect();
    let rival = rival(&config, &ctx.configs);
    Ok(Some(Observed { config, node: facts, jobs, pods, rival }))
}

/// The oldest other configuration for the same node, if it is older than this one.
fn rival(config: &MultiNicNodeConfig, configs: &Store<DeserializeGuard<MultiNicNodeConfig>>) -> Option<String> {
    let age = |config: &MultiNicNodeConfig| {
        let created = config.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, config.namespace().unwrap_or_default(), config.name_any())
    };
    let own = age(config);
    configs
        .state()
        .iter()
        .filter_map(|other| other.0.as_ref().ok())
        .filter(|other| other.spec.node_name == config.spec.node_name && other.metadata.uid != config.metadata.uid)
        .map(age)
        .filter(|(created, namespace, name)| {
            // An earlier object of the same name is this one's past, not its rival.
            (namespace, name) != (&own.1, &own.2) && (created, namespace, name) < (&own.0, &own.1, &own.2)
        })
        .min()
        .map(|(_, namespace, name)| format!("{namespace}/{name}"))
}

impl From<&Node> for NodeFacts {
    fn from(node: &Node) -> Self {
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        Self {
            name: node.name_any(),
            uid: node.uid().unwrap_or_default(),
            os_image: info.map(|info| info.os_image.clone()).unwrap_or_default(),
            system_uuid: info.map(|info| info.system_uuid.clone()).unwrap_or_default(),
        }
    }
}

impl From<&Job> for AgentJob {
    fn from(job: &Job) -> Self {
        let label = |key: &str| job.labels().get(key).cloned().unwrap_or_default();
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let phase = conditions
            .filter(|condition| condition.status == "True")
            .find_map(|condition| match condition.type_.as_str() {
                "Complete" => Some(JobPhase::Complete),
                "Failed" => Some(JobPhase::Failed {
                    reason: condition.reason.clone().unwrap_or_default(),
                    message: condition.message.clone().unwrap_or_default(),
                }),
                _ => None,
            })
            .unwrap_or(JobPhase::Active);
        Self {
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            config_uid: label(labels::CONFIG_UID),
            generation: label(labels::GENERATION).parse().unwrap_or_default(),
            system_uuid: job.annotations().get(labels::SYSTEM_UUID).cloned().unwrap_or_default(),
            action: if label(labels::ACTION) == AgentAction::Cleanup.as_str() {
                AgentAction::Cleanup
            } else {
                AgentAction::Apply
            },
            attempt: label(labels::ATTEMPT).parse().unwrap_or_default(),
            phase,
            leaving: job.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl From<&Pod> for AgentPod {
    fn from(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let phases = || containers.iter().flat_map(|container| [&container.state, &container.last_state]).flatten();
        let termination = phases()
            .filter_map(|state| state.terminated.as_ref())
            .map(|terminated| Termination {
                exit_code: terminated.exit_code,
                reason: terminated.reason.clone().unwrap_or_default(),
                message: terminated.message.clone().unwrap_or_default(),
                finished: terminated.finished_at.as_ref().map(|time| time.0),
            })
            .max_by_key(|termination| termination.finished);
        let waiting = containers
            .iter()
            .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
            .filter_map(|waiting| Some((waiting.reason.clone()?, waiting.message.clone().unwrap_or_default())))
            .find(|(reason, _)| reason != "ContainerCreating" && reason != "PodInitializing");
        let owner = pod.owner_references().iter().find(|owner| owner.kind == "Job");
        Self {
            name: pod.name_any(),
            job_uid: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            waiting,
            termination,
            failure: status.reason.map(|reason| (reason, status.message.unwrap_or_default())),
        }
    }
}
