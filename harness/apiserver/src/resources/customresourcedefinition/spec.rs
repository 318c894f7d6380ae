//! What is wrong with the spec of a definition.
//!
//! Inside Kubernetes, what all versions have in common (schema, subresources, columns) is one part of the spec, and only
//! what differs belongs to a version. Errors are told at those places: with one version, its schema is
//! `spec.validation.openAPIV3Schema`.

use serde_json::Value;

use super::conversion;
use crate::field::{FieldError, Kind};
use crate::resources::names as forms;
use crate::schema::definition;

/// Columns may have these types and formats.
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// How many fields of a version may be selected by.
const SELECTABLE_FIELDS_MAX: usize = 8;

pub(super) fn check(spec: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let versions: &[Value] = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut errors: Vec<FieldError> = group(spec).into_iter().collect();
    errors.extend(scope(spec));
    errors.extend(schemas_are_there(versions));
    for (at, version) in versions.iter().enumerate() {
        let name = version["name"].as_str().unwrap_or_default();
        let wrong = forms::rfc1035_label(name);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(format!("spec.versions[{at}].name"), name, wrong.join(",")));
        }
        errors.extend(deprecation(version, &format!("spec.versions[{at}].deprecationWarning")));
    }
    errors.extend(counts(versions));
    errors.extend(required_names(&spec["names"]));
    errors.extend(names(&spec["names"], "spec.names"));
    errors.extend(schemas(versions, old));
    errors.extend(parts(versions, "subresources", "subresources", subresources));
    errors.extend(parts(versions, "additionalPrinterColumns", "additionalPrinterColumns", columns));
    let schema_of = |at: usize| versions.get(at).and_then(|v| v.pointer("/schema/openAPIV3Schema"));
    errors.extend(parts(versions, "selectableFields", "selectableFields", |fields, path| {
        let at = versions.iter().position(|v| v["selectableFields"] == *fields).unwrap_or_default();
        selectable_fields(fields, schema_of(at), path)
    }));
    errors.extend(conversion::check(&spec["conversion"], old));
    errors
}

fn group(spec: &Value) -> Option<FieldError> {
    let group = spec["group"].as_str().unwrap_or_default();
    let wrong = forms::subdomain(group);
    if group.is_empty() {
        Some(FieldError::required("spec.group", ""))
    } else if !wrong.is_empty() {
        Some(FieldError::invalid("spec.group", group, wrong.join(",")))
    } else if !group.contains('.') {
        Some(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"))
    } else {
        None
    }
}

fn scope(spec: &Value) -> Option<FieldError> {
    match spec["scope"].as_str().unwrap_or_default() {
        "" => Some(FieldError::required("spec.scope", "")),
        "Cluster" | "Namespaced" => None,
        other => Some(FieldError::not_supported("spec.scope", other, &["Cluster", "Namespaced"])),
    }
}

fn schemas_are_there(versions: &[Value]) -> Vec<FieldError> {
    let missing = |v: &Value| v.pointer("/schema/openAPIV3Schema").is_none_or(Value::is_null);
    let missing = versions.iter().enumerate().filter(|(_, v)| missing(v));
    missing.map(|(at, _)| FieldError::required(format!("spec.versions[{at}].schema.openAPIV3Schema"), "")).collect()
}

fn deprecation(version: &Value, field: &str) -> Vec<FieldError> {
    let Some(warning) = version["deprecationWarning"].as_str() else { return Vec::new() };
    let mut wrong = Vec::new();
    if version["deprecated"] != true {
        wrong.push("can only be set for deprecated versions".to_owned());
    }
    if warning.len() > 256 {
        wrong.push("must be <= 256 characters long".to_owned());
    }
    if warning.is_empty() {
        wrong.push("must not be an empty string".to_owned());
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        wrong
            .push(format!("must only contain printable UTF-8 characters; non-printable character found at index {at}"));
    }
    wrong.into_iter().map(|detail| FieldError::invalid(field, warning, detail)).collect()
}

fn counts(versions: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let shown = as_internal(versions);
    let say = |detail: &str| FieldError {
        kind: Kind::Invalid,
        field: "spec.versions".to_owned(),
        value: None,
        detail: format!("{shown}: {detail}"),
    };
    let repeated = |at: usize| versions[..at].iter().any(|v| v["name"] == versions[at]["name"]);
    if (1..versions.len()).any(repeated) {
        errors.push(say("must contain unique version names"));
    }
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        errors.push(say("must have exactly one version marked as storage version"));
    }
    errors
}

