//! An `AdmissionReview`: how a request is put to a webhook, and what its answer means.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::hook::{Hook, Version};
use super::{Failure, Objects};
use crate::admission::attributes::Attributes;
use crate::admission::expression;
use crate::admission::matching::Seen;
use crate::dial::client;
use crate::field::quote;
use crate::resources::value::{entries, items, text};
use crate::service::ApiServer;
use crate::status::ApiError;

/// The only kind of patch there is.
pub(super) const JSON_PATCH: &str = "JSONPatch";

/// What a webhook said that did not refuse.
#[derive(Debug, Default)]
pub(super) struct Consent {
    /// The bytes of a JSON patch, none where nothing is to be changed.
    pub(super) patch: Option<Vec<u8>>,
    /// What kind of patch it says it is.
    pub(super) patch_type: String,
}

/// Asks a webhook. Its warnings are added to `warnings`, whatever it says.
pub(super) async fn ask(
    server: &ApiServer,
    hook: &Hook,
    about: &Attributes,
    seen: &Seen,
    objects: &Objects,
    mutating: bool,
    warnings: &mut Vec<String>,
) -> Result<Consent, Failure> {
    if about.dry_run && !hook.allows_dry_run {
        let why = format!("admission webhook {} does not support dry run", quote(&hook.name));
        return Err(Failure::Refused(ApiError::bad_request(why)));
    }
    let Some(version) = hook.version else {
        let why =
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        return Err(Failure::Calling(why.to_owned()));
    };
    let Some(config) = &hook.client else {
        let why = "could not get REST client: webhook configuration must have either service or URL";
        return Err(Failure::Calling(why.to_owned()));
    };
    let uid = server.0.entropy.uid();
    let review = review(version, &uid, about, seen, objects);
    let answer = client::post(server, config, review, hook.timeout).await;
    let answer = answer.map_err(|why| Failure::Calling(format!("failed to call webhook: {why}")))?;
    let verdict = verify(version, &uid, mutating, &answer);
    let verdict = verdict.map_err(|why| Failure::Calling(format!("received invalid webhook response: {why}")))?;
    for (key, annotation) in entries(&answer["response"], "auditAnnotations") {
        tracing::debug!(webhook = hook.name, key, %annotation, "audit annotation");
    }
    let said = items(&answer["response"], "warnings").iter().filter_map(Value::as_str);
    warnings.extend(said.map(str::to_owned));
    match verdict {
        Verdict::Allowed(consent) => Ok(consent),
        Verdict::Denied => Err(Failure::Refused(denial(&hook.name, &answer["response"]["status"]))),
    }
}

/// The question, field by field in the order of a real server's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    uid: &'a str,
    kind: Value,
    resource: Value,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub_resource: &'a str,
    request_kind: Value,
    request_resource: Value,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_sub_resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    operation: &'a str,
    user_info: Value,
    object: Option<&'a Value>,
    old_object: Option<&'a Value>,
    dry_run: bool,
    options: &'a Value,
}

fn review(version: Version, uid: &str, about: &Attributes, seen: &Seen, objects: &Objects) -> String {
    let question = Question {
        uid,
        kind: seen.kind.to_value(),
        resource: seen.resource.to_value(),
        sub_resource: &about.subresource,
        request_kind: about.kind.to_value(),
        request_resource: about.resource.to_value(),
        request_sub_resource: &about.subresource,
        name: &about.name,
        namespace: &about.namespace,
        operation: about.operation.as_str(),
        user_info: expression::user(about),
        object: objects.object.as_ref(),
        old_object: objects.old.as_ref(),
        dry_run: about.dry_run,
        options: &about.options,
    };
    // Values with text for keys cannot fail to serialise.
    let question = serde_json::to_string(&question).unwrap_or_default();
    let version = version.api_version();
    format!("{{\"kind\":\"AdmissionReview\",\"apiVersion\":\"{version}\",\"request\":{question}}}")
}

#[derive(Debug)]
enum Verdict {
    Allowed(Consent),
    Denied,
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it.
fn verify(version: Version, uid: &str, mutating: bool, answer: &Value) -> Result<Verdict, String> {
    let (group_version, kind) = (text(answer, "apiVersion"), text(answer, "kind"));
    let known = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"].contains(&group_version);
    if !known || kind != "AdmissionReview" {
        return Err(format!("no kind {} is registered for version {}", quote(kind), quote(group_version)));
    }
    let response = &answer["response"];
    if !response.is_object() {
        return Err("webhook response was absent".to_owned());
    }
    let patch = match &response["patch"] {
        Value::Null => Vec::new(),
        Value::String(patch) => STANDARD.decode(patch).map_err(|error| format!("illegal base64 data: {error}"))?,
        // As Go reads bytes: a list of numbers is as good, and some libraries write it.
        Value::Array(bytes) => bytes
            .iter()
            .map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| "response.patch is no list of bytes".to_owned())?,
        _ => return Err("response.patch is no base64 text".to_owned()),
    };
    let patch_type = response["patchType"].as_str();
    if version == Version::V1 {
        let given = text(response, "uid");
        if given != uid {
            return Err(format!("expected response.uid={}, got {}", quote(uid), quote(given)));
        }
        if group_version != version.api_version() {
            let version = group_version.rsplit('/').next().unwrap_or_default();
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got \
                 admission.k8s.io/{version}, Kind=AdmissionReview"
            ));
        }
        check_patch(mutating, &patch, patch_type)?;
    }
    if response["allowed"] != true {
        return Ok(Verdict::Denied);
    }
    // The first version of the review did not ask for a type.
    let patch_type = if version == Version::V1 { patch_type.unwrap_or_default() } else { JSON_PATCH };
    let patch = (mutating && !patch.is_empty()).then_some(patch);
    Ok(Verdict::Allowed(Consent { patch, patch_type: patch_type.to_owned() }))
}

