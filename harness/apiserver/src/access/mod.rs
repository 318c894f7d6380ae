//! Who asks, and what they may do: authentication, RBAC, impersonation, access reviews.
//!
//! [`user`] is an identity; every request has exactly one. [`rbac`] judges it by the roles in the store, which
//! [`bootstrap`] fills with those that every cluster has.

pub(crate) mod account;
pub mod bootstrap;
pub(crate) mod escalation;
pub mod rbac;
pub mod token;
pub mod user;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

pub(crate) use token::Refusal;
pub use user::User;

use crate::field::quote;
use crate::route::Target;
use crate::service::ApiServer;
use crate::status::ApiError;

/// What RBAC is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Like `get`; the HTTP method in lower case for paths.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural name, with its subresource after a slash.
    pub resource: String,
    /// Empty for collections.
    pub name: String,
    /// Empty at cluster scope.
    pub namespace: String,
    /// The path, when it is about no resource.
    pub path: Option<String>,
}

impl Attributes {
    fn of(target: &Target) -> Self {
        Self {
            verb: target.verb.as_str().to_owned(),
            group: target.group.clone(),
            resource: qualified(&target.resource, &target.subresource),
            name: target.name.clone(),
            namespace: target.namespace.clone(),
            path: None,
        }
    }

    /// From the spec of an access review.
    pub fn of_review(spec: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let path = &spec["nonResourceAttributes"];
        if path.is_object() {
            return Self { verb: text(&path["verb"]), path: Some(text(&path["path"])), ..Self::default() };
        }
        let about = &spec["resourceAttributes"];
        Self {
            verb: text(&about["verb"]),
            group: text(&about["group"]),
            resource: qualified(&text(&about["resource"]), &text(&about["subresource"])),
            name: text(&about["name"]),
            namespace: text(&about["namespace"]),
            path: None,
        }
    }
}

fn qualified(resource: &str, subresource: &str) -> String {
    if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") }
}

/// Who makes a request, by its `Authorization` header.
///
/// # Errors
/// 401 for a token that is not known.
pub(crate) fn authenticate(server: &ApiServer, headers: &HeaderMap) -> Result<Arc<User>, ApiError> {
    let Some(header) = headers.get(header::AUTHORIZATION) else { return Ok(Arc::new(User::anonymous())) };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        // Other schemes are not for this server, so nobody claimed anything.
        None => Ok(Arc::new(User::anonymous())),
        Some(token) => match authenticate_token(server, token, &ApiServer::audiences()) {
            Ok((user, _)) => Ok(user),
            Err(refusal) => {
                tracing::debug!(%refusal, "a request is not authenticated");
                Err(ApiError::unauthorized())
            }
        },
    }
}

/// Whom a token stands for, and which of `audiences` it is for.
///
/// # Errors
/// See [`Refusal`].
pub(crate) fn authenticate_token(
    server: &ApiServer,
    token: &str,
    audiences: &[String],
) -> Result<(Arc<User>, Vec<String>), Refusal> {
    if let Some(user) = known_token(server, token) {
        // Such a token is for the server itself, whatever it is shown to.
        let shared: Vec<String> = ApiServer::audiences().into_iter().filter(|own| audiences.contains(own)).collect();
        return if shared.is_empty() { Err(Refusal::Unknown) } else { Ok((user, shared)) };
    }
    let now = server.0.clock.now();
    let claims = server.0.signer.verify(token).ok_or(Refusal::Unknown)?;
    let shared = token::check(&claims, audiences, now)?;
    account::check(&server.0.store, &claims, now)?;
    Ok((Arc::new(account::user(&claims)), shared))
}

