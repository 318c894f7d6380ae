//! Which node a Pod goes to, or why to none. Pure.
//!
//! The filters are asked in the scheduler's own order and the first that refuses a node names the reason. Neither
//! preemption nor resource claims exist here, and the message says so as the scheduler's does when neither would help.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, Taint};
use kube::ResourceExt;

use super::fit::{matches_selector, matches_term, tolerates};
use super::quantity;

/// Pods a node takes that says nothing of it, as the kubelet has it.
const PODS_MAX: i128 = 110;

/// Where a Pod goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// To this node.
    Node(String),
    /// Nowhere yet, for this reason.
    Nowhere(String),
}

/// Why a node does not take a Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refusal {
    reason: String,
    /// Removing other Pods would help.
    by_pods: bool,
}

/// A node, with the Pods that are on it and have not ended.
pub(super) struct Candidate {
    /// The node.
    pub(super) node: Arc<Node>,
    /// Its Pods.
    pub(super) pods: Vec<Arc<Pod>>,
}

/// Chooses: the node that is least used, by name where several are.
pub(super) fn choose(pod: &Pod, candidates: &[Candidate]) -> Choice {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    if candidates.is_empty() {
        return Choice::Nowhere("no nodes available to schedule pods".to_owned());
    }
    let mut refusals = Vec::new();
    let mut feasible = Vec::new();
    for candidate in candidates {
        let refused = refuse(spec, candidate);
        if refused.is_empty() { feasible.push(candidate) } else { refusals.push(refused) }
    }
    let best = feasible.into_iter().min_by_key(|candidate| {
        let avoided = untolerated(spec, &candidate.node, "PreferNoSchedule").count();
        let preferred = std::cmp::Reverse(preference(spec, &candidate.node));
        (avoided, preferred, candidate.pods.len(), candidate.node.name_any())
    });
    best.map_or_else(
        || Choice::Nowhere(message(candidates.len(), &refusals)),
        |best| Choice::Node(best.node.name_any()),
    )
}

/// `0/3 nodes are available: 1 node(s) …, 2 node(s) …. no new claims to deallocate, preemption: …`
fn message(nodes: usize, refusals: &[Vec<Refusal>]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for refusal in refusals.iter().flatten() {
        *counts.entry(&refusal.reason).or_default() += 1;
    }
    let mut reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    let by_pods = refusals.iter().filter(|refused| refused.iter().all(|refusal| refusal.by_pods)).count();
    let mut hopes = Vec::new();
    if by_pods > 0 {
        hopes.push(format!("{by_pods} No preemption victims found for incoming pod"));
    }
    if nodes > by_pods {
        hopes.push(format!("{} Preemption is not helpful for scheduling", nodes - by_pods));
    }
    hopes.sort();
    let available = format!("0/{nodes} nodes are available:");
    format!(
        "{available} {}. no new claims to deallocate, preemption: {available} {}.",
        reasons.join(", "),
        hopes.join(", ")
    )
}

fn refuse(spec: &PodSpec, candidate: &Candidate) -> Vec<Refusal> {
    let node = &candidate.node;
    let firm = |reason: &str| vec![Refusal { reason: reason.to_owned(), by_pods: false }];
    if is_cordoned(node) && !tolerates_cordon(spec) {
        return firm("node(s) were unschedulable");
    }
    let hard = ["NoSchedule", "NoExecute"];
    if hard.iter().any(|effect| untolerated(spec, node, effect).next().is_some()) {
        return firm("node(s) had untolerated taint(s)");
    }
    if !matches_selector(spec, node) {
        return firm("node(s) didn't match Pod's node affinity/selector");
    }
    if ports_clash(spec, &candidate.pods) {
        let reason = "node(s) didn't have free ports for the requested pod ports".to_owned();
        return vec![Refusal { reason, by_pods: true }];
    }
    missing_resources(spec, candidate)
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}

