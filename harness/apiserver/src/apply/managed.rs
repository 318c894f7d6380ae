//! `metadata.managedFields` across ordinary writes.

use serde_json::Value;

use super::Manager;
use crate::field::FieldError;
use crate::resource::Resource;

/// Keeps `new`'s managed fields after a create, update or patch by `manager`.
///
/// `new` is decoded and defaulted, but neither prepared for its kind nor seen by admission: what those set nobody owns.
/// `live` is none for a create.
pub fn record_update(manager: &Manager, live: Option<&Value>, new: &mut Value, resource: &Resource, now: &str) {
    let _ = (manager, live, new, resource, now);
}

/// Takes back new times of managed fields if nothing else of the object changed.
///
/// Called with the object as it would be stored.
pub fn keep_times(new: &mut Value, live: &Value) {
    let _ = (new, live);
}

/// The name a write is recorded under: what the client asked for, else its user agent up to the first slash.
pub fn manager_name(field_manager: Option<&str>, user_agent: Option<&str>) -> String {
    let _ = user_agent;
    field_manager.unwrap_or("unknown").to_owned()
}

/// What is wrong with a `fieldManager` parameter.
pub fn validate_field_manager(_name: &str) -> Vec<FieldError> {
    Vec::new()
}
