//! Resources within resources (`x-kubernetes-embedded-resource`) need a kind and a version.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::field::FieldError;
use crate::schema::node::{Schema, SchemaRef};

const LABEL_HELP: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^[a-z]([-a-z0-9]*[a-z0-9])?$").ok());

/// What is wrong with the types of embedded resources; the object itself is checked elsewhere.
pub(super) fn check(object: &Value, schema: &Schema) -> Vec<FieldError> {
    let mut found = Vec::new();
    children(object, schema, "", &mut found);
    found
}

fn children(value: &Value, schema: &Schema, path: &str, found: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if schema.embedded_resource && name == "metadata" {
                    continue;
                }
                let known = schema.properties.get(name);
                let Some(child) = known.or(schema.additional.as_ref()).map(SchemaRef::get) else { continue };
                let path = match (path.is_empty(), known.is_some()) {
                    (true, true) => name.clone(),
                    (false, true) => format!("{path}.{name}"),
                    (_, false) => format!("{path}[{name}]"),
                };
                visit(field, child, &path, found);
            }
        }
        Value::Array(items) => {
            let Some(child) = schema.items.as_ref().map(SchemaRef::get) else { return };
            for (at, item) in items.iter().enumerate() {
                visit(item, child, &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

fn visit(value: &Value, schema: &Schema, path: &str, found: &mut Vec<FieldError>) {
    if schema.embedded_resource
        && let Value::Object(fields) = value
    {
        type_fields(fields, path, found);
    }
    children(value, schema, path, found);
}

fn type_fields(fields: &Map<String, Value>, path: &str, found: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let field = format!("{path}.{name}");
        match fields.get(name) {
            None => found.push(FieldError::required(field, "")),
            Some(Value::String(text)) if text.is_empty() => {
                found.push(FieldError::invalid(field, "", "must not be empty"));
            }
            Some(Value::String(text)) => {
                if let Some(detail) = wrong(name, text) {
                    found.push(FieldError::invalid(field, text.as_str(), detail));
                }
            }
            Some(other) => found.push(FieldError::invalid(field, other.clone(), "must be a string")),
        }
    }
}

fn wrong(name: &str, text: &str) -> Option<String> {
    if name == "apiVersion" {
        let parts = text.matches('/').count();
        return (parts > 1).then(|| format!("unexpected GroupVersion string: {text}"));
    }
    let lower = text.to_lowercase();
    let right = lower.len() <= 63 && LABEL.as_ref().is_some_and(|l| l.is_match(&lower));
    (!right).then(|| format!("may have mixed case, but should otherwise match: {LABEL_HELP}"))
}
