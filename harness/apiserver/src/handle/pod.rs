//! What can be done to a pod beside reading and writing it: bind it, read its log.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Reply};
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
pub(super) fn bind_by_name(call: &mut Call) -> Result<Reply, ApiError> {
    let binding = body(call, "Binding")?;
    let Some(pods) = call.server.0.registry.find("", "v1", "pods") else { return Err(ApiError::no_such_path()) };
    call.resource = pods;
    meta(&binding, "name").clone_into(&mut call.target.name);
    bind(call)
}

/// Assigns a pod to a node.
pub(super) fn bind(call: &mut Call) -> Result<Reply, ApiError> {
    call.check_options("CreateOptions")?;
    let binding = body(call, "Binding")?;
    let errors = validate_binding(&binding);
    if !errors.is_empty() {
        return Err(ApiError::invalid("", "Binding", meta(&binding, "name"), &errors));
    }
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

/// A pod's log, from the cluster that runs its containers. A server alone says what a server says whose kubelet cannot be
/// reached.
pub(super) fn log(call: &Call) -> Result<Reply, ApiError> {
    let pod = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    let spec = &pod.value["spec"];
    let names = |list: &str| {
        let containers = spec[list].as_array().into_iter().flatten();
        containers.filter_map(|c| c["name"].as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let all: Vec<String> =
        ["containers", "initContainers", "ephemeralContainers"].into_iter().flat_map(names).collect();
    let name = call.target.name.as_str();
    let container = match call.query.text("container") {
        Some(container) if all.iter().any(|c| c == container) => container.to_owned(),
        Some(container) => {
            return Err(ApiError::bad_request(format!("container {container} is not valid for pod {name}")));
        }
        None => match names("containers").as_slice() {
            [only] if all.len() == 1 => only.clone(),
            _ => {
                let why =
                    format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "));
                return Err(ApiError::bad_request(why));
            }
        },
    };
    let previous = matches!(call.query.text("previous"), Some("true" | "1"));
    let source = call.server.0.logs.get();
    match (spec["nodeName"].as_str(), source) {
        (None | Some(""), _) => Ok(Reply::Text(StatusCode::OK, String::new())),
        (Some(_), Some(source)) => {
            let text = source.read(&call.target.namespace, name, &container, previous).ok_or_else(|| {
                let what = if previous { "previous terminated container" } else { "container" };
                ApiError::bad_request(format!("{what} \"{container}\" in pod \"{name}\" has no log"))
            })?;
            let lines = call.query.text("tailLines").and_then(|lines| lines.parse::<usize>().ok());
            let skipped = lines.map_or(0, |lines| text.lines().count().saturating_sub(lines));
            let kept = text.split_inclusive('\n').skip(skipped).collect();
            Ok(Reply::Text(StatusCode::OK, kept))
        }
        (Some(node), None) => Err(ApiError::internal(&format!(
            "no log of container {container} of pod {name} can be read: the kubelet of node {node} is not reachable \
             from the API server"
        ))),
    }
}
