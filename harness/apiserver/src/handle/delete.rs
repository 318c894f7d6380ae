//! Deleting an object or a whole collection.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::create::reply;
use super::write::{self, Written};
use super::{Call, Reply};
use crate::admission;
use crate::convert;
use crate::decode;
use crate::hooks;
use crate::lifecycle::{self, DeleteOptions, Deletion, meta};
use crate::resources::customresourcedefinition::finalizer;
use crate::status::ApiError;
use crate::store::Stored;

pub(super) async fn delete(call: &mut Call) -> Result<Reply, ApiError> {
    let options = options(call)?;
    admission::admit_delete(&call.resource, &call.target.name)?;
    warn_of_orphans(call, &options);
    remove(call, &options, Asked::Deletion).await
}

/// Jobs leave their pods behind unless told otherwise, which surprises people.
fn warn_of_orphans(call: &mut Call, options: &DeleteOptions) {
    let told = options.propagation.is_some() || options.orphan_dependents.is_some();
    if !told && call.resource.group == "batch" && call.resource.plural == "jobs" {
        let warning = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
                       remove them or set propagationPolicy=Orphan to suppress this warning";
        call.warnings.push(warning.to_owned());
    }
}

pub(super) async fn delete_collection(call: &mut Call) -> Result<Reply, ApiError> {
    let options = options(call)?;
    warn_of_orphans(call, &options);
    let listed = super::list::list(call).await?;
    let Reply::List(metadata, objects) = listed else { return Ok(listed) };
    let namespace = call.target.namespace.clone();
    for object in &objects {
        meta(&object.value, "name").clone_into(&mut call.target.name);
        meta(&object.value, "namespace").clone_into(&mut call.target.namespace);
        admission::admit_delete(&call.resource, &call.target.name)?;
        match remove(call, &options, Asked::Collection).await {
            // Somebody else deleted it meanwhile, which is what was wanted.
            Err(error) if error.code == StatusCode::NOT_FOUND => {}
            other => drop(other?),
        }
    }
    call.target.name = String::new();
    call.target.namespace = namespace;
    Ok(Reply::List(metadata, objects))
}

/// The deletion's options: the body's, or those of the query when there is no body.
fn options(call: &Call) -> Result<DeleteOptions, ApiError> {
    let options = if call.body.is_empty() {
        let query = &call.query;
        DeleteOptions {
            grace_period_seconds: query.number("gracePeriodSeconds")?,
            propagation: query.text("propagationPolicy").map(str::to_owned),
            orphan_dependents: query.get("orphanDependents").map(|_| query.flag("orphanDependents")),
            dry_run: query.all("dryRun"),
            ..DeleteOptions::default()
        }
    } else {
        let mut options = decode::parse(&call.body, decode::media(&call.headers)?)?.value;
        if options.is_null() {
            options = json!({});
        }
        if !options.is_object() {
            return Err(ApiError::bad_request("the delete options are no JSON object"));
        }
        let mut options = DeleteOptions::from_value(&options);
        options.dry_run.extend(call.query.all("dryRun"));
        options
    };
    let errors = options.validate();
    if errors.is_empty() { Ok(options) } else { Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &errors)) }
}

/// What the request asks for: only deletions as such are for others to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The deletion of one object.
    Deletion,
    /// The deletion of a collection.
    Collection,
    /// Something that ends in a deletion, like an eviction.
    Other,
}

/// Deletes the request's object, as far as its finalizers and its grace period allow.
pub(super) async fn remove(call: &mut Call, options: &DeleteOptions, asked: Asked) -> Result<Reply, ApiError> {
    let (collection, key) = (call.collection(), call.key());
    let dry_run = !options.dry_run.is_empty();
    loop {
        let live = call.store().get(&collection, &key).ok_or_else(|| call.not_found())?;
        let resource = Arc::clone(&call.resource);
        let decision = lifecycle::delete(&live.value, &resource, options, call.now())?;
        let decision = special_decision(call, &live, decision);
        if asked != Asked::Other && decision != Deletion::Pending {
            let old = convert::read(&call.server, &resource, &live.value).await?;
            admission::delete(call, options, &old, asked == Asked::Collection).await?;
        }
        match decision {
            Deletion::Pending => return Ok(gone(call, &live.value, Written::Stored(live.clone()))),
            Deletion::Remove if dry_run => {
                return Ok(gone(call, &live.value, Written::Stored(live.clone())));
            }
            Deletion::Remove => {
                let Ok(last) = call.store().delete(&collection, key.clone(), live.revision) else { continue };
                hooks::after_write(&call.server, &resource, &key.name);
                return Ok(gone(call, &live.value, Written::Stored(last)));
            }
            Deletion::Mark(next) | Deletion::MarkAndRemove(next) if dry_run => {
                return Ok(reply(Written::Only(next), StatusCode::OK));
            }
            Deletion::Mark(next) => {
                if next == live.value {
                    return Ok(reply(Written::Stored(live), StatusCode::OK));
                }
                let Ok(stored) = call.store().update(&collection, key.clone(), live.revision, next) else { continue };
                hooks::after_write(&call.server, &resource, &key.name);
                return Ok(reply(Written::Stored(stored), StatusCode::OK));
            }
            Deletion::MarkAndRemove(next) => {
                let Ok(stored) = call.store().update(&collection, key.clone(), live.revision, next) else { continue };
                // Whoever changes it between the two writes has the object deleted all the same, next time round.
                let Ok(last) = call.store().delete(&collection, key.clone(), stored.revision) else { continue };
                hooks::after_write(&call.server, &resource, &key.name);
                return Ok(gone(call, &stored.value, Written::Stored(last)));
            }
        }
    }
}

/// Namespaces and definitions end in their own way: they are marked, and removed once what they hold is gone.
fn special_decision(call: &Call, live: &Stored, decision: Deletion) -> Deletion {
    if hooks::is_definition(&call.resource) {
        return finalizer::mark(&live.value, &call.now_text()).map_or(decision, Deletion::Mark);
    }
    if !write::is_namespace(call) || live.value["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
        return decision;
    }
    let mut next = match decision {
        Deletion::Mark(next) | Deletion::MarkAndRemove(next) => next,
        Deletion::Remove | Deletion::Pending => live.value.clone(),
    };
    let metadata = lifecycle::metadata(&mut next);
    metadata.remove("deletionGracePeriodSeconds");
    metadata.entry("deletionTimestamp").or_insert_with(|| call.now_text().into());
    next["status"]["phase"] = "Terminating".into();
    Deletion::Mark(next)
}

/// The answer when an object is gone: the object itself for some kinds, else who it was.
fn gone(call: &Call, object: &Value, written: Written) -> Reply {
    let resource = &call.resource;
    if lifecycle::returns_deleted(resource) {
        return reply(written, StatusCode::OK);
    }
    let mut details = json!({
        "name": meta(object, "name"), "kind": resource.plural, "uid": meta(object, "uid"),
    });
    if !resource.group.is_empty() {
        details["group"] = resource.group.as_str().into();
    }
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    });
    Reply::Plain(StatusCode::OK, status)
}
