//! Upgrading from client-side apply: what kubectl applied before is its own, though another manager recorded it.

use serde_json::{Value, json};

use super::check::{Duplicates, check};
use super::compare::compare;
use super::conflict::Conflict;
use super::owned::fields;
use super::shape::Shape;
use super::{api_version, text};
use crate::go;
use crate::resource::Resource;

/// The manager this is done for.
pub(super) const KUBECTL: &str = "kubectl";

/// Where client-side apply keeps the last configuration.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All annotations of an object, keys and values together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The conflicts that are left when those with the last applied configuration are not counted.
pub(super) fn remaining(conflicts: Vec<Conflict>, live: &Value, resource: &Resource) -> Vec<Conflict> {
    let shape = Shape::object(&resource.schema);
    let Some(last) = live["metadata"]["annotations"][ANNOTATION].as_str() else { return conflicts };
    let Ok(last) = serde_json::from_str::<Value>(last) else { return conflicts };
    let usable = text(&last, "apiVersion") == api_version(resource)
        && check(&last, shape, Duplicates::Refused).is_empty()
        && check(live, shape, Duplicates::Refused).is_empty();
    if !usable {
        return conflicts;
    }
    // What differs by now is no longer kubectl's.
    let change = compare(&last, live, shape);
    let owned = fields(&last, shape);
    let owned = owned.difference(&change.modified).difference(&change.added).difference(&change.removed);
    conflicts.into_iter().filter(|conflict| !owned.has(&conflict.path)).collect()
}

/// Keeps the annotation, if there is one, in step with what was applied server-side.
pub(super) fn refresh(object: &mut Value, applied: &Value) {
    let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") else { return };
    if annotations.get(ANNOTATION).and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = applied.clone();
    if let Some(Value::Object(own)) = applied.pointer_mut("/metadata/annotations") {
        own.remove(ANNOTATION);
    }
    annotations.insert(ANNOTATION.to_owned(), json!(format!("{}\n", go::json(&applied))));
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}
