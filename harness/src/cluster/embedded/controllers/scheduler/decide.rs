//! Which node a Pod goes to, or why to none. Pure.
//!
//! The filters are asked in the scheduler's own order and the first that refuses a node names the reason. Neither
//! preemption nor resource claims exist here, and the message says so as the scheduler's does when neither would help.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, PodSpec, Taint};
use kube::ResourceExt;

use super::fit::{matches_selector, matches_term, tolerates};
use super::load::{Footprint, Load, Loads};
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

/// Chooses: the node with the fewest Pods, by name where several have as many. `claim` finds the claims that the Pod
/// names.
pub(super) fn choose(
    pod: &Pod,
    nodes: &[Arc<Node>],
    loads: &Loads,
    claim: impl Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
) -> Choice {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    if nodes.is_empty() {
        return Choice::Nowhere("no nodes available to schedule pods".to_owned());
    }
    if let Some(reason) = missing_claim(pod, spec, claim) {
        return Choice::Nowhere(unavailable(nodes.len(), &reason, &unhelpful(nodes.len())));
    }
    let (empty, wanted) = (Load::default(), Footprint::of(spec));
    let mut refusals = Vec::new();
    let mut feasible = Vec::new();
    for node in nodes {
        let load = loads.of(name(node)).unwrap_or(&empty);
        let refused = refuse(spec, &wanted, node, load);
        if refused.is_empty() { feasible.push((node, load)) } else { refusals.push(refused) }
    }
    let best = feasible.into_iter().min_by_key(|(node, load)| {
        let avoided = untolerated(spec, node, "PreferNoSchedule").count();
        let preferred = std::cmp::Reverse(preference(spec, node));
        (avoided, preferred, load.pods(), name(node))
    });
    best.map_or_else(
        || Choice::Nowhere(message(nodes.len(), &refusals)),
        |(best, _)| Choice::Node(name(best).to_owned()),
    )
}

fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// Which of its claims keeps a Pod from every node.
fn missing_claim(
    pod: &Pod,
    spec: &PodSpec,
    claim: impl Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
) -> Option<String> {
    let named = spec.volumes.iter().flatten().filter_map(|volume| {
        let made = || volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name_any(), volume.name));
        volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone()).or_else(made)
    });
    let mut unbound = false;
    for name in named {
        let Some(claim) = claim(&name) else { return Some(format!("persistentvolumeclaim \"{name}\" not found")) };
        if claim.metadata.deletion_timestamp.is_some() {
            return Some(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        unbound |= claim.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound");
    }
    unbound.then(|| "pod has unbound immediate PersistentVolumeClaims".to_owned())
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
        hopes.push(unhelpful(nodes - by_pods));
    }
    hopes.sort();
    unavailable(nodes, &reasons.join(", "), &hopes.join(", "))
}

fn unhelpful(nodes: usize) -> String {
    format!("{nodes} Preemption is not helpful for scheduling")
}

fn unavailable(nodes: usize, reasons: &str, hopes: &str) -> String {
    let available = format!("0/{nodes} nodes are available:");
    format!("{available} {reasons}. no new claims to deallocate, preemption: {available} {hopes}.")
}

fn refuse(spec: &PodSpec, wanted: &Footprint, node: &Node, load: &Load) -> Vec<Refusal> {
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
    if load.clashes(wanted) {
        let reason = "node(s) didn't have free ports for the requested pod ports".to_owned();
        return vec![Refusal { reason, by_pods: true }];
    }
    missing_resources(wanted, node, load)
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

fn missing_resources(wanted: &Footprint, node: &Node, load: &Load) -> Vec<Refusal> {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let capacity = |name: &str| allocatable.and_then(|all| all.get(name)).and_then(quantity::milli);
    let refusal = |reason: String| Refusal { reason, by_pods: true };
    let mut missing = Vec::new();
    let pods_max = capacity("pods").unwrap_or(PODS_MAX * 1000);
    if i128::try_from(load.pods() + 1).unwrap_or(i128::MAX) * 1000 > pods_max {
        missing.push(refusal("Too many pods".to_owned()));
    }
    for (name, amount) in wanted.requests.iter().filter(|(_, amount)| **amount > 0) {
        if *amount > capacity(name).unwrap_or(0) - load.used(name) {
            missing.push(refusal(format!("Insufficient {name}")));
        }
    }
    missing
}
