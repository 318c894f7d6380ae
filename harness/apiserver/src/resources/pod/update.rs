//! What may change in a pod that exists: its images and little else.

use serde_json::Value;

use super::{dump, spec, terminating};
use crate::field::FieldError;
use crate::resources::metadata::{IMMUTABLE, refuse};
use crate::resources::names;
use crate::resources::value::{copy, each, entries, has, int, items, map, set, text};

const ONLY: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks a change of a pod.
pub(super) fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (now, before) = (&new["spec"], &old["spec"]);
    spec::validate(now, "spec", &mut errors);
    for (list, what) in [("containers", "containers"), ("initContainers", "init containers")] {
        if items(now, list).len() != items(before, list).len() {
            let path = format!("spec.{list}");
            errors.push(FieldError::forbidden(path, format!("pod updates may not add or remove {what}")));
            return errors;
        }
    }
    deadline(now, before, &mut errors);
    gates(now, before, &mut errors);
    tolerations(now, before, &mut errors);
    if errors.is_empty() {
        errors.extend(changed(new, old));
    }
    errors
}

/// May be set to 1 where it was negative.
const GRACE: &str = "terminationGracePeriodSeconds";

fn deadline(now: &Value, before: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "activeDeadlineSeconds";
    let path = format!("spec.{FIELD}");
    match (int(before, FIELD), int(now, FIELD)) {
        (Some(old), Some(new)) if new > old => {
            errors.push(FieldError::invalid(path, new, "must be less than or equal to previous value"));
        }
        (Some(_), None) => {
            errors.push(FieldError::invalid(path, Value::Null, "must not update from a positive integer to nil value"));
        }
        _ => {}
    }
}

fn gates(now: &Value, before: &Value, errors: &mut Vec<FieldError>) {
    let old = items(before, "schedulingGates");
    let added = items(now, "schedulingGates").iter().find(|gate| !old.contains(gate));
    if let Some(gate) = added {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", text(gate, "name"));
        errors.push(FieldError::forbidden("spec.schedulingGates", detail));
    }
}

/// Tolerations may be added, and of those that are there only the patience may change.
fn tolerations(now: &Value, before: &Value, errors: &mut Vec<FieldError>) {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        drop(map(&mut toleration).map(|fields| fields.remove("tolerationSeconds")));
        toleration
    };
    let new: Vec<Value> = items(now, "tolerations").iter().map(bare).collect();
    if items(before, "tolerations").iter().any(|old| !new.contains(&bare(old))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", detail));
    }
}

/// Compares the two specs once everything that may change is made equal.
fn changed(new: &Value, old: &Value) -> Option<FieldError> {
    let (mut now, before) = (new["spec"].clone(), &old["spec"]);
    for list in ["containers", "initContainers"] {
        for (container, old) in each(&mut now, list).zip(items(before, list)) {
            set(container, "image", old["image"].clone());
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        copy(&mut now, before, field);
    }
    if int(before, GRACE).is_some_and(|s| s < 0) && int(&now, GRACE) == Some(1) {
        set(&mut now, GRACE, before[GRACE].clone());
    }
    if !items(before, "schedulingGates").is_empty() {
        // Before it is scheduled, a gated pod may be narrowed to fewer nodes.
        let narrowed = entries(before, "nodeSelector").all(|(k, v)| now["nodeSelector"][k.as_str()] == *v);
        if narrowed {
            copy(&mut now, before, "nodeSelector");
        }
        if !has(&before["affinity"], "nodeAffinity") && has(&now["affinity"], "nodeAffinity") {
            copy(&mut now, before, "affinity");
        }
    }
    if now == *before {
        return None;
    }
    let diff = dump::diff(&dump::spec_lines(before), &dump::spec_lines(&now));
    Some(FieldError::forbidden("spec", format!("{ONLY}\n{diff}")))
}

/// Checks a change of a pod's status.
pub(super) fn validate_status(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let status = &new["status"];
    for (i, condition) in items(status, "conditions").iter().enumerate() {
        let kind = text(condition, "type");
        let system = matches!(kind, "PodScheduled" | "Ready" | "Initialized");
        if !system {
            refuse(&mut errors, &format!("status.conditions[{i}].type"), kind, names::qualified(kind));
        }
    }
    for (field, list) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        for (i, ip) in items(status, list).iter().enumerate() {
            let ip = text(ip, "ip");
            refuse(&mut errors, &format!("status.{list}[{i}]"), ip, names::ip(ip));
        }
        let one = text(status, field);
        if field == "hostIP" && !one.is_empty() {
            refuse(&mut errors, "status.hostIP", one, names::ip(one));
        }
    }
    let policy = text(&new["spec"], "restartPolicy");
    if policy != "Always" {
        for list in ["containerStatuses", "initContainerStatuses"] {
            revived(status, &old["status"], list, policy, &mut errors);
        }
    }
    if terminating(old) && !terminating(new) {
        errors.push(FieldError::invalid("metadata.deletionTimestamp", Value::Null, IMMUTABLE));
    }
    errors
}

/// A container that will not be restarted stays terminated.
fn revived(new: &Value, old: &Value, list: &str, policy: &str, errors: &mut Vec<FieldError>) {
    for (i, before) in items(old, list).iter().enumerate() {
        let ended = &before["state"]["terminated"];
        if ended.is_null() || (policy == "OnFailure" && int(ended, "exitCode") != Some(0)) {
            continue;
        }
        let name = text(before, "name");
        let now = items(new, list).iter().find(|status| text(status, "name") == name);
        if now.is_some_and(|now| now["state"]["terminated"].is_null()) {
            let detail = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(format!("status.{list}[{i}].state"), detail));
        }
    }
}
