//! Which EndpointSlices a Service needs: those it has are changed as little as possible. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use super::endpoints::{self, Family};

/// The label that names a slice's Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The label that names a slice's controller.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// What this controller calls itself in that label.
pub(super) const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// The label of slices of Services without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// The endpoints in one slice at most.
const ENDPOINTS_MAX: usize = 100;

/// A Pod that a Service selects, with its node where there is one.
pub(super) type Backend = (Arc<Pod>, Option<Arc<Node>>);

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
}

/// What slices of one Service are told apart by: the ports, in one order.
type PortsKey = Vec<(Option<String>, Option<i32>, Option<String>, Option<String>)>;

/// Decides. `existing` are the slices of the Service that this controller looks after.
pub(super) fn decide(service: &Service, backends: &[Backend], existing: &[Arc<EndpointSlice>]) -> Plan {
    let Some(spec) = service.spec.as_ref() else { return Plan::default() };
    let families = endpoints::families(spec);
    let mut plan = Plan::default();
    for family in &families {
        let of_family = existing.iter().filter(|slice| slice.address_type == family.text());
        plan_family(service, *family, backends, &of_family.cloned().collect::<Vec<_>>(), &mut plan);
    }
    let foreign = |slice: &&Arc<EndpointSlice>| !families.iter().any(|family| slice.address_type == family.text());
    plan.delete.extend(existing.iter().filter(foreign).cloned());
    plan
}

