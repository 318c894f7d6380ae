//! Validation of custom resources: structure first, then rules.
//!
//! Built-in kinds are not validated here: their types are checked when they are decoded, the rest is their rules'
//! business. What did not change in an update is not complained about (ratcheting), as far as Kubernetes forgives it.

mod embedded;
mod lists;
mod number;
mod scale;
mod structure;

use serde_json::Value;

pub(in crate::schema) use structure::counterpart;

use super::cel;
use super::node::{Schema, SchemaRef};
use crate::field::{FieldError, Kind};
use crate::resource::Resource;

/// What is wrong with a new custom resource, or with a change from `old` to `new`.
pub fn resource(new: &Value, old: Option<&Value>, resource: &Resource) -> Vec<FieldError> {
    let schema = resource.schema.get();
    let mut errors = structure::check(new, old, schema, "");
    if let Some(paths) = &resource.scale {
        errors.extend(scale::spec(new, paths));
        errors.extend(scale::status(new, paths));
    }
    finish(new, old, schema, errors)
}

/// What is wrong with a change of a custom resource's status; the rest of `new` is as in `old`.
pub fn status(new: &Value, old: &Value, resource: &Resource) -> Vec<FieldError> {
    let schema = resource.schema.get();
    let mut errors = match (new.get("status"), schema.properties.get("status")) {
        (Some(status), Some(known)) => structure::check(status, old.get("status"), known.get(), "status"),
        _ => Vec::new(),
    };
    if let Some(paths) = &resource.scale {
        errors.extend(scale::status(new, paths));
    }
    finish(new, Some(old), schema, errors)
}

/// As [`resource()`], by schema alone.
pub fn validate(new: &Value, old: Option<&Value>, schema: &SchemaRef) -> Vec<FieldError> {
    let schema = schema.get();
    let errors = structure::check(new, old, schema, "");
    finish(new, old, schema, errors)
}

/// What is wrong with a single value, such as a default in a definition, whose place is called `field`.
pub fn value(value: &Value, schema: &Schema, field: &str) -> Vec<FieldError> {
    structure::check(value, None, schema, field)
}

fn finish(new: &Value, old: Option<&Value>, schema: &Schema, mut errors: Vec<FieldError>) -> Vec<FieldError> {
    errors.extend(embedded::check(new, schema));
    if old.is_none_or(|old| lists::check(old, schema).is_empty()) {
        errors.extend(lists::check(new, schema));
    }
    if cel::has_rules(schema) {
        if errors.iter().any(blocks_rules) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                 errors to complete validation";
            errors.push(FieldError::invalid("<nil>", Value::Null, detail));
        } else {
            errors.extend(cel::validate(new, old, schema));
        }
    }
    errors
}

/// Whether rules could stumble over what is wrong.
fn blocks_rules(error: &FieldError) -> bool {
    matches!(error.kind, Kind::NotSupported | Kind::Required | Kind::TooLong | Kind::TooMany | Kind::TypeInvalid)
}

#[cfg(test)]
mod tests;
