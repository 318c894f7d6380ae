//! The fields that a custom resource's `scale` subresource is made from.

use serde_json::Value;

use crate::field::FieldError;
use crate::resource::ScalePaths;
use crate::schema::go;

/// What is wrong with the wanted number of replicas.
pub(super) fn spec(object: &Value, paths: &ScalePaths) -> Option<FieldError> {
    replicas(object, &paths.spec_replicas)
}

/// What is wrong with the current number of replicas and the label selector.
pub(super) fn status(object: &Value, paths: &ScalePaths) -> Vec<FieldError> {
    let selector = paths.label_selector.as_deref().and_then(|path| match find(object, path) {
        Err(why) => Some(FieldError::invalid(path, "", why)),
        Ok(None | Some(Value::String(_))) => None,
        Ok(Some(other)) => Some(FieldError::invalid(path, "", wrong_type(path, other, "string"))),
    });
    replicas(object, &paths.status_replicas).into_iter().chain(selector).collect()
}

fn replicas(object: &Value, path: &str) -> Option<FieldError> {
    match find(object, path) {
        Err(why) => Some(FieldError::invalid(path, 0, why)),
        Ok(None) => None,
        Ok(Some(value)) => match value.as_i64() {
            None => Some(FieldError::invalid(path, 0, wrong_type(path, value, "int64"))),
            Some(n) if n < 0 => Some(FieldError::invalid(path, n, "should be a non-negative integer")),
            Some(n) if n > i64::from(i32::MAX) => {
                Some(FieldError::invalid(path, n, format!("should be less than or equal to {}", i32::MAX)))
            }
            Some(_) => None,
        },
    }
}

/// The value at a path; an error where the way there leads through something that has no fields.
fn find<'a>(object: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let mut at = object;
    for name in path.trim_start_matches('.').split('.') {
        let Value::Object(fields) = at else {
            return Err(wrong_type(path, at, "map[string]interface{}"));
        };
        match fields.get(name) {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn wrong_type(path: &str, found: &Value, expected: &str) -> String {
    let (value, ty) = (go::display(found), go::type_name(found));
    let path = path.trim_start_matches('.');
    format!(".{path} accessor error: {value} is of the type {ty}, expected {expected}")
}
