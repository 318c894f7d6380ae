//! The life of namespaces: nothing is made in one that goes, and some never go.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::handle::Call;
use crate::lifecycle::meta;
use crate::resource::Resource;
use crate::status::ApiError;
use crate::store::{GroupResource, Key, Stored};

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Judges a new object.
///
/// # Errors
/// 404 without its namespace, 403 while that is being deleted.
pub(crate) fn admit_create(call: &mut Call, object: &mut Value) -> Result<(), ApiError> {
    let resource = &call.resource;
    let Some(namespace) = namespace_of(call)? else { return Ok(()) };
    if namespace.value["status"]["phase"] != "Terminating" {
        return Ok(());
    }
    let namespace = call.target.namespace.as_str();
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = ApiError::forbidden(&resource.group, &resource.plural, meta(object, "name"), &why);
    error.details["causes"] = json!([{
        "reason": "NamespaceTerminating",
        "message": format!("namespace {namespace} is being terminated"),
        "field": "metadata.namespace",
    }]);
    Err(error)
}

/// Judges a changed object.
///
/// # Errors
/// 404 without its namespace.
pub(crate) fn admit_update(call: &mut Call, _new: &mut Value, _old: &Value) -> Result<(), ApiError> {
    namespace_of(call).map(|_| ())
}

/// Judges a deletion.
///
/// # Errors
/// 403 for a namespace that every cluster has.
pub(crate) fn admit_delete(resource: &Resource, name: &str) -> Result<(), ApiError> {
    if resource.group.is_empty() && resource.plural == "namespaces" && IMMORTAL.contains(&name) {
        return Err(ApiError::forbidden("", "namespaces", name, "this namespace may not be deleted"));
    }
    Ok(())
}

/// The namespace of the request's object; none at cluster scope.
fn namespace_of(call: &Call) -> Result<Option<Arc<Stored>>, ApiError> {
    if !call.resource.namespaced {
        return Ok(None);
    }
    let name = call.target.namespace.as_str();
    let namespace = call.server.0.store.get(&GroupResource::new("", "namespaces"), &Key::new("", name));
    namespace.map(Some).ok_or_else(|| ApiError::not_found("", "namespaces", name))
}
