//! The object that a new one is compared with: empty for custom resources, for built-in kinds with the fields that are
//! always there. A field that was always there is not owned for having been made, only its content is.

use serde_json::{Map, Value, json};

use crate::resource::Resource;
use crate::schema::node::{Schema, SchemaRef, Type};

/// An object of this kind before anybody wrote to it.
pub(super) fn object(resource: &Resource, new: &Value) -> Value {
    if resource.definition.is_some() {
        return json!({"apiVersion": new["apiVersion"], "kind": new["kind"]});
    }
    let mut blank = always_there(resource.schema.get());
    take_nulls(&mut blank, new);
    blank
}

/// Structs without a pointer have an empty object for their default; what must be there and has none is null.
fn always_there(schema: &Schema) -> Value {
    let mut fields = Map::new();
    for (name, field) in &schema.properties {
        if let Some(value) = field_always_there(field, schema.required.contains(name)) {
            fields.insert(name.clone(), value);
        }
    }
    Value::Object(fields)
}

fn field_always_there(field: &SchemaRef, required: bool) -> Option<Value> {
    let schema = field.get();
    match &schema.default {
        Some(Value::Object(default)) if default.is_empty() && schema.ty == Type::Object => Some(always_there(schema)),
        Some(zero) if required && (*zero == json!("") || *zero == json!(0) || *zero == json!(false)) => {
            Some(zero.clone())
        }
        None if required => Some(Value::Null),
        _ => None,
    }
}

/// A null in a new object (a time that is not set) was there before it.
fn take_nulls(blank: &mut Value, new: &Value) {
    let (Value::Object(blank), Value::Object(new)) = (blank, new) else { return };
    for (name, value) in new {
        match blank.get_mut(name) {
            Some(blank) => take_nulls(blank, value),
            None if value.is_null() => {
                blank.insert(name.clone(), Value::Null);
            }
            None => {}
        }
    }
}