/// Versions as errors show them: Go's fields in the order of their declaration, without what versions have in common.
fn as_internal(versions: &[Value]) -> String {
    let own = |version: &Value, key: &str| {
        let common = versions.iter().all(|other| other[key] == version[key]);
        if common { Value::Null } else { version[key].clone() }
    };
    let shown = versions.iter().map(|v| {
        format!(
            "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":{},\
             \"Subresources\":{},\"AdditionalPrinterColumns\":{},\"SelectableFields\":{}}}",
            v["name"],
            v["served"] == true,
            v["storage"] == true,
            v["deprecated"] == true,
            v["deprecationWarning"],
            own(v, "schema"),
            own(v, "subresources"),
            own(v, "additionalPrinterColumns"),
            own(v, "selectableFields"),
        )
    });
    format!("[{}]", shown.collect::<Vec<_>>().join(","))
}

fn required_names(names: &Value) -> Vec<FieldError> {
    let missing = ["plural", "singular", "kind", "listKind"].into_iter().filter(|name| super::is_empty(&names[name]));
    missing.map(|name| FieldError::required(format!("spec.names.{name}"), "")).collect()
}

/// What is wrong with names, in a spec or accepted ones.
pub(super) fn names(names: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in ["plural", "singular", "kind", "listKind"] {
        let text = names[key].as_str().unwrap_or_default();
        let mixed = matches!(key, "kind" | "listKind");
        let wrong = forms::rfc1035_label(&if mixed { text.to_lowercase() } else { text.to_owned() });
        if !text.is_empty() && !wrong.is_empty() {
            let hint = if mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(FieldError::invalid(format!("{path}.{key}"), text, format!("{hint}{}", wrong.join(","))));
        }
    }
    for key in ["shortNames", "categories"] {
        for (at, name) in names[key].as_array().into_iter().flatten().enumerate() {
            let wrong = forms::rfc1035_label(name.as_str().unwrap_or_default());
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(format!("{path}.{key}[{at}]"), name.clone(), wrong.join(",")));
            }
        }
    }
    if !super::is_empty(&names["kind"]) && names["kind"] == names["listKind"] {
        let field = format!("{path}.listKind");
        errors.push(FieldError::invalid(field, names["listKind"].clone(), "kind and listKind may not be the same"));
    }
    errors
}

/// Checks what versions have in common once, else each version's own.
fn parts(
    versions: &[Value],
    key: &str,
    common: &str,
    check: impl Fn(&Value, &str) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let Some(first) = versions.first() else { return Vec::new() };
    if versions.iter().all(|v| v[key] == first[key]) {
        return check(&first[key], &format!("spec.{common}"));
    }
    let own = versions.iter().enumerate();
    own.flat_map(|(at, v)| check(&v[key], &format!("spec.versions[{at}].{key}"))).collect()
}

