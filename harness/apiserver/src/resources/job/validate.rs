//! What is wrong with a Job, new or changed.

use serde_json::Value;

use super::{NAME_LABELS, UID_LABELS};
use crate::field::FieldError;
use crate::resources::metadata::{self, IMMUTABLE, NOT_NEGATIVE};
use crate::resources::names;
use crate::resources::pod::{dump, spec};
use crate::resources::value::{copy, flag, has, int, items, object, set, text};
use crate::resources::workload::matches;

/// An indexed Job cannot have more pods at a time.
const MAX_INDEXED_PARALLELISM: i64 = 100_000;

pub(super) fn new(job: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let own = &job["spec"];
    if !flag(own, "manualSelector") {
        generated(job, &mut errors);
    }
    validate_spec(own, "spec", &mut errors);
    if has(own, "selector") && !matches(&own["selector"], &own["template"]["metadata"]["labels"]) {
        let labels = own["template"]["metadata"]["labels"].clone();
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid("spec.template.metadata.labels", labels, detail));
    }
    if text(own, "completionMode") == "Indexed"
        && let Some(completions) = int(own, "completions").filter(|c| *c > 0)
    {
        // The last pod's host name is the longest.
        let name = text(&job["metadata"], "name");
        let host = format!("{name}-{}", completions - 1);
        if !names::label(&host).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(FieldError::invalid("metadata.name", name, detail));
        }
    }
    errors
}

/// A selector that was asked for must be the one that is generated.
fn generated(job: &Value, errors: &mut Vec<FieldError>) {
    let (name, uid) = (text(&job["metadata"], "name"), text(&job["metadata"], "uid"));
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    let pairs = UID_LABELS.iter().map(|label| (*label, uid)).chain(NAME_LABELS.iter().map(|label| (*label, name)));
    for (label, wanted) in pairs.clone() {
        let path = format!("spec.template.metadata.labels[{label}]");
        match labels[label].as_str() {
            None => errors.push(FieldError::required(path, format!("must be '{wanted}'"))),
            Some(actual) if actual != wanted => {
                errors.push(FieldError::invalid(path, labels.clone(), format!("must be '{wanted}'")));
            }
            Some(_) => {}
        }
    }
    let expected: Value = pairs.map(|(label, value)| (label.to_owned(), Value::from(value))).collect();
    let selector = &job["spec"]["selector"];
    if !matches(selector, &expected) {
        errors.push(FieldError::invalid("spec.selector", selector.clone(), "`selector` not auto-generated"));
    }
}

/// Checks a Job's spec wherever it stands.
pub(crate) fn validate_spec(own: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        if let Some(number) = int(own, field).filter(|n| *n < 0) {
            errors.push(FieldError::invalid(format!("{path}.{field}"), number, NOT_NEGATIVE));
        }
    }
    mode(own, path, errors);
    let policy = text(own, "podReplacementPolicy");
    if !policy.is_empty() {
        replacement(own, policy, &format!("{path}.podReplacementPolicy"), errors);
    }
    spec::validate_template(&own["template"], &format!("{path}.template"), errors);
    let restart = text(&own["template"]["spec"], "restartPolicy");
    let at = format!("{path}.template.spec.restartPolicy");
    match restart {
        "Always" | "" => errors.push(FieldError::required(at, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if has(own, "podFailurePolicy") => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(at, restart, detail));
        }
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(at, other, &["OnFailure", "Never"])),
    }
    if has(own, "selector") {
        metadata::selector(&own["selector"], &format!("{path}.selector"), errors);
    }
    for (i, rule) in items(&own["podFailurePolicy"], "rules").iter().enumerate() {
        let action = text(rule, "action");
        let actions = ["Count", "FailIndex", "FailJob", "Ignore"];
        if !actions.contains(&action) {
            let at = format!("{path}.podFailurePolicy.rules[{i}].action");
            errors.push(FieldError::not_supported(at, action, &actions));
        }
    }
}

