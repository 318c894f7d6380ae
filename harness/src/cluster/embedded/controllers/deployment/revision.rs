//! The labels and annotations that tie ReplicaSets to revisions of a Deployment. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::super::workload::{hash, ownership};
use super::spec::Wanted;

/// The label that tells the Pods of one template from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The annotation that counts the templates.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";

const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a Deployment that its ReplicaSets do not get.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// How long the list of former revisions may become.
const HISTORY_LENGTH_MAX: usize = 2000;

/// A ReplicaSet's revision; 0 where it has none.
pub(super) fn of(set: &ReplicaSet) -> i64 {
    set.annotations().get(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
}

/// How many Pods the Deployment wanted when a ReplicaSet was last scaled.
pub(super) fn desired(set: &ReplicaSet) -> Option<i32> {
    set.annotations().get(DESIRED)?.parse().ok()
}

/// How many Pods the Deployment could have had when a ReplicaSet was last scaled.
pub(super) fn max(set: &ReplicaSet) -> Option<i32> {
    set.annotations().get(MAX)?.parse().ok()
}

/// Writes down what the Deployment wants now.
pub(super) fn note_scale(set: &mut ReplicaSet, wanted: &Wanted) {
    let annotations = set.annotations_mut();
    annotations.insert(DESIRED.to_owned(), wanted.replicas.to_string());
    annotations.insert(MAX.to_owned(), (wanted.replicas + wanted.max_surge).to_string());
}

/// Gives the ReplicaSet of the current template the Deployment's annotations and the newest revision.
pub(super) fn annotate(set: &mut ReplicaSet, deployment: &Deployment, revision: i64) {
    let copied = deployment.annotations().iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
    let before = of(set);
    let annotations = set.annotations_mut();
    annotations.extend(copied.map(|(key, value)| (key.clone(), value.clone())));
    if revision > before {
        let old = annotations.insert(REVISION.to_owned(), revision.to_string());
        if let Some(old) = old.filter(|_| before > 0) {
            let history = annotations.entry(HISTORY.to_owned()).or_default();
            *history = remembered(history, &old);
        }
    }
}

/// The list of former revisions with one more; the oldest are forgotten when it gets too long.
fn remembered(history: &str, revision: &str) -> String {
    let mut revisions: Vec<&str> = history.split(',').filter(|revision| !revision.is_empty()).collect();
    revisions.push(revision);
    let mut text = revisions.join(",");
    while text.len() > HISTORY_LENGTH_MAX && revisions.len() > 1 {
        revisions.remove(0);
        text = revisions.join(",");
    }
    text
}

/// The ReplicaSet of the Deployment's current template, without Pods yet.
pub(super) fn new_set(deployment: &Deployment, revision: i64, wanted: &Wanted) -> Option<ReplicaSet> {
    let spec = deployment.spec.as_ref()?;
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = hash::template(&spec.template, collisions);
    let mut template = spec.template.clone();
    let labels: BTreeMap<String, String> = {
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        labels.clone()
    };
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![ownership::reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    annotate(&mut set, deployment, revision);
    note_scale(&mut set, wanted);
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_former_revisions_forgets_the_oldest_first() {
        assert_eq!(remembered("", "1"), "1");
        assert_eq!(remembered("1,2", "5"), "1,2,5");
        let long = (100_000..100_300).map(|revision| revision.to_string()).collect::<Vec<_>>().join(",");
        let text = remembered(&long, "7");
        assert!(text.len() <= HISTORY_LENGTH_MAX && text.ends_with(",100299,7"), "{} long", text.len());
    }
}