fn plan_family(
    service: &Service,
    family: Family,
    backends: &[Backend],
    existing: &[Arc<EndpointSlice>],
    whole: &mut Plan,
) {
    let mut plan = Plan::default();
    let (ours, others): (Vec<_>, Vec<_>) = existing.iter().cloned().partition(|slice| is_owned(slice, service));
    let mut by_ports: BTreeMap<PortsKey, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in ours {
        by_ports.entry(ports_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
    }
    for (ports, desired) in wanted(service, family, backends) {
        let present = by_ports.remove(&ports_key(&ports)).unwrap_or_default();
        fill(service, family, &ports, desired, &present, &mut plan);
    }
    // Slices for ports that nobody serves any more.
    let stale: Vec<Arc<EndpointSlice>> = by_ports.into_values().flatten().collect();
    plan.delete.extend(stale.into_iter().chain(others));
    if plan.delete.len() == existing.len() && plan.create.is_empty() {
        // A Service without endpoints has one empty slice.
        let empty = blank(service, family, Vec::new());
        let is_placeholder = |slice: &EndpointSlice| {
            is_owned(slice, service)
                && slice.endpoints.as_ref().is_none_or(Vec::is_empty)
                && slice.ports.as_ref().is_none_or(Vec::is_empty)
                && slice.labels() == empty.labels()
        };
        match plan.delete.as_slice() {
            [only] if is_placeholder(only) => plan.delete.clear(),
            _ => plan.create.push(empty),
        }
    }
    reuse(service, plan, whole);
}

/// The endpoints wanted, by the ports that they have.
fn wanted(service: &Service, family: Family, backends: &[Backend]) -> Vec<(Vec<EndpointPort>, Vec<Endpoint>)> {
    let Some(spec) = service.spec.as_ref() else { return Vec::new() };
    let published = spec.publish_not_ready_addresses == Some(true);
    let mut groups: BTreeMap<PortsKey, (Vec<EndpointPort>, Vec<Endpoint>)> = BTreeMap::new();
    for (pod, node) in backends.iter().filter(|(pod, _)| endpoints::belongs(pod)) {
        let ports = endpoints::ports(spec, pod);
        let group = groups.entry(ports_key(&ports)).or_insert_with(|| (ports, Vec::new()));
        // A Pod on a node that is not there (yet) has no topology and is left out.
        if node.is_some() || published {
            group.1.extend(endpoints::endpoint(service, pod, node.as_deref(), family));
        }
    }
    groups.into_values().collect()
}

/// Brings the slices of one set of ports up to date.
fn fill(
    service: &Service,
    family: Family,
    ports: &[EndpointPort],
    desired: Vec<Endpoint>,
    present: &[Arc<EndpointSlice>],
    plan: &mut Plan,
) {
    let mut desired: BTreeMap<(String, Vec<String>), Endpoint> =
        desired.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
    let mut changed: Vec<EndpointSlice> = Vec::new();
    let mut unchanged: Vec<Arc<EndpointSlice>> = Vec::new();
    for slice in present {
        let before = slice.endpoints.as_deref().unwrap_or_default();
        let kept: Vec<Endpoint> = before.iter().filter_map(|endpoint| desired.remove(&identity(endpoint))).collect();
        if kept.is_empty() && !before.is_empty() {
            plan.delete.push(Arc::clone(slice));
        } else if kept != before || *slice.labels() != labels(service) {
            let mut slice = EndpointSlice::clone(slice);
            slice.endpoints = Some(kept);
            slice.metadata.labels = Some(labels(service));
            changed.push(slice);
        } else {
            unchanged.push(Arc::clone(slice));
        }
    }
    let mut rest: Vec<Endpoint> = desired.into_values().collect();
    let length = |slice: &EndpointSlice| slice.endpoints.as_ref().map_or(0, Vec::len);
    // Slices that are written anyway take what they can, the fullest first.
    changed.sort_by_key(|slice| std::cmp::Reverse(length(slice)));
    for slice in &mut changed {
        let room = ENDPOINTS_MAX.saturating_sub(length(slice)).min(rest.len());
        slice.endpoints.get_or_insert_default().extend(rest.drain(..room));
    }
    while !rest.is_empty() {
        let fits = |slice: &&Arc<EndpointSlice>| length(slice) + rest.len() <= ENDPOINTS_MAX && length(slice) > 0;
        let fullest = unchanged.iter().filter(fits).max_by_key(|slice| length(slice)).cloned();
        let taken = rest.drain(..rest.len().min(ENDPOINTS_MAX));
        if let Some(fullest) = fullest {
            let mut slice = EndpointSlice::clone(&fullest);
            slice.endpoints.get_or_insert_default().extend(taken);
            changed.push(slice);
        } else {
            let slice = blank(service, family, ports.to_vec());
            plan.create.push(EndpointSlice { endpoints: Some(taken.collect()), ..slice });
        }
    }
    plan.update.extend(changed);
}

/// Turns pairs of a slice to make and one to delete into one to change.
fn reuse(service: &Service, mut plan: Plan, whole: &mut Plan) {
    let (reusable, doomed): (Vec<_>, Vec<_>) = plan.delete.into_iter().partition(|slice| is_owned(slice, service));
    whole.delete.extend(doomed);
    for slice in reusable {
        let Some(mut new) = plan.create.pop() else {
            whole.delete.push(slice);
            continue;
        };
        new.metadata.name.clone_from(&slice.metadata.name);
        new.metadata.resource_version.clone_from(&slice.metadata.resource_version);
        whole.update.push(new);
    }
    whole.create.extend(plan.create);
    whole.update.extend(plan.update);
}

/// What makes two endpoints the same one: what they stand for and their addresses.
fn identity(endpoint: &Endpoint) -> (String, Vec<String>) {
    let target = endpoint.target_ref.as_ref().map(|target| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}/{}/{}", text(&target.namespace), text(&target.name), text(&target.uid))
    });
    (target.unwrap_or_default(), endpoint.addresses.clone())
}

fn ports_key(ports: &[EndpointPort]) -> PortsKey {
    let key = |port: &EndpointPort| {
        // A server says TCP and an empty name where nothing was said.
        let name = Some(port.name.clone().unwrap_or_default());
        let protocol = Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()));
        (name, port.port, protocol, port.app_protocol.clone())
    };
    let mut ports: PortsKey = ports.iter().map(key).collect();
    ports.sort();
    ports
}

fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    let owner = |owner: &&OwnerReference| owner.kind == "Service" && owner.api_version == "v1";
    slice.owner_references().iter().filter(owner).any(|owner| service.metadata.uid.as_ref() == Some(&owner.uid))
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.labels().clone();
    labels.remove(HEADLESS);
    if service.spec.as_ref().is_some_and(endpoints::is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    labels
}

fn blank(service: &Service, family: Family, ports: Vec<EndpointPort>) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name_any())),
            namespace: service.namespace(),
            labels: Some(labels(service)),
            owner_references: service
                .controller_owner_ref(&())
                .map(|owner| vec![OwnerReference { block_owner_deletion: Some(true), ..owner }]),
            ..ObjectMeta::default()
        },
        address_type: family.text().to_owned(),
        endpoints: Some(Vec::new()),
        ports: Some(ports),
    }
}
