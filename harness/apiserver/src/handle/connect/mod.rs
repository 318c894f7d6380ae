//! What leads into Pods: commands in their containers and connections to their ports.
//!
//! `exec` and `portforward` turn the request's connection into a WebSocket ([`channel`]); `proxy` sends the request on.
//! SPDY, which clients used before WebSockets, and `attach` are answered with an error that says so.

mod channel;
mod exec;
mod forward;
mod options;
mod proxy;

use http::{StatusCode, header};
use serde_json::Value;

use super::{Call, Reply};
use crate::access;
use crate::admission;
use crate::gateway::{ContainerRef, PodGateway};
use crate::route::{Target, Verb};
use crate::status::ApiError;

/// Whether a request is for another program than the server, so that its path goes on and its form is not the server's.
pub(crate) fn takes(target: &Target) -> bool {
    let proxied = matches!(target.resource.as_str(), "pods" | "services" | "nodes") && target.subresource == "proxy";
    let streamed =
        target.resource == "pods" && matches!(target.subresource.as_str(), "log" | "exec" | "attach" | "portforward");
    target.group.is_empty() && target.named && (proxied || (streamed && !target.overlong))
}

/// Connects the client with what it asks for.
pub(super) async fn connect(call: &mut Call) -> Result<Reply, ApiError> {
    if call.target.subresource != "proxy" {
        authorize_creation(call)?;
    }
    admission::connect(call, options::of(call)).await?;
    let call = &*call;
    match (call.resource.plural.as_str(), call.target.subresource.as_str()) {
        ("pods", "proxy") => proxy::pod(call).await,
        ("services", "proxy") => proxy::service(call).await,
        ("pods", "exec") => exec::exec(call),
        ("pods", "portforward") => forward::forward(call),
        (resource, subresource) => {
            let message = format!("{resource}/{subresource} is not supported by the embedded API server");
            Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message))
        }
    }
}

/// Who asks by a WebSocket asks by GET, and needs the right to `create` all the same.
fn authorize_creation(call: &Call) -> Result<(), ApiError> {
    if call.target.verb == Verb::Create {
        return Ok(());
    }
    access::authorize(&call.server, &call.user, &Target { verb: Verb::Create, ..call.target.clone() })
}

/// The protocol that a client asks its connection to become, in lower case.
fn upgrade_of(call: &Call) -> Option<String> {
    let value = call.headers.get(header::UPGRADE)?.to_str().ok()?;
    Some(value.to_ascii_lowercase())
}

fn gateway<'a>(call: &'a Call, node: &str) -> Result<&'a dyn PodGateway, ApiError> {
    call.server.0.gateway.get().map(AsRef::as_ref).ok_or_else(|| {
        ApiError::internal(&format!("error dialing backend: the kubelet of node {node} is not reachable"))
    })
}

/// A container of a Pod, if it has one of that name.
pub(super) fn container_named(pod: &Value, name: &str) -> Option<String> {
    ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten())
        .any(|container| container["name"] == name)
        .then(|| name.to_owned())
}

/// A container of a Pod, as the kubelet knows it.
pub(super) fn container_ref(pod: &Value, container: &str) -> ContainerRef {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ContainerRef {
        namespace: text(&pod["metadata"]["namespace"]),
        pod: text(&pod["metadata"]["name"]),
        uid: text(&pod["metadata"]["uid"]),
        node: text(&pod["spec"]["nodeName"]),
        container: container.to_owned(),
    }
}
