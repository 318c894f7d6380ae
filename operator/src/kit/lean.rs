//! Metadata without what nobody here reads. What is left out is not read and let go, but never held: a list of a
//! thousand objects costs what is kept of them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};

/// Reads metadata without `managedFields`, and of the annotations only those that are `wanted`.
///
/// # Errors
/// What is wrong with it.
pub fn metadata<'de, D: Deserializer<'de>>(
    deserializer: D,
    wanted: impl Fn(&str) -> bool,
) -> Result<ObjectMeta, D::Error> {
    let Kept {
        name,
        generate_name,
        namespace,
        uid,
        resource_version,
        creation_timestamp,
        deletion_timestamp,
        deletion_grace_period_seconds,
        labels,
        mut annotations,
        finalizers,
        owner_references,
    } = Kept::deserialize(deserializer)?;
    if let Some(annotations) = &mut annotations {
        annotations.retain(|name, _| wanted(name));
    }
    Ok(ObjectMeta {
        name,
        generate_name,
        namespace,
        uid,
        resource_version,
        creation_timestamp,
        deletion_timestamp,
        deletion_grace_period_seconds,
        labels,
        annotations: annotations.filter(|annotations| !annotations.is_empty()),
        finalizers,
        owner_references,
        ..ObjectMeta::default()
    })
}

/// What is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
}
