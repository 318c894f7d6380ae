//! Fills in the defaults of a schema.

use serde_json::Value;

use super::node::{Schema, SchemaRef};

/// Fills in defaults and settles nulls, all the way down.
///
/// A null where null is no value is taken for a missing field: it becomes the default, or goes. Items of lists and values
/// of maps get their defaults too. Applying it twice is applying it once.
pub fn apply(object: &mut Value, schema: &SchemaRef) {
    fill(object, schema.get());
}

/// As [`apply`], for a schema that is at hand.
pub fn fill(value: &mut Value, schema: &Schema) {
    drop_nulls(value, Some(schema));
    defaults(value, schema);
}

/// Drops nulls that are no value and have no default.
fn drop_nulls(value: &mut Value, schema: Option<&Schema>) {
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            let known = schema.and_then(|s| child(s, name));
            if field.is_null() && known.is_some_and(|k| !k.nullable && k.default.is_none()) {
                return false;
            }
            drop_nulls(field, known);
            true
        }),
        Value::Array(items) => {
            let known = schema.and_then(|s| s.items.as_ref()).map(SchemaRef::get);
            for item in items {
                drop_nulls(item, known);
            }
        }
        _ => {}
    }
}

fn defaults(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            for (name, field) in &schema.properties {
                let field = field.get();
                let Some(default) = &field.default else { continue };
                if fields.get(name).is_none_or(|v| v.is_null() && !field.nullable) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in fields.iter_mut() {
                let Some(known) = child(schema, name) else { continue };
                if field.is_null()
                    && !known.nullable
                    && let Some(default) = &known.default
                {
                    *field = default.clone();
                }
                defaults(field, known);
            }
        }
        Value::Array(items) => {
            let Some(known) = schema.items.as_ref().map(SchemaRef::get) else { return };
            for item in items {
                if item.is_null()
                    && !known.nullable
                    && let Some(default) = &known.default
                {
                    *item = default.clone();
                }
                defaults(item, known);
            }
        }
        _ => {}
    }
}

fn child<'a>(schema: &'a Schema, name: &str) -> Option<&'a Schema> {
    schema.properties.get(name).or(schema.additional.as_ref()).map(SchemaRef::get)
}
