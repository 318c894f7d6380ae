//! Errors of the API, as the `Status` objects that clients read.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Value, json};

use crate::field::{FieldError, quote};

/// An answer other than success. `Display` is its message.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub code: StatusCode,
    /// The machine-readable reason, like `NotFound`; empty where Kubernetes leaves it out.
    pub reason: Cow<'static, str>,
    /// What a person reads.
    pub message: String,
    /// Kubernetes' `details` (name, group, kind, causes, retryAfterSeconds), null where there are none.
    pub details: Value,
    /// A token with which a list that has expired goes on regardless.
    pub continuation: Option<String>,
}

impl ApiError {
    /// An error without details.
    pub fn new(code: StatusCode, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), details: Value::Null, continuation: None }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 404: no such object. `resource` is qualified by its group (`widgets.example.com`) in the message only.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(resource, group), quote(name));
        Self { details: details(group, resource, name), ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// 409: it is there already.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(resource, group), quote(name));
        Self { details: details(group, resource, name), ..Self::new(StatusCode::CONFLICT, "AlreadyExists", message) }
    }

    /// 409: somebody else was faster.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(resource, group);
        let message = format!("Operation cannot be fulfilled on {what} {}: {why}", quote(name));
        Self { details: details(group, resource, name), ..Self::new(StatusCode::CONFLICT, "Conflict", message) }
    }

    /// 409: no free name was found for `generateName`.
    pub fn name_not_generated(group: &str, resource: &str, name: &str) -> Self {
        let what = qualified(resource, group);
        let message = format!(
            "{what} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        let mut details = details(group, resource, name);
        details["retryAfterSeconds"] = 1.into();
        Self { details, ..Self::new(StatusCode::CONFLICT, "AlreadyExists", message) }
    }

    /// 405: the path is there, but not for this method.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        Self { details: json!({}), ..error }
    }

    /// 405: a custom resource is not served with this verb.
    pub fn method_not_supported(group: &str, resource: &str, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind {}", quote(&qualified(resource, group)));
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        Self { details: details(group, resource, ""), ..error }
    }

    /// 404: a group is served, but not this path in it.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: json!({}), ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// 403: an object may not be written, whoever asks.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(resource, group);
        let message = match name {
            "" => format!("{what} is forbidden: {why}"),
            name => format!("{what} {} is forbidden: {why}", quote(name)),
        };
        Self { details: details(group, resource, name), ..Self::new(StatusCode::FORBIDDEN, "Forbidden", message) }
    }

    /// 401: the token is not known.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 429: not now, for the reason that the cause names.
    pub fn too_many_requests(message: &str, retry_seconds: Option<u64>, reason: &str, cause: &str) -> Self {
        let mut details = json!({"causes": [{"reason": reason, "message": cause}]});
        if let Some(seconds) = retry_seconds {
            details["retryAfterSeconds"] = seconds.into();
        }
        Self { details, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message) }
    }

    /// 503: whoever the request is for cannot be reached.
    pub fn service_unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// 410: the history that was asked for is gone.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 500 without a reason, as Kubernetes answers errors it has no status for.
    pub fn unclassified(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// 500: the server is at fault.
    pub fn internal(message: &str) -> Self {
        let text = format!("Internal error occurred: {message}");
        let details = json!({"causes": [{"message": message}]});
        Self { details, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", text) }
    }

    /// 422: fields are wrong. `kind` is a kind, not a resource.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = match list.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {} is invalid: {list}", qualified(kind, group), quote(name));
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
            status["reason"] = self.reason.as_ref().into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        if let Some(token) = &self.continuation {
            status["metadata"]["continue"] = token.as_str().into();
        }
        status
    }
}

fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    if !kind.is_empty() {
        details["kind"] = kind.into();
    }
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details
}
