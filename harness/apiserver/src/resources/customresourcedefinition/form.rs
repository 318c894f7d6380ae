//! The form in which definitions are written: what holds nothing vanishes, as it does from Go's structs.

use serde_json::{Map, Value};

/// Fields that are written even when they hold nothing, wherever they stand.
const KEPT: [&str; 8] =
    ["served", "storage", "acceptedNames", "conditions", "storedVersions", "status", "scale", "schema"];

/// Fields whose zero value is not nothing.
const POINTERS: [&str; 5] = [
    "x-kubernetes-preserve-unknown-fields",
    "deprecationWarning",
    "optionalOldSelf",
    "labelSelectorPath",
    "subresources",
];

/// Drops what holds nothing from a definition.
pub(super) fn tidy(object: &mut Value) {
    let versions = object.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
    for version in versions.into_iter().flatten() {
        if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
            tidy_schema(schema);
        }
        if let Some(columns) = version.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut) {
            for column in columns.iter_mut().filter_map(Value::as_object_mut) {
                column.retain(|name, value| !(name == "priority" && *value == 0));
                drop_nothing(column);
            }
        }
        if let Some(version) = version.as_object_mut() {
            drop_nothing(version);
        }
    }
    for path in ["/spec/names", "/status/acceptedNames"] {
        if let Some(names) = object.pointer_mut(path).and_then(Value::as_object_mut) {
            names.retain(|name, value| matches!(name.as_str(), "kind" | "plural") || !super::is_empty(value));
        }
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|name, value| name != "preserveUnknownFields" || *value == true);
    }
}

fn drop_nothing(fields: &mut Map<String, Value>) {
    fields.retain(|name, value| {
        let name = name.as_str();

        match value {
            Value::Null => false,
            Value::Bool(on) => *on || KEPT.contains(&name) || POINTERS.contains(&name),
            Value::String(text) => !text.is_empty() || POINTERS.contains(&name) || name == "jsonPath" || name == "name",
            Value::Array(list) => !list.is_empty() || KEPT.contains(&name),
            Value::Object(map) => !map.is_empty() || KEPT.contains(&name) || POINTERS.contains(&name),
            Value::Number(_) => true,
        }
    });
}

fn tidy_schema(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    fields.retain(|name, value| match (name.as_str(), &*value) {
        // Values of any kind, and pointers.
        ("default" | "example" | "enum" | "x-kubernetes-preserve-unknown-fields" | "items" | "not", v) => !v.is_null(),
        ("additionalProperties" | "additionalItems", _) => true,
        (_, Value::Null | Value::Bool(false)) => false,
        (_, Value::String(text)) => !text.is_empty(),
        (_, Value::Array(list)) => !list.is_empty(),
        (_, Value::Object(map)) => !map.is_empty(),
        _ => true,
    });
    for (name, value) in fields.iter_mut() {
        match name.as_str() {
            "properties" | "patternProperties" | "definitions" => {
                value.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(tidy_schema);
            }
            "allOf" | "anyOf" | "oneOf" => value.as_array_mut().into_iter().flatten().for_each(tidy_schema),
            "items" | "additionalProperties" | "not" => tidy_schema(value),
            "x-kubernetes-validations" => {
                for rule in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                    rule.retain(|name, v| name == "rule" || name == "optionalOldSelf" || !super::is_empty(v));
                }
            }
            _ => {}
        }
    }
}
