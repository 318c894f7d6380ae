//! Merging an applied configuration into an object: leaves are taken from the configuration, the rest is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::path::Step;
use super::shape::{Form, Shape, as_list, as_map};

/// `live` with everything that `applied` says. Nothing is removed. Lists keep the order of `live` where `applied` does
/// not ask for another.
pub(super) fn merge(live: &Value, applied: &Value, shape: Shape<'_>) -> Value {
    value(Some(live), Some(applied), shape).unwrap_or(Value::Null)
}

fn value(live: Option<&Value>, applied: Option<&Value>, shape: Shape<'_>) -> Option<Value> {
    match shape.form(applied.or(live)) {
        Form::Scalar(_) | Form::AtomicList | Form::AtomicMap => leaf(live, applied),
        Form::List(keys) => {
            let (live_items, applied_items) = (as_list(live), as_list(applied));
            if live_items.is_none_or(Vec::is_empty) && applied_items.is_none_or(Vec::is_empty) {
                return leaf(live, applied);
            }
            let items =
                list(live_items.map_or(&[], Vec::as_slice), applied_items.map_or(&[], Vec::as_slice), keys, shape);
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Form::Map => {
            let (live_fields, applied_fields) = (as_map(live), as_map(applied));
            if live_fields.is_none_or(Map::is_empty) && applied_fields.is_none_or(Map::is_empty) {
                return leaf(live, applied);
            }
            let names = live_fields.into_iter().chain(applied_fields).flat_map(Map::keys);
            let mut fields = Map::new();
            for name in names.collect::<BTreeSet<_>>() {
                let (live, applied) = (live_fields.and_then(|f| f.get(name)), applied_fields.and_then(|f| f.get(name)));
                // What the schema does not know cannot have been applied; what is stored of it stays.
                let merged = match shape.field(name) {
                    Some(shape) => value(live, applied, shape),
                    None => leaf(live, applied),
                };
                if let Some(merged) = merged {
                    fields.insert(name.clone(), merged);
                }
            }
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
    }
}

fn leaf(live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    applied.or(live).cloned()
}

/// One side of a list: the steps in order, and the item at each; items that stand twice are not merged with anything.
struct Side<'a> {
    steps: Vec<Step>,
    items: BTreeMap<Step, &'a Value>,
}

const NOTHING: &Value = &Value::Null;

impl<'a> Side<'a> {
    fn of(items: &'a [Value], keys: &[String], shape: Shape<'_>) -> Self {
        let mut side = Self { steps: Vec::with_capacity(items.len()), items: BTreeMap::new() };
        for item in items {
            let Ok(step) = shape.item_step(keys, item) else { continue };
            let item = if side.items.contains_key(&step) { NOTHING } else { item };
            side.items.insert(step.clone(), item);
            side.steps.push(step);
        }
        side
    }

    fn has(&self, step: &Step) -> bool {
        self.items.contains_key(step)
    }

    fn get(&self, step: &Step) -> Option<&'a Value> {
        self.items.get(step).copied()
    }
}

/// Zips two lists. Items of both come in the order of `applied`, items of `live` alone stay where they are among them.
fn list(live: &[Value], applied: &[Value], keys: &[String], shape: Shape<'_>) -> Vec<Value> {
    let item_shape = shape.items();
    let (left, right) = (Side::of(live, keys, shape), Side::of(applied, keys, shape));
    let mut shared = right.steps.iter().filter(|step| left.has(step));
    let mut next_shared = shared.next();
    let mut taken = BTreeSet::new();
    let mut out = Vec::with_capacity(left.steps.len().max(right.steps.len()));
    let (mut l, mut r) = (0, 0);
    while l < left.steps.len() || r < right.steps.len() {
        if let (Some(mine), Some(theirs)) = (left.steps.get(l), right.steps.get(r)) {
            if mine == theirs {
                taken.insert(mine);
                out.extend(value(left.get(mine), right.get(mine), item_shape));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            // Shared, but another shared item is due first.
            if right.has(mine) && next_shared.is_some_and(|next| next != mine) {
                l += 1;
                continue;
            }
        }
        if let Some(mine) = left.steps.get(l) {
            if !right.has(mine) {
                out.extend(live.get(l).and_then(|item| value(Some(item), None, item_shape)));
                l += 1;
                continue;
            }
            if taken.contains(mine) {
                l += 1;
            }
        }
        if let Some(theirs) = right.steps.get(r) {
            taken.insert(theirs);
            out.extend(value(left.get(theirs), right.get(theirs), item_shape));
            r += 1;
            if next_shared == Some(theirs) {
                next_shared = shared.next();
            }
        }
    }
    out
}
