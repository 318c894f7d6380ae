//! Patches: JSON (RFC 6902), merge (RFC 7386) and strategic merge.
//!
//! Pure functions from an object and the bytes a client sent to the patched object. What comes out is not yet decoded,
//! defaulted or validated. Server-side apply is no patch in this sense and stands in [`crate::apply`].

mod json;
mod merge;
mod strategic;

use serde_json::Value;

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
/// 400 for a body that cannot be read, 413 for too many operations, 422 for a patch that does not fit the object.
pub fn apply(kind: PatchKind, live: &Value, body: &[u8], schema: &SchemaRef) -> Result<Value, ApiError> {
    match kind {
        PatchKind::Json => json::apply(live, body),
        PatchKind::Merge => merge::apply(live, body),
        PatchKind::Strategic => strategic::apply(live, body, schema),
    }
}
