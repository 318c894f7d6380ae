//! Workloads that keep a number of pods: Deployment, `ReplicaSet`, `StatefulSet`, `DaemonSet`, `ReplicationController`,
//! `CronJob`, and the budget of their disruption.

use serde_json::{Value, json};

use super::job;
use super::listing;
use super::metadata::{self, IMMUTABLE, NOT_NEGATIVE};
use super::names;
use super::pod::defaults::{default_text, template};
use super::pod::spec::{validate_template, validate_template_metadata};
use super::simple::{SIMPLE, Simple, Status};
use super::value::{copy, entries, has, int, items, object, set, set_default, text};
use super::workload_print as print;
use crate::field::FieldError;

const MISMATCH: &str = "`selector` does not match template `labels`";
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) const WORKLOAD: Simple = Simple { generation: true, status: Status::Split, ..SIMPLE };

pub(super) static DEPLOYMENT: Simple = Simple {
    default: |deployment| {
        let Some(spec) = object(deployment, "spec") else { return };
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "progressDeadlineSeconds", 600);
        rolling_update(spec, "strategy", &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))]);
        template(spec);
    },
    validate: |deployment, errors| {
        let spec = &deployment["spec"];
        replicated(spec, "deployment", errors);
        numbers(spec, &["revisionHistoryLimit", "progressDeadlineSeconds"], errors);
        let deadline = int(spec, "progressDeadlineSeconds");
        if let Some(deadline) = deadline.filter(|d| *d <= int(spec, "minReadySeconds").unwrap_or_default()) {
            let detail = "must be greater than minReadySeconds";
            errors.push(FieldError::invalid("spec.progressDeadlineSeconds", deadline, detail));
        }
        strategy(spec, "strategy", &["Recreate", "RollingUpdate"], errors);
    },
    change: selector_stays,
    columns: print::deployment_columns,
    row: print::deployment_row,
    ..WORKLOAD
};

pub(super) static REPLICA_SET: Simple = Simple {
    default: |set| {
        let Some(spec) = object(set, "spec") else { return };
        set_default(spec, "replicas", 1);
        template(spec);
    },
    validate: |set, errors| replicated(&set["spec"], "replicaset", errors),
    change: selector_stays,
    fields: &["status.replicas"],
    field: |set, path| {
        (path == "status.replicas").then(|| int(&set["status"], "replicas").unwrap_or_default().to_string())
    },
    columns: print::replica_set_columns,
    row: print::replica_set_row,
    ..WORKLOAD
};

pub(super) static STATEFUL_SET: Simple = Simple {
    default: |set| {
        let Some(spec) = object(set, "spec") else { return };
        default_text(spec, "podManagementPolicy", "OrderedReady");
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", 10);
        rolling_update(spec, "updateStrategy", &[("partition", json!(0))]);
        if let Some(policy) = object(spec, "persistentVolumeClaimRetentionPolicy") {
            default_text(policy, "whenDeleted", "Retain");
            default_text(policy, "whenScaled", "Retain");
        }
        for claim in super::value::each(spec, "volumeClaimTemplates") {
            super::storage::default_claim(claim);
            set_default(claim, "apiVersion", "v1");
            set_default(claim, "kind", "PersistentVolumeClaim");
        }
        template(spec);
    },
    validate: |set, errors| {
        replicated(&set["spec"], "statefulset", errors);
        strategy(&set["spec"], "updateStrategy", &["OnDelete", "RollingUpdate"], errors);
    },
    change: |new, old, errors| {
        const MUTABLE: [&str; 7] = [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        let mut now = new["spec"].clone();
        for field in MUTABLE {
            copy(&mut now, &old["spec"], field);
        }
        if now != old["spec"] {
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                          'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                          'minReadySeconds' are forbidden";
            errors.push(FieldError::forbidden("spec", detail));
        }
    },
    columns: print::stateful_set_columns,
    row: print::stateful_set_row,
    ..WORKLOAD
};

pub(super) static DAEMON_SET: Simple = Simple {
    default: |set| {
        if let Some(metadata) = object(set, "metadata")
            && let Some(annotations) = object(metadata, "annotations")
        {
            set_default(annotations, TEMPLATE_GENERATION, "0");
        }
        let Some(spec) = object(set, "spec") else { return };
        set_default(spec, "revisionHistoryLimit", 10);
        rolling_update(spec, "updateStrategy", &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))]);
        template(spec);
    },
    create: |set| {
        if template_generation(set) < 1 {
            set_template_generation(set, 1);
        }
    },
    keep: |new, old| {
        let changed = new["spec"]["template"] != old["spec"]["template"];
        let generation = template_generation(old) + i64::from(changed);
        set_template_generation(new, generation);
    },
    validate: |set, errors| {
        let spec = &set["spec"];
        pods(spec, "daemonset", errors);
        numbers(spec, &["minReadySeconds", "revisionHistoryLimit"], errors);
        strategy(spec, "updateStrategy", &["OnDelete", "RollingUpdate"], errors);
    },
    change: selector_stays,
    columns: print::daemon_set_columns,
    row: print::daemon_set_row,
    ..WORKLOAD
};