fn check_patch(mutating: bool, patch: &[u8], patch_type: Option<&str>) -> Result<(), String> {
    let why = match (mutating, patch.is_empty(), patch_type) {
        (true, false, None) => "webhook returned response.patch but not response.patchType",
        (true, true, Some(_)) => "webhook returned response.patchType but not response.patch",
        (true, false, Some("")) => "webhook returned invalid response.patchType of \"\"",
        (false, false, _) => "validating webhook may not return response.patch",
        (false, _, Some(_)) => "validating webhook may not return response.patchType",
        _ => return Ok(()),
    };
    Err(why.to_owned())
}

/// The error of a webhook that said no: its own status, with its name before the message.
fn denial(name: &str, status: &Value) -> ApiError {
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
    let code = StatusCode::from_u16(code.max(400)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let by = format!("admission webhook {} denied the request", quote(name));
    let message = match (text(status, "message"), text(status, "reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let details = details(&status["details"]);
    ApiError { details, ..ApiError::new(code, text(status, "reason").to_owned(), message) }
}

/// What `details` may say.
fn details(given: &Value) -> Value {
    if !given.is_object() {
        return Value::Null;
    }
    let mut details = json!({});
    for field in ["name", "group", "kind", "uid"] {
        if let Some(said) = given[field].as_str().filter(|said| !said.is_empty()) {
            details[field] = said.into();
        }
    }
    if let Some(seconds) = given["retryAfterSeconds"].as_i64().filter(|seconds| *seconds != 0) {
        details["retryAfterSeconds"] = seconds.into();
    }
    if let Some(causes) = given["causes"].as_array().filter(|causes| !causes.is_empty()) {
        let cause = |cause: &Value| {
            let said = ["reason", "message", "field"].into_iter().filter(|f| !text(cause, f).is_empty());
            said.map(|field| (field.to_owned(), cause[field].clone())).collect::<Value>()
        };
        details["causes"] = causes.iter().map(cause).collect();
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(response: &Value) -> Value {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
    }

    #[test]
    fn an_answer_that_breaks_the_contract_is_refused_with_the_reason() {
        let patch = STANDARD.encode("[]");
        let cases = [
            (true, json!({"uid": "u", "allowed": true}), None),
            (true, json!({"uid": "v", "allowed": true}), Some("expected response.uid=\"u\", got \"v\"")),
            (true, Value::Null, Some("webhook response was absent")),
            (true, json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch"}), None),
            (true, json!({"uid": "u", "allowed": true, "patch": b"[]", "patchType": "JSONPatch"}), None),
            (
                true,
                json!({"uid": "u", "allowed": true, "patch": [256], "patchType": "JSONPatch"}),
                Some("response.patch is no list of bytes"),
            ),
            (
                true,
                json!({"uid": "u", "allowed": true, "patch": patch}),
                Some("webhook returned response.patch but not response.patchType"),
            ),
            (
                true,
                json!({"uid": "u", "allowed": true, "patchType": "JSONPatch"}),
                Some("webhook returned response.patchType but not response.patch"),
            ),
            (
                false,
                json!({"uid": "u", "allowed": true, "patch": patch}),
                Some("validating webhook may not return response.patch"),
            ),
            (
                false,
                json!({"uid": "u", "allowed": true, "patchType": "JSONPatch"}),
                Some("validating webhook may not return response.patchType"),
            ),
        ];
        for (mutating, response, expected) in cases {
            let got = verify(Version::V1, "u", mutating, &answer(&response)).err();
            assert_eq!(got.as_deref(), expected, "{response}");
        }
        let beta =
            json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "response": {"allowed": true}});
        assert!(verify(Version::V1Beta1, "u", true, &beta).is_ok(), "the first version asked for no uid");
    }

    #[test]
    fn a_denial_carries_the_status_of_the_webhook() {
        let cases = [
            (Value::Null, 400, "", "denied the request without explanation"),
            (json!({"code": 200}), 400, "", "denied the request without explanation"),
            (json!({"code": 403, "message": "no"}), 403, "", "denied the request: no"),
            (json!({"reason": "Invalid"}), 400, "Invalid", "denied the request: Invalid"),
            (
                json!({"code": 429, "reason": "TooManyRequests", "message": "later", "details": {"retryAfterSeconds": 5, "x": 1}}),
                429,
                "TooManyRequests",
                "denied the request: later",
            ),
        ];
        for (status, code, reason, message) in cases {
            let error = denial("w", &status);
            assert_eq!((error.code.as_u16(), error.reason.as_ref()), (code, reason), "{status}");
            assert_eq!(error.message, format!("admission webhook \"w\" {message}"), "{status}");
            let retry = status["details"]["retryAfterSeconds"].as_i64();
            assert_eq!(error.details["retryAfterSeconds"].as_i64(), retry);
            assert!(error.details["x"].is_null(), "what is no detail is left out");
        }
    }
}
