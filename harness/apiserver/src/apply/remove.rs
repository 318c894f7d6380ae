//! Taking fields and items out of an object.

use serde_json::{Map, Value};

use super::path::Step;
use super::set::FieldSet;
use super::shape::{Form, Shape};

/// `value` without the fields of `gone` (and all below them). Lists and maps that end up empty go as well.
pub(super) fn without(value: &Value, gone: &FieldSet, shape: Shape<'_>) -> Value {
    match (shape.form(Some(value)), value) {
        (Form::Scalar(_), value) => value.clone(),
        (Form::List(keys), Value::Array(items)) => {
            let item_shape = shape.items();
            let keep = |item: &Value| match shape.item_step(keys, item) {
                Ok(step) => kept(item, &step, gone, Some(item_shape)),
                Err(_) => Some(item.clone()),
            };
            let items: Vec<Value> = items.iter().filter_map(keep).collect();
            if items.is_empty() { Value::Null } else { Value::Array(items) }
        }
        (Form::Map, Value::Object(fields)) => {
            let keep = |(name, field): (&String, &Value)| {
                let shape = shape.field(name);
                kept(field, &Step::field(name), gone, shape).map(|field| (name.clone(), field))
            };
            let fields: Map<String, Value> = fields.iter().filter_map(keep).collect();
            if fields.is_empty() { Value::Null } else { Value::Object(fields) }
        }
        // What is owned as a whole loses nothing by its parts: if a part is to go, it is taken for empty.
        _ => Value::Null,
    }
}

fn kept(value: &Value, step: &Step, gone: &FieldSet, shape: Option<Shape<'_>>) -> Option<Value> {
    if gone.has(std::slice::from_ref(step)) {
        return None;
    }
    Some(match (gone.children(step), shape) {
        (Some(below), Some(shape)) => without(value, below, shape),
        _ => value.clone(),
    })
}
