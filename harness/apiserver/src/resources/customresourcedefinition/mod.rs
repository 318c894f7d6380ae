//! Custom resource definitions.
//!
//! [`Definitions`] are the rules of the kind itself: defaults, status split, validation. [`names`] and [`finalizer`] decide
//! the conditions of a definition's life, [`serve`] makes the resources that it stands for. All of it is pure; who writes
//! the status and fills the registry stands elsewhere.

mod columns;
pub(super) mod conversion;
pub mod finalizer;
mod form;
pub mod names;
pub mod serve;
mod spec;
mod validate;

use serde_json::{Value, json};

use crate::field::FieldError;
use crate::resource::Rules;
use crate::table::Column;

/// The group that definitions are in.
pub const GROUP: &str = "apiextensions.k8s.io";

/// Their plural name.
pub const PLURAL: &str = "customresourcedefinitions";

/// The rules of `CustomResourceDefinition`.
#[derive(Debug)]
pub struct Definitions;

impl Rules for Definitions {
    fn default(&self, object: &mut Value) {
        form::tidy(object);
        if let Some(names) = object.pointer_mut("/spec/names").and_then(Value::as_object_mut) {
            let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            for (name, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
                if !kind.is_empty() && names.get(name).is_none_or(is_empty) {
                    names.insert(name.to_owned(), value.into());
                }
            }
        }
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
            && spec.get("conversion").is_none_or(Value::is_null)
        {
            spec.insert("conversion".to_owned(), json!({"strategy": "None"}));
        }
        let service = object.pointer_mut("/spec/conversion/webhook/clientConfig/service");
        if let Some(service) = service.and_then(Value::as_object_mut) {
            service.entry("port").or_insert_with(|| 443.into());
        }
        default_status(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] =
            json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": null});
        keep_storage_version(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        new["status"] = old["status"].clone();
        keep_storage_version(new);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validate::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        validate::status(new)
    }

    fn columns(&self) -> Vec<Column> {
        columns::of_definitions()
    }

    fn row(&self, object: &Value, _now: jiff::Timestamp) -> Vec<Value> {
        vec![object["metadata"]["name"].clone(), object["metadata"]["creationTimestamp"].clone()]
    }
}

fn default_status(object: &mut Value) {
    let Some(object_fields) = object.as_object_mut() else { return };
    let status = object_fields.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else { return };
    status.entry("conditions").or_insert(Value::Null);
    status.entry("acceptedNames").or_insert_with(|| json!({"kind": "", "plural": ""}));
    if status.entry("storedVersions").or_insert(Value::Null).as_array().is_none_or(Vec::is_empty) {
        keep_storage_version(object);
    }
}

/// Notes the version that objects are written in from now on.
fn keep_storage_version(object: &mut Value) {
    let storage = versions(object).find(|v| v["storage"] == true).and_then(|v| v["name"].as_str()).map(str::to_owned);
    let Some(storage) = storage else { return };
    let stored = &mut object["status"]["storedVersions"];
    match stored.as_array_mut() {
        Some(list) if list.iter().any(|v| *v == storage) => {}
        Some(list) => list.push(storage.into()),
        None => *stored = json!([storage]),
    }
}

/// The versions of a definition.
fn versions(object: &Value) -> impl Iterator<Item = &Value> {
    object["spec"]["versions"].as_array().into_iter().flatten()
}

/// Whether a condition of that type is true.
pub fn is_true(definition: &Value, condition: &str) -> bool {
    find(definition, condition).is_some_and(|c| c["status"] == "True")
}

fn find<'a>(definition: &'a Value, condition: &str) -> Option<&'a Value> {
    definition["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == condition)
}

/// Sets a condition; its transition time moves only when its status does.
fn set_condition(definition: &mut Value, ty: &str, status: &str, reason: &str, message: &str, now: &str) {
    let unchanged = find(definition, ty).filter(|c| c["status"] == status).map(|c| c["lastTransitionTime"].clone());
    let time = unchanged.filter(|t| !t.is_null()).unwrap_or_else(|| now.into());
    let condition =
        json!({"lastTransitionTime": time, "message": message, "reason": reason, "status": status, "type": ty});
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(list) = conditions.as_array_mut() {
        match list.iter_mut().find(|c| c["type"] == ty) {
            Some(known) => *known = condition,
            None => list.push(condition),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
