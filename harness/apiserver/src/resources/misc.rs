//! Kinds with a rule or two: leases, classes, network, discovery, autoscaling, and those that only count generations.

use serde_json::{Value, json};

use super::listing;
use super::metadata::{IMMUTABLE, NOT_NEGATIVE};
use super::pod::defaults::default_text;
use super::print::{age, between, column, name};
use super::simple::{SIMPLE, Simple, Status};
use super::value::{each, has, int, items, object, set_default, text};
use super::workload::WORKLOAD;
use crate::field::FieldError;
use crate::resource::NameRule;

/// A kind whose generation is counted and that has no status of its own.
pub(super) static COUNTED: Simple = Simple { generation: true, ..SIMPLE };

/// A kind with a status and without a generation.
pub(super) static SPLIT: Simple = Simple { status: Status::Split, ..SIMPLE };

/// A kind with both.
pub(super) static COUNTED_SPLIT: Simple = WORKLOAD;

/// A kind with neither.
pub(super) static PLAIN: Simple = SIMPLE;

pub(super) static LEASE: Simple = Simple {
    validate: |lease, errors| {
        let spec = &lease["spec"];
        if let Some(seconds) = int(spec, "leaseDurationSeconds").filter(|s| *s <= 0) {
            errors.push(FieldError::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
        }
        if let Some(count) = int(spec, "leaseTransitions").filter(|c| *c < 0) {
            errors.push(FieldError::invalid("spec.leaseTransitions", count, NOT_NEGATIVE));
        }
        if has(spec, "preferredHolder") && text(spec, "strategy").is_empty() {
            let detail = "may only be specified if `strategy` is defined";
            errors.push(FieldError::forbidden("spec.preferredHolder", detail));
        }
    },
    columns: || between([column("Holder", "string", HOLDER)]),
    row: |lease, now| vec![name(lease), text(&lease["spec"], "holderIdentity").into(), age(lease, now)],
    ..SIMPLE
};

const HOLDER: &str = "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is \
    used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.";

pub(super) static PRIORITY_CLASS: Simple = Simple {
    generation: true,
    default: |class| set_default(class, "preemptionPolicy", "PreemptLowerPriority"),
    validate: |class, errors| {
        let (own, value) = (text(&class["metadata"], "name"), int(class, "value").unwrap_or_default());
        let system = matches!(own, "system-cluster-critical" | "system-node-critical");
        if own.starts_with("system-") && !system {
            let detail = "priority class names with 'system-' prefix are reserved for system use only. error: \
                          system priority class not found";
            errors.push(FieldError::forbidden("metadata.name", detail));
        }
        if value > 1_000_000_000 && !system {
            let detail = "maximum allowed value of a user defined priority is 1000000000";
            errors.push(FieldError::forbidden("value", detail));
        }
    },
    change: |new, old, errors| {
        if new["value"] != old["value"] {
            errors.push(FieldError::forbidden("value", "may not be changed in an update."));
        }
        if new["preemptionPolicy"] != old["preemptionPolicy"] {
            errors.push(FieldError::invalid("preemptionPolicy", text(new, "preemptionPolicy"), IMMUTABLE));
        }
    },
    columns: listing::priority_columns,
    row: listing::priority_row,
    ..SIMPLE
};

pub(super) static ENDPOINTS: Simple = Simple {
    default: |endpoints| {
        for subset in each(endpoints, "subsets") {
            each(subset, "ports").for_each(|port| default_text(port, "protocol", "TCP"));
        }
    },
    columns: listing::endpoints_columns,
    row: listing::endpoints_row,
    ..SIMPLE
};

pub(super) static ENDPOINT_SLICE: Simple = Simple {
    generation: true,
    default: |slice| {
        for port in each(slice, "ports") {
            set_default(port, "name", "");
            default_text(port, "protocol", "TCP");
        }
    },
    validate: |slice, errors| {
        let kind = text(slice, "addressType");
        let kinds = ["FQDN", "IPv4", "IPv6"];
        if kind.is_empty() {
            errors.push(FieldError::required("addressType", ""));
        } else if !kinds.contains(&kind) {
            errors.push(FieldError::not_supported("addressType", kind, &kinds));
        }
        for (i, endpoint) in items(slice, "endpoints").iter().enumerate() {
            if items(endpoint, "addresses").is_empty() {
                let at = format!("endpoints[{i}].addresses");
                errors.push(FieldError::required(at, "must contain at least 1 address"));
            }
        }
    },
    change: |new, old, errors| {
        if new["addressType"] != old["addressType"] {
            errors.push(FieldError::invalid("addressType", text(new, "addressType"), IMMUTABLE));
        }
    },
    columns: listing::slice_columns,
    row: listing::slice_row,
    ..SIMPLE
};

pub(super) static NETWORK_POLICY: Simple = Simple {
    generation: true,
    default: |policy| {
        let Some(spec) = object(policy, "spec") else { return };
        for list in ["ingress", "egress"] {
            for rule in each(spec, list) {
                each(rule, "ports").for_each(|port| default_text(port, "protocol", "TCP"));
            }
        }
        let kinds = if items(spec, "egress").is_empty() { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
        set_default(spec, "policyTypes", kinds);
    },
    columns: listing::policy_columns,
    row: listing::policy_row,
    ..SIMPLE
};

pub(super) static INGRESS: Simple = Simple {
    validate: |ingress, errors| {
        let spec = &ingress["spec"];
        if items(spec, "rules").is_empty() && !has(spec, "defaultBackend") {
            let detail = "either `defaultBackend` or `rules` must be specified";
            errors.push(FieldError::invalid("spec", spec.clone(), detail));
        }
        for (i, rule) in items(spec, "rules").iter().enumerate() {
            for (j, path) in items(&rule["http"], "paths").iter().enumerate() {
                let at = format!("spec.rules[{i}].http.paths[{j}].pathType");
                let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
                match text(path, "pathType") {
                    "" => errors.push(FieldError::required(at, "pathType must be specified")),
                    kind if !kinds.contains(&kind) => errors.push(FieldError::not_supported(at, kind, &kinds)),
                    _ => {}
                }
            }
        }
    },
    columns: listing::ingress_columns,
    row: listing::ingress_row,
    ..WORKLOAD
};

pub(super) static AUTOSCALER: Simple = Simple {
    status: Status::Split,
    default: |autoscaler| {
        if let Some(spec) = object(autoscaler, "spec") {
            set_default(spec, "minReplicas", 1);
        }
    },
    validate: |autoscaler, errors| {
        let spec = &autoscaler["spec"];
        let (least, most) = (int(spec, "minReplicas").unwrap_or(1), int(spec, "maxReplicas").unwrap_or_default());
        if least < 1 {
            errors.push(FieldError::invalid("spec.minReplicas", least, "must be greater than or equal to 1"));
        }
        if most < 1 {
            errors.push(FieldError::invalid("spec.maxReplicas", most, "must be greater than 0"));
        }
        if most < least {
            errors.push(FieldError::invalid(
                "spec.maxReplicas",
                most,
                "must be greater than or equal to `minReplicas`",
            ));
        }
        for field in ["kind", "name"] {
            if text(&spec["scaleTargetRef"], field).is_empty() {
                errors.push(FieldError::required(format!("spec.scaleTargetRef.{field}"), ""));
            }
        }
    },
    columns: listing::autoscaler_columns,
    row: listing::autoscaler_row,
    ..SIMPLE
};

pub(super) static RESOURCE_QUOTA: Simple =
    Simple { status: Status::Split, columns: listing::quota_columns, row: listing::quota_row, ..SIMPLE };

pub(super) static CONTROLLER_REVISION: Simple = Simple {
    change: |new, old, errors| {
        if new["data"] != old["data"] {
            errors.push(FieldError::invalid("data", Value::Null, IMMUTABLE));
        }
    },
    names: NameRule::Subdomain,
    columns: listing::revision_columns,
    row: listing::revision_row,
    ..SIMPLE
};
