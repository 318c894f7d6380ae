//! The form in which a real server writes built-in objects.
//!
//! Built-in kinds are Go structs there: fields that hold nothing vanish, some are `null` instead, timestamps and
//! quantities are written in one way only. Which field does what stands in `data/shapes.txt`, one type a line:
//! `-field` vanishes when it holds its zero value, `~field` is null when it holds nothing, and what follows a colon is
//! the type below (`[]` a list, `{}` a map, `quantity`, `time`, `microtime`).

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::quantity::Quantity;
use crate::resource::Resource;
use crate::schema::node::SchemaRef;

/// How a field is written that holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Empty {
    /// A zero value is a value; only null is nothing.
    Kept,
    /// Zero values vanish too.
    Dropped,
    /// Nothing is written as null.
    Null,
}

/// What stands below a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Below {
    Plain,
    Quantity,
    Time,
    MicroTime,
    Struct(&'static str),
    List(Box<Below>),
    Map(Box<Below>),
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    empty: Empty,
    below: Below,
}

static SHAPES: LazyLock<HashMap<&'static str, Vec<Field>>> =
    LazyLock::new(|| include_str!("../../data/shapes.txt").lines().filter_map(read_line).collect());

fn read_line(line: &'static str) -> Option<(&'static str, Vec<Field>)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    Some((name, words.map(read_field).collect()))
}

fn read_field(word: &'static str) -> Field {
    let (empty, word) = match (word.strip_prefix('-'), word.strip_prefix('~')) {
        (Some(rest), _) => (Empty::Dropped, rest),
        (_, Some(rest)) => (Empty::Null, rest),
        _ => (Empty::Kept, word),
    };
    let (name, below) = word.split_once(':').unwrap_or((word, ""));
    Field { name, empty, below: read_below(below) }
}

fn read_below(word: &'static str) -> Below {
    if let Some(item) = word.strip_prefix("[]") {
        return Below::List(Box::new(read_below(item)));
    }
    if let Some(item) = word.strip_prefix("{}") {
        return Below::Map(Box::new(read_below(item)));
    }
    match word {
        "" => Below::Plain,
        "quantity" => Below::Quantity,
        "time" => Below::Time,
        "microtime" => Below::MicroTime,
        other => Below::Struct(other),
    }
}

/// Writes an object of a built-in kind as a real server would; objects of other kinds stay as they are.
///
/// Doing it twice changes nothing more. Values that are no quantity or time are left for validation to refuse.
pub fn normalise(resource: &Resource, object: &mut Value) {
    if let SchemaRef::Builtin(definition) = resource.schema {
        normalise_as(definition, object);
    }
}

/// As [`normalise`], for a value of a definition of `schemas.json`, such as `io.k8s.api.core.v1.PodSpec`.
pub fn normalise_as(definition: &str, value: &mut Value) {
    let name = definition.strip_prefix("io.k8s.").unwrap_or(definition);
    // Definitions that are not listed (custom resource definitions, embedded objects) are written as they come.
    if let (Some(fields), Some(object)) = (SHAPES.get(name), value.as_object_mut()) {
        normalise_fields(fields, object);
    }
}

fn normalise_fields(fields: &[Field], object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    for field in fields {
        if let Some(value) = object.get_mut(field.name) {
            normalise_value(&field.below, value);
            let nothing = match value {
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty() && matches!(field.below, Below::Map(_)),
                Value::String(text) => text.is_empty() && field.empty == Empty::Dropped,
                Value::Bool(on) => !*on && field.empty == Empty::Dropped,
                Value::Number(number) => number.as_i64() == Some(0) && field.empty == Empty::Dropped,
                Value::Null => true,
            };
            if nothing {
                object.remove(field.name);
            }
        }
        if field.empty == Empty::Null && !object.contains_key(field.name) {
            object.insert(field.name.to_owned(), Value::Null);
        }
    }
}

fn normalise_value(below: &Below, value: &mut Value) {
    match below {
        Below::Plain => {}
        Below::Quantity => {
            if let Some(quantity) = Quantity::from_json(value) {
                *value = quantity.to_string().into();
            }
        }
        Below::Time => normalise_time(value, 0),
        Below::MicroTime => normalise_time(value, 6),
        Below::Struct(name) => normalise_as(name, value),
        Below::List(item) => value.as_array_mut().into_iter().flatten().for_each(|v| normalise_value(item, v)),
        Below::Map(item) => {
            value.as_object_mut().into_iter().flatten().for_each(|(_, v)| normalise_value(item, v));
        }
    }
}

/// Kubernetes writes seconds, or microseconds with all six digits; both in UTC, both cut off.
fn normalise_time(value: &mut Value, digits: u8) {
    let Some(time) = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) else { return };
    let unit = if digits == 0 { 1_000_000_000 } else { 1000 };
    let whole = time.as_nanosecond().div_euclid(unit) * unit;
    if let Ok(time) = jiff::Timestamp::from_nanosecond(whole) {
        *value = format!("{time:.precision$}", precision = usize::from(digits)).into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_below_another_is_listed() {
        fn named(below: &Below) -> Option<&'static str> {
            match below {
                Below::Struct(name) => Some(name),
                Below::List(item) | Below::Map(item) => named(item),
                _ => None,
            }
        }
        for field in SHAPES.values().flatten() {
            // Types of other rooms' kinds may be left out on purpose.
            if let Some(name) = named(&field.below).filter(|n| !n.contains("apiextensions")) {
                assert!(SHAPES.contains_key(name), "{name}");
            }
        }
    }

    #[test]
    fn objects_are_written_as_a_real_server_writes_them() {
        let cases = [
            (
                "PodSpec",
                json!({"hostNetwork": false, "hostname": "", "containers": [], "nodeSelector": {}}),
                json!({"containers": null}),
            ),
            (
                "PodSpec",
                json!({"automountServiceAccountToken": false, "containers": [{"name": "a", "stdin": false}], "securityContext": {}}),
                json!({"automountServiceAccountToken": false, "containers": [{"name": "a"}], "securityContext": {}}),
            ),
            (
                "PodCondition",
                json!({"type": "Ready"}),
                json!({"type": "Ready", "lastProbeTime": null, "lastTransitionTime": null}),
            ),
            (
                "ContainerStateRunning",
                json!({"startedAt": "2026-01-01T01:00:00.5+01:00"}),
                json!({"startedAt": "2026-01-01T00:00:00Z"}),
            ),
            (
                "ResourceRequirements",
                json!({"limits": {"cpu": "0.1", "memory": 1024}}),
                json!({"limits": {"cpu": "100m", "memory": "1024"}}),
            ),
            ("EmptyDirVolumeSource", json!({"medium": ""}), json!({})),
        ];
        for (definition, mut value, wanted) in cases {
            normalise_as(&format!("io.k8s.api.core.v1.{definition}"), &mut value);
            assert_eq!(value, wanted, "{definition}");
            let once = value.clone();
            normalise_as(&format!("io.k8s.api.core.v1.{definition}"), &mut value);
            assert_eq!(value, once, "{definition} twice");
        }
        let mut lease = json!({"renewTime": "2026-01-01T00:00:00Z"});
        normalise_as("io.k8s.api.coordination.v1.LeaseSpec", &mut lease);
        assert_eq!(lease, json!({"renewTime": "2026-01-01T00:00:00.000000Z"}));
    }
}
