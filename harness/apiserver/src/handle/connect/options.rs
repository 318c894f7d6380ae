//! What a connection is to be, as the object that admission judges.

use serde_json::{Value, json};

use crate::handle::Call;

/// Like a `PodExecOptions`, from the request's parameters. Null where there is no such object.
pub(super) fn of(call: &Call) -> Value {
    let query = &call.query;
    let kind = match (call.resource.plural.as_str(), call.target.subresource.as_str()) {
        ("pods", "exec") => "PodExecOptions",
        ("pods", "attach") => "PodAttachOptions",
        ("pods", "portforward") => "PodPortForwardOptions",
        ("pods", "proxy") => "PodProxyOptions",
        ("services", "proxy") => "ServiceProxyOptions",
        ("nodes", "proxy") => "NodeProxyOptions",
        _ => return Value::Null,
    };
    let mut options = json!({"kind": kind, "apiVersion": "v1"});
    for stream in ["stdin", "stdout", "stderr", "tty"] {
        if matches!(query.text(stream), Some("true" | "1")) {
            options[stream] = true.into();
        }
    }
    for text in ["container", "path"] {
        if let Some(given) = query.text(text) {
            options[text] = given.into();
        }
    }
    let command = query.all("command");
    if !command.is_empty() {
        options["command"] = command.into();
    }
    let ports: Vec<u16> = query.all("ports").iter().flat_map(|p| p.split(',')).filter_map(|p| p.parse().ok()).collect();
    if !ports.is_empty() {
        options["ports"] = ports.into();
    }
    options
}
