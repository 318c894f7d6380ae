//! Jobs.

mod print;
mod status;
mod validate;

pub(crate) use validate::validate_spec;

use serde_json::{Value, json};

use super::pod::defaults;
use super::value::{at, copy, each, flag, has, int, object, set, set_default, text};
use crate::field::FieldError;
use crate::resource::Rules;
use crate::table::Column;

/// Labels of a Job's pods that hold its name, the old one and the new one.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
/// Labels of a Job's pods that hold its uid, the old one and the new one.
const UID_LABELS: [&str; 2] = ["controller-uid", UID_LABEL];
const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";

/// The rules of Jobs.
#[derive(Debug)]
pub(crate) struct Job;

impl Rules for Job {
    fn default(&self, job: &mut Value) {
        if let Some(spec) = object(job, "spec") {
            spec_defaults(spec);
        }
        labels_from_template(job);
    }

    fn prepare_create(&self, job: &mut Value) {
        set(job, "status", json!({}));
        let (name, uid) = (text(&job["metadata"], "name").to_owned(), text(&job["metadata"], "uid").to_owned());
        if let Some(spec) = at(job, "spec")
            && !flag(spec, "manualSelector")
        {
            generate_selector(spec, &name, &uid);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        copy(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        copy(new, old, "spec");
    }

    fn validate(&self, job: &Value) -> Vec<FieldError> {
        validate::new(job)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validate::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        status::validate(new, old)
    }

    fn fields(&self) -> &'static [&'static str] {
        &["status.successful"]
    }

    fn field(&self, job: &Value, path: &str) -> Option<String> {
        (path == "status.successful").then(|| int(&job["status"], "succeeded").unwrap_or_default().to_string())
    }

    fn columns(&self) -> Vec<Column> {
        print::columns()
    }

    fn row(&self, job: &Value, now: jiff::Timestamp) -> Vec<Value> {
        print::row(job, now)
    }
}

fn spec_defaults(spec: &mut Value) {
    if !has(spec, "completions") && !has(spec, "parallelism") {
        set(spec, "completions", 1);
    }
    set_default(spec, "parallelism", 1);
    let retries = if has(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    set_default(spec, "backoffLimit", retries);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "suspend", false);
    set_default(spec, "manualSelector", false);
    let replacement = if has(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set_default(spec, "podReplacementPolicy", replacement);
    if let Some(policy) = at(spec, "podFailurePolicy") {
        for rule in each(policy, "rules") {
            each(rule, "onPodConditions").for_each(|pattern| defaults::default_text(pattern, "status", "True"));
        }
    }
    defaults::template(spec);
}

/// What a `CronJob` fills in of the Jobs it will make: their pods; the rest is left to each Job.
pub(crate) fn template_defaults(spec: &mut Value) {
    defaults::template(spec);
}

/// A Job without labels has those of its pods.
fn labels_from_template(job: &mut Value) {
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_some_and(|l| !l.is_empty())
        && let Some(metadata) = object(job, "metadata")
        && metadata["labels"].as_object().is_none_or(serde_json::Map::is_empty)
    {
        set(metadata, "labels", labels);
    }
}

/// A selector that no other Job's pods can match.
fn generate_selector(spec: &mut Value, name: &str, uid: &str) {
    if let Some(template) = object(spec, "template")
        && let Some(metadata) = object(template, "metadata")
        && let Some(labels) = object(metadata, "labels")
    {
        for (names, value) in [(NAME_LABELS, name), (UID_LABELS, uid)] {
            for label in names {
                set_default(labels, label, value);
            }
        }
    }
    if let Some(selector) = object(spec, "selector")
        && let Some(labels) = object(selector, "matchLabels")
    {
        set_default(labels, UID_LABEL, uid);
    }
}
