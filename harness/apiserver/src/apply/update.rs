//! The heart: what a write changes of who owns what, and what an apply makes of the object.
//!
//! Follows structured merge's updater with one version of an object at a time: fields of managers in other versions
//! are told apart by the schema of this one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Manager;
use super::compare::{Comparison, compare};
use super::conflict::Conflict;
use super::merge::merge;
use super::owned::{fields, with_named_parents};
use super::path::equal;
use super::reconcile::reconcile;
use super::remove::without;
use super::set::FieldSet;
use super::shape::Shape;

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) set: FieldSet,
    pub(super) api_version: String,
}

/// All managers of an object by identity (appliers have no version in theirs).
pub(super) type Managers = BTreeMap<Manager, Owned>;

/// Puts the sets of all managers into the form of today's schema.
fn reconcile_all(managers: &mut Managers, shape: Shape<'_>) {
    for owned in managers.values_mut() {
        if let Some(set) = reconcile(&owned.set, shape) {
            owned.set = set;
        }
    }
}

/// Takes from the managers (all but `except`) what a change takes from them.
///
/// # Errors
/// Without `force`, what of theirs the change sets to another value.
fn yield_fields(
    managers: &mut Managers,
    change: &Comparison,
    except: Option<&Manager>,
    force: bool,
) -> Result<(), Vec<Conflict>> {
    let set = change.modified.union(&change.added);
    let mut lost: Vec<(Manager, FieldSet)> = Vec::new();
    let others = managers.iter().filter(|(manager, _)| Some(*manager) != except);
    for (manager, owned) in others {
        let taken = owned.set.intersection(&set);
        if !taken.is_empty() {
            lost.push((manager.clone(), taken));
        }
    }
    if !force && !lost.is_empty() {
        let each = |(manager, set): (Manager, FieldSet)| {
            set.paths().into_iter().map(move |path| Conflict { manager: manager.clone(), path })
        };
        return Err(lost.into_iter().flat_map(each).collect());
    }
    for (manager, taken) in lost {
        if let Some(owned) = managers.get_mut(&manager) {
            owned.set = owned.set.difference(&taken);
        }
    }
    if !change.removed.is_empty() {
        for (_, owned) in managers.iter_mut().filter(|(manager, _)| Some(*manager) != except) {
            owned.set = owned.set.difference(&change.removed);
        }
    }
    managers.retain(|_, owned| !owned.set.is_empty());
    Ok(())
}

/// After an ordinary write: what it set, which the writer owns now; the managers have lost it.
pub(super) fn written(
    live: &Value,
    new: &Value,
    shape: Shape<'_>,
    managers: &mut Managers,
    reset: &FieldSet,
) -> FieldSet {
    reconcile_all(managers, shape);
    let change = compare(live, new, shape).filter(|set| set.recursive_difference(reset));
    // Forced, so there are no conflicts.
    let _ = yield_fields(managers, &change, None, true);
    change.modified.union(&change.added)
}

/// What an apply asks for.
pub(super) struct Request<'a> {
    pub(super) live: &'a Value,
    pub(super) applied: &'a Value,
    pub(super) shape: Shape<'a>,
    pub(super) manager: &'a Manager,
    pub(super) api_version: &'a str,
    pub(super) force: bool,
    pub(super) reset: &'a FieldSet,
}

/// The merged object; none if it is the live one. The managers are as they are after it.
///
/// # Errors
/// What others own and the configuration sets to another value, unless it is forced.
pub(super) fn applied(request: &Request<'_>, managers: &mut Managers) -> Result<Option<Value>, Vec<Conflict>> {
    let &Request { live, applied, shape, manager, api_version, force, reset } = request;
    reconcile_all(managers, shape);
    let merged = merge(live, applied, shape);
    let set = fields(applied, shape).recursive_difference(reset);
    let last = managers.insert(manager.clone(), Owned { set, api_version: api_version.to_owned() });
    let new = match last {
        Some(last) if !last.set.is_empty() => prune(&merged, managers, &last.set, shape),
        _ => merged,
    };
    let change = compare(live, &new, shape).filter(|set| set.recursive_difference(reset));
    yield_fields(managers, &change, Some(manager), force)?;
    Ok((!equal(live, &new)).then_some(new))
}

/// Removes what the applier applied last time and not this time, if nobody else owns it.
fn prune(merged: &Value, managers: &Managers, last: &FieldSet, shape: Shape<'_>) -> Value {
    let named = |set: &FieldSet| with_named_parents(set, Some(shape));
    let last = named(last);
    let pruned = without(merged, &last, shape);
    let merged_set = named(&fields(merged, shape));
    // What another manager owns comes back, ...
    let managed = managers.values().fold(FieldSet::default(), |all, owned| all.union(&owned.set));
    let kept = named(&fields(&pruned, shape)).union(&named(&managed));
    let pruned = without(merged, &merged_set.difference(&kept), shape);
    // ... and so does what was below a removed field without being the applier's.
    let pruned_set = named(&fields(&pruned, shape));
    without(merged, &merged_set.difference(&pruned_set).intersection(&last), shape)
}
