//! The end of a definition: its objects go first, held together by a finalizer.

use serde_json::{Value, json};

use super::{is_true, set_condition};

/// The finalizer that holds a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The definition as it stands after the first request to delete it; none if it was deleted already.
pub fn mark(definition: &Value, now: &str) -> Option<Value> {
    if !definition["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let mut next = definition.clone();
    next["metadata"]["deletionTimestamp"] = now.into();
    let finalizers = &mut next["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|f| f == FINALIZER) => {}
        Some(list) => list.push(FINALIZER.into()),
        None => *finalizers = json!([FINALIZER]),
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(&mut next, "Terminating", "True", "InstanceDeletionPending", message, now);
    Some(next)
}

/// Whether the objects of this definition are to be deleted now.
pub fn is_pending(definition: &Value) -> bool {
    let held = definition["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|f| f == FINALIZER));
    held && !definition["metadata"]["deletionTimestamp"].is_null()
}

/// The definition while its objects are being deleted.
pub fn started(definition: &Value, now: &str) -> Value {
    let mut next = definition.clone();
    let message = "CustomResource deletion is in progress";
    set_condition(&mut next, "Terminating", "True", "InstanceDeletionInProgress", message, now);
    next
}

/// The definition once its last object is gone (or there never was one): the finalizer is released.
pub fn done(definition: &Value, now: &str) -> Value {
    let mut next = definition.clone();
    let (reason, message) = if is_true(definition, "Established") {
        ("InstanceDeletionCompleted", "removed all instances")
    } else {
        ("NeverEstablished", "resource was never established")
    };
    set_condition(&mut next, "Terminating", "False", reason, message, now);
    if let Some(list) = next["metadata"]["finalizers"].as_array_mut() {
        list.retain(|f| f != FINALIZER);
    }
    next
}
