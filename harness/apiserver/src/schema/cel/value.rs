//! JSON values as CEL sees them through their schema.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::{Number, Value};

use super::escape::escape;
use super::functions;
use crate::schema::node::{Schema, SchemaRef, Type};

/// Texts with a format are what they stand for, whole numbers of type `number` are doubles, field names are escaped;
/// keys of maps are not.
pub(super) fn convert(value: &Value, schema: Option<&Schema>) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(on) => Cel::Bool(*on),
        Value::Number(n) => number(n, schema),
        Value::String(text) => string(text, schema),
        Value::Array(items) => {
            let known = schema.and_then(|s| s.items.as_ref()).map(SchemaRef::get);
            Cel::List(Arc::new(items.iter().map(|item| convert(item, known)).collect()))
        }
        Value::Object(fields) => {
            let is_map = schema.is_some_and(|s| s.additional.is_some());
            let mut map = HashMap::with_capacity(fields.len());
            for (name, field) in fields {
                let known = schema.and_then(|s| s.properties.get(name).or(s.additional.as_ref())).map(SchemaRef::get);
                // A null that is no value is as good as a field that is not there.
                if field.is_null() && known.is_some_and(|k| !k.nullable && !k.preserve_unknown) && !is_map {
                    continue;
                }
                let key = if is_map { Some(name.clone()) } else { escape(name) };
                if let Some(key) = key {
                    map.insert(Key::String(Arc::new(key)), convert(field, known));
                }
            }
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

fn number(n: &Number, schema: Option<&Schema>) -> Cel {
    let double = || Cel::Float(n.as_f64().unwrap_or_default());
    match schema.map(|s| s.ty) {
        Some(Type::Number) => double(),
        Some(Type::Integer) if n.as_i64().is_none() => functions::to_int(n.as_f64()).map_or_else(double, Cel::Int),
        _ => n.as_i64().map_or_else(double, Cel::Int),
    }
}

fn string(text: &str, schema: Option<&Schema>) -> Cel {
    let plain = || Cel::String(Arc::new(text.to_owned()));
    let format = schema.filter(|s| s.ty == Type::String).and_then(|s| s.bounds.as_deref()?.format.as_deref());
    match format {
        Some("date-time") => functions::timestamp(text).unwrap_or_else(plain),
        Some("date") => functions::timestamp(&format!("{text}T00:00:00Z")).unwrap_or_else(plain),
        Some("duration") => functions::duration(text).unwrap_or_else(plain),
        Some("byte") => STANDARD.decode(text).map_or_else(|_| plain(), |bytes| Cel::Bytes(Arc::new(bytes))),
        _ => plain(),
    }
}
