//! Questions about rights and identities: answered, never stored.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Reply};
use crate::access::{self, Refusal, User};
use crate::apply::{Operation, managed};
use crate::decode::{self, FieldValidation};
use crate::resource::Resource;
use crate::service::ApiServer;
use crate::status::ApiError;

/// Whether a resource is one of these questions.
pub(super) fn is_review(resource: &Resource) -> bool {
    matches!(resource.group.as_str(), "authorization.k8s.io" | "authentication.k8s.io")
}

pub(super) fn create(call: &mut Call) -> Result<Reply, ApiError> {
    call.check_options("CreateOptions")?;
    let media = decode::media(&call.headers)?;
    let resource = Arc::clone(&call.resource);
    let validation = FieldValidation::of(&call.query);
    let mut review = decode::object(&call.body, media, &resource, validation, &mut call.warnings)?;
    managed::record_update(&call.manager(Operation::Update), None, &mut review, &resource, &call.now_text());
    let asked_user = || User {
        name: text(&review["spec"]["user"]),
        uid: text(&review["spec"]["uid"]),
        groups: review["spec"]["groups"].as_array().into_iter().flatten().map(text).collect(),
        ..User::default()
    };
    let status = match resource.plural.as_str() {
        "selfsubjectaccessreviews" => access_status(call, &call.user, &review["spec"]),
        "subjectaccessreviews" | "localsubjectaccessreviews" => access_status(call, &asked_user(), &review["spec"]),
        "selfsubjectrulesreviews" => {
            let namespace = text(&review["spec"]["namespace"]);
            access::rbac::rules_of(&call.server.0.store, &call.user, &namespace)
        }
        "selfsubjectreviews" => json!({"userInfo": user_info(&call.user)}),
        "tokenreviews" => token_status(call, &review["spec"])?,
        _ => return Err(ApiError::method_not_allowed()),
    };
    review["status"] = status;
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    Ok(Reply::Object(StatusCode::CREATED, review))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn access_status(call: &Call, user: &User, spec: &Value) -> Value {
    let allowed = access::rbac::allows(&call.server.0.store, user, &access::Attributes::of_review(spec));
    json!({"allowed": allowed})
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
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let mut audiences: Vec<String> = spec["audiences"].as_array().into_iter().flatten().map(text).collect();
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
