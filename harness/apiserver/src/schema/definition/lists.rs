//! What is wrong with list and map types.

use serde_json::Value;

use crate::field::FieldError;

pub(super) fn check(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |key: &str| format!("{path}.{key}");
    let text = |key: &str| schema[key].as_str().unwrap_or_default();
    let ty = text("type");
    let map_type = text("x-kubernetes-map-type");
    let list_type = text("x-kubernetes-list-type");
    for (key, set, wanted) in
        [("x-kubernetes-map-type", map_type, "object"), ("x-kubernetes-list-type", list_type, "array")]
    {
        if !set.is_empty() && ty != wanted {
            let detail = format!("must be {wanted} if {key} is specified");
            errors.push(if ty.is_empty() {
                FieldError::required(at("type"), detail)
            } else {
                FieldError::invalid(at("type"), ty, detail)
            });
        }
    }
    if !map_type.is_empty() && !matches!(map_type, "atomic" | "granular") {
        errors.push(FieldError::not_supported(at("x-kubernetes-map-type"), map_type, &["atomic", "granular"]));
    }
    if !list_type.is_empty() && !matches!(list_type, "atomic" | "set" | "map") {
        errors.push(FieldError::not_supported(at("x-kubernetes-list-type"), list_type, &["atomic", "set", "map"]));
    }
    let has_keys = schema["x-kubernetes-list-map-keys"].as_array().is_some_and(|keys| !keys.is_empty());
    if has_keys && list_type != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(if list_type.is_empty() {
            FieldError::required(at("x-kubernetes-list-type"), detail)
        } else {
            FieldError::invalid(at("x-kubernetes-list-type"), list_type, detail)
        });
    }
    match list_type {
        "set" if ty == "array" => errors.extend(set_items(&schema["items"], path)),
        "map" => errors.extend(map_items(schema, path)),
        _ => {}
    }
    if matches!(list_type, "set" | "map") && schema["items"]["nullable"] == true {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(at("items.nullable"), detail));
    }
    errors
}

/// Items of a set are compared as wholes.
fn set_items(items: &Value, path: &str) -> Option<FieldError> {
    const DETAIL: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let list_type = &items["x-kubernetes-list-type"];
    match items["type"].as_str() {
        Some("array") if !list_type.is_null() && *list_type != "atomic" => {
            Some(FieldError::invalid(format!("{path}.items.x-kubernetes-list-type"), list_type.clone(), DETAIL))
        }
        Some("object") if items["x-kubernetes-map-type"] != "atomic" => {
            Some(FieldError::invalid(format!("{path}.items.x-kubernetes-map-type"), list_type.clone(), DETAIL))
        }
        _ => None,
    }
}

/// Items of a map list are objects with scalar keys that are always there.
fn map_items(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |key: &str| format!("{path}.{key}");
    let shown = &schema["x-kubernetes-list-map-keys"];
    let keys: Vec<&str> = shown.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(at("x-kubernetes-list-map-keys"), detail));
    }
    let items = &schema["items"];
    if items.is_null() {
        errors.push(FieldError::required(at("items"), "must have a schema if x-kubernetes-list-type is map"));
        return errors;
    }
    let ty = items["type"].as_str().unwrap_or_default();
    if ty != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(at("items.type"), ty, detail));
        return errors;
    }
    for (place, key) in keys.iter().enumerate() {
        let field = |part: &str| format!("{path}.items.properties[{key}].{part}");
        let Some(property) = items["properties"].get(key) else {
            let detail = "entries must all be names of item properties";
            errors.push(FieldError::invalid(at("x-kubernetes-list-map-keys"), shown.clone(), detail));
            continue;
        };
        if matches!(property["type"].as_str(), Some("array" | "object")) {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(field("type"), ty, detail));
        }
        if keys[..place].contains(key) {
            let detail = "must not contain duplicate entries";
            errors.push(FieldError::invalid(at("x-kubernetes-list-map-keys"), shown.clone(), detail));
        }
        let required = items["required"].as_array().is_some_and(|list| list.iter().any(|r| r == key));
        if !required && property["default"].is_null() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(field("default"), detail));
        }
        if property["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(field("nullable"), detail));
        }
    }
    errors
}