fn mode(own: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match text(own, "completionMode") {
        "Indexed" => {
            if !has(own, "completions") {
                let detail = "when completion mode is Indexed";
                errors.push(FieldError::required(format!("{path}.completions"), detail));
            }
            if let Some(number) = int(own, "parallelism").filter(|n| *n > MAX_INDEXED_PARALLELISM) {
                let detail =
                    format!("must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed");
                errors.push(FieldError::invalid(format!("{path}.parallelism"), number, detail));
            }
        }
        "NonIndexed" | "" => {
            if has(own, "backoffLimitPerIndex") {
                let at = format!("{path}.backoffLimitPerIndex");
                let value = own["backoffLimitPerIndex"].clone();
                errors.push(FieldError::invalid(at, value, "requires indexed completion mode"));
            }
        }
        other => {
            errors.push(FieldError::not_supported(format!("{path}.completionMode"), other, &["Indexed", "NonIndexed"]));
        }
    }
    if has(own, "maxFailedIndexes") && !has(own, "backoffLimitPerIndex") {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(format!("{path}.backoffLimitPerIndex"), detail));
    }
}

fn replacement(own: &Value, policy: &str, path: &str, errors: &mut Vec<FieldError>) {
    let with_failures = has(own, "podFailurePolicy");
    let words: &[&str] = if with_failures { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if !words.contains(&policy) {
        errors.push(FieldError::not_supported(path, policy, words));
    }
}

pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (now, before) = (&new["spec"], &old["spec"]);
    validate_spec(now, "spec", &mut errors);
    completions(now, before, &mut errors);
    template(now, before, &old["status"], &mut errors);
    for field in
        ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        if now[field] != before[field] {
            errors.push(FieldError::invalid(format!("spec.{field}"), now[field].clone(), IMMUTABLE));
        }
    }
    errors
}

/// An indexed Job may grow and shrink, together with its parallelism.
fn completions(now: &Value, before: &Value, errors: &mut Vec<FieldError>) {
    if now["completions"] == before["completions"] {
        return;
    }
    let value = now["completions"].clone();
    if text(now, "completionMode") != "Indexed" || !has(now, "completions") || !has(before, "completions") {
        errors.push(FieldError::invalid("spec.completions", value, IMMUTABLE));
    } else if now["completions"] != now["parallelism"] || before["completions"] != before["parallelism"] {
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid("spec.completions", value, detail));
    }
}

/// Until it first starts, a suspended Job may be told where to run.
fn template(now: &Value, before: &Value, status: &Value, errors: &mut Vec<FieldError>) {
    let new = &now["template"];
    let mut old = before["template"].clone();
    let waiting = flag(before, "suspend") && !has(status, "startTime");
    if waiting {
        if let Some(metadata) = object(&mut old, "metadata") {
            copy(metadata, &new["metadata"], "labels");
            copy(metadata, &new["metadata"], "annotations");
        }
        if let Some(spec) = object(&mut old, "spec") {
            for field in ["nodeSelector", "tolerations", "schedulingGates"] {
                copy(spec, &new["spec"], field);
            }
            node_affinity(spec, &new["spec"]);
        }
    }
    if *new != old {
        errors.push(FieldError::shown("spec.template", &dump::template(new), IMMUTABLE));
    }
}

fn node_affinity(old: &mut Value, new: &Value) {
    let wanted = &new["affinity"]["nodeAffinity"];
    let has_others = has(&old["affinity"], "podAffinity") || has(&old["affinity"], "podAntiAffinity");
    if new["affinity"].is_null() && !has_others {
        copy(old, new, "affinity");
    } else if !new["affinity"].is_null()
        && let Some(affinity) = object(old, "affinity")
    {
        if wanted.is_null() {
            drop(crate::resources::value::remove(affinity, "nodeAffinity"));
        } else {
            set(affinity, "nodeAffinity", wanted.clone());
        }
    }
}
