//! Whether the schema of a definition is structural: every field has one type, and value validations only narrow it.

use serde_json::{Map, Value};

use super::pattern;
use crate::field::FieldError;

/// Where in a schema a node stands; it decides how a missing type is worded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What keeps a schema from being structural, in a fixed order.
pub(super) fn check(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    invariants(schema, Level::Root, path, &mut errors);
    completeness(schema, schema, path, path, &mut errors);
    errors.sort_by_key(ToString::to_string);
    errors
}

/// A keyword that schemas of definitions may not use at all, anywhere in them.
pub(super) fn unsupported(schema: &Value) -> Option<&'static str> {
    const KEYWORDS: [(&str, &str); 7] = [
        ("id", "id"),
        ("$schema", "schema"),
        ("$ref", "$ref"),
        ("patternProperties", "patternProperties"),
        ("dependencies", "dependencies"),
        ("additionalItems", "additionalItems"),
        ("definitions", "definitions"),
    ];
    let own = KEYWORDS.into_iter().find(|(key, _)| schema.get(key).is_some_and(|v| !v.is_null())).map(|(_, name)| name);
    own.or_else(|| children(schema).find_map(|(child, _)| unsupported(child)))
}

/// All schemas directly below one, with where they stand.
pub(super) fn children(schema: &Value) -> impl Iterator<Item = (&Value, String)> {
    let named = schema["properties"].as_object().into_iter().flatten();
    let properties = named.map(|(name, child)| (child, format!("properties[{name}]")));
    let single = ["items", "additionalProperties", "not"].into_iter();
    let single = single.filter_map(|key| Some((schema.get(key).filter(|s| s.is_object())?, key.to_owned())));
    let junctors = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|key| {
        schema[key].as_array().into_iter().flatten().enumerate().map(move |(at, s)| (s, format!("{key}[{at}]")))
    });
    properties.chain(single).chain(junctors)
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}

fn invariants(schema: &Value, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    let at = |key: &str| format!("{path}.{key}");
    let ty = text(schema, "type");
    let is = |key: &str| schema[key] == true;
    let embedded = is("x-kubernetes-embedded-resource");
    let preserve = is("x-kubernetes-preserve-unknown-fields");
    let int_or_string = is("x-kubernetes-int-or-string");
    if ty == "array" && !schema["items"].is_object() {
        errors.push(FieldError::required(at("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        invariants(&schema["items"], Level::Item, &at("items"), errors);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        invariants(field, Level::Field, &format!("{path}.properties[{name}]"), errors);
    }
    let additional = schema.get("additionalProperties").filter(|a| !a.is_null());
    if let Some(additional) = additional {
        if level == Level::Root {
            errors.push(FieldError::forbidden(at("additionalProperties"), "must not be used at the root"));
        }
        if additional.is_object() {
            invariants(additional, Level::Field, &at("additionalProperties"), errors);
        }
        if embedded {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(FieldError::forbidden(at("additionalProperties"), detail));
        }
    }
    for (key, on) in [("x-kubernetes-preserve-unknown-fields", preserve), ("x-kubernetes-embedded-resource", embedded)]
    {
        if int_or_string && on {
            errors.push(FieldError::invalid(at(key), true, "must be false if x-kubernetes-int-or-string is true"));
        }
    }
    value_validation(schema, path, errors);
    if embedded && ty != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(wrong_type(&at("type"), ty, detail));
    } else if ty.is_empty() && !int_or_string && !preserve {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(at("type"), detail));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        errors.push(FieldError::invalid(at("type"), ty, "must be object at the root"));
    }
    type_fields(schema, level, embedded, path, errors);
    if embedded && !preserve && schema["properties"].as_object().is_none_or(Map::is_empty) {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
             x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(at("properties"), detail));
    }
}

fn wrong_type(field: &str, ty: &str, detail: &str) -> FieldError {
    if ty.is_empty() { FieldError::required(field, detail) } else { FieldError::invalid(field, ty, detail) }
}

