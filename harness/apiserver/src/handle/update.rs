//! Replacing an object, its status, or a namespace's finalizers.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::create::{fill_in, reply};
use super::write::replace;
use super::{Call, Reply};
use crate::apply::{Operation, managed};
use crate::decode::{self, FieldValidation};
use crate::lifecycle::{self, meta};
use crate::status::ApiError;

pub(super) async fn update(call: &mut Call) -> Result<Reply, ApiError> {
    let media = decode::media(&call.headers)?;
    call.check_options("UpdateOptions")?;
    let resource = Arc::clone(&call.resource);
    let validation = FieldValidation::of(&call.query);
    let mut object = decode::object(&call.body, media, &resource, validation, &mut call.warnings)?;
    fill_in(call, &mut object);
    lifecycle::put_in_namespace(&mut object, &resource, &call.target.namespace)?;
    check_name(&object, &call.target.name)?;
    call.warnings.extend(lifecycle::dedup_owners(&mut object));
    let written = replace(call, |call, live| Ok(onto(call, object.clone(), live))).await?;
    Ok(reply(written, StatusCode::OK))
}

/// Refuses an object whose name is not the path's.
pub(super) fn check_name(object: &Value, name: &str) -> Result<(), ApiError> {
    match meta(object, "name") {
        "" => Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))),
        given if given != name => Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
        _ => Ok(()),
    }
}

/// What a client wants an object to be, narrowed to the part that the path writes, with its managed fields.
pub(super) fn onto(call: &Call, object: Value, live: &Value) -> Value {
    let mut new = narrowed(call, object, live);
    managed::record_update(&call.manager(Operation::Update), Some(live), &mut new, &call.resource, &call.now_text());
    new
}

/// An object with only the part changed that the path writes.
pub(super) fn narrowed(call: &Call, object: Value, live: &Value) -> Value {
    match call.target.subresource.as_str() {
        "status" => lifecycle::prepare_status_update(&object, live, &call.resource),
        "finalize" => finalize(&object, live),
        _ => object,
    }
}

/// The `finalize` subresource of namespaces writes `spec.finalizers` and nothing else.
fn finalize(object: &Value, live: &Value) -> Value {
    let mut new = live.clone();
    let revision = object["metadata"]["resourceVersion"].clone();
    if !revision.is_null() {
        new["metadata"]["resourceVersion"] = revision;
    }
    match object["spec"]["finalizers"].as_array() {
        Some(finalizers) if !finalizers.is_empty() => new["spec"]["finalizers"] = finalizers.clone().into(),
        _ => {
            if let Some(spec) = new["spec"].as_object_mut() {
                spec.remove("finalizers");
            }
        }
    }
    new
}
