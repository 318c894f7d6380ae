//! Nodes.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::metadata::refuse;
use super::names;
use super::pod::spec::effect_of;
use super::print::{NONE, UNKNOWN, age, age_column, column, name, name_column, wide};
use super::simple::{SIMPLE, Simple, Status};
use super::value::{entries, flag, has, items, object, set, set_default, text};
use crate::field::FieldError;
use crate::table::Column;

const ADDRESSES: &str = "List of addresses reachable to the node. Queried from cloud provider, if available. More info: \
    https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but \
    the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should \
    instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that \
    addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be \
    possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API \
    (status.hostIP).";
const OS_IMAGE: &str = "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).";
const KERNEL: &str = "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).";
const RUNTIME: &str =
    "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).";
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

pub(super) static NODE: Simple = Simple {
    status: Status::SplitAfterCreate,
    default,
    validate,
    change,
    fields: &["spec.unschedulable"],
    field: |node, path| (path == "spec.unschedulable").then(|| flag(&node["spec"], "unschedulable").to_string()),
    columns,
    row,
    ..SIMPLE
};

fn default(node: &mut Value) {
    if let Some(spec) = node.get_mut("spec") {
        let (one, first) = (text(spec, "podCIDR").to_owned(), items(spec, "podCIDRs").first().cloned());
        match first {
            Some(first) if one.is_empty() => set(spec, "podCIDR", first),
            None if !one.is_empty() => set(spec, "podCIDRs", json!([one])),
            _ => {}
        }
    }
    if let Some(status) = object(node, "status")
        && has(status, "capacity")
    {
        let capacity = status["capacity"].clone();
        set_default(status, "allocatable", capacity);
    }
}

fn validate(node: &Value, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (i, taint) in items(&node["spec"], "taints").iter().enumerate() {
        let path = format!("spec.taints[{i}]");
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        refuse(errors, &format!("{path}.key"), key, names::qualified(key));
        let wrong = names::label_value(value).join(";");
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(format!("{path}.value"), value, wrong));
        }
        if effect.is_empty() {
            errors.push(FieldError::required(format!("{path}.effect"), ""));
        } else {
            effect_of(effect, &format!("{path}.effect"), errors);
        }
        if !seen.insert((key, effect)) {
            let mut error = FieldError::duplicate(&path, taint.clone());
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            errors.push(error);
        }
    }
}

fn change(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (now, before) = (&new["spec"], &old["spec"]);
    for field in ["podCIDR", "providerID"] {
        let (now, before) = (text(now, field), text(before, field));
        if !before.is_empty() && now != before {
            let detail = format!("node updates may not change {field} except from \"\" to valid");
            errors.push(FieldError::forbidden(format!("spec.{field}"), detail));
        }
    }
}

fn columns() -> Vec<Column> {
    vec![
        name_column(),
        column("Status", "string", "The status of the node"),
        column("Roles", "string", "The roles of the node"),
        age_column(),
        column("Version", "string", "Kubelet Version reported by the node."),
        wide("Internal-IP", "string", ADDRESSES),
        wide("External-IP", "string", ADDRESSES),
        wide("OS-Image", "string", OS_IMAGE),
        wide("Kernel-Version", "string", KERNEL),
        wide("Container-Runtime", "string", RUNTIME),
    ]
}

fn row(node: &Value, now: Timestamp) -> Vec<Value> {
    let status = &node["status"];
    let info = &status["nodeInfo"];
    let address = |kind: &str| {
        let found = items(status, "addresses").iter().find(|a| text(a, "type") == kind);
        found.map_or(NONE, |a| text(a, "address")).to_owned()
    };
    let known = |field: &str| match text(info, field) {
        "" => UNKNOWN.to_owned(),
        other => other.to_owned(),
    };
    let kernel = match text(info, "architecture") {
        "" => known("kernelVersion"),
        architecture => format!("{} ({architecture})", known("kernelVersion")),
    };
    vec![
        name(node),
        state(node).into(),
        roles(node).into(),
        age(node, now),
        text(info, "kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        known("osImage").into(),
        kernel.into(),
        known("containerRuntimeVersion").into(),
    ]
}

fn state(node: &Value) -> String {
    let ready = items(&node["status"], "conditions").iter().find(|c| text(c, "type") == "Ready");
    let mut words = vec![match ready.map(|c| text(c, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if flag(&node["spec"], "unschedulable") {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = entries(&node["metadata"], "labels")
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role).filter(|r| !r.is_empty()),
            None => value.as_str().filter(|v| key == "kubernetes.io/role" && !v.is_empty()),
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}
