//! What can be done to a pod beside reading and writing it: bind it, read its log.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Reply};
use crate::admission::{self, Operation};
use crate::decode;
use crate::field::FieldError;
use crate::lifecycle::{self, meta, metadata};
use crate::status::ApiError;

/// A subresource's body, of the given kind unless it says nothing.
fn body(call: &Call, kind: &str) -> Result<Value, ApiError> {
    let object = decode::parse(&call.body, decode::media(&call.headers)?)?.value;
    let given = object["kind"].as_str().unwrap_or(kind);
    if !object.is_object() || given != kind {
        return Err(ApiError::bad_request(format!("{given} cannot be handled as a {kind}")));
    }
    Ok(object)
}

/// The answer where there is nothing to show.
pub(super) fn success(code: StatusCode) -> Reply {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code.as_u16(),
    });
    Reply::Plain(code, status)
}

/// Assigns the pod that the binding is named after to a node.
pub(super) async fn bind_by_name(call: &mut Call) -> Result<Reply, ApiError> {
    let binding = body(call, "Binding")?;
    let Some(pods) = call.server.0.registry.find("", "v1", "pods") else { return Err(ApiError::no_such_path()) };
    call.resource = pods;
    meta(&binding, "name").clone_into(&mut call.target.name);
    bind(call).await
}

/// Assigns a pod to a node.
pub(super) async fn bind(call: &mut Call) -> Result<Reply, ApiError> {
    call.check_options("CreateOptions")?;
    let mut binding = body(call, "Binding")?;
    admission::mutate(call, Operation::Create, &mut binding, None).await?;
    let errors = validate_binding(&binding);
    if !errors.is_empty() {
        return Err(ApiError::invalid("", "Binding", meta(&binding, "name"), &errors));
    }
    admission::validate(call, Operation::Create, &binding, None).await?;
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let (collection, key) = (call.collection(), call.key());
    loop {
        let live = call.store().get(&collection, &key).ok_or_else(|| call.not_found())?;
        let uid = meta(&binding, "uid");
        if !uid.is_empty() && uid != live.uid() {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", live.uid());
            return Err(ApiError::conflict("", "pods", &call.target.name, &why));
        }
        let bound = bound(&live.value, &binding, node, &call.now_text())
            .map_err(|why| ApiError::conflict("", "pods/binding", &call.target.name, &why))?;
        if call.dry_run() || call.store().update(&collection, key.clone(), live.revision, bound).is_ok() {
            return Ok(success(StatusCode::CREATED));
        }
    }
}

fn validate_binding(binding: &Value) -> Vec<FieldError> {
    let target = &binding["target"];
    let mut errors = Vec::new();
    match target["kind"].as_str().unwrap_or_default() {
        "" | "Node" => {}
        other => errors.push(FieldError::not_supported("target.kind", other, &["Node", "<empty>"])),
    }
    if target["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    errors
}

/// The pod on its node, or why it cannot be bound.
fn bound(pod: &Value, binding: &Value, node: &str, now: &str) -> Result<Value, String> {
    let name = meta(pod, "name");
    if lifecycle::is_deleting(pod) {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    match pod["spec"]["nodeName"].as_str() {
        None | Some("") => {}
        Some(other) => {
            return Err(format!("pod {name} is already assigned to node {}", crate::field::quote(other)));
        }
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut pod = pod.clone();
    pod["spec"]["nodeName"] = node.into();
    for field in ["annotations", "labels"] {
        if let Some(added) = binding["metadata"][field].as_object().filter(|added| !added.is_empty()) {
            let fields = metadata(&mut pod).entry(field).or_insert_with(|| json!({}));
            if let Some(fields) = fields.as_object_mut() {
                fields.extend(added.clone());
            }
        }
    }
    let scheduled = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
    });
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    match pod["status"]["conditions"].as_array_mut() {
        Some(conditions) => {
            conditions.retain(|c| c["type"] != "PodScheduled");
            conditions.push(scheduled);
        }
        None => pod["status"]["conditions"] = json!([scheduled]),
    }
    Ok(pod)
}
