//! JSON merge patch (RFC 7386).

use serde_json::Value;

use crate::status::ApiError;

pub(super) fn apply(live: &Value, _body: &[u8]) -> Result<Value, ApiError> {
    Ok(live.clone())
}
