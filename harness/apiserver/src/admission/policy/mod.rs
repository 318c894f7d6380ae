//! Validating admission policies: rules in CEL that refuse, warn, or only take note.
//!
//! [`rules`] is a policy with its bindings as they were compiled, [`params`] finds what a binding feeds it. Deciding is
//! pure; what is read is read before.

mod params;
mod rules;

use http::StatusCode;
use kube_cel::cel::Value as Cel;
use serde_json::{Value, json};

pub(super) use rules::Policy;
use rules::{Action, Binding, Decision};

use super::attributes::Attributes;
use super::expression::{self, Variables};
use super::matching::{self, Seen};
use crate::convert;
use crate::handle::Call;
use crate::service::ApiServer;
use crate::status::ApiError;

/// What of a namespace's metadata a policy may look at.
const NAMESPACE_METADATA: [&str; 11] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
];

/// A refusal, in the order in which they come.
struct Denial<'a> {
    policy: &'a Policy,
    binding: Option<&'a Binding>,
    reason: String,
    message: String,
}

/// Puts a request before all policies.
///
/// # Errors
/// The first refusal; every policy is heard before that.
pub(super) async fn validate(call: &mut Call, policies: &[Policy], about: &Attributes) -> Result<(), ApiError> {
    let server = call.server.clone();
    let mut denials = Vec::new();
    for policy in policies {
        let misconfigured = |binding, why: String| Denial { policy, binding, reason: String::new(), message: why };
        let seen = match policy.matching.find(&server, about) {
            Ok(Some(seen)) => seen,
            Ok(None) => continue,
            Err(error) if policy.ignores_failures => {
                tracing::debug!(policy = policy.name, %error, "passed over");
                continue;
            }
            Err(error) => {
                denials.push(misconfigured(None, format!("failed to configure policy: {error}")));
                continue;
            }
        };
        for binding in &policy.bindings {
            match judge(&server, policy, binding, about, &seen).await {
                Ok(decisions) => act(call, policy, binding, decisions, &mut denials),
                Err(_) if policy.ignores_failures => {}
                Err(why) => denials.push(misconfigured(Some(binding), why)),
            }
        }
    }
    denials.into_iter().next().map_or(Ok(()), |denial| Err(denial.into_error(about)))
}

/// What a policy has against a request under one of its bindings.
///
/// # Errors
/// Why they cannot be brought together.
async fn judge(
    server: &ApiServer,
    policy: &Policy,
    binding: &Binding,
    about: &Attributes,
    seen: &Seen,
) -> Result<Vec<Decision>, String> {
    let misbound = |why: String| format!("failed to configure binding: {why}");
    if let Some(matching) = &binding.matching {
        let bound = matching.find(server, about).map_err(|error| misbound(error.to_string()))?;
        if bound.is_none() {
            return Ok(Vec::new());
        }
    }
    if let Some(why) = params::unknown_kind(server, policy) {
        return Err(format!("failed to configure policy: {why}"));
    }
    let params = params::collect(server, policy, binding, about).await.map_err(misbound)?;
    if params.is_empty() {
        return Ok(Vec::new());
    }
    let variables = variables(server, about, seen).await.map_err(|error| misbound(error.to_string()))?;
    let decided = params.into_iter().flat_map(|param| {
        let mut variables = variables.clone();
        if policy.param_kind.is_some() {
            variables.push(("params", param.as_ref().map_or(Cel::Null, expression::value)));
        }
        policy.decide(variables)
    });
    Ok(decided.collect())
}

async fn variables(server: &ApiServer, about: &Attributes, seen: &Seen) -> Result<Variables, ApiError> {
    let request = expression::request(about, seen);
    let mut converted = (None, None);
    let (object, old) = match &seen.other {
        None => (about.object.as_ref(), about.old.as_ref()),
        Some(resource) => {
            for (from, to) in [(&about.object, &mut converted.0), (&about.old, &mut converted.1)] {
                if let Some(object) = from {
                    *to = Some(convert::to(server, resource, object).await?);
                }
            }
            (converted.0.as_ref(), converted.1.as_ref())
        }
    };
    let mut variables = expression::variables(object, old, &request);
    let namespace = if about.resource.is_namespaces() || about.namespace.is_empty() {
        None
    } else {
        matching::namespace(server, &about.namespace)
    };
    let namespace = namespace.as_ref().map(shown_namespace);
    variables.push(("namespaceObject", namespace.as_ref().map_or(Cel::Null, expression::value)));
    variables.push(("authorizer", super::authorizer::variable(server, about)));
    Ok(variables)
}

/// A namespace without what only the server keeps.
fn shown_namespace(namespace: &Value) -> Value {
    let mut shown = namespace.clone();
    if let Some(metadata) = shown["metadata"].as_object_mut() {
        metadata.retain(|field, _| NAMESPACE_METADATA.contains(&field.as_str()) || field == "finalizers");
    }
    shown
}

/// Does what a binding says about each thing that a policy has against a request.
fn act<'a>(
    call: &mut Call,
    policy: &'a Policy,
    binding: &'a Binding,
    decisions: Vec<Decision>,
    denials: &mut Vec<Denial<'a>>,
) {
    for Decision { reason, message, always } in decisions {
        let denial = |reason: &str, message: &str| Denial {
            policy,
            binding: Some(binding),
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        if always {
            denials.push(denial(&reason, &message));
            continue;
        }
        for action in &binding.actions {
            match action {
                Action::Deny => denials.push(denial(&reason, &message)),
                Action::Warn => call.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                    policy.name, binding.name
                )),
                Action::Audit => {
                    tracing::info!(policy = policy.name, binding = binding.name, message, "validation failure");
                }
            }
        }
    }
}

impl Denial<'_> {
    fn into_error(self, about: &Attributes) -> ApiError {
        let binding = self.binding.map(|binding| format!(" with binding '{}'", binding.name)).unwrap_or_default();
        let message =
            format!("ValidatingAdmissionPolicy '{}'{binding} denied request: {}", self.policy.name, self.message);
        let resource = &about.resource;
        let name = matching::described(about);
        let mut error = ApiError::forbidden(&resource.group, &resource.resource, &name, &message);
        error.details["causes"] = json!([{"message": message}]);
        let reason = if self.reason.is_empty() { "Invalid".to_owned() } else { self.reason };
        error.code = match reason.as_str() {
            "Forbidden" => StatusCode::FORBIDDEN,
            "Unauthorized" => StatusCode::UNAUTHORIZED,
            "RequestEntityTooLarge" => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        error.reason = reason.into();
        error
    }
}
