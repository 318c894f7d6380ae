//! Which nodes a DaemonSet's Pods belong on, and the Pod for a node. Pure.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    PodTemplateSpec, Toleration,
};
use kube::ResourceExt;

use super::super::scheduler::fit;
use super::super::workload::{pods, revisions, template};

/// The label of Pods that says how often the template has changed.
const GENERATION_LABEL: &str = "pod-template-generation";

/// The annotation of DaemonSets that says it.
const GENERATION: &str = "deprecated.daemonset.template.generation";

/// What DaemonSet Pods put up with on any node.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// And what those put up with that are on the node's own network.
const TOLERATED_ON_HOST: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Whether a node is to have a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is.
    Wanted,
    /// Not a new one, but one that is there stays.
    Stays,
    /// It is not.
    Unwanted,
}

/// A node's name.
pub(super) fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// Whether a node is to have a Pod of this spec (which has its tolerations).
pub(super) fn place(spec: &PodSpec, node: &Node) -> Place {
    let elsewhere = spec.node_name.as_ref().is_some_and(|wanted| !wanted.is_empty() && wanted != name(node));
    if elsewhere || !fit::matches_selector(spec, node) {
        return Place::Unwanted;
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let tolerated = |taint| spec.tolerations.iter().flatten().any(|toleration| fit::tolerates(toleration, taint));
    let mut place = Place::Wanted;
    for taint in taints.filter(|taint| !tolerated(taint)) {
        match taint.effect.as_str() {
            "NoExecute" => return Place::Unwanted,
            "NoSchedule" => place = Place::Stays,
            _ => {}
        }
    }
    place
}

/// The template with what every Pod of the set gets.
pub(super) fn template(set: &DaemonSet, hash: &str) -> PodTemplateSpec {
    let mut template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    if let Some(generation) = set.annotations().get(GENERATION) {
        labels.insert(GENERATION_LABEL.to_owned(), generation.clone());
    }
    labels.insert(revisions::HASH_LABEL.to_owned(), hash.to_owned());
    let spec = template.spec.get_or_insert_default();
    let on_host = (spec.host_network == Some(true)).then_some(TOLERATED_ON_HOST);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(on_host) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        // One that says the same, only for a while, says it for good from now on.
        let same =
            |old: &&mut Toleration| Toleration { toleration_seconds: None, ..Toleration::clone(old) } == toleration;
        match tolerations.iter_mut().find(same) {
            Some(old) => *old = toleration,
            None => tolerations.push(toleration),
        }
    }
    template
}

/// The Pod for a node, to which the scheduler will bind it.
pub(super) fn pod(set: &DaemonSet, template: &PodTemplateSpec, node: &str) -> Pod {
    let mut pod = template::pod(set, template);
    let affinity = pod.spec.get_or_insert_default().affinity.get_or_insert_with(Affinity::default);
    let by_node = affinity.node_affinity.get_or_insert_with(NodeAffinity::default);
    by_node.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_fields: Some(vec![NodeSelectorRequirement {
                key: "metadata.name".to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![node.to_owned()]),
            }]),
            match_expressions: None,
        }],
    });
    pod
}

/// The node that a Pod is on or is meant for.
pub(super) fn target(pod: &Pod) -> Option<&str> {
    let meant = || {
        let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
        let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
        let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
        let mut names = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
        names.next()?.values.as_ref()?.first().map(String::as_str)
    };
    pods::node(pod).or_else(meant)
}

/// Whether a Pod is of the current template.
pub(super) fn is_current(set: &DaemonSet, hash: &str, pod: &Pod) -> bool {
    let generation = set.annotations().get(GENERATION);
    let labels = pod.labels();
    labels.get(revisions::HASH_LABEL).is_some_and(|of| of == hash)
        || (generation.is_some() && labels.get(GENERATION_LABEL) == generation)
}
