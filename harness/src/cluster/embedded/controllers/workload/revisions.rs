//! The revisions of a template, kept as `ControllerRevision`s: which there are, which is the current one, which may go.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::{Error, ResourceExt};
use serde_json::{Map, Value, json};

use super::objects::{Namespaced, Objects};
use super::{answer, ownership};

/// The label by which Pods say which revision they are of.
pub(in crate::cluster::embedded) const HASH_LABEL: &str = "controller-revision-hash";

/// What a revision holds: the patch that brings an object back to its template.
pub(in crate::cluster::embedded) fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    template["$patch"] = "replace".into();
    sorted(&json!({"spec": {"template": template}}))
}

/// A revision's data as Go writes JSON: keys in order, and what HTML could mistake escaped.
pub(in crate::cluster::embedded) fn text(data: &Value) -> String {
    let text = data.to_string();
    [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
        .into_iter()
        .fold(text, |text, (plain, escaped)| text.replace(plain, escaped))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            Value::Object(fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The template that a revision holds.
pub(in crate::cluster::embedded) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    serde_json::from_value(revision.data.as_ref()?.0.get("spec")?.get("template")?.clone()).ok()
}

/// A revision to make.
pub(in crate::cluster::embedded) fn new<O: Namespaced>(
    owner: &O,
    hash: &str,
    labels: BTreeMap<String, String>,
    data: Value,
    number: i64,
) -> ControllerRevision {
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", owner.name_any())),
            namespace: owner.namespace(),
            labels: Some(labels),
            annotations: Some(owner.annotations().clone()).filter(|annotations| !annotations.is_empty()),
            owner_references: Some(vec![ownership::reference(owner)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }
}

/// The revisions of an owner in their order.
pub(in crate::cluster::embedded) fn order(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by_key(|revision| {
        let made = revision.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (revision.revision, made, revision.name_any())
    });
}

/// Finds or makes the revision that holds `data`, as the newest of all. `revisions` are in their order; `make` gives a
/// new one its name, another one after each collision, and `collisions` counts those.
pub(in crate::cluster::embedded) async fn ensure(
    objects: &Objects<ControllerRevision>,
    revisions: &[Arc<ControllerRevision>],
    data: &Value,
    collisions: &mut i32,
    make: impl Fn(i64, i32) -> ControllerRevision,
) -> Result<ControllerRevision, Error> {
    let holds = |revision: &ControllerRevision| revision.data.as_ref().is_some_and(|held| sorted(&held.0) == *data);
    let next = revisions.last().map_or(1, |last| last.revision + 1);
    if let Some(last) = revisions.last().filter(|last| holds(last)) {
        return Ok(ControllerRevision::clone(last));
    }
    if let Some(former) = revisions.iter().rev().find(|revision| holds(revision)) {
        let mut renewed = ControllerRevision::clone(former);
        renewed.revision = next;
        return objects.replace(&renewed).await;
    }
    loop {
        let revision = make(next, *collisions);
        match objects.create(&revision).await {
            Err(error) if answer::is_already_exists(&error) => {
                let namespace = revision.namespace().unwrap_or_default();
                match objects.api(&namespace).get_opt(&revision.name_any()).await? {
                    Some(present) if holds(&present) => return Ok(present),
                    _ => *collisions += 1,
                }
            }
            made => return made,
        }
    }
}

/// Deletes the oldest revisions that nothing is of, beyond those that are kept.
pub(in crate::cluster::embedded) async fn truncate(
    objects: &Objects<ControllerRevision>,
    revisions: &[Arc<ControllerRevision>],
    limit: Option<i32>,
    live: impl Fn(&ControllerRevision) -> bool,
) -> Result<(), Error> {
    let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(usize::MAX);
    let past: Vec<_> = revisions.iter().filter(|revision| !live(revision)).collect();
    for revision in past.iter().take(past.len().saturating_sub(limit)) {
        objects.delete(revision.as_ref()).await?;
    }
    Ok(())
}
