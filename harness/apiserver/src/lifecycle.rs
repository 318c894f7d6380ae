//! Create, update and delete as state transitions: generation, finalizers, graceful deletion, preconditions.
//!
//! Pure: an object and what is asked of it go in, the next object or the refusal comes out.

mod deletion;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::resource::Resource;
use crate::status::ApiError;

pub use self::deletion::{
    DeleteOptions, Deletion, check_preconditions, delete, ends_deletion, returns_deleted, validate_dry_run,
};

/// The finalizer under which the garbage collector deletes dependents first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer under which the garbage collector cuts dependents loose.
pub const ORPHAN: &str = "orphan";

/// An RFC 3339 time in whole seconds.
pub fn time_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An object's metadata, made if it is missing.
pub fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(fields) => fields,
        _ => unreachable!("it has just been made an object"),
    }
}

/// A text in an object's metadata, empty when it is missing.
pub fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// An object's finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.map(|f| f.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    let metadata = metadata(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), json!(finalizers));
    }
}

/// Whether deletion has been asked for.
pub fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Puts an object into the request's namespace.
///
/// # Errors
/// 400 when it names another one.
pub fn put_in_namespace(object: &mut Value, resource: &Resource, namespace: &str) -> Result<(), ApiError> {
    let given = meta(object, "namespace");
    if !resource.namespaced {
        metadata(object).remove("namespace");
    } else if given.is_empty() {
        metadata(object).insert("namespace".to_owned(), namespace.into());
    } else if given != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Refuses an object whose name is not the path's; a missing name is filled in.
///
/// # Errors
/// 400 with both names.
pub fn match_name(object: &mut Value, name: &str) -> Result<(), ApiError> {
    match meta(object, "name") {
        "" => {
            metadata(object).insert("name".to_owned(), name.into());
            Ok(())
        }
        given if given != name => Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
        _ => Ok(()),
    }
}

/// Drops what a new object's metadata may not say.
pub fn wipe_system_fields(object: &mut Value) {
    let metadata = metadata(object);
    for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
}

/// Drops repeated owner references; returns the warning that is due.
pub fn dedup_owners(object: &mut Value) -> Option<String> {
    let owners = object.get_mut("metadata")?.get_mut("ownerReferences")?.as_array_mut()?;
    let mut seen: Vec<Value> = Vec::new();
    let mut repeated = Vec::new();
    owners.retain(|owner| {
        let fresh = !seen.contains(owner);
        if fresh {
            seen.push(owner.clone());
        } else {
            repeated.push(owner["uid"].as_str().unwrap_or_default().to_owned());
        }
        fresh
    });
    repeated.dedup();
    (!repeated.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and \
             may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            repeated.join(", ")
        )
    })
}

/// Makes a decoded object a new one: its kind's rules and its first generation.
pub fn prepare_create(object: &mut Value, resource: &Resource) {
    let metadata = metadata(object);
    metadata.remove("generation");
    if has_generation(resource) {
        metadata.insert("generation".to_owned(), 1.into());
    }
    if resource.definition.is_some()
        && resource.has_status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    resource.rules.prepare_create(object);
}

fn has_generation(resource: &Resource) -> bool {
    resource.definition.is_some() || resource.rules.has_generation()
}

/// Keeps what an update may not change, and counts the generation.
pub fn prepare_update(new: &mut Value, old: &Value, resource: &Resource) {
    keep(new, old, &["generation"]);
    if resource.definition.is_some() && resource.has_status {
        replace_field(new, "status", old.get("status"));
    }
    resource.rules.prepare_update(new, old);
    keep_identity(new, old);
    if has_generation(resource) && content(new, resource) != content(old, resource) {
        let next = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
        metadata(new).insert("generation".to_owned(), next.into());
    }
}

/// The object that results of writing `new` to the `status` subresource.
pub fn prepare_status_update(new: &Value, old: &Value, resource: &Resource) -> Value {
    let mut next = old.clone();
    replace_field(&mut next, "status", new.get("status"));
    keep(&mut next, new, &["managedFields", "resourceVersion"]);
    if resource.definition.is_none() {
        // Built-in kinds let a status writer change labels and annotations.
        keep(&mut next, new, &["labels", "annotations"]);
    }
    resource.rules.prepare_status_update(&mut next, old);
    next
}

/// Carries over what identifies an object and what only the server decides.
fn keep_identity(new: &mut Value, old: &Value) {
    if meta(new, "uid").is_empty() {
        keep(new, old, &["uid"]);
    }
    keep(new, old, &["creationTimestamp"]);
    if is_deleting(old) {
        keep(new, old, &["deletionTimestamp"]);
    }
    if new["metadata"]["deletionGracePeriodSeconds"].is_null() {
        keep(new, old, &["deletionGracePeriodSeconds"]);
    }
}

/// Sets metadata fields of `new` to what they are in `old`.
fn keep(new: &mut Value, old: &Value, fields: &[&str]) {
    let metadata = metadata(new);
    for &field in fields {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
}

fn replace_field(object: &mut Value, name: &str, value: Option<&Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match value {
        Some(value) => fields.insert(name.to_owned(), value.clone()),
        None => fields.remove(name),
    };
}

/// What a generation counts: everything but metadata and, where it is split off, status.
fn content<'a>(object: &'a Value, resource: &Resource) -> Vec<(&'a String, &'a Value)> {
    let counts = |name: &str| name != "metadata" && !(name == "status" && resource.has_status);
    let fields = object.as_object().into_iter().flatten();
    fields.filter(|(name, _)| counts(name.as_str())).collect()
}
