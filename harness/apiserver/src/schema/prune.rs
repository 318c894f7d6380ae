//! Drops fields that a schema does not know.

use std::fmt::Write as _;

use serde_json::Value;

use super::node::{Schema, SchemaRef};
use crate::field::quote;

/// Drops the unknown fields of an object and tells each of them as Kubernetes does: `unknown field "spec.bogus"`, by
/// path.
///
/// Below `x-kubernetes-preserve-unknown-fields` only fields that the schema does name are looked into. `apiVersion`,
/// `kind` and `metadata` of an embedded resource stay. Applying it twice is applying it once.
pub fn apply(object: &mut Value, schema: &SchemaRef) -> Vec<String> {
    let mut pruner = Pruner::default();
    pruner.prune(object, Some(schema.get()), false);
    pruner.dropped.sort();
    pruner.dropped.into_iter().map(|path| format!("unknown field {}", quote(&path))).collect()
}

/// As [`apply`], for who does not care what was dropped.
pub fn quietly(value: &mut Value, schema: &Schema) {
    Pruner::default().prune(value, Some(schema), false);
}

#[derive(Default)]
struct Pruner {
    path: String,
    dropped: Vec<String>,
}

impl Pruner {
    /// `preserve` is inherited by the items of a list that preserves, and by nothing else.
    fn prune(&mut self, value: &mut Value, schema: Option<&Schema>, preserve: bool) {
        let preserve = preserve || schema.is_some_and(|s| s.preserve_unknown);
        let before = self.path.len();
        match value {
            Value::Object(fields) => fields.retain(|name, field| {
                if before > 0 {
                    self.path.push('.');
                }
                self.path.push_str(name);
                let known = schema.and_then(|s| s.properties.get(name).or(s.additional.as_ref()));
                if let Some(known) = known {
                    self.prune(field, Some(known.get()), false);
                } else if !preserve {
                    self.dropped.push(self.path.clone());
                }
                self.path.truncate(before);
                known.is_some() || preserve
            }),
            Value::Array(items) => {
                let known = schema.and_then(|s| s.items.as_ref()).map(SchemaRef::get);
                if preserve && known.is_none() {
                    return;
                }
                for (at, item) in items.iter_mut().enumerate() {
                    let _ = write!(self.path, "[{at}]");
                    self.prune(item, known, preserve);
                    self.path.truncate(before);
                }
            }
            _ => {}
        }
    }
}
