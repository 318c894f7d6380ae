//! Namespaces.

use serde_json::{Value, json};

use super::print::{age, between, column, name};
use super::simple::{SIMPLE, Simple, Status};
use super::value::{copy, has, items, object, set, set_default, text};
use crate::field::FieldError;
use crate::resource::NameRule;

/// The label that every namespace has, so that it can be selected by name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer that the namespace controller removes once the namespace is empty.
const FINALIZER: &str = "kubernetes";

pub(super) static NAMESPACE: Simple = Simple {
    names: NameRule::Label,
    status: Status::Split,
    default: |namespace| {
        let own = text(&namespace["metadata"], "name").to_owned();
        if !own.is_empty()
            && let Some(metadata) = object(namespace, "metadata")
            && let Some(labels) = object(metadata, "labels")
        {
            set(labels, NAME_LABEL, own);
        }
    },
    create: |namespace| {
        set(namespace, "status", json!({"phase": "Active"}));
        if let Some(spec) = object(namespace, "spec") {
            set_default(spec, "finalizers", json!([]));
            let there = items(spec, "finalizers").iter().any(|f| f == FINALIZER);
            if let Some(finalizers) = spec["finalizers"].as_array_mut().filter(|_| !there) {
                finalizers.push(FINALIZER.into());
            }
        }
    },
    keep: |new, old| {
        if let Some(spec) = object(new, "spec") {
            copy(spec, &old["spec"], "finalizers");
        }
    },
    status_change: |new, _, errors| {
        let phase = text(&new["status"], "phase");
        let detail = match (has(&new["metadata"], "deletionTimestamp"), phase) {
            (false, "Active") | (true, "Terminating") => return,
            (false, _) => "may only be 'Active' if `deletionTimestamp` is empty",
            (true, _) => "may only be 'Terminating' if `deletionTimestamp` is not empty",
        };
        errors.push(FieldError::invalid("status.Phase", phase, detail));
    },
    fields: &["status.phase"],
    field: |namespace, path| (path == "status.phase").then(|| text(&namespace["status"], "phase").to_owned()),
    columns: || between([column("Status", "string", "The status of the namespace")]),
    row: |namespace, now| vec![name(namespace), Value::from(text(&namespace["status"], "phase")), age(namespace, now)],
    ..SIMPLE
};