pub(super) static REPLICATION_CONTROLLER: Simple = Simple {
    default: |controller| {
        let labels = controller["spec"]["template"]["metadata"]["labels"].clone();
        if let Some(spec) = object(controller, "spec") {
            set_default(spec, "replicas", 1);
            template(spec);
            if labels.is_object() {
                set_default(spec, "selector", labels.clone());
            }
        }
        if let Some(metadata) = object(controller, "metadata")
            && labels.is_object()
        {
            set_default(metadata, "labels", labels);
        }
    },
    validate: |controller, errors| {
        let spec = &controller["spec"];
        numbers(spec, &["replicas", "minReadySeconds"], errors);
        if entries(spec, "selector").next().is_none() {
            errors.push(FieldError::required("spec.selector", ""));
        }
        if spec["template"].is_null() {
            errors.push(FieldError::required("spec.template", ""));
        } else {
            validate_template(&spec["template"], "spec.template", errors);
        }
    },
    columns: print::replica_set_columns,
    row: print::replication_controller_row,
    ..WORKLOAD
};

pub(super) static CRON_JOB: Simple = Simple {
    default: |cron| {
        let Some(spec) = object(cron, "spec") else { return };
        default_text(spec, "concurrencyPolicy", "Allow");
        set_default(spec, "suspend", false);
        set_default(spec, "successfulJobsHistoryLimit", 3);
        set_default(spec, "failedJobsHistoryLimit", 1);
        if let Some(job) = object(spec, "jobTemplate")
            && let Some(spec) = object(job, "spec")
        {
            // The Job controller's own choices are made when a Job is made.
            job::template_defaults(spec);
        }
    },
    validate: |cron, errors| {
        let spec = &cron["spec"];
        if text(spec, "schedule").is_empty() {
            errors.push(FieldError::required("spec.schedule", ""));
        }
        let policy = text(spec, "concurrencyPolicy");
        let policies = ["Allow", "Forbid", "Replace"];
        if policy.is_empty() {
            errors.push(FieldError::required("spec.concurrencyPolicy", ""));
        } else if !policies.contains(&policy) {
            errors.push(FieldError::not_supported("spec.concurrencyPolicy", policy, &policies));
        }
        let limits = ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
        numbers(spec, &limits, errors);
        if has(&spec["jobTemplate"]["spec"], "selector") {
            let at = "spec.jobTemplate.spec.selector";
            errors.push(FieldError::invalid(
                at,
                spec["jobTemplate"]["spec"]["selector"].clone(),
                "`selector` will be auto-generated",
            ));
        }
        job::validate_spec(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", errors);
    },
    columns: print::cron_job_columns,
    row: print::cron_job_row,
    ..WORKLOAD
};

pub(super) static BUDGET: Simple = Simple {
    validate: |budget, errors| {
        let spec = &budget["spec"];
        if has(spec, "minAvailable") && has(spec, "maxUnavailable") {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid("spec", spec.clone(), detail));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            amount(&spec[field], &format!("spec.{field}"), errors);
        }
        metadata::selector(&spec["selector"], "spec.selector", errors);
        let policy = text(spec, "unhealthyPodEvictionPolicy");
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        if !policy.is_empty() && !policies.contains(&policy) {
            errors.push(FieldError::not_supported("spec.unhealthyPodEvictionPolicy", policy, &policies));
        }
    },
    columns: print::budget_columns,
    row: print::budget_row,
    ..WORKLOAD
};

fn template_generation(set: &Value) -> i64 {
    text(&set["metadata"]["annotations"], TEMPLATE_GENERATION).parse().unwrap_or_default()
}

fn set_template_generation(daemons: &mut Value, generation: i64) {
    if let Some(metadata) = object(daemons, "metadata")
        && let Some(annotations) = object(metadata, "annotations")
    {
        set(annotations, TEMPLATE_GENERATION, generation.to_string());
    }
}

