//! What changed between two objects, field by field as the schema tells fields apart.

use serde_json::Value;

use super::check::fits;
use super::owned::group;
use super::path::Step;
use super::set::FieldSet;
use super::shape::{Form, Shape, as_list, as_map, same};

/// The difference between two objects. No field is in more than one of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) added: FieldSet,
}

impl Comparison {
    /// Leaves out fields that do not count.
    pub(super) fn filter(self, keep: impl Fn(FieldSet) -> FieldSet) -> Self {
        Self { removed: keep(self.removed), modified: keep(self.modified), added: keep(self.added) }
    }
}

/// Compares two objects of one shape.
pub(super) fn compare(old: &Value, new: &Value, shape: Shape<'_>) -> Comparison {
    let mut walk = Walk { path: Vec::new(), out: Comparison::default() };
    walk.value(Some(old), Some(new), shape);
    walk.out
}

struct Walk {
    path: Vec<Step>,
    out: Comparison,
}

impl Walk {
    /// Compares what stands on both sides (at least one is there).
    fn value(&mut self, old: Option<&Value>, new: Option<&Value>, shape: Shape<'_>) {
        // Subtrees that did not change are the common case.
        if old.is_some() && old == new {
            return;
        }
        let (old_form, new_form) = (shape.form(old), shape.form(new));
        let leaf = if new.is_none() {
            self.form(old, new, old_form, shape)
        } else if old.is_none() || (old_form == new_form && !(shape.is_open() && is_null(old) != is_null(new))) {
            self.form(old, new, new_form, shape)
        } else {
            self.form(old, new, old_form, shape);
            self.form(old, new, new_form, shape)
        };
        if !leaf {
            if old.is_none() {
                self.out.added.insert(&self.path);
            } else if new.is_none() {
                self.out.removed.insert(&self.path);
            }
        }
    }

    /// Compares under one form; says whether the value was compared as a whole.
    fn form(&mut self, old: Option<&Value>, new: Option<&Value>, form: Form<'_>, shape: Shape<'_>) -> bool {
        match form {
            Form::Scalar(scalar) => {
                if fits(old, scalar) || fits(new, scalar) {
                    self.leaf(old, new);
                }
                true
            }
            Form::AtomicList | Form::AtomicMap => self.leaf(old, new),
            Form::List(keys) => {
                let (old_items, new_items) = (as_list(old), as_list(new));
                if old_items.is_none_or(Vec::is_empty) && new_items.is_none_or(Vec::is_empty) {
                    return self.leaf(old, new);
                }
                self.list(old_items, new_items, keys, shape);
                false
            }
            Form::Map => {
                let (old_fields, new_fields) = (as_map(old), as_map(new));
                if old_fields.is_none_or(serde_json::Map::is_empty) && new_fields.is_none_or(serde_json::Map::is_empty)
                {
                    return self.leaf(old, new);
                }
                let only_new = |name: &&String| !old_fields.is_some_and(|fields| fields.contains_key(*name));
                let names = old_fields.into_iter().flat_map(|fields| fields.keys());
                let names = names.chain(new_fields.into_iter().flat_map(|fields| fields.keys()).filter(only_new));
                for name in names {
                    let Some(field_shape) = shape.field(name) else { continue };
                    self.path.push(Step::field(name));
                    let (old, new) = (old_fields.and_then(|f| f.get(name)), new_fields.and_then(|f| f.get(name)));
                    self.value(old, new, field_shape);
                    self.path.pop();
                }
                false
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) -> bool {
        if old.is_none() {
            self.out.added.insert(&self.path);
        } else if new.is_none() {
            self.out.removed.insert(&self.path);
        } else if !same(old, new) {
            self.out.modified.insert(&self.path);
        }
        true
    }

    fn list(&mut self, old: Option<&Vec<Value>>, new: Option<&Vec<Value>>, keys: &[String], shape: Shape<'_>) {
        let item_shape = shape.items();
        let (old, mut new) = (group(old, keys, shape), group(new, keys, shape));
        let pairs = old.into_iter().map(|(step, items)| {
            let others = new.remove(&step).unwrap_or_default();
            (step, items, others)
        });
        let pairs: Vec<_> = pairs.collect();
        let only_new = new.into_iter().map(|(step, items)| (step, Vec::new(), items));
        for (step, old, new) in pairs.into_iter().chain(only_new) {
            self.path.push(step);
            match (old.as_slice(), new.as_slice()) {
                ([] | [_], [] | [_]) => self.value(old.first().copied(), new.first().copied(), item_shape),
                // Items that stand more than once are compared and owned as one.
                ([_, _, ..], [_, _, ..]) => {
                    let equal = old.len() == new.len() && old.iter().zip(&new).all(|(a, b)| same(Some(a), Some(b)));
                    if !equal {
                        self.out.modified.insert(&self.path);
                    }
                }
                ([_, _, ..], _) => {
                    if let Some(item) = new.first() {
                        self.value(None, Some(item), item_shape);
                    }
                    self.out.removed.insert(&self.path);
                }
                (_, [_, _, ..]) => {
                    if let Some(item) = old.first() {
                        self.value(Some(item), None, item_shape);
                    }
                    self.out.added.insert(&self.path);
                }
            }
            self.path.pop();
        }
    }
}

fn is_null(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_null)
}
