//! What Pods ask of a node, and what is taken of each. Pure.
//!
//! Sums are kept as Pods come and go, so that choosing a node for one Pod does not look at every other.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::informer::Key;
use super::super::workload::pods;
use super::quantity;

/// Amounts in thousandths, by the name of the resource.
pub(super) type Amounts = BTreeMap<String, i128>;

/// A port of the host: protocol, address and number.
pub(super) type HostPort = (String, String, i32);

/// The address that stands for all of a node.
const ANY: &str = "0.0.0.0";

/// What a Pod takes of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    /// What it requests.
    pub(super) requests: Amounts,
    ports: Vec<HostPort>,
}

impl Footprint {
    /// That of a Pod.
    pub(super) fn of(spec: &PodSpec) -> Self {
        Self { requests: requests(spec), ports: host_ports(spec) }
    }
}

/// What is taken of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    pods: BTreeMap<Key, Footprint>,
    used: Amounts,
}

impl Load {
    /// How many Pods there are.
    pub(super) fn pods(&self) -> usize {
        self.pods.len()
    }

    /// How much of a resource is taken.
    pub(super) fn used(&self, name: &str) -> i128 {
        self.used.get(name).copied().unwrap_or(0)
    }

    /// Whether a port that a Pod asks for is taken.
    pub(super) fn clashes(&self, wanted: &Footprint) -> bool {
        let same_address = |one: &str, other: &str| one == other || one == ANY || other == ANY;
        let clash =
            |one: &HostPort, other: &HostPort| one.0 == other.0 && one.2 == other.2 && same_address(&one.1, &other.1);
        !wanted.ports.is_empty()
            && self.pods.values().any(|pod| pod.ports.iter().any(|taken| wanted.ports.iter().any(|p| clash(p, taken))))
    }

    /// A Pod comes.
    pub(super) fn add(&mut self, key: Key, footprint: Footprint) {
        self.remove(&key);
        for (name, amount) in &footprint.requests {
            *self.used.entry(name.clone()).or_default() += amount;
        }
        self.pods.insert(key, footprint);
    }

    /// A Pod goes.
    pub(super) fn remove(&mut self, key: &Key) {
        let Some(footprint) = self.pods.remove(key) else { return };
        for (name, amount) in &footprint.requests {
            *self.used.entry(name.clone()).or_default() -= amount;
        }
    }
}

/// What is taken of every node.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads(BTreeMap<String, Load>);

impl Loads {
    /// What is taken of a node.
    pub(super) fn of(&self, node: &str) -> Option<&Load> {
        self.0.get(node)
    }

    /// Takes in what a Pod was and what it is; none where it was not there or is gone.
    pub(super) fn changed(&mut self, key: &Key, old: Option<&Pod>, new: Option<&Pod>) {
        let place = |pod: &'_ Pod| pods::node(pod).filter(|_| !pods::has_ended(pod)).map(str::to_owned);
        let (before, after) = (old.and_then(place), new.and_then(place));
        // What a Pod asks for may change while it runs.
        let same = || old.map(|pod| &pod.spec) == new.map(|pod| &pod.spec);
        if before == after && same() {
            return;
        }
        if let Some(node) = before
            && let Some(load) = self.0.get_mut(&node)
        {
            load.remove(key);
            if load.pods.is_empty() {
                self.0.remove(&node);
            }
        }
        if let Some((node, spec)) = after.zip(new.and_then(|pod| pod.spec.as_ref())) {
            self.0.entry(node).or_default().add(key.clone(), Footprint::of(spec));
        }
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let on_host = spec.host_network == Some(true);
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.or(on_host.then_some(port.container_port)).filter(|number| *number > 0)?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            let address = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| ANY.to_owned());
            Some((protocol, address, number))
        })
        .collect()
}

/// What a Pod asks for: the sum of what runs together, now or while it starts, whichever is more.
fn requests(spec: &PodSpec) -> Amounts {
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &of(container.resources.as_ref()));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut now = of(container.resources.as_ref());
        if is_sidecar(container) {
            add(&mut sidecars, &now);
            now.clone_from(&sidecars);
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut starting, now);
    }
    add(&mut total, &sidecars);
    raise(&mut total, starting);
    // What is asked for the Pod as a whole stands instead of what its containers ask for.
    total.extend(of(spec.resources.as_ref()));
    add(&mut total, &amounts(spec.overhead.as_ref()));
    total
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn of(resources: Option<&ResourceRequirements>) -> Amounts {
    amounts(resources.and_then(|resources| resources.requests.as_ref()))
}

fn amounts(quantities: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let known = quantities.into_iter().flatten();
    known.filter_map(|(name, quantity)| Some((name.clone(), quantity::milli(quantity)?))).collect()
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *total.entry(name.clone()).or_default() += amount;
    }
}

fn raise(total: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        let slot = total.entry(name).or_default();
        *slot = amount.max(*slot);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> Value {
        json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn a_pod_asks_for_what_runs_together_at_its_worst() {
        let cases = [
            (json!({"containers": [container("100m"), container("1")]}), 1100),
            (json!({"containers": [container("100m")], "initContainers": [container("1"), container("2")]}), 2000),
            (json!({"containers": [container("100m")], "initContainers": [sidecar("1")]}), 1100),
            // The sidecar runs on while the next init container does.
            (json!({"containers": [container("1")], "initContainers": [sidecar("1"), container("2")]}), 3000),
            (json!({"containers": [container("1")], "initContainers": [container("2"), sidecar("1")]}), 2000),
            (json!({"containers": [container("1")], "overhead": {"cpu": "250m"}}), 1250),
            (json!({"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}), 4000),
        ];
        for (spec, expected) in cases {
            let footprint = Footprint::of(&from_value(spec.clone()).expect("a spec"));
            assert_eq!(footprint.requests["cpu"], expected, "{spec}");
        }
    }

    #[test]
    fn a_node_is_as_full_as_the_pods_that_are_on_it_now() {
        let pod = |node: &str, phase: &str| -> Pod {
            let spec = json!({"nodeName": node, "containers": [container("1")]});
            from_value(json!({"spec": spec, "status": {"phase": phase}})).expect("a pod")
        };
        let key = Key { namespace: "n".to_owned(), name: "p".to_owned() };
        let used = |loads: &Loads| loads.of("a").map_or((0, 0), |load| (load.pods(), load.used("cpu")));
        let (waiting, running, ended) = (pod("", "Pending"), pod("a", "Running"), pod("a", "Succeeded"));
        let mut loads = Loads::default();
        let steps = [
            (None, Some(&waiting), (0, 0)),
            (Some(&waiting), Some(&running), (1, 1000)),
            (Some(&running), Some(&running), (1, 1000)),
            (Some(&running), Some(&ended), (0, 0)),
            (Some(&ended), None, (0, 0)),
            (None, Some(&running), (1, 1000)),
            (Some(&running), None, (0, 0)),
        ];
        for (old, new, expected) in steps {
            loads.changed(&key, old, new);
            assert_eq!(used(&loads), expected, "{old:?} -> {new:?}");
        }
    }
}
