//! A Pod, as far as anybody here looks at it. Every Pod of the cluster is kept, because a change of the configuration may
//! make it one that drains: what has no field here is never in memory. Pure.
//!
//! Names and shapes are Kubernetes'. It is only ever read: what is written are patches, which know of nothing else.

use std::borrow::Cow;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};

use crate::api::drain::{LAST_UPDATED, MANAGED, PREFIX, RESOURCE_NAME, SERVING, VPA_OBSERVED_CONTAINERS, VPA_UPDATES};
use crate::kit::lean;

/// Annotation of a mirror Pod: the kubelet makes it of a file.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
/// Annotation: where `kubectl exec` goes, too, unless told otherwise.
pub(super) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Condition: it serves.
pub(super) const READY: &str = "Ready";
/// Condition: its deletion began as a disruption.
pub(super) const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Pod {
    /// Of the annotations, those that mean something here.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What it is to be.
    pub spec: Option<PodSpec>,
    /// What it is.
    pub status: Option<PodStatus>,
}

/// What a Pod is to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Its containers.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// Containers that run first, and sidecars.
    pub init_containers: Option<Vec<Container>>,
    /// Where it runs.
    pub node_name: Option<String>,
    /// Conditions without which it is not ready.
    pub readiness_gates: Option<Vec<PodReadinessGate>>,
    /// Its network is its node's.
    pub host_network: Option<bool>,
}

/// A container as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub ports: Option<Vec<ContainerPort>>,
    /// What it is given.
    pub resources: Option<ResourceRequirements>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<String>,
}

/// Where a container listens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// The port, inside the Pod.
    pub container_port: i32,
}

/// What a container is given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct ResourceRequirements {
    /// What is kept free for it.
    pub requests: Option<Requests>,
}

/// What is kept free for a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Requests {
    /// Cores.
    pub cpu: Option<Quantity>,
    /// Bytes.
    pub memory: Option<Quantity>,
}

/// A condition without which a Pod is not ready.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "camelCase")]
pub struct PodReadinessGate {
    /// Its type.
    pub condition_type: String,
}

/// What a Pod is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Option<String>,
    /// Those that mean something here.
    #[serde(default, deserialize_with = "conditions")]
    pub conditions: Option<Vec<PodCondition>>,
    /// How its containers are.
    pub container_statuses: Option<Vec<ContainerStatus>>,
    /// How its first containers and its sidecars are.
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
}

/// Something that is true of a Pod, or not.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "camelCase")]
pub struct PodCondition {
    /// What.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: Option<String>,
    /// Since when.
    pub last_transition_time: Option<Time>,
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// How it is now.
    pub state: Option<ContainerState>,
    /// How it was before it was started again.
    pub last_state: Option<ContainerState>,
}

/// How a container is, or was.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct ContainerState {
    /// It runs.
    pub running: Option<There>,
    /// It has run.
    pub terminated: Option<There>,
}

/// Something is there, whatever it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct There {}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    lean::metadata(deserializer, |annotation| {
        let known =
            [MANAGED, LAST_UPDATED, RESOURCE_NAME, VPA_UPDATES, VPA_OBSERVED_CONTAINERS, MIRROR, DEFAULT_CONTAINER];
        annotation.starts_with(PREFIX) || known.contains(&annotation)
    })
}

fn conditions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<PodCondition>>, D::Error> {
    let mut conditions = Option::<Vec<PodCondition>>::deserialize(deserializer)?;
    if let Some(conditions) = &mut conditions {
        conditions.retain(|condition| [READY, DISRUPTION_TARGET, SERVING].contains(&condition.type_.as_str()));
    }
    Ok(conditions)
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        core::Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        core::Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        core::Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        core::Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_kept_without_what_nobody_looks_at() {
        let kept = json!({
            "metadata": {
                "name": "p", "generateName": "p-", "namespace": "n", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": "2026-01-02T03:05:05Z",
                "deletionGracePeriodSeconds": 30, "labels": { "app": "web" }, "finalizers": ["f"],
                "annotations": { "vpa-managed": "true", "drain.slipway.dev/settle-seconds": "3" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1" }],
            },
            "spec": {
                "containers": [{ "name": "c", "ports": [{ "containerPort": 80 }],
                    "resources": { "requests": { "cpu": "75m", "memory": "1Gi" } } }],
                "initContainers": [{ "name": "i", "restartPolicy": "Always" }],
                "nodeName": "worker-1", "readinessGates": [{ "conditionType": SERVING }], "hostNetwork": true,
            },
            "status": {
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" }],
                "containerStatuses": [{ "name": "c", "state": { "running": {} }, "lastState": { "terminated": {} } }],
            },
        });
        let mut whole = kept.clone();
        whole["metadata"]["managedFields"] = json!([{ "manager": "kubelet", "fieldsV1": { "f:metadata": {} } }]);
        whole["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!("{}");
        whole["spec"]["containers"][0]["env"] = json!([{ "name": "A", "value": "B" }]);
        whole["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = json!("1");
        whole["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
        let scheduled = json!({ "type": "PodScheduled", "status": "True" });
        whole["status"]["conditions"].as_array_mut().unwrap().push(scheduled);
        whole["status"]["containerStatuses"][0]["image"] = json!("web:1");
        whole["status"]["containerStatuses"][0]["state"]["running"] = json!({ "startedAt": "2026-01-02T03:04:05Z" });
        whole["status"]["podIP"] = json!("10.0.0.1");
        let read = |pod| serde_json::from_value::<Pod>(pod).unwrap();
        let pod = read(whole);
        assert_eq!(pod, read(kept));
        assert_eq!(pod.metadata.managed_fields, None);
        assert_eq!(pod.metadata.annotations.unwrap().len(), 2);
        assert_eq!(pod.status.unwrap().conditions.unwrap().len(), 1);
    }

    /// A cluster has tens of thousands of them. Of what is not counted here, texts and two maps are left.
    #[test]
    fn a_pod_that_is_kept_stays_small() {
        let sizes = [
            size_of::<Pod>(),
            size_of::<Container>(),
            size_of::<ContainerPort>(),
            size_of::<ContainerStatus>(),
            3 * size_of::<PodCondition>(),
        ];
        assert!(sizes.iter().sum::<usize>() <= 1400, "{sizes:?}");
    }
}
