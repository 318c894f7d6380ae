//! What the server itself does because of a write: a definition's names are accepted, its resources are served, and when
//! it goes its objects go first.
//!
//! A real server does this in controllers of its own, a moment later; here it is done by the time the write is answered,
//! each step a revision of its own as there.

use std::sync::{Arc, PoisonError};

use serde_json::Value;

use crate::admission;
use crate::apply::{Manager, Operation, managed};
use crate::lifecycle::{self, DeleteOptions, Deletion, finalizers, is_deleting, meta};
use crate::resource::Resource;
use crate::resources::customresourcedefinition::{GROUP, PLURAL, finalizer, names, serve};
use crate::service::ApiServer;
use crate::store::{GroupResource, Key, Stored};

/// Whether a resource is that of custom resource definitions.
pub(crate) fn is_definition(resource: &Resource) -> bool {
    resource.group == GROUP && resource.plural == PLURAL
}

/// Called after each committed write to the object of that name.
pub(crate) fn after_write(server: &ApiServer, resource: &Resource, name: &str) {
    if resource.group == admission::GROUP {
        server.0.admission.reload(&server.0.store);
    } else if is_definition(resource) {
        definition_changed(server, name);
    } else if let Some(definition) = &resource.definition {
        let deleting = definition_named(server, definition).is_some_and(|d| is_deleting(&d.value));
        if deleting {
            definition_changed(server, definition);
        }
    }
}

fn definitions() -> GroupResource {
    GroupResource::new(GROUP, PLURAL)
}

fn definition_named(server: &ApiServer, name: &str) -> Option<Arc<Stored>> {
    server.0.store.get(&definitions(), &Key::new("", name))
}

/// Takes a definition as far as it can go, and serves what it stands for.
fn definition_changed(server: &ApiServer, name: &str) {
    // One at a time, or an older table of resources could replace a newer one.
    let _turn = server.0.definitions.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(definition) = settle(server, name) {
        server.0.registry.set_definition(name, serve::resources(&definition.value));
        return;
    }
    server.0.registry.set_definition(name, Vec::new());
    // Whoever waited for its names can have them now.
    for other in all_definitions(server) {
        let other = meta(&other.value, "name");
        if let Some(definition) = settle(server, other) {
            server.0.registry.set_definition(other, serve::resources(&definition.value));
        }
    }
}

fn all_definitions(server: &ApiServer) -> Vec<Arc<Stored>> {
    // The present is never compacted.
    server.0.store.list(&definitions(), None, None).map(|snapshot| snapshot.objects).unwrap_or_default()
}

/// Writes a definition's next states until there is none; none when the definition is gone.
fn settle(server: &ApiServer, name: &str) -> Option<Arc<Stored>> {
    loop {
        let live = definition_named(server, name)?;
        let next = if finalizer::is_pending(&live.value) {
            Some(ending(server, &live.value))
        } else {
            let others = all_definitions(server);
            let others: Vec<&Value> = others.iter().map(|o| &o.value).filter(|o| meta(o, "name") != name).collect();
            names::next(&live.value, &others, &server.0.clock.now_text())
        };
        let Some(mut next) = next.filter(|next| *next != live.value) else { return Some(live) };
        record(server, &live.value, &mut next);
        let key = Key::new("", name);
        // Somebody else's write is taken up in the next round, so it does not matter here who was first.
        let _ = if finalizers(&next).is_empty() && is_deleting(&next) {
            server.0.store.delete(&definitions(), key, live.revision)
        } else {
            server.0.store.update(&definitions(), key, live.revision, next)
        };
    }
}

/// Notes that the server itself wrote the status.
fn record(server: &ApiServer, live: &Value, next: &mut Value) {
    let Some(resource) = server.0.registry.find(GROUP, "v1", PLURAL) else { return };
    let manager = Manager {
        name: "kube-apiserver".to_owned(),
        operation: Operation::Update,
        api_version: format!("{GROUP}/v1"),
        subresource: "status".to_owned(),
    };
    managed::record_update(&manager, Some(live), next, &resource, &server.0.clock.now_text());
}

/// The next state of a definition that is to go: its objects are deleted, and once the last is gone it is released.
fn ending(server: &ApiServer, definition: &Value) -> Value {
    let now = server.0.clock.now_text();
    let resources = serve::resources(definition);
    if let Some(resource) = resources.first()
        && !delete_objects(server, resource)
    {
        return finalizer::started(definition, &now);
    }
    finalizer::done(definition, &now)
}

/// Asks for the deletion of all objects of a resource; whether none is left.
fn delete_objects(server: &ApiServer, resource: &Resource) -> bool {
    let collection = GroupResource::new(resource.group.as_str(), resource.plural.as_str());
    let store = &server.0.store;
    let all = || store.list(&collection, None, None).map(|snapshot| snapshot.objects).unwrap_or_default();
    for object in all() {
        let key = Key::new(meta(&object.value, "namespace"), meta(&object.value, "name"));
        let options = DeleteOptions::default();
        // A write that comes between is met again, as each write to an object of a definition that goes ends here.
        let _ = match lifecycle::delete(&object.value, resource, &options, server.0.clock.now()) {
            Ok(Deletion::Remove) => store.delete(&collection, key, object.revision),
            Ok(Deletion::Mark(next) | Deletion::MarkAndRemove(next)) if next != object.value => {
                store.update(&collection, key, object.revision, next)
            }
            _ => continue,
        };
    }
    all().is_empty()
}
