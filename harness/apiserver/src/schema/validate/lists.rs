//! Uniqueness in lists of type `set` and `map`.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::field::FieldError;
use crate::schema::node::{ListType, Schema, SchemaRef};

/// Items that stand twice, each told once, at its second place.
pub(super) fn check(object: &Value, schema: &Schema) -> Vec<FieldError> {
    let mut found = Vec::new();
    walk(object, schema, &mut String::new(), &mut found);
    found
}

fn walk(value: &Value, schema: &Schema, path: &mut String, found: &mut Vec<FieldError>) {
    let before = path.len();
    match value {
        Value::Array(items) => {
            match &schema.list_type {
                ListType::Atomic => {}
                ListType::Set => {
                    found.extend(repeated(items.iter()).map(|(at, item)| duplicate(path, at, item.clone())));
                }
                ListType::Map(keys) => map_list(items, keys, path, found),
            }
            let Some(known) = schema.items.as_ref().map(SchemaRef::get) else { return };
            for (at, item) in items.iter().enumerate() {
                let _ = write!(path, "[{at}]");
                walk(item, known, path, found);
                path.truncate(before);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if schema.embedded_resource && name == "metadata" {
                    continue;
                }
                match (schema.properties.get(name), &schema.additional) {
                    (Some(known), _) => {
                        if before > 0 {
                            path.push('.');
                        }
                        path.push_str(name);
                        walk(field, known.get(), path, found);
                    }
                    (None, Some(known)) => {
                        let _ = write!(path, "[{name}]");
                        walk(field, known.get(), path, found);
                    }
                    (None, None) => {}
                }
                path.truncate(before);
            }
        }
        _ => {}
    }
}

fn map_list(items: &[Value], keys: &[String], path: &str, found: &mut Vec<FieldError>) {
    if let Some((at, item)) = items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        let detail = "must be an object for an array of list-type map";
        found.push(FieldError::invalid(format!("{path}[{at}]"), item.clone(), detail));
        return;
    }
    let key_of = |item: &Value| -> Value {
        let present = keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone())));
        Value::Object(present.collect::<Map<_, _>>())
    };
    let keys: Vec<Value> = items.iter().map(key_of).collect();
    found.extend(repeated(keys.iter()).map(|(at, key)| duplicate(path, at, key.clone())));
}

fn duplicate(path: &str, at: usize, value: Value) -> FieldError {
    FieldError::duplicate(format!("{path}[{at}]"), value)
}

/// The second appearance of each value that appears more than once.
fn repeated<'a>(items: impl Iterator<Item = &'a Value>) -> impl Iterator<Item = (usize, &'a Value)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    items.enumerate().filter(move |(_, item)| {
        let times = seen.entry(item.to_string()).or_default();
        *times += 1;
        *times == 2
    })
}
