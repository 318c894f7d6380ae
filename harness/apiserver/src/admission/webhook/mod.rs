//! Admission webhooks: whom to ask, what is asked, what becomes of the answer.
//!
//! [`hook`] is a webhook as its configuration describes it, [`review`] the question and the answer, and the two chains
//! differ as in a real server: those that may change the object are asked one after another, each seeing what the one
//! before made of it; those that may only refuse are asked at once.

mod hook;
mod mutating;
mod review;
mod validating;

pub(super) use hook::Hook;
pub(super) use mutating::mutate;
pub(super) use validating::validate;

use serde_json::Value;

use super::attributes::Attributes;
use super::authorizer;
use super::expression::{self, Outcome};
use super::matching::Seen;
use crate::convert;
use crate::field::quote;
use crate::service::ApiServer;
use crate::status::ApiError;

/// How asking a webhook can end without its consent.
#[derive(Debug)]
enum Failure {
    /// It could not be asked, or its answer makes no sense; the failure policy decides.
    Calling(String),
    /// It refused, or the request cannot be put to it at all.
    Refused(ApiError),
}

impl Failure {
    /// The error that the client gets; none where the webhook may be passed over.
    fn into_error(self, hook: &Hook) -> Option<ApiError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Calling(why) => {
                let text = format!("failed calling webhook {}: {why}", quote(&hook.name));
                tracing::warn!(configuration = hook.configuration, ignored = hook.ignores_failures, "{text}");
                (!hook.ignores_failures).then(|| ApiError::internal(&text))
            }
        }
    }
}

/// The objects of a request in the version in which a webhook sees them.
#[derive(Clone, Debug, Default)]
struct Objects {
    object: Option<Value>,
    old: Option<Value>,
}

impl Objects {
    async fn of(server: &ApiServer, about: &Attributes, seen: &Seen) -> Result<Self, ApiError> {
        let Some(resource) = &seen.other else {
            return Ok(Self { object: about.object.clone(), old: about.old.clone() });
        };
        let mut objects = Self::default();
        if let Some(object) = &about.object {
            objects.object = Some(convert::to(server, resource, object).await?);
        }
        if let Some(old) = &about.old {
            objects.old = Some(convert::to(server, resource, old).await?);
        }
        Ok(objects)
    }
}

/// Whether a webhook is to be asked, and about what.
///
/// # Errors
/// 403 when its conditions cannot be evaluated and it is one that matters.
async fn invitation(server: &ApiServer, hook: &Hook, about: &Attributes) -> Result<Option<(Seen, Objects)>, ApiError> {
    let Some(seen) = hook.matching.find(server, about)? else { return Ok(None) };
    let objects = Objects::of(server, about, &seen).await?;
    if !hook.conditions.is_empty() {
        let request = expression::request(about, &seen);
        let mut variables = expression::variables(objects.object.as_ref(), objects.old.as_ref(), &request);
        variables.push(("authorizer", authorizer::variable(server, about)));
        match hook.conditions.judge(&variables) {
            Outcome::Met => {}
            Outcome::Unmet => return Ok(None),
            Outcome::Unclear(_) if hook.ignores_failures => return Ok(None),
            Outcome::Unclear(why) => {
                let resource = &about.resource;
                return Err(ApiError::forbidden(&resource.group, &resource.resource, &about.name, &why));
            }
        }
    }
    Ok(Some((seen, objects)))
}
