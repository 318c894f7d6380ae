//! Patches: JSON (RFC 6902), merge (RFC 7386) and strategic merge.
//!
//! Pure functions from an object and the bytes a client sent to the patched object. What comes out is not yet decoded,
//! defaulted or validated. Server-side apply is no patch in this sense and stands in [`crate::apply`].

pub mod json;

mod merge;
mod order;
mod strategic;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::decode;
use crate::field::quote;
use crate::go;
use crate::schema::node::SchemaRef;
use crate::status::ApiError;

/// How the body of a PATCH request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
}

/// The object that comes of applying `body` to `live`.
///
/// # Errors
/// 400 for a body that cannot be read, 413 for too many operations, 422 for a patch that does not fit the object, 500
/// for a strategic merge patch that asks for what cannot be done (as Kubernetes answers).
pub fn apply(kind: PatchKind, live: &Value, body: &[u8], schema: &SchemaRef) -> Result<Value, ApiError> {
    let body = serde_json::from_slice(body).map_err(|_| ApiError::bad_request("invalid JSON patch"))?;
    match kind {
        PatchKind::Json => json::apply(live, body),
        PatchKind::Merge => merge::apply(live, fields(body, "error decoding patch: ")?),
        PatchKind::Strategic => {
            strategic::apply(live, fields(body, "")?.unwrap_or_default(), schema).map_err(Into::into)
        }
    }
}

/// What strict validation has against a patch: fields that stand twice, and operations with fields of no meaning.
pub fn problems(kind: PatchKind, body: &[u8]) -> Vec<String> {
    // A patch that cannot be read has been refused already.
    let Ok(parsed) = decode::parse(body, decode::Media::Json) else { return Vec::new() };
    let twice = decode::twice(parsed.duplicates);
    if kind != PatchKind::Json {
        return twice;
    }
    let unknown = json::unknown_fields(&parsed.value).into_iter().map(|path| format!("unknown field {}", quote(&path)));
    twice.into_iter().chain(unknown).map(|problem| format!("json patch {problem}")).collect()
}

/// What is quoted when the patched object cannot be read.
pub fn shown(kind: PatchKind, body: &[u8], patched: &Value) -> String {
    match kind {
        PatchKind::Strategic => go::plain(&serde_json::from_slice(body).unwrap_or_default()),
        PatchKind::Json | PatchKind::Merge => go::json(patched),
    }
}

/// The patch as an object; null is none.
fn fields(body: Value, prefix: &str) -> Result<Option<Map<String, Value>>, ApiError> {
    match body {
        Value::Object(fields) => Ok(Some(fields)),
        Value::Null => Ok(None),
        other => Err(ApiError::bad_request(format!(
            "{prefix}json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            go::json_type(&other)
        ))),
    }
}

/// What the server says when a patch does not fit the object; it does not say why.
fn unfit() -> ApiError {
    let message = "the server rejected our request due to an error in our request";
    let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
    ApiError { details: json!({}), ..error }
}

#[cfg(test)]
mod tests;
