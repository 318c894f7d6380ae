//! Who controls an object: references by uid, adoption of what a selector picks, and release of what it does not.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::core::{Selector, SelectorExt};
use kube::{Error, Resource, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;

use super::super::informer::{Change, Informer, Key};
use super::objects::{Namespaced, Objects};
use super::{answer, pods};

/// What objects are found by: the uid of what controls them, or their namespace where nothing does.
#[expect(clippy::unnecessary_wraps, reason = "an index may leave objects out")]
pub(in crate::cluster::embedded) fn index<K: Resource>(object: &K) -> Option<String> {
    let namespace = || uncontrolled(object.meta().namespace.as_deref().unwrap_or_default());
    Some(controller(object).map_or_else(namespace, |owner| owner.uid.clone()))
}

/// Where the index has the objects of a namespace that nothing controls.
fn uncontrolled(namespace: &str) -> String {
    format!("{namespace}/")
}

/// The reference to what controls an object.
pub(in crate::cluster::embedded) fn controller<K: Resource>(object: &K) -> Option<&OwnerReference> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true))
}

/// The reference by which `owner` controls what it makes.
pub(in crate::cluster::embedded) fn reference<O: Namespaced>(owner: &O) -> OwnerReference {
    OwnerReference {
        api_version: O::api_version(&()).into_owned(),
        kind: O::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: pods::uid(owner).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A selector; one that cannot be read picks nothing.
pub(in crate::cluster::embedded) fn selector(selector: &LabelSelector) -> Option<Selector> {
    Selector::try_from(selector.clone()).ok()
}

/// Whether a selector picks an object; an empty one picks every object, a missing one none.
pub(in crate::cluster::embedded) fn selects<K: Resource>(selector: Option<&Selector>, object: &K) -> bool {
    selector.is_some_and(|selector| selector.matches(object.labels()))
}

/// What an owner does about an object that it could own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Keep,
    Adopt,
    Release,
    Leave,
}

fn claim_of<O: Resource, K: Resource>(owner: &O, object: &K, selected: bool) -> Claim {
    let owner_goes = pods::is_deleting(owner);
    match controller(object) {
        Some(by) if by.uid != pods::uid(owner) => Claim::Leave,
        Some(_) if selected => Claim::Keep,
        Some(_) if owner_goes => Claim::Leave,
        Some(_) => Claim::Release,
        None if !selected || owner_goes || pods::is_deleting(object) => Claim::Leave,
        None => Claim::Adopt,
    }
}

/// The objects that `owner` controls, once it has adopted those that it selects and nothing controls, and let go those
/// that it no longer selects.
pub(in crate::cluster::embedded) async fn claim<O: Namespaced, K: Namespaced>(
    owners: &Objects<O>,
    owner: &O,
    objects: &Objects<K>,
    selected: impl Fn(&K) -> bool,
) -> Result<Vec<Arc<K>>, Error> {
    let namespace = owner.namespace().unwrap_or_default();
    let owned = objects.cache.by_index(pods::uid(owner));
    let orphans = objects.cache.by_index(&uncontrolled(&namespace));
    let mut kept = Vec::with_capacity(owned.len());
    let mut may_adopt = None;
    for object in owned.into_iter().chain(orphans) {
        let key = Key::of(object.as_ref());
        match claim_of(owner, object.as_ref(), selected(&object)) {
            Claim::Keep => kept.push(object),
            Claim::Leave => {}
            Claim::Release => objects.patch(&key, &release(owner, object.as_ref())).await?,
            Claim::Adopt => {
                let may = match may_adopt {
                    Some(known) => known,
                    None => is_alive(owners, owner).await?,
                };
                may_adopt = Some(may);
                if may {
                    objects.patch(&key, &adopt(owner, object.as_ref())).await?;
                    kept.extend(
                        objects
                            .cache
                            .get(&key)
                            .filter(|shown| controller(shown.as_ref()).is_some_and(|by| by.uid == pods::uid(owner))),
                    );
                }
            }
        }
    }
    Ok(kept)
}

/// Whether the server still has an owner and does not delete it: a cache may be behind.
async fn is_alive<O: Namespaced>(owners: &Objects<O>, owner: &O) -> Result<bool, Error> {
    let api = owners.api(owner.meta().namespace.as_deref().unwrap_or_default());
    let fresh = answer::unless_gone(api.get(&owner.name_any()).await)?;
    Ok(fresh.is_some_and(|fresh| fresh.meta().uid == owner.meta().uid && !pods::is_deleting(&fresh)))
}

fn adopt<O: Namespaced, K: Resource>(owner: &O, object: &K) -> Value {
    json!({"metadata": {"uid": pods::uid(object), "ownerReferences": [reference(owner)]}})
}

fn release<O: Resource, K: Resource>(owner: &O, object: &K) -> Value {
    let gone = json!({"$patch": "delete", "uid": pods::uid(owner)});
    json!({"metadata": {"uid": pods::uid(object), "ownerReferences": [gone]}})
}

/// The keys of the owners of a kind that a change concerns: those that control the object, and did before.
pub(in crate::cluster::embedded) fn concerned<K: Resource>(change: &Change<K>, kind: &str) -> Vec<Key> {
    let new = change.object();
    let old = if let Change::Applied { old, .. } = change { old.as_ref() } else { None };
    let mut keys: Vec<Key> = [Some(new), old]
        .into_iter()
        .flatten()
        .filter_map(|object| {
            let name = controller(object.as_ref()).filter(|owner| owner.kind == kind)?.name.clone();
            Some(Key { namespace: object.namespace().unwrap_or_default(), name })
        })
        .collect();
    keys.dedup();
    keys
}

/// The owners that might adopt an object which nothing controls, where that is news.
pub(in crate::cluster::embedded) fn adopters<K: Resource, O: Namespaced>(
    change: &Change<K>,
    owners: &Informer<O>,
    selects: impl Fn(&O, &K) -> bool,
) -> Vec<Key> {
    let Change::Applied { old, new } = change else { return Vec::new() };
    let same = |old: &Arc<K>| old.labels() == new.labels() && controller(old.as_ref()).is_none();
    if controller(new.as_ref()).is_some() || pods::is_deleting(new.as_ref()) || old.as_ref().is_some_and(same) {
        return Vec::new();
    }
    let here = owners.in_namespace(new.meta().namespace.as_deref().unwrap_or_default());
    let adopters = here.iter().filter(|owner| selects(owner, new));
    adopters.map(|owner| Key::of(owner.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use serde_json::from_value;

    use super::*;

    #[test]
    fn an_owner_adopts_what_it_selects_and_lets_go_what_it_does_not() {
        let cases = [
            // (controlled by, the object goes, the owner goes, selected)
            (Some("me"), false, false, true, Claim::Keep),
            (Some("me"), true, true, true, Claim::Keep),
            (Some("me"), false, false, false, Claim::Release),
            (Some("me"), false, true, false, Claim::Leave),
            (Some("other"), false, false, true, Claim::Leave),
            (None, false, false, true, Claim::Adopt),
            (None, false, false, false, Claim::Leave),
            (None, true, false, true, Claim::Leave),
            (None, false, true, true, Claim::Leave),
        ];
        for (by, goes, owner_goes, selected, expected) in cases {
            let when = |goes: bool| goes.then_some("2030-01-01T00:00:00Z");
            let refs: Vec<Value> = by
                .map(
                    |uid| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid, "controller": true}),
                )
                .into_iter()
                .collect();
            let owner = json!({"metadata": {"name": "o", "uid": "me", "deletionTimestamp": when(owner_goes)}});
            let pod = json!({"metadata": {"name": "p", "ownerReferences": refs, "deletionTimestamp": when(goes)}});
            let owner: ConfigMap = from_value(owner).expect("an owner");
            let pod: Pod = from_value(pod).expect("a pod");
            assert_eq!(claim_of(&owner, &pod, selected), expected, "{by:?} {goes} {owner_goes} {selected}");
        }
    }
}
