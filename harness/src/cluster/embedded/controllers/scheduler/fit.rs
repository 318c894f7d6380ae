//! Whether a Pod may be on a node: its selectors and tolerations. Pure.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration};
use kube::ResourceExt;

/// Whether a toleration puts up with a taint.
pub(in crate::cluster::embedded::controllers) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let effect = given(&toleration.effect).is_none_or(|effect| effect == taint.effect);
    let key = given(&toleration.key).is_none_or(|key| key == taint.key);
    let value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        // A toleration without a key must be `Exists`.
        _ => {
            given(&toleration.key).is_some()
                && toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
    };
    effect && key && value
}

/// Whether a node is one that a Pod selects, by labels and by required affinity.
pub(in crate::cluster::embedded::controllers) fn matches_selector(spec: &PodSpec, node: &Node) -> bool {
    let labels = node.labels();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches_term(term, node)))
}

/// Whether a node meets all requirements of a term.
pub(super) fn matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (labels, fields) = (term.match_expressions.as_deref(), term.match_fields.as_deref());
    let (labels, fields) = (labels.unwrap_or_default(), fields.unwrap_or_default());
    let name = node.name_any();
    let field = |key: &str| (key == "metadata.name").then_some(name.as_str());
    let label = |key: &str| node.labels().get(key).map(String::as_str);
    // A term without requirements matches nothing.
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|wanted| matches_requirement(wanted, label(&wanted.key)))
        && fields.iter().all(|wanted| matches_requirement(wanted, field(&wanted.key)))
}

fn matches_requirement(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let bound = number(values.first().map(String::as_str));
    match wanted.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(bound).is_some_and(|(value, bound)| value > bound),
        "Lt" => number(value).zip(bound).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}
