//! What a Pod is in an EndpointSlice: its addresses of one family, conditions and ports. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Node, ObjectReference, Pod, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::super::workload::pods;

/// The label by which nodes say their zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// A family of addresses, as an EndpointSlice names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// The families a Service has endpoints of.
pub(super) fn families(spec: &ServiceSpec) -> Vec<Family> {
    let named = spec.ip_families.iter().flatten();
    let named: Vec<Family> =
        named.filter_map(|family| [Family::V4, Family::V6].into_iter().find(|known| known.text() == family)).collect();
    if !named.is_empty() {
        return named;
    }
    match spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(_)) => vec![Family::V4],
        Some(IpAddr::V6(_)) => vec![Family::V6],
        None => vec![Family::V4, Family::V6],
    }
}

/// Whether a Service has no address of its own.
pub(super) fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
}

/// Whether a Pod has what an endpoint needs.
pub(super) fn belongs(pod: &Pod) -> bool {
    !pods::has_ended(pod) && addresses(pod).next().is_some()
}

fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten().map(|ip| ip.ip.as_str());
    all.filter_map(|ip| ip.parse().ok())
}

/// The endpoint that a Pod is; none where it has no address of that family.
pub(super) fn endpoint(service: &Service, pod: &Pod, node: Option<&Node>, family: Family) -> Option<Endpoint> {
    let addresses: Vec<String> = addresses(pod).filter(|ip| family.has(*ip)).map(|ip| ip.to_string()).collect();
    if addresses.is_empty() {
        return None;
    }
    let published = service.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true));
    let (serving, terminating) = (pods::is_ready(pod), pods::is_deleting(pod));
    Some(Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(published || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(service, pod),
        node_name: pods::node(pod).map(str::to_owned),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.namespace(),
            name: pod.metadata.name.clone(),
            uid: pod.uid(),
            ..ObjectReference::default()
        }),
        zone: node.and_then(|node| node.labels().get(ZONE)).filter(|zone| !zone.is_empty()).cloned(),
        ..Endpoint::default()
    })
}

/// The name a Pod has in the Service's domain.
fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let in_domain = spec.subdomain == service.metadata.name;
    spec.hostname.clone().filter(|hostname| in_domain && !hostname.is_empty())
}

/// The ports under which a Pod serves a Service; a port that the Pod does not name is left out.
pub(super) fn ports(spec: &ServiceSpec, pod: &Pod) -> Vec<EndpointPort> {
    let port = |wanted: &ServicePort| {
        Some(EndpointPort {
            name: Some(wanted.name.clone().unwrap_or_default()),
            port: Some(target(wanted, pod)?),
            protocol: Some(protocol(wanted.protocol.as_deref()).to_owned()),
            app_protocol: wanted.app_protocol.clone(),
        })
    };
    spec.ports.iter().flatten().filter_map(port).collect()
}

fn protocol(given: Option<&str>) -> &str {
    given.unwrap_or("TCP")
}

fn target(wanted: &ServicePort, pod: &Pod) -> Option<i32> {
    match &wanted.target_port {
        None => Some(wanted.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec.init_containers.iter().flatten();
            let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
            let named = |port: &&ContainerPort| {
                port.name.as_ref() == Some(name)
                    && protocol(port.protocol.as_deref()) == protocol(wanted.protocol.as_deref())
            };
            let all = |container: &'_ Container| container.ports.clone().unwrap_or_default();
            let mut ports = spec.containers.iter().chain(sidecars).flat_map(all);
            ports.find(|port| named(&port)).map(|port| port.container_port)
        }
    }
}

/// What of a Pod matters to the Services that it is in, so that news of anything else is none.
pub(super) fn facts(pod: &Pod) -> impl PartialEq {
    let addresses: Vec<IpAddr> = addresses(pod).collect();
    let spec = pod.spec.as_ref();
    let name = spec.map(|spec| (spec.hostname.clone(), spec.subdomain.clone(), spec.node_name.clone()));
    (
        (pod.metadata.uid.clone(), pod.metadata.labels.clone(), name, addresses),
        (pods::is_ready(pod), pods::is_deleting(pod), pods::has_ended(pod)),
    )
}
