//! Webhooks that may change the object: asked one after another, some of them twice.

use std::collections::BTreeSet;

use serde_json::Value;

use super::hook::Hook;
use super::review::{self, Consent, JSON_PATCH};
use super::{Failure, Objects, invitation};
use crate::admission::attributes::Attributes;
use crate::admission::matching::Seen;
use crate::apply::managed;
use crate::convert;
use crate::decode;
use crate::field::quote;
use crate::handle::Call;
use crate::lifecycle::metadata;
use crate::patch;
use crate::resource::{Resource, SharedResource};
use crate::schema::node::SchemaRef;
use crate::status::ApiError;

/// Which webhooks are to be asked again: those that wish so, and were asked before somebody else changed the object.
#[derive(Debug, Default)]
struct Again {
    asked: BTreeSet<usize>,
    due: BTreeSet<usize>,
}

/// Asks all webhooks that a request concerns, and lets each change `about`'s object.
///
/// # Errors
/// A refusal, or 500 where one that matters cannot be asked or changes the object into something that makes no sense.
pub(crate) async fn mutate(call: &mut Call, hooks: &[Hook], about: &mut Attributes) -> Result<(), ApiError> {
    let before = about.object.as_ref().map(|object| object["metadata"]["managedFields"].clone());
    let mut again = Again::default();
    if round(call, hooks, about, &mut again, false).await? {
        round(call, hooks, about, &mut again, true).await?;
    }
    if let (Some(before), Some(object)) = (before, &mut about.object) {
        keep_managed_fields(object, before, &mut call.warnings);
    }
    Ok(())
}

/// Asks each webhook once; whether one of them changed the object.
async fn round(
    call: &mut Call,
    hooks: &[Hook],
    about: &mut Attributes,
    again: &mut Again,
    second: bool,
) -> Result<bool, ApiError> {
    let server = call.server.clone();
    let mut any = false;
    for (at, hook) in hooks.iter().enumerate() {
        let Some((seen, mut objects)) = invitation(&server, hook, about).await? else { continue };
        if second && !again.due.contains(&at) {
            continue;
        }
        let asked = review::ask(&server, hook, about, &seen, &objects, true, &mut call.warnings).await;
        let changed = match asked {
            Ok(consent) => apply(call, hook, &seen, &mut objects, consent),
            Err(failure) => Err(failure),
        };
        match changed {
            Ok(true) => {
                about.object = Some(back(call, about, &seen, objects).await?);
                any = true;
                again.due.extend(std::mem::take(&mut again.asked));
            }
            Ok(false) => {}
            Err(failure) => {
                if let Some(error) = failure.into_error(hook) {
                    return Err(error);
                }
            }
        }
        if hook.reinvocable {
            again.asked.insert(at);
        }
    }
    Ok(any)
}

/// Patches the object as the webhook wishes; whether that changed anything.
fn apply(call: &Call, hook: &Hook, seen: &Seen, objects: &mut Objects, consent: Consent) -> Result<bool, Failure> {
    let Some(patch) = consent.patch else { return Ok(false) };
    let internal = |why: &str| Failure::Refused(ApiError::internal(why));
    let operations: Value = serde_json::from_slice(&patch)
        .map_err(|error| Failure::Calling(format!("received undecodable patch in webhook response: {error}")))?;
    if operations.as_array().is_some_and(Vec::is_empty) {
        return Ok(false);
    }
    let Some(object) = &objects.object else {
        let name = quote(&hook.name);
        let why = format!(
            "admission webhook {name} attempted to modify the object, which is not supported for this operation"
        );
        return Err(internal(&why));
    };
    if consent.patch_type != JSON_PATCH {
        return Err(Failure::Calling(format!("unsupported patch type {}", quote(&consent.patch_type))));
    }
    let resource = resource_of(call, seen);
    let mut patched = object.clone();
    patch::json::apply_operations(&mut patched, operations).map_err(|why| internal(&why))?;
    let patched = decode::mutated(patched, &resource).map_err(|why| internal(&why))?;
    let changed = *object != patched;
    objects.object = Some(patched);
    Ok(changed)
}

/// The changed object in the version of the request.
async fn back(call: &Call, about: &Attributes, seen: &Seen, objects: Objects) -> Result<Value, ApiError> {
    let object = objects.object.unwrap_or_default();
    match &seen.other {
        Some(_) if !about.has_own_kind(&call.resource) => convert::to(&call.server, &call.resource, &object).await,
        _ => Ok(object),
    }
}

/// The shape of the object: that of the resource, or of the kind that only a subresource has.
fn resource_of(call: &Call, seen: &Seen) -> SharedResource {
    if let Some(other) = &seen.other {
        return SharedResource::clone(other);
    }
    let schema = match seen.kind.name.as_str() {
        kind if kind == call.resource.kind => return SharedResource::clone(&call.resource),
        "Eviction" => "io.k8s.api.policy.v1.Eviction",
        "Scale" => "io.k8s.api.autoscaling.v1.Scale",
        "Binding" => "io.k8s.api.core.v1.Binding",
        "TokenRequest" => "io.k8s.api.authentication.v1.TokenRequest",
        // Options of a connection: they are not written anywhere, so nothing depends on their shape.
        _ => "",
    };
    SharedResource::new(Resource {
        group: seen.kind.group.clone(),
        version: seen.kind.version.clone(),
        kind: seen.kind.name.clone(),
        schema: SchemaRef::Builtin(schema),
        definition: None,
        rules: &crate::resource::NoRules,
        ..(*call.resource).clone()
    })
}

/// Puts managed fields back that a webhook has made unreadable, and warns of it.
fn keep_managed_fields(object: &mut Value, before: Value, warnings: &mut Vec<String>) {
    let Err(why) = managed::readable(&object["metadata"]["managedFields"]) else { return };
    if before.is_null() {
        metadata(object).remove("managedFields");
    } else {
        object["metadata"]["managedFields"] = before;
    }
    warnings.push(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating \
         admission controller; please fix your requests: {why}"
    ));
}