fn schemas(versions: &[Value], old: Option<&Value>) -> Vec<FieldError> {
    let common = versions.iter().all(|v| v["schema"] == versions[0]["schema"]);
    let checked = if common { versions.get(..1).unwrap_or_default() } else { versions };
    let mut errors = Vec::new();
    for (at, version) in checked.iter().enumerate() {
        let Some(schema) = version.pointer("/schema/openAPIV3Schema").filter(|s| s.is_object()) else { continue };
        let unchanged = old.is_some_and(|old| {
            let same = |o: &Value| o["name"] == version["name"] && o["schema"] == version["schema"];
            old["versions"].as_array().is_some_and(|list| list.iter().any(same))
        });
        // What was accepted once is not judged again.
        if unchanged {
            continue;
        }
        let path = if common { "spec.validation".to_owned() } else { format!("spec.versions[{at}].schema") };
        let has_status = version.pointer("/subresources/status").is_some_and(Value::is_object);
        errors.extend(definition::check(schema, has_status, &format!("{path}.openAPIV3Schema")));
    }
    errors
}

fn subresources(subresources: &Value, path: &str) -> Vec<FieldError> {
    let scale = &subresources["scale"];
    if !scale.is_object() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let paths: [(&str, &[&str], bool, &str); 3] = [
        ("specReplicasPath", &[".spec."], true, "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], true, "should be a json path under .status"),
        ("labelSelectorPath", &[".spec.", ".status."], false, "should be a json path under either .spec or .status"),
    ];
    for (key, below, required, detail) in paths {
        let field = format!("{path}.scale.{key}");
        match scale[key].as_str().unwrap_or_default() {
            "" if required => errors.push(FieldError::required(field, "")),
            "" => {}
            text if !text.starts_with('.') => {
                errors.push(FieldError::invalid(field, text, "must be a simple json path starting with ."));
            }
            text if !below.iter().any(|b| text.starts_with(b)) => errors.push(FieldError::invalid(field, text, detail)),
            _ => {}
        }
    }
    errors
}

fn columns(columns: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, column) in columns.as_array().into_iter().flatten().enumerate() {
        let text = |key: &str| column[key].as_str().unwrap_or_default();
        let field = |key: &str| format!("{path}[{at}].{key}");
        if text("name").is_empty() {
            errors.push(FieldError::required(field("name"), ""));
        }
        let types = format!("must be one of {}", COLUMN_TYPES.join(","));
        match text("type") {
            "" => errors.push(FieldError::required(field("type"), types)),
            ty if !COLUMN_TYPES.contains(&ty) => errors.push(FieldError::invalid(field("type"), ty, types)),
            _ => {}
        }
        let format = text("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(field("format"), format, detail));
        }
        match text("jsonPath") {
            "" => errors.push(FieldError::required(field("JSONPath"), "")),
            text if !text.starts_with('.') => {
                errors.push(FieldError::invalid(field("JSONPath"), text, "must be a simple json path starting with ."));
            }
            _ => {}
        }
    }
    errors
}

fn selectable_fields(fields: &Value, schema: Option<&Value>, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (at, selectable) in fields.as_array().into_iter().flatten().enumerate() {
        let field = format!("{path}[{at}].jsonPath");
        let json_path = selectable["jsonPath"].as_str().unwrap_or_default();
        if json_path.is_empty() {
            errors.push(FieldError::required(field, ""));
            continue;
        }
        let found = match schema.map(|schema| definition::field_at(schema, json_path)) {
            Some(Ok(found)) => found,
            Some(Err(why)) => {
                errors.push(FieldError::invalid(field, json_path, format!("is an invalid path: {why}")));
                continue;
            }
            None => continue,
        };
        if json_path.starts_with(".metadata.") || json_path == ".metadata" {
            errors.push(FieldError::invalid(&*field, json_path, "must not point to fields in metadata"));
        }
        if !matches!(found["type"].as_str(), Some("string" | "boolean" | "integer")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                 formats are allowed.";
            errors.push(FieldError::invalid(&*field, json_path, detail));
        }
        if seen.contains(&json_path) {
            errors.push(FieldError::duplicate(field, json_path));
        } else {
            seen.push(json_path);
        }
    }
    if seen.len() > SELECTABLE_FIELDS_MAX {
        let detail = format!("must have at most {SELECTABLE_FIELDS_MAX} items");
        errors.push(FieldError::new(Kind::TooMany, path, seen.len(), detail));
    }
    errors
}