fn tolerates_cordon(spec: &PodSpec) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    spec.tolerations.iter().flatten().any(|toleration| tolerates(toleration, &taint))
}

fn untolerated<'a>(spec: &'a PodSpec, node: &'a Node, effect: &'a str) -> impl Iterator<Item = &'a Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    taints.filter(move |taint| {
        // A cordon has its own filter, which comes first.
        let cordon = taint.key == "node.kubernetes.io/unschedulable" && is_cordoned(node);
        let tolerated = || spec.tolerations.iter().flatten().any(|toleration| tolerates(toleration, taint));
        taint.effect == effect && !cordon && !tolerated()
    })
}

/// The summed weights of the preferences that a node meets.
fn preference(spec: &PodSpec, node: &Node) -> i32 {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let preferred =
        affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
    let met = preferred.into_iter().flatten().filter(|preferred| matches_term(&preferred.preference, node));
    met.map(|preferred| preferred.weight).sum()
}

/// A port of the host: protocol, address and number.
type HostPort = (String, String, i32);

fn host_ports(spec: &PodSpec) -> impl Iterator<Item = HostPort> {
    let host_network = spec.host_network == Some(true);
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(move |port| {
        let number = port.host_port.or(host_network.then_some(port.container_port)).filter(|number| *number > 0)?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let address = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
        Some((protocol, address, number))
    })
}

fn ports_clash(spec: &PodSpec, pods: &[Arc<Pod>]) -> bool {
    let taken: BTreeSet<HostPort> = pods.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(host_ports).collect();
    let clashes = |(protocol, address, number): &HostPort| {
        let same_ip = |other: &str| address == other || address == "0.0.0.0" || other == "0.0.0.0";
        taken.iter().any(|taken| taken.0 == *protocol && taken.2 == *number && same_ip(&taken.1))
    };
    host_ports(spec).any(|port| clashes(&port))
}

fn missing_resources(spec: &PodSpec, candidate: &Candidate) -> Vec<Refusal> {
    let allocatable = candidate.node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let capacity = |name: &str| allocatable.and_then(|all| all.get(name)).and_then(quantity::milli);
    let refusal = |reason: String| Refusal { reason, by_pods: true };
    let mut missing = Vec::new();
    let pods_max = capacity("pods").unwrap_or(PODS_MAX * 1000);
    if i128::try_from(candidate.pods.len() + 1).unwrap_or(i128::MAX) * 1000 > pods_max {
        missing.push(refusal("Too many pods".to_owned()));
    }
    let wanted = requests(spec);
    if wanted.values().all(|amount| *amount == 0) {
        return missing;
    }
    let mut used: BTreeMap<String, i128> = BTreeMap::new();
    for (name, amount) in candidate.pods.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(requests) {
        *used.entry(name).or_default() += amount;
    }
    for (name, amount) in wanted {
        let free = capacity(&name).unwrap_or(0) - used.get(&name).copied().unwrap_or(0);
        if amount > free {
            missing.push(refusal(format!("Insufficient {name}")));
        }
    }
    missing
}

/// What a Pod asks for: the sum of its containers, or its largest init container where that is more.
fn requests(spec: &PodSpec) -> BTreeMap<String, i128> {
    let of = |container: &Container| -> BTreeMap<String, i128> {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let amounts = requests.into_iter().flatten();
        amounts.filter_map(|(name, amount)| Some((name.clone(), quantity::milli(amount)?))).collect()
    };
    let mut total: BTreeMap<String, i128> = BTreeMap::new();
    for (name, amount) in spec.containers.iter().flat_map(of) {
        *total.entry(name).or_default() += amount;
    }
    for (name, amount) in spec.init_containers.iter().flatten().flat_map(of) {
        let slot = total.entry(name).or_default();
        *slot = amount.max(*slot);
    }
    for (name, amount) in spec.overhead.iter().flatten() {
        *total.entry(name.clone()).or_default() += quantity::milli(amount).unwrap_or(0);
    }
    total
}
