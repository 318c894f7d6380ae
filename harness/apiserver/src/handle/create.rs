//! Making an object.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::write::{Written, insert};
use super::{Call, Reply};
use crate::apply::{Operation, managed};
use crate::decode::{self, FieldValidation};
use crate::lifecycle;
use crate::resources;
use crate::schema;
use crate::status::ApiError;

pub(super) async fn create(call: &mut Call) -> Result<Reply, ApiError> {
    let media = decode::media(&call.headers)?;
    call.check_options("CreateOptions")?;
    let resource = Arc::clone(&call.resource);
    let validation = FieldValidation::of(&call.query);
    let mut object = decode::object(&call.body, media, &resource, validation, &mut call.warnings)?;
    fill_in(call, &mut object);
    lifecycle::wipe_system_fields(&mut object);
    lifecycle::put_in_namespace(&mut object, &resource, &call.target.namespace)?;
    call.warnings.extend(lifecycle::dedup_owners(&mut object));
    managed::record_update(&call.manager(Operation::Update), None, &mut object, &resource, &call.now_text());
    Ok(reply(insert(call, object).await?, StatusCode::CREATED))
}

/// Defaults of the schema, then of the kind, in the form the server writes.
pub(super) fn fill_in(call: &Call, object: &mut Value) {
    schema::default::apply(object, &call.resource.schema);
    call.resource.rules.default(object);
    resources::normalise(&call.resource, object);
}

/// The answer to a write.
pub(super) fn reply(written: Written, status: StatusCode) -> Reply {
    match written {
        Written::Stored(stored) => Reply::Stored(status, stored),
        Written::Only(value) => Reply::Object(status, value),
    }
}
