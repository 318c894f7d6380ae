//! Reading one object.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::{Call, Reply};
use crate::field::{FieldError, quote};
use crate::status::ApiError;

/// How long a read waits for a revision that the store has not reached, as a real server's cache does.
const FRESHNESS_WAIT: Duration = Duration::from_secs(3);

pub(super) async fn get(call: &Call) -> Result<Reply, ApiError> {
    if let Some(revision) = revision(call)? {
        wait_for(call, revision).await?;
    }
    let object = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    Ok(Reply::Stored(StatusCode::OK, object))
}

/// The `resourceVersion` parameter.
///
/// # Errors
/// 500 for what is no revision, as Kubernetes answers.
pub(crate) fn revision(call: &Call) -> Result<Option<u64>, ApiError> {
    let Some(text) = call.query.text("resourceVersion") else { return Ok(None) };
    let malformed = |_| {
        let why = format!("strconv.ParseUint: parsing {}: invalid syntax", quote(text));
        ApiError::unclassified(FieldError::invalid("resourceVersion", text, why).to_string())
    };
    text.parse().map(Some).map_err(malformed)
}

/// Waits until the store has reached a revision.
///
/// # Errors
/// 504 when that takes too long.
pub(crate) async fn wait_for(call: &Call, revision: u64) -> Result<(), ApiError> {
    if tokio::time::timeout(FRESHNESS_WAIT, call.store().reached(revision)).await.is_ok() {
        return Ok(());
    }
    let message = format!("Too large resource version: {revision}, current: {}", call.store().revision());
    let text = format!("Timeout: {message}");
    let details = json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    });
    Err(ApiError { details, ..ApiError::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", text) })
}
