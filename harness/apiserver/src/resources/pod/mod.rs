//! Pods, and the pod templates of workloads.

pub(crate) mod container;
pub(crate) mod defaults;
pub(crate) mod dump;
mod print;
pub(crate) mod spec;
mod update;
mod volume;

use serde_json::Value;

use super::value::{flag, has, int, items, object, text};
use crate::field::FieldError;
use crate::resource::Rules;
use crate::table::Column;

/// The rules of pods.
#[derive(Debug)]
pub(crate) struct Pod;

impl Rules for Pod {
    fn default(&self, pod: &mut Value) {
        defaults::pod(pod);
        if let Some(status) = object(pod, "status") {
            defaults::addresses(status);
        }
    }

    fn prepare_create(&self, pod: &mut Value) {
        if let Some(spec) = object(pod, "spec") {
            defaults::admitted(spec);
        }
        defaults::new_status(pod);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        super::value::copy(new, old, "status");
        if let Some(spec) = object(new, "spec") {
            defaults::readmitted(spec, &old["spec"]);
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        defaults::keep_in_status(new, old);
    }

    fn validate(&self, pod: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        spec::validate(&pod["spec"], "spec", &mut errors);
        if !items(&pod["spec"], "ephemeralContainers").is_empty() {
            errors.push(FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create"));
        }
        if !text(&pod["spec"], "nodeName").is_empty() && !items(&pod["spec"], "schedulingGates").is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.push(FieldError::forbidden("spec.nodeName", detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        update::validate(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        update::validate_status(new, old)
    }

    fn grace_seconds(&self, pod: &Value, requested: Option<i64>) -> Option<i64> {
        let configured = int(&pod["spec"], "terminationGracePeriodSeconds");
        let unscheduled = text(&pod["spec"], "nodeName").is_empty();
        let over = matches!(text(&pod["status"], "phase"), "Failed" | "Succeeded");
        let seconds = if unscheduled || over { 0 } else { requested.or(configured).unwrap_or_default() };
        // Negative periods were once accepted and mean the shortest one.
        Some(if seconds < 0 { 1 } else { seconds })
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ]
    }

    fn field(&self, pod: &Value, path: &str) -> Option<String> {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let value = match path {
            "spec.nodeName" => text(spec, "nodeName"),
            "spec.restartPolicy" => text(spec, "restartPolicy"),
            "spec.schedulerName" => text(spec, "schedulerName"),
            "spec.serviceAccountName" => text(spec, "serviceAccountName"),
            "spec.hostNetwork" => return Some(flag(spec, "hostNetwork").to_string()),
            "status.phase" => text(status, "phase"),
            "status.podIP" | "status.podIPs" => text(status, "podIP"),
            "status.nominatedNodeName" => text(status, "nominatedNodeName"),
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn columns(&self) -> Vec<Column> {
        print::columns()
    }

    fn row(&self, pod: &Value, now: jiff::Timestamp) -> Vec<Value> {
        print::row(pod, now)
    }

    fn row_conditions(&self, pod: &Value) -> Vec<Value> {
        print::row_conditions(pod)
    }
}

/// Whether an object is on its way out.
pub(crate) fn terminating(object: &Value) -> bool {
    has(&object["metadata"], "deletionTimestamp")
}
