//! Questions about rights and identities: answered, never stored.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Reply};
use crate::access::{self, Refusal, User};
use crate::admission;
use crate::apply::{Operation, managed};
use crate::decode::{self, FieldValidation};
use crate::field::FieldError;
use crate::lifecycle::{meta, metadata};
use crate::resource::Resource;
use crate::service::ApiServer;
use crate::status::ApiError;

const AUTHORIZATION: &str = "authorization.k8s.io";

/// Whether a resource is one of these questions.
pub(super) fn is_review(resource: &Resource) -> bool {
    matches!(resource.group.as_str(), AUTHORIZATION | "authentication.k8s.io")
}

pub(super) async fn create(call: &mut Call) -> Result<Reply, ApiError> {
    call.check_options("CreateOptions")?;
    let media = decode::media(&call.headers)?;
    let resource = Arc::clone(&call.resource);
    let validation = FieldValidation::of(&call.query);
    let mut review = decode::object(&call.body, media, &resource, validation, &mut call.warnings)?;
    managed::record_update(&call.manager(Operation::Update), None, &mut review, &resource, &call.now_text());
    if resource.namespaced && meta(&review, "namespace").is_empty() {
        metadata(&mut review).insert("namespace".to_owned(), call.target.namespace.as_str().into());
    }
    admission::mutate(call, admission::Operation::Create, &mut review, None).await?;
    admission::validate(call, admission::Operation::Create, &review, None).await?;
    review["status"] = status(call, &review)?;
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    Ok(Reply::Object(StatusCode::CREATED, review))
}

fn status(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let spec = &review["spec"];
    match call.resource.plural.as_str() {
        "selfsubjectaccessreviews" => {
            refuse(&attribute_errors(spec))?;
            Ok(access_status(call, &call.user, spec))
        }
        "subjectaccessreviews" => {
            refuse(&spec_errors(spec))?;
            Ok(access_status(call, &asked_user(spec), spec))
        }
        "localsubjectaccessreviews" => {
            refuse(&local_errors(spec, meta(review, "namespace")))?;
            if meta(review, "namespace") != call.target.namespace {
                let namespace = &call.target.namespace;
                let message = format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
                return Err(ApiError::bad_request(message));
            }
            Ok(access_status(call, &asked_user(spec), spec))
        }
        "selfsubjectrulesreviews" => match text(&spec["namespace"]) {
            "" => Err(ApiError::bad_request("no namespace on request")),
            namespace => Ok(access::rbac::rules_of(call.store(), &call.user, namespace)),
        },
        "selfsubjectreviews" => Ok(json!({"userInfo": user_info(&call.user)})),
        "tokenreviews" => token_status(call, spec),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|one| text(one).to_owned()).collect()
}

/// Whom a review asks about: exactly as it says, without the groups that authentication adds.
fn asked_user(spec: &Value) -> User {
    let extra = spec["extra"].as_object().into_iter().flatten().map(|(key, values)| (key.clone(), texts(values)));
    User {
        name: text(&spec["user"]).to_owned(),
        uid: text(&spec["uid"]).to_owned(),
        groups: texts(&spec["groups"]),
        extra: extra.collect(),
    }
}

/// Reviews are refused without their kind, which a real server no longer knows by then.
fn refuse(errors: &[FieldError]) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(AUTHORIZATION, "", "", errors)) }
}

fn attribute_errors(spec: &Value) -> Vec<FieldError> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_object(), path.is_object()) {
        (true, true) => {
            let why = "cannot be specified in combination with resourceAttributes";
            vec![FieldError::invalid("spec.nonResourceAttributes", path.clone(), why)]
        }
        (false, false) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![FieldError::invalid("spec.resourceAttributes", Value::Null, why)]
        }
        _ => Vec::new(),
    }
}

fn spec_errors(spec: &Value) -> Vec<FieldError> {
    let mut errors = attribute_errors(spec);
    if text(&spec["user"]).is_empty() && texts(&spec["groups"]).is_empty() {
        errors.push(FieldError::invalid("spec.user", "", "at least one of user or group must be specified"));
    }
    errors
}

fn local_errors(spec: &Value, namespace: &str) -> Vec<FieldError> {
    let mut errors = spec_errors(spec);
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() && text(&resource["namespace"]) != namespace {
        let given = text(&resource["namespace"]);
        errors.push(FieldError::invalid("spec.resourceAttributes.namespace", given, "must match metadata.namespace"));
    }
    if path.is_object() {
        let why = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", path.clone(), why));
    }
    errors
}

fn access_status(call: &Call, user: &User, spec: &Value) -> Value {
    let verdict = access::rbac::decide(call.store(), user, &access::Attributes::of_review(spec));
    let mut status = json!({"allowed": verdict.allowed});
    if !verdict.reason.is_empty() {
        status["reason"] = verdict.reason.into();
    }
    status
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// Whom a token stands for, if it is for those who ask.
fn token_status(call: &Call, spec: &Value) -> Result<Value, ApiError> {
    let token = text(&spec["token"]);
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let mut audiences = texts(&spec["audiences"]);
    if audiences.is_empty() {
        audiences = ApiServer::audiences().to_vec();
    }
    Ok(match access::authenticate_token(&call.server, token, &audiences) {
        Ok((user, audiences)) => json!({"authenticated": true, "user": user_info(&user), "audiences": audiences}),
        Err(Refusal::Unknown) => json!({"user": {}, "error": Refusal::Unknown.to_string()}),
        // Each of a real server's authenticators says why, and the first knows no service accounts.
        Err(refusal) => json!({"user": {}, "error": format!("[{}, {refusal}]", Refusal::Unknown)}),
    })
}
