//! Server-side apply: field sets, managers, conflicts and merge by schema.
//!
//! Who owns which field stands in `metadata.managedFields`. [`managed::record_update`] keeps it after ordinary writes,
//! [`apply`] merges an applied configuration into the live object and answers with a conflict where it would take a
//! field from somebody else. Both are pure: the time comes in as text.
//!
//! [`path`] and [`set`] are the algebra of fields; `shape` reads a schema as structured merge does, and `check`,
//! `owned`, `compare`, `merge`, `remove` and `reconcile` each walk values beside it; `update` puts them together.

pub mod managed;
pub mod path;
pub mod scale;
pub mod set;

mod blank;
mod check;
mod compare;
mod conflict;
mod last_applied;
mod merge;
mod owned;
mod reconcile;
mod remove;
mod reset;
mod shape;
mod update;
pub(crate) mod versions;

#[cfg(test)]
mod tests;

use http::StatusCode;
use serde_json::{Value, json};

use self::check::{Duplicates, check, join};
use self::managed::Ownership;
use self::shape::Shape;
use self::update::Request;
use crate::resource::Resource;
use crate::status::ApiError;

/// What a manager did to own its fields; part of its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Every other write.
    Update,
}

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Manager {
    /// The name the client gave or its user agent's, see [`managed::manager_name`].
    pub name: String,
    /// How it writes.
    pub operation: Operation,
    /// The version it writes in, like `apps/v1`.
    pub api_version: String,
    /// Like `status`; empty for the object itself.
    pub subresource: String,
}

/// The manager that owns what was there before the first apply to an object that was not tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Merges an applied configuration into the live object (none: it is to be created) and records who owns what.
///
/// The result is not yet defaulted or validated. Call [`managed::keep_times`] once it is, so that an apply that changed
/// nothing writes nothing.
///
/// # Errors
/// 400 for a configuration that is of another type or names managed fields, 409 with a cause for each field that
/// somebody else owns, 500 for one that does not fit the schema (as Kubernetes answers).
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager,
    force: bool,
    resource: &Resource,
    now: &str,
) -> Result<Value, ApiError> {
    let stored = live.map_or(&Value::Null, |live| &live["metadata"]["managedFields"]);
    let ownership =
        managed::decode(stored).map_err(|error| internal(format!("failed to decode managed fields: {error}")))?;
    if (text(applied, "apiVersion"), text(applied, "kind")) != (api_version(resource).as_str(), resource.kind.as_str())
    {
        return Err(ApiError::bad_request(format!("invalid object type: {}", group_version_kind(applied))));
    }
    if !applied["metadata"]["managedFields"].is_null() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let live = live.map_or_else(|| blank::object(resource, applied), managed::stripped);
    let ownership = start_tracking(ownership, &live, manager, resource, now);

    let shape = Shape::object(&resource.schema);
    let misfits = check(applied, shape, Duplicates::Refused);
    if !misfits.is_empty() {
        let message = format!("failed to create typed patch object ({}): {}", named(applied), join(&misfits));
        return Err(internal(message));
    }
    let misfits = check(&live, shape, Duplicates::Allowed);
    if resource.definition.is_some() && !misfits.is_empty() {
        let message = format!("failed to create typed live object ({}): {}", named(&live), join(&misfits));
        return Err(internal(message));
    }
    merged(&live, applied, manager, force, resource, ownership, now)
}

/// Applies, records and answers; kubectl's own managers are upgraded from client-side apply on the way.
fn merged(
    live: &Value,
    applied: &Value,
    manager: &Manager,
    force: bool,
    resource: &Resource,
    mut ownership: Ownership,
    now: &str,
) -> Result<Value, ApiError> {
    let identity = Manager { api_version: String::new(), operation: Operation::Apply, ..manager.clone() };
    let reset = reset::fields(resource, &manager.subresource);
    let api_version = api_version(resource);
    let shape = Shape::object(&resource.schema);
    let request =
        |force| Request { live, applied, shape, manager: &identity, api_version: &api_version, force, reset: &reset };
    let mut attempt = ownership.managers.clone();
    let result = match update::applied(&request(force), &mut attempt) {
        Err(conflicts) if manager.name == last_applied::KUBECTL => {
            let conflicts = last_applied::remaining(conflicts, live, resource);
            if !conflicts.is_empty() {
                return Err(conflict::error(&conflicts));
            }
            attempt = ownership.managers.clone();
            update::applied(&request(true), &mut attempt)
        }
        other => other,
    };
    let result = result.map_err(|conflicts| conflict::error(&conflicts))?;
    ownership.managers = attempt;
    if let Some(owned) = ownership.managers.get_mut(&identity) {
        owned.set = owned.set.difference(&reset::identity());
        if owned.set.is_empty() {
            ownership.managers.remove(&identity);
        }
    }
    let mut object = match result {
        Some(mut object) => {
            ownership.times.extend(now.parse().ok().map(|time| (identity, time)));
            if resource.definition.is_none() {
                drop_nulls(&mut object, live);
            }
            object
        }
        None => live.clone(),
    };
    if manager.name == last_applied::KUBECTL {
        last_applied::refresh(&mut object, applied);
    }
    managed::encode(&ownership, &mut object);
    Ok(object)
}

/// An object that was never tracked: what is there now belongs to whoever came before.
fn start_tracking(ownership: Ownership, live: &Value, manager: &Manager, resource: &Resource, now: &str) -> Ownership {
    if !ownership.managers.is_empty() {
        return ownership;
    }
    let before = Manager {
        name: BEFORE_FIRST_APPLY.to_owned(),
        operation: Operation::Update,
        api_version: api_version(resource),
        subresource: manager.subresource.clone(),
    };
    let blank = blank::object(resource, live);
    managed::record(ownership, &before, &blank, live, resource, now)
}

/// Built-in types have no nulls but those that were there: a null is an absent field.
fn drop_nulls(object: &mut Value, live: &Value) {
    match object {
        Value::Object(fields) => {
            fields.retain(|name, value| !value.is_null() || live.get(name).is_some_and(Value::is_null));
            for (name, value) in fields {
                drop_nulls(value, &live[name.as_str()]);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| keep_item_nulls(item, live)),
        _ => {}
    }
}

/// In a list the old item is not known by its place; a null is kept if any item of the old list has it.
fn keep_item_nulls(item: &mut Value, live: &Value) {
    let Value::Object(fields) = item else { return };
    let old = live.as_array().map_or(&[][..], Vec::as_slice);
    fields.retain(|name, value| !value.is_null() || old.iter().any(|o| o.get(name).is_some_and(Value::is_null)));
    for value in fields.values_mut() {
        drop_nulls(value, &Value::Null);
    }
}

fn api_version(resource: &Resource) -> String {
    if resource.group.is_empty() {
        resource.version.clone()
    } else {
        format!("{}/{}", resource.group, resource.version)
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// As Kubernetes prints it: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
fn group_version_kind(object: &Value) -> String {
    let api_version = text(object, "apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={}", text(object, "kind"))
}

/// The object's namespace, name and type.
fn named(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{}/{}; {}", text(metadata, "namespace"), text(metadata, "name"), group_version_kind(object))
}

/// Errors of the apply machinery have no reason.
fn internal(message: String) -> ApiError {
    let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "", message);
    ApiError { details: json!(null), ..error }
}
