//! The order of lists that a strategic merge patch merges.
//!
//! Items of the patch come in the patch's order (or the one it sets), items only the server has in the server's; the
//! two are then interleaved as the live list suggests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How items of a list are told apart: scalars by value, objects by a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Identity<'a> {
    /// By value.
    Scalar,
    /// By the value of this field.
    Key(&'a str),
}

impl Identity<'_> {
    /// What tells the item apart; none for an object without the key.
    pub(super) fn of(self, item: &Value) -> Option<String> {
        match self {
            Self::Scalar => Some(item.to_string()),
            Self::Key(key) => item.get(key).map(Value::to_string),
        }
    }

    /// All that `items` are told apart by.
    pub(super) fn set(self, items: &[Value]) -> BTreeSet<String> {
        items.iter().filter_map(|item| self.of(item)).collect()
    }

    /// The place of each in `items`, the first if it is there twice.
    pub(super) fn places(self, items: &[Value]) -> BTreeMap<String, usize> {
        let mut places = BTreeMap::new();
        for (place, item) in items.iter().enumerate() {
            if let Some(id) = self.of(item) {
                places.entry(id).or_insert(place);
            }
        }
        places
    }
}

/// Puts merged items into order: those in `patch_order` as they are there, the others as in `live`.
pub(super) fn arrange(merged: Vec<Value>, patch_order: &[Value], live: &[Value], identity: Identity<'_>) -> Vec<Value> {
    let (patch_places, live_places) = (identity.places(patch_order), identity.places(live));
    let place =
        |places: &BTreeMap<String, usize>, item: &Value| identity.of(item).and_then(|id| places.get(&id).copied());
    let (mut ours, mut theirs): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(&patch_places, item).is_none());
    ours.sort_by_key(|item| place(&live_places, item));
    theirs.sort_by_key(|item| place(&patch_places, item));

    let mut out = Vec::with_capacity(ours.len() + theirs.len());
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    while let (Some(our), Some(their)) = (ours.peek(), theirs.peek()) {
        let before = match (place(&live_places, our), place(&live_places, their)) {
            (Some(our), Some(their)) => our < their,
            _ => false,
        };
        out.extend(if before { ours.next() } else { theirs.next() });
    }
    out.extend(ours);
    out.extend(theirs);
    out
}
