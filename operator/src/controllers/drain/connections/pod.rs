//! What a Pod says of itself: its ports, its containers, and in which of them to look first. Pure.

use std::collections::BTreeSet;

use super::super::pod::{Container, DEFAULT_CONTAINER, Pod};
use super::mesh;
use super::sockets::count::Ports;

/// Containers and sidecars, in the order of the specification.
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let sidecars = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let sidecars = sidecars.iter().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.map(|spec| spec.containers.as_slice()).unwrap_or_default().iter().chain(sidecars)
}

/// Whether one of its containers has one of these names.
pub(super) fn has_container(pod: &Pod, names: &[&str]) -> bool {
    containers(pod).any(|container| names.contains(&container.name.as_str()))
}

/// Containers that run, the one that is meant for looking first.
pub(super) fn running(pod: &Pod) -> Vec<String> {
    let status = pod.status.as_ref();
    let statuses = status.into_iter().flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    });
    let running: BTreeSet<&str> = statuses
        .filter(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
        .map(|status| status.name.as_str())
        .collect();
    let default = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT_CONTAINER));
    let mut names: Vec<_> = containers(pod).map(|container| container.name.clone()).collect();
    names.retain(|name| running.contains(name.as_str()));
    names.sort_by_key(|name| Some(name) != default);
    names
}

/// The ports whose connections count.
pub(super) fn ports(pod: &Pod, ignored: &[u16]) -> Ports {
    let declared = containers(pod)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| u16::try_from(port.container_port).ok());
    let mut ignored: BTreeSet<u16> = ignored.iter().copied().collect();
    for (containers, own) in
        [(&mesh::ENVOY_CONTAINERS[..], &mesh::ISTIO_PORTS[..]), (&mesh::LINKERD_CONTAINERS, &mesh::LINKERD_PORTS)]
    {
        if has_container(pod, containers) {
            ignored.extend(own);
        }
    }
    let host_network = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    Ports { declared: declared.collect(), ignored, host_network }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(pod: Value) -> Pod {
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn the_container_meant_for_looking_comes_first_and_only_running_ones_come_at_all() {
        let status = |name: &str, state: &str| json!({ "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { state: {} } });
        let pod = pod(json!({
            "metadata": { "annotations": { DEFAULT_CONTAINER: "web" } },
            "spec": {
                "initContainers": [{ "name": "proxy", "restartPolicy": "Always" }, { "name": "migrate" }],
                "containers": [{ "name": "logs" }, { "name": "web" }, { "name": "crashed" }],
            },
            "status": {
                "containerStatuses": [status("logs", "running"), status("web", "running"), status("crashed", "waiting")],
                "initContainerStatuses": [status("migrate", "running"), status("proxy", "running")],
            },
        }));
        assert_eq!(running(&pod), ["web", "logs", "proxy"]);
        assert_eq!(running(&Pod::default()), Vec::<String>::new());
    }

    #[test]
    fn ports_are_declared_and_a_sidecars_own_ones_do_not_count() {
        let containers = json!([
            { "name": "web", "ports": [{ "containerPort": 8080 }, { "containerPort": 9090 }] },
            { "name": "istio-proxy", "ports": [{ "containerPort": 15090 }] },
        ]);
        let mesh = ports(&pod(json!({ "spec": { "containers": containers, "hostNetwork": true } })), &[9090]);
        assert_eq!(mesh.declared, [8080, 9090, 15090].into());
        assert_eq!(mesh.ignored, [9090, 15000, 15001, 15004, 15020, 15021, 15053, 15090].into());
        assert!(mesh.host_network);
        let plain = ports(&pod(json!({ "spec": { "containers": [containers[0]] } })), &[]);
        assert_eq!((plain.ignored.len(), plain.host_network), (0, false), "15090 may be anybody's port");
    }
}
