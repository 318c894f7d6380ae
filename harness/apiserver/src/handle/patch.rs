//! Patches and server-side apply.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::create::{fill_in, reply};
use super::update::{check_name, onto};
use super::write::{insert, replace};
use super::{Call, Reply};
use crate::access;
use crate::apply::{self, Operation};
use crate::decode::{self, FieldValidation, Media, content_type};
use crate::field::FieldError;
use crate::lifecycle;
use crate::patch::{self, PatchKind};
use crate::route::{Target, Verb};
use crate::status::ApiError;

enum Kind {
    Patch(PatchKind),
    Apply,
}

pub(super) async fn patch(call: &mut Call) -> Result<Reply, ApiError> {
    let kind = kind(call)?;
    check_options(call, &kind)?;
    match kind {
        Kind::Patch(kind) => {
            let written = replace(call, |call, live| {
                let resource = Arc::clone(&call.resource);
                let patched = patch::apply(kind, live, &call.body, &resource.schema)?;
                let object = decoded(call, patched, Some(kind))?;
                Ok(onto(call, object, live))
            })
            .await?;
            Ok(reply(written, StatusCode::OK))
        }
        Kind::Apply => apply_configuration(call).await,
    }
}

fn kind(call: &Call) -> Result<Kind, ApiError> {
    let custom = call.resource.definition.is_some();
    match content_type(&call.headers) {
        "application/json-patch+json" => Ok(Kind::Patch(PatchKind::Json)),
        "application/merge-patch+json" => Ok(Kind::Patch(PatchKind::Merge)),
        "application/strategic-merge-patch+json" if !custom => Ok(Kind::Patch(PatchKind::Strategic)),
        "application/apply-patch+yaml" => Ok(Kind::Apply),
        _ if custom => Err(decode::unsupported(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        // The paths of built-in kinds are refused before their handler is asked.
        _ => {
            let error = decode::unsupported("415: Unsupported Media Type");
            Err(ApiError { details: json!({}), ..error })
        }
    }
}

fn check_options(call: &Call, kind: &Kind) -> Result<(), ApiError> {
    let own = match kind {
        Kind::Apply if call.query.text("fieldManager").is_none() => {
            FieldError::required("fieldManager", "is required for apply patch")
        }
        Kind::Patch(_) if call.query.get("force").is_some() => {
            FieldError::forbidden("force", "may not be specified for non-apply patch")
        }
        _ => return call.check_options("PatchOptions"),
    };
    Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[own]))
}

/// What a patch (or an apply) made, as if it had come as a whole.
fn decoded(call: &mut Call, patched: Value, kind: Option<PatchKind>) -> Result<Value, ApiError> {
    let resource = Arc::clone(&call.resource);
    let validation = FieldValidation::of(&call.query);
    let problems = kind.map(|kind| patch::problems(kind, &call.body)).unwrap_or_default();
    let body = &call.body;
    let shown = |object: &Value| kind.map(|kind| patch::shown(kind, body, object)).unwrap_or_default();
    let mut object = decode::patched(patched, problems, &resource, validation, &mut call.warnings, &shown)?;
    fill_in(call, &mut object);
    check_name(&object, &call.target.name)?;
    lifecycle::put_in_namespace(&mut object, &resource, &call.target.namespace)?;
    call.warnings.extend(lifecycle::dedup_owners(&mut object));
    Ok(object)
}

async fn apply_configuration(call: &mut Call) -> Result<Reply, ApiError> {
    let decode::Parsed { value: mut applied, duplicates } = decode::parse(&call.body, Media::Yaml)?;
    if !applied.is_object() {
        return Err(ApiError::bad_request("error decoding YAML: the body is no object"));
    }
    let twice = decode::twice(duplicates);
    match FieldValidation::of(&call.query) {
        FieldValidation::Strict if !twice.is_empty() => {
            let message = format!("error strict decoding patch: {}", twice.join(", "));
            return Err(ApiError::bad_request(message));
        }
        FieldValidation::Warn => call.warnings.extend(twice),
        _ => {}
    }
    lifecycle::match_name(&mut applied, &call.target.name)?;
    let force = call.query.flag("force");
    let manager = call.manager(Operation::Apply);
    let resource = Arc::clone(&call.resource);
    let exists = call.store().get(&call.collection(), &call.key()).is_some();
    if !exists && call.target.subresource.is_empty() {
        let target = Target { verb: Verb::Create, ..call.target.clone() };
        access::authorize(&call.server, &call.user, &target)?;
        let mut object = apply::apply(None, &applied, &manager, force, &resource, &call.now_text())?;
        lifecycle::wipe_system_fields(&mut object);
        let object = decoded(call, object, None)?;
        return Ok(reply(insert(call, object).await?, StatusCode::CREATED));
    }
    let written = replace(call, |call, live| {
        let merged = apply::apply(Some(live), &applied, &manager, force, &resource, &call.now_text())?;
        let object = decoded(call, merged, None)?;
        Ok(match call.target.subresource.as_str() {
            "status" => lifecycle::prepare_status_update(&object, live, &resource),
            _ => object,
        })
    })
    .await?;
    Ok(reply(written, StatusCode::OK))
}
