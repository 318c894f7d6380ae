//! Errors of the API, as the `Status` objects that clients read.

use http::StatusCode;
use serde_json::{Value, json};

use crate::field::FieldError;

/// An answer other than success. `Display` is its message.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub code: StatusCode,
    /// The machine-readable reason, like `NotFound`; empty where Kubernetes leaves it out.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// Kubernetes' `details` (name, group, kind, causes, retryAfterSeconds), null where there are none.
    pub details: Value,
}

impl ApiError {
    /// An error without details.
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 404: no such object. `resource` is qualified by its group (`widgets.example.com`) in the message only.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(resource, group), crate::field::quote(name));
        Self { details: details(group, resource, name), ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// 409: it is there already.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(resource, group), crate::field::quote(name));
        Self { details: details(group, resource, name), ..Self::new(StatusCode::CONFLICT, "AlreadyExists", message) }
    }

    /// 409: somebody else was faster.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(resource, group);
        let message = format!("Operation cannot be fulfilled on {what} {}: {why}", crate::field::quote(name));
        Self { details: details(group, resource, name), ..Self::new(StatusCode::CONFLICT, "Conflict", message) }
    }

    /// 422: fields are wrong. `kind` is a kind, not a resource.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = match list.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {} is invalid: {list}", qualified(kind, group), crate::field::quote(name));
        let mut details = details(group, kind, name);
        details["causes"] =
            errors.iter().map(|e| json!({"field": e.field, "message": e.body(), "reason": e.kind.reason()})).collect();
        Self { details, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message) }
    }

    /// The `Status` object.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "code": self.code.as_u16(), "message": self.message,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({"kind": kind});
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details
}