fn rolling_update(spec: &mut Value, field: &str, settings: &[(&str, Value)]) {
    let Some(strategy) = object(spec, field) else { return };
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate"
        && let Some(update) = object(strategy, "rollingUpdate")
    {
        for (setting, value) in settings {
            set_default(update, setting, value.clone());
        }
    }
}

fn selector_stays(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let now = &new["spec"]["selector"];
    if *now != old["spec"]["selector"] {
        errors.push(FieldError::invalid("spec.selector", now.clone(), IMMUTABLE));
    }
}

fn replicated(spec: &Value, kind: &str, errors: &mut Vec<FieldError>) {
    numbers(spec, &["replicas", "minReadySeconds"], errors);
    pods(spec, kind, errors);
}

/// A selector and a template that fit each other.
fn pods(spec: &Value, kind: &str, errors: &mut Vec<FieldError>) {
    let selector = &spec["selector"];
    if selector.is_null() {
        errors.push(FieldError::required("spec.selector", ""));
    } else {
        metadata::selector(selector, "spec.selector", errors);
        if entries(selector, "matchLabels").next().is_none() && items(selector, "matchExpressions").is_empty() {
            let detail = format!("empty selector is invalid for {kind}");
            errors.push(FieldError::invalid("spec.selector", selector.clone(), detail));
        }
    }
    let template = &spec["template"];
    let labels = &template["metadata"]["labels"];
    if !selector.is_null() && !matches(selector, labels) {
        errors.push(FieldError::invalid("spec.template.metadata.labels", labels.clone(), MISMATCH));
    }
    if kind == "statefulset" {
        // As Kubernetes: its Pods' volumes come from claims too, so its Pods are looked at when they are made.
        validate_template_metadata(template, "spec.template", errors);
    } else {
        validate_template(template, "spec.template", errors);
    }
    let policy = text(&template["spec"], "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    if has(&template["spec"], "activeDeadlineSeconds") {
        let detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden("spec.template.spec.activeDeadlineSeconds", detail));
    }
}

fn numbers(spec: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    for field in fields {
        if let Some(number) = int(spec, field).filter(|n| *n < 0) {
            errors.push(FieldError::invalid(format!("spec.{field}"), number, NOT_NEGATIVE));
        }
    }
}

fn strategy(spec: &Value, field: &str, kinds: &[&str], errors: &mut Vec<FieldError>) {
    let strategy = &spec[field];
    let kind = text(strategy, "type");
    let update = &strategy["rollingUpdate"];
    let path = format!("spec.{field}");
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(format!("{path}.type"), kind, kinds));
    } else if kind != "RollingUpdate" {
        if !update.is_null() {
            let detail = format!("may not be specified when strategy `type` is '{kind}'");
            errors.push(FieldError::forbidden(format!("{path}.rollingUpdate"), detail));
        }
    } else {
        for setting in ["maxUnavailable", "maxSurge"] {
            amount(&update[setting], &format!("{path}.rollingUpdate.{setting}"), errors);
        }
        let none = |setting: &str| {
            matches!(&update[setting], Value::Number(n) if n.as_i64() == Some(0)) || update[setting] == "0%"
        };
        if none("maxUnavailable") && none("maxSurge") {
            let at = format!("{path}.rollingUpdate.maxUnavailable");
            errors.push(FieldError::invalid(at, update["maxUnavailable"].clone(), "may not be 0 when `maxSurge` is 0"));
        }
    }
}

/// A number or a percentage.
fn amount(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::String(text) => {
            let wrong = names::percent(text);
            if wrong.is_empty() {
                let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(u64::MAX);
                if percent > 100 {
                    errors.push(FieldError::invalid(path, text.as_str(), "must not be greater than 100%"));
                }
            }
            metadata::refuse(errors, path, text, wrong);
        }
        Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => {
            errors.push(FieldError::invalid(path, value.clone(), NOT_NEGATIVE));
        }
        _ => {}
    }
}

/// Whether a label selector picks these labels; a missing selector picks none.
pub(crate) fn matches(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    let labelled = entries(selector, "matchLabels").all(|(key, value)| labels.get(key) == Some(value));
    labelled
        && items(selector, "matchExpressions").iter().all(|requirement| {
            let value = labels.get(text(requirement, "key"));
            let listed = value.is_some_and(|value| items(requirement, "values").contains(value));
            match text(requirement, "operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// A stored pod template.
pub(super) static POD_TEMPLATE: Simple = Simple {
    generation: true,
    default: template,
    validate: |object, errors| {
        if has(object, "template") {
            validate_template(&object["template"], "template", errors);
        }
    },
    columns: listing::template_columns,
    row: listing::template_row,
    ..SIMPLE
};