/// What a schema may say of the fields that every resource has.
fn type_fields(schema: &Value, level: Level, embedded: bool, path: &str, errors: &mut Vec<FieldError>) {
    if level != Level::Root && !embedded {
        return;
    }
    for name in ["kind", "apiVersion"] {
        if let Some(field) = schema["properties"].get(name)
            && text(field, "type") != "string"
        {
            let place = format!("{path}.properties[{name}].type");
            errors.push(FieldError::invalid(place, text(field, "type"), "must be string"));
        }
    }
    let Some(metadata) = schema["properties"].get("metadata") else { return };
    let place = format!("{path}.properties[metadata]");
    if text(metadata, "type") != "object" {
        errors.push(FieldError::invalid(format!("{place}.type"), text(metadata, "type"), "must be object"));
    }
    let only_names = metadata.as_object().into_iter().flatten().all(|(key, value)| match key.as_str() {
        "type" | "default" => true,
        "properties" => {
            value.as_object().into_iter().flatten().all(|(n, _)| matches!(n.as_str(), "name" | "generateName"))
        }
        _ => false,
    });
    if level == Level::Root && !only_names {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(place, detail));
    }
}

/// `anyOf: [{type: integer}, {type: string}]`, the one place where a junctor may name types.
fn is_int_or_string(any_of: &Value) -> bool {
    *any_of == serde_json::json!([{"type": "integer"}, {"type": "string"}])
}

fn value_validation(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for key in ["anyOf", "allOf", "oneOf"] {
        if key == "anyOf" && is_int_or_string(&schema[key]) {
            continue;
        }
        for (at, nested_schema) in schema[key].as_array().into_iter().flatten().enumerate() {
            let first_all_of = key == "allOf" && at == 0 && is_int_or_string(&nested_schema["anyOf"]);
            nested(nested_schema, first_all_of, &format!("{path}.{key}[{at}]"), errors);
        }
    }
    if schema["not"].is_object() {
        nested(&schema["not"], false, &format!("{path}.not"), errors);
    }
    let regex = text(schema, "pattern");
    if !regex.is_empty()
        && let Err(why) = pattern::compile(regex)
    {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(FieldError::invalid(format!("{path}.pattern"), regex, detail));
    }
}

/// What stands below a junctor only narrows: it names no types, defaults or extensions.
fn nested(schema: &Value, skip_any_of: bool, path: &str, errors: &mut Vec<FieldError>) {
    if !skip_any_of {
        value_validation(schema, path, errors);
    }
    if schema["items"].is_object() {
        nested(&schema["items"], false, &format!("{path}.items"), errors);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        nested(field, false, &format!("{path}.properties[{name}]"), errors);
    }
    for (key, detail) in [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        let set = schema.get(key).is_some_and(|v| !v.is_null() && *v != false);
        if set {
            errors.push(FieldError::forbidden(format!("{path}.{key}"), detail));
        }
    }
    if schema["properties"].get("metadata").is_some() {
        let place = format!("{path}.properties[metadata]");
        errors.push(FieldError::forbidden(place, "must not be specified in a nested context"));
    }
}

/// Every field that a junctor speaks of must be specified outside of it.
fn completeness(validation: &Value, structure: &Value, s_path: &str, v_path: &str, errors: &mut Vec<FieldError>) {
    if validation["not"].is_object() {
        counterpart(&validation["not"], structure, s_path, &format!("{v_path}.not"), errors);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for (at, nested) in validation[key].as_array().into_iter().flatten().enumerate() {
            counterpart(nested, structure, s_path, &format!("{v_path}.{key}[{at}]"), errors);
        }
    }
}

fn counterpart(nested: &Value, structure: &Value, s_path: &str, v_path: &str, errors: &mut Vec<FieldError>) {
    completeness(nested, structure, s_path, v_path, errors);
    let mut below = |nested: &Value, structure: Option<&Value>, step: &str| {
        let (s_path, v_path) = (format!("{s_path}.{step}"), format!("{v_path}.{step}"));
        match structure {
            Some(structure) => counterpart(nested, structure, &s_path, &v_path, errors),
            None => errors.push(FieldError::required(s_path, format!("because it is defined in {v_path}"))),
        }
    };
    if nested["items"].is_object() {
        below(&nested["items"], structure.get("items"), "items");
    }
    for (name, field) in nested["properties"].as_object().into_iter().flatten() {
        below(field, structure["properties"].get(name), &format!("properties[{name}]"));
    }
}