/// Whom a token stands for that somebody else gave out. Every token is compared in full, so that the time taken tells
/// nothing.
fn known_token(server: &ApiServer, token: &str) -> Option<Arc<User>> {
    let same = |known: &str| {
        known.len() == token.len()
            && known.bytes().zip(token.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    };
    let tokens = server.0.tokens.read().unwrap_or_else(PoisonError::into_inner);
    tokens.iter().filter(|(known, _)| same(known)).map(|(_, user)| Arc::clone(user)).next_back()
}

/// The identity a request acts under: its own, or the one its `Impersonate-` headers name.
///
/// # Errors
/// 403 when the user may not impersonate that, 500 for headers without a user.
pub(crate) fn impersonate(server: &ApiServer, user: &Arc<User>, headers: &HeaderMap) -> Result<Arc<User>, ApiError> {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
    };
    let name = texts("impersonate-user").into_iter().next().unwrap_or_default();
    let (groups, uid) = (texts("impersonate-group"), texts("impersonate-uid").into_iter().next());
    let extra: BTreeMap<String, Vec<String>> = headers
        .keys()
        .filter_map(|header| header.as_str().strip_prefix("impersonate-extra-"))
        .map(|key| (key.to_owned(), texts(&format!("impersonate-extra-{key}"))))
        .collect();
    if name.is_empty() {
        if groups.is_empty() && extra.is_empty() && uid.is_none() {
            return Ok(Arc::clone(user));
        }
        return Err(ApiError::internal("requested impersonation without impersonating a user"));
    }
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (resource, namespace, short) = match account {
        Some((namespace, account)) => ("serviceaccounts", namespace, account),
        None => ("users", "", name.as_str()),
    };
    may_impersonate(server, user, "", resource, namespace, short)?;
    for group in &groups {
        may_impersonate(server, user, "", "groups", "", group)?;
    }
    if let Some(uid) = &uid {
        may_impersonate(server, user, "authentication.k8s.io", "uids", "", uid)?;
    }
    for (key, values) in &extra {
        for value in values {
            may_impersonate(server, user, "authentication.k8s.io", &format!("userextras/{key}"), "", value)?;
        }
    }
    let mut acting = match account {
        Some((namespace, account)) if groups.is_empty() => User::service_account(namespace, account),
        _ if name == "system:anonymous" => User::anonymous(),
        _ => User::new(name, groups),
    };
    acting.uid = uid.unwrap_or_default();
    acting.extra = extra;
    Ok(Arc::new(acting))
}

fn may_impersonate(
    server: &ApiServer,
    user: &User,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<(), ApiError> {
    let attributes = Attributes {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        path: None,
    };
    decide(server, user, &attributes)
}

/// Refuses a request for a resource that the user may not make.
///
/// # Errors
/// 403.
pub(crate) fn authorize(server: &ApiServer, user: &User, target: &Target) -> Result<(), ApiError> {
    decide(server, user, &Attributes::of(target))
}

/// Refuses a request for a path that the user may not make.
///
/// # Errors
/// 403.
pub(crate) fn authorize_path(server: &ApiServer, user: &User, verb: &str, path: &str) -> Result<(), ApiError> {
    let attributes = Attributes { verb: verb.to_owned(), path: Some(path.to_owned()), ..Attributes::default() };
    decide(server, user, &attributes)
}

fn decide(server: &ApiServer, user: &User, about: &Attributes) -> Result<(), ApiError> {
    let verdict = rbac::decide(&server.0.store, user, about);
    if verdict.allowed { Ok(()) } else { Err(forbidden(user, about, &verdict.reason)) }
}

/// 403 in the words of a real server.
fn forbidden(user: &User, about: &Attributes, reason: &str) -> ApiError {
    let name = quote(&user.name);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if let Some(path) = &about.path {
        let message = format!("forbidden: User {name} cannot {} path {}{because}", about.verb, quote(path));
        return ApiError { details: json!({}), ..ApiError::new(StatusCode::FORBIDDEN, "Forbidden", message) };
    }
    let scope = match about.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {}", quote(namespace)),
    };
    let why = format!(
        "User {name} cannot {} resource {} in API group {} {scope}{because}",
        about.verb,
        quote(&about.resource),
        quote(&about.group)
    );
    let resource = about.resource.split('/').next().unwrap_or_default();
    ApiError::forbidden(&about.group, resource, &about.name, &why)
}
