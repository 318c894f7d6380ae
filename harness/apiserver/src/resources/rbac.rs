//! Roles and bindings.

use serde_json::Value;

use super::pod::container::choice;
use super::pod::defaults::default_text;
use super::print::{age, age_column, between, column, name, name_column, wide};
use super::simple::{SIMPLE, Simple};
use super::value::{each, items, object, text};
use crate::field::FieldError;
use crate::resource::NameRule;
use crate::table::Column;

const GROUP: &str = "rbac.authorization.k8s.io";
const ROLE_REF: &str = "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the \
    RoleRef cannot be resolved, the Authorizer must return an error. This field is immutable.";

pub(super) static ROLE: Simple = Simple {
    names: NameRule::PathSegment,
    validate: |role, errors| rules(role, true, errors),
    columns: created_at,
    row: created_at_row,
    ..SIMPLE
};

pub(super) static CLUSTER_ROLE: Simple = Simple {
    names: NameRule::PathSegment,
    validate: |role, errors| rules(role, false, errors),
    columns: created_at,
    row: created_at_row,
    ..SIMPLE
};

pub(super) static BINDING: Simple = Simple {
    names: NameRule::PathSegment,
    default: default_binding,
    validate: |binding, errors| {
        reference(binding, &["Role", "ClusterRole"], errors);
        subjects(binding, errors);
    },
    change: |new, old, errors| {
        if new["roleRef"] != old["roleRef"] {
            errors.push(FieldError::invalid("roleRef", new["roleRef"].clone(), "cannot change roleRef"));
        }
    },
    columns: || {
        let mut columns = between([column("Role", "string", ROLE_REF)]);
        columns.extend([
            wide("Users", "string", "Users in the roleBinding"),
            wide("Groups", "string", "Groups in the roleBinding"),
            wide("ServiceAccounts", "string", "ServiceAccounts in the roleBinding"),
        ]);
        columns
    },
    row: |binding, now| {
        let role = format!("{}/{}", text(&binding["roleRef"], "kind"), text(&binding["roleRef"], "name"));
        let of = |kind: &str| {
            let subjects = items(binding, "subjects").iter().filter(|s| text(s, "kind") == kind);
            let shown = subjects.map(|s| match text(s, "namespace") {
                "" => text(s, "name").to_owned(),
                namespace => format!("{namespace}/{}", text(s, "name")),
            });
            Value::from(shown.collect::<Vec<_>>().join(", "))
        };
        vec![name(binding), role.into(), age(binding, now), of("User"), of("Group"), of("ServiceAccount")]
    },
    ..SIMPLE
};

pub(super) static CLUSTER_BINDING: Simple = Simple {
    validate: |binding, errors| {
        reference(binding, &["ClusterRole"], errors);
        subjects(binding, errors);
    },
    names: BINDING.names,
    default: BINDING.default,
    change: BINDING.change,
    columns: BINDING.columns,
    row: BINDING.row,
    ..SIMPLE
};

/// Roles show when they were made instead of their age.
fn created_at() -> Vec<Column> {
    vec![name_column(), Column { name: "Created At".to_owned(), ..age_column() }]
}

fn created_at_row(role: &Value, _now: jiff::Timestamp) -> Vec<Value> {
    vec![name(role), role["metadata"]["creationTimestamp"].clone()]
}

fn default_binding(binding: &mut Value) {
    if let Some(reference) = object(binding, "roleRef") {
        default_text(reference, "apiGroup", GROUP);
    }
    for subject in each(binding, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default_text(subject, "apiGroup", GROUP);
        }
    }
}

fn rules(role: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    for (i, rule) in items(role, "rules").iter().enumerate() {
        let path = format!("rules[{i}]");
        let empty = |field: &str| items(rule, field).is_empty();
        if empty("verbs") {
            errors.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
        }
        if !empty("nonResourceURLs") {
            let value = rule["nonResourceURLs"].clone();
            if namespaced {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(format!("{path}.nonResourceURLs"), value.clone(), detail));
            }
            if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(format!("{path}.nonResourceURLs"), value, detail));
            }
            continue;
        }
        if empty("apiGroups") {
            let detail = "resource rules must supply at least one api group";
            errors.push(FieldError::required(format!("{path}.apiGroups"), detail));
        }
        if empty("resources") {
            let detail = "resource rules must supply at least one resource";
            errors.push(FieldError::required(format!("{path}.resources"), detail));
        }
    }
}

fn reference(binding: &Value, kinds: &[&str], errors: &mut Vec<FieldError>) {
    let reference = &binding["roleRef"];
    if text(reference, "apiGroup") != GROUP {
        errors.push(FieldError::not_supported("roleRef.apiGroup", text(reference, "apiGroup"), &[GROUP]));
    }
    if !kinds.contains(&text(reference, "kind")) {
        errors.push(FieldError::not_supported("roleRef.kind", text(reference, "kind"), kinds));
    }
    let role = text(reference, "name");
    if role.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    } else {
        super::metadata::refuse(errors, "roleRef.name", role, super::names::path_segment(role, false));
    }
}

fn subjects(binding: &Value, errors: &mut Vec<FieldError>) {
    for (i, subject) in items(binding, "subjects").iter().enumerate() {
        let path = format!("subjects[{i}]");
        let (kind, group) = (text(subject, "kind"), text(subject, "apiGroup"));
        if text(subject, "name").is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        match kind {
            "ServiceAccount" => {
                let account = text(subject, "name");
                if !account.is_empty() {
                    super::metadata::refuse(errors, &format!("{path}.name"), account, super::names::subdomain(account));
                }
                if !group.is_empty() {
                    errors.push(FieldError::not_supported(format!("{path}.apiGroup"), group, &[""]));
                }
                if text(subject, "namespace").is_empty() {
                    errors.push(FieldError::required(format!("{path}.namespace"), ""));
                }
            }
            "User" | "Group" if group != GROUP => {
                errors.push(FieldError::not_supported(format!("{path}.apiGroup"), group, &[GROUP]));
            }
            "User" | "Group" => {}
            "" => choice(subject, "kind", &[], &path, errors),
            other => {
                let kinds = ["ServiceAccount", "User", "Group"];
                errors.push(FieldError::not_supported(format!("{path}.kind"), other, &kinds));
            }
        }
    }
}
