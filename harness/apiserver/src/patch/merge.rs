//! JSON merge patch (RFC 7386).
//!
//! As the library that Kubernetes uses reads it: where nothing was, nulls are dropped inside lists as well.

use serde_json::{Map, Value};

use crate::status::ApiError;

pub(super) fn apply(live: &Value, patch: Option<Map<String, Value>>) -> Result<Value, ApiError> {
    let patch = patch.ok_or_else(|| ApiError::bad_request("Invalid JSON Patch"))?;
    let mut object = live.clone();
    merge(&mut object, Value::Object(patch));
    Ok(object)
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    target.remove(&name);
                } else if let Some(old) = target.get_mut(&name) {
                    merge(old, value);
                } else {
                    target.insert(name, without_nulls(value));
                }
            }
        }
        (target @ Value::Object(_), patch) => *target = patch,
        (target, patch) => *target = without_nulls(patch),
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(name, v)| (name, without_nulls(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().filter(|v| !v.is_null()).map(without_nulls).collect()),
        other => other,
    }
}
