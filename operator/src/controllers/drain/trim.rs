//! What of a Pod is kept in memory: what somebody here looks at, and nothing else. Pure.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStatus, Namespace, Pod, PodSpec, PodStatus, ResourceRequirements,
};

/// The whole object once more, as kubectl keeps it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Lets go of everything about a Pod that nobody looks at.
pub(super) fn pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(PodSpec { containers, init_containers, node_name, readiness_gates, host_network, .. }) = pod.spec.take()
    {
        let init_containers = init_containers.map(|containers| containers.into_iter().map(container).collect());
        let containers = containers.into_iter().map(container).collect();
        pod.spec = Some(PodSpec {
            containers,
            init_containers,
            node_name,
            readiness_gates,
            host_network,
            ..PodSpec::default()
        });
    }
    if let Some(PodStatus { phase, conditions, container_statuses, init_container_statuses, .. }) = pod.status.take() {
        let slim = |statuses: Option<Vec<ContainerStatus>>| {
            statuses.map(|statuses| statuses.into_iter().map(container_status).collect())
        };
        pod.status = Some(PodStatus {
            phase,
            conditions,
            container_statuses: slim(container_statuses),
            init_container_statuses: slim(init_container_statuses),
            ..PodStatus::default()
        });
    }
}

fn container(container: Container) -> Container {
    let Container { name, ports, resources, restart_policy, .. } = container;
    let requests = resources.and_then(|resources| resources.requests);
    let resources = requests.map(|it| ResourceRequirements { requests: Some(it), ..ResourceRequirements::default() });
    Container { name, ports, resources, restart_policy, ..Container::default() }
}

fn container_status(status: ContainerStatus) -> ContainerStatus {
    let ContainerStatus { name, state, .. } = status;
    // Of the state, only whether it runs.
    let state = state
        .and_then(|state| state.running)
        .map(|running| ContainerState { running: Some(running), ..ContainerState::default() });
    ContainerStatus { name, state, ..ContainerStatus::default() }
}

/// Lets go of everything about a namespace but its name and labels.
pub(super) fn namespace(namespace: &mut Namespace) {
    namespace.metadata.managed_fields = None;
    namespace.metadata.annotations = None;
    namespace.spec = None;
    namespace.status = None;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_keeps_what_is_looked_at() {
        let kept = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": { "app": "web" },
                "annotations": { "vpa-managed": "true" }, "finalizers": ["f"], "deletionGracePeriodSeconds": 30,
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1" }],
            },
            "spec": {
                "containers": [{ "name": "c", "ports": [{ "containerPort": 80 }],
                    "resources": { "requests": { "cpu": "75m" } } }],
                "initContainers": [{ "name": "i", "restartPolicy": "Always" }],
                "nodeName": "worker-1", "readinessGates": [{ "conditionType": "drain.slipway.dev/serving" }],
            },
            "status": {
                "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": { "running": { "startedAt": "2026-01-02T03:04:05Z" } } }],
            },
        });
        let mut whole = kept.clone();
        whole["metadata"]["managedFields"] = json!([{ "manager": "kubelet" }]);
        whole["metadata"]["annotations"][LAST_APPLIED] = json!("{}");
        whole["spec"]["containers"][0]["env"] = json!([{ "name": "A", "value": "B" }]);
        whole["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
        whole["status"]["containerStatuses"][0]["image"] = json!("docker.io/library/web:1");
        whole["status"]["podIP"] = json!("10.0.0.1");
        let mut trimmed: Pod = serde_json::from_value(whole).unwrap();
        pod(&mut trimmed);
        assert_eq!(serde_json::to_value(&trimmed).unwrap(), kept);
    }
}
