//! The `scale` subresource: one number of an object, in a form that autoscalers know.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::update::check_name;
use super::write::{Written, replace};
use super::{Call, Reply};
use crate::apply::scale::Lent;
use crate::apply::{self, Manager, Operation, managed};
use crate::decode;
use crate::field::FieldError;
use crate::lifecycle::meta;
use crate::patch::{self, PatchKind};
use crate::resource::ScalePaths;
use crate::route::Verb;
use crate::status::ApiError;

pub(super) fn get(call: &Call) -> Result<Reply, ApiError> {
    let object = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    Ok(Reply::Plain(StatusCode::OK, scale(&paths(call)?, &object.value)))
}

fn paths(call: &Call) -> Result<ScalePaths, ApiError> {
    call.resource.scale.clone().ok_or_else(|| call.not_found())
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|step| !step.is_empty())
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    steps(path).fold(object, |value, step| &value[step])
}

fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for step in steps(path) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[step];
    }
    *place = value;
}

/// An object's scale.
fn scale(paths: &ScalePaths, object: &Value) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let mut status = json!({"replicas": at(object, &paths.status_replicas).as_i64().unwrap_or_default()});
    if let Some(selector) = paths.label_selector.as_deref().map(|path| selector_text(at(object, path)))
        && !selector.is_empty()
    {
        status["selector"] = selector.into();
    }
    let mut spec = json!({});
    if let Some(replicas) = at(object, &paths.spec_replicas).as_i64().filter(|r| *r != 0) {
        spec["replicas"] = replicas.into();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// As what an object is admitted: its scale, where that is what the request writes.
pub(super) fn seen(call: &Call, object: &Value) -> Option<Value> {
    let paths = call.resource.scale.as_ref().filter(|_| call.target.subresource == "scale")?;
    Some(scale(paths, object))
}

/// Gives an object the replicas of a scale.
pub(super) fn take_up(call: &Call, object: &mut Value, scale: &Value) {
    if let Some(paths) = &call.resource.scale {
        set(object, &paths.spec_replicas, scale["spec"]["replicas"].as_i64().unwrap_or_default().into());
    }
}

/// A selector in the form of a query; custom resources keep it in that form already.
fn selector_text(selector: &Value) -> String {
    if let Some(text) = selector.as_str() {
        return text.to_owned();
    }
    let labels = if selector["matchLabels"].is_object() || selector["matchExpressions"].is_array() {
        &selector["matchLabels"]
    } else {
        selector
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let equal = labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten().map(|e| {
        let key = text(&e["key"]);
        let values: Vec<String> = e["values"].as_array().into_iter().flatten().map(text).collect();
        match e["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key,
        }
    });
    equal.chain(expressions).collect::<Vec<_>>().join(",")
}

pub(super) async fn update(call: &mut Call) -> Result<Reply, ApiError> {
    call.check_options(if call.target.verb == Verb::Patch { "PatchOptions" } else { "UpdateOptions" })?;
    let paths = paths(call)?;
    let written = replace(call, |call, live| {
        let resource = Arc::clone(&call.resource);
        let mut current = scale(&paths, live);
        let lent = Lent::to(&mut current, live, &resource, &paths.spec_replicas);
        let wanted = wanted(call, &current)?;
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
            return Err(ApiError::invalid("autoscaling", "Scale", &call.target.name, &[error]));
        }
        let mut new = live.clone();
        match meta(&wanted, "resourceVersion") {
            "" => {}
            revision => new["metadata"]["resourceVersion"] = revision.into(),
        }
        set(&mut new, &paths.spec_replicas, replicas.into());
        lent.back(&wanted, &mut new);
        Ok(new)
    })
    .await?;
    let object = match &written {
        Written::Stored(stored) => &stored.value,
        Written::Only(value) => value,
    };
    Ok(Reply::Plain(StatusCode::OK, scale(&paths, object)))
}

/// The scale that the client asks for, with its managed fields.
fn wanted(call: &Call, current: &Value) -> Result<Value, ApiError> {
    let resource = apply::scale::resource(&call.resource);
    let manager = |operation| Manager { api_version: apply::scale::API_VERSION.into(), ..call.manager(operation) };
    let patch = |kind| patch::apply(kind, current, &call.body, &resource.schema);
    let wanted = if call.target.verb == Verb::Patch {
        match decode::content_type(&call.headers) {
            "application/json-patch+json" => patch(PatchKind::Json)?,
            "application/merge-patch+json" => patch(PatchKind::Merge)?,
            "application/strategic-merge-patch+json" => patch(PatchKind::Strategic)?,
            "application/apply-patch+yaml" => {
                let applied = decode::parse(&call.body, decode::Media::Yaml)?.value;
                let (manager, force) = (manager(Operation::Apply), call.query.flag("force"));
                return apply::apply(Some(current), &applied, &manager, force, &resource, &call.now_text());
            }
            _ => return Err(decode::unsupported("the body of the request was in an unknown format")),
        }
    } else {
        decode::parse(&call.body, decode::media(&call.headers)?)?.value
    };
    match wanted["kind"].as_str() {
        _ if !wanted.is_object() => Err(ApiError::bad_request("the body is no JSON object")),
        None | Some("Scale") => {
            check_name(&wanted, &call.target.name)?;
            let mut wanted = apply::scale::normalised(wanted);
            managed::record_update(
                &manager(Operation::Update),
                Some(current),
                &mut wanted,
                &resource,
                &call.now_text(),
            );
            Ok(wanted)
        }
        Some(other) => Err(ApiError::bad_request(format!("{other} cannot be handled as a Scale"))),
    }
}
