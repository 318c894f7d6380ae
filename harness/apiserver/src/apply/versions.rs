//! Owners in other versions of a kind whose versions differ in more than their name.
//!
//! What a write takes from such an owner is seen in the owner's version: both sides of the write are compared there.

use serde_json::Value;

use super::compare::compare;
use super::conflict::{self, Conflict};
use super::managed::{decode, encode, stripped};
use super::reset;
use super::shape::Shape;
use crate::decode::api_version;
use crate::resource::Resource;
use crate::status::ApiError;

/// The versions, other than that of `resource`, in which fields of an object are owned.
pub(crate) fn foreign(object: &Value, resource: &Resource) -> Vec<String> {
    let own = api_version(resource);
    let ownership = decode(&object["metadata"]["managedFields"]).unwrap_or_default();
    let mut versions: Vec<String> = ownership.managers.into_values().map(|owned| owned.api_version).collect();
    versions.retain(|version| *version != own);
    versions.sort();
    versions.dedup();
    versions
}

/// Takes from the owners in one version what a write takes from them: `before` and `after` are both sides of it in the
/// version of `resource`. `new` is the object as it is to be written, in its own version. None for the views means that
/// the version is gone, and its owners with it.
///
/// # Errors
/// 409 where an apply that is not forced would take something.
pub(crate) fn yield_in(
    new: &mut Value,
    old: &Value,
    version: &str,
    views: Option<(&Value, &Value, &Resource)>,
    force: bool,
) -> Result<(), ApiError> {
    let (Ok(stored), Ok(mut ownership)) =
        (decode(&old["metadata"]["managedFields"]), decode(&new["metadata"]["managedFields"]))
    else {
        return Ok(());
    };
    let change = views.map(|(before, after, resource)| {
        let reset = reset::fields(resource, "");
        let change = compare(&stripped(before), &stripped(after), Shape::object(&resource.schema));
        change.filter(|set| set.recursive_difference(&reset))
    });
    let mut conflicts = Vec::new();
    for (manager, mut owned) in stored.managers.into_iter().filter(|(_, owned)| owned.api_version == version) {
        // Whoever writes owns its fields in the version it writes now.
        if ownership.managers.get(&manager).is_some_and(|now| now.api_version != version) {
            continue;
        }
        let Some(change) = &change else {
            ownership.managers.remove(&manager);
            continue;
        };
        let lost = owned.set.intersection(&change.modified.union(&change.added));
        if !force {
            conflicts.extend(lost.paths().into_iter().map(|path| Conflict { manager: manager.clone(), path }));
        }
        owned.set = owned.set.difference(&lost).difference(&change.removed);
        if owned.set.is_empty() {
            ownership.managers.remove(&manager);
            continue;
        }
        if let Some(time) = stored.times.get(&manager) {
            ownership.times.insert(manager.clone(), *time);
        }
        ownership.managers.insert(manager, owned);
    }
    if !conflicts.is_empty() {
        return Err(conflict::error(&conflicts));
    }
    encode(&ownership, new);
    Ok(())
}
