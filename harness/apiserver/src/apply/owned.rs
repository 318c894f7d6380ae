//! The fields that a configuration claims: every leaf, every list item, and what is empty or unknown to the schema.

use std::collections::BTreeMap;

use serde_json::Value;

use super::path::Step;
use super::set::FieldSet;
use super::shape::{Form, Shape, as_list, as_map};

/// The set of fields `value` claims.
pub(super) fn fields(value: &Value, shape: Shape<'_>) -> FieldSet {
    let mut walk = Walk { path: Vec::new(), set: FieldSet::default() };
    walk.value(value, shape);
    walk.set
}

struct Walk {
    path: Vec<Step>,
    set: FieldSet,
}

impl Walk {
    fn value(&mut self, value: &Value, shape: Shape<'_>) {
        match shape.form(Some(value)) {
            Form::Scalar(_) | Form::AtomicList | Form::AtomicMap => self.set.insert(&self.path),
            Form::List(keys) => {
                for (step, items) in group(as_list(Some(value)), keys, shape) {
                    self.path.push(step);
                    // Items that stand twice are owned together, without what is below them.
                    if let [item] = items.as_slice() {
                        self.value(item, shape.items());
                    }
                    self.set.insert(&self.path);
                    self.path.pop();
                }
            }
            Form::Map => {
                for (name, field) in as_map(Some(value)).into_iter().flatten() {
                    let Some(field_shape) = shape.field(name) else { continue };
                    self.path.push(Step::field(name));
                    self.value(field, field_shape);
                    let empty = field.is_null() || field.as_object().is_some_and(serde_json::Map::is_empty);
                    if empty || !shape.names(name) {
                        self.set.insert(&self.path);
                    }
                    self.path.pop();
                }
            }
        }
    }
}

/// The items of a list by the step that leads to them; items that have none are left out.
pub(super) fn group<'a>(
    items: Option<&'a Vec<Value>>,
    keys: &[String],
    shape: Shape<'_>,
) -> BTreeMap<Step, Vec<&'a Value>> {
    let mut groups: BTreeMap<Step, Vec<&Value>> = BTreeMap::new();
    for item in items.into_iter().flatten() {
        if let Ok(step) = shape.item_step(keys, item) {
            groups.entry(step).or_default().push(item);
        }
    }
    groups
}

/// The set with every field that has owned children and that the schema names. What is removed and added back by
/// paths must know of parents that are only there for their children.
pub(super) fn with_named_parents(set: &FieldSet, shape: Option<Shape<'_>>) -> FieldSet {
    use super::set::Node;
    use std::sync::Arc;
    let nodes = set.nodes().iter().map(|node| {
        let (named, below) = match (&node.step, shape) {
            (Step::Field(name), Some(shape))
                if shape.form(None) == Form::Map || shape.form(None) == Form::AtomicMap =>
            {
                (shape.names(name), shape.field(name))
            }
            (Step::Key(_), Some(shape)) => (false, Some(shape.items())),
            _ => (false, None),
        };
        Node {
            step: node.step.clone(),
            member: node.member || (named && !node.children.is_empty()),
            children: if node.children.is_empty() {
                node.children.clone()
            } else {
                Arc::new(with_named_parents(&node.children, below))
            },
        }
    });
    FieldSet::from_sorted(nodes)
}
