//! What every object's metadata must hold, on create and on update.

use std::collections::BTreeSet;

use serde_json::Value;

use super::names;
use super::value::{entries, flag, has, int, items, text};
use crate::field::{FieldError, Kind, quote};
use crate::resource::{NameRule, Resource};

/// All annotations of an object, keys and values, in bytes.
const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;
/// Finalizers that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// The message of a changed field that may not change.
pub const IMMUTABLE: &str = "field is immutable";
/// The message of a negative number.
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// What is wrong with a new object's metadata.
pub fn validate(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let rule = resource.rules.name_rule();
    let mut errors = validate_named(&object["metadata"], rule, Scope::of(resource.namespaced), "metadata");
    if resource.definition.is_none() {
        errors.extend(domainless_finalizers(&object["metadata"]));
    }
    errors
}

/// What is wrong with a change of metadata. `new` is what would be stored: what the server keeps for itself
/// (`creationTimestamp` and the like, where the request left them out) is already filled in.
pub fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Vec<FieldError> {
    let (new, old) = (&new["metadata"], &old["metadata"]);
    let mut errors = Vec::new();
    if has(old, "deletionTimestamp") {
        errors.extend(no_new_finalizers(new, old));
    }
    if text(new, "resourceVersion").is_empty() {
        errors.push(FieldError::invalid("metadata.resourceVersion", "", "must be specified for an update"));
    }
    let generation = |meta: &Value| int(meta, "generation").unwrap_or_default();
    if generation(new) < generation(old) {
        errors.push(FieldError::invalid("metadata.generation", generation(new), "must not be decremented"));
    }
    for name in ["name", "namespace", "uid"] {
        if text(new, name) != text(old, name) {
            errors.push(FieldError::invalid(format!("metadata.{name}"), text(new, name), IMMUTABLE));
        }
    }
    for name in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if new[name] != old[name] {
            errors.push(FieldError::invalid(format!("metadata.{name}"), new[name].clone(), IMMUTABLE));
        }
    }
    validate_common(new, "metadata", &mut errors);
    if resource.definition.is_none() {
        errors.extend(domainless_finalizers(new));
    }
    errors
}

/// What is unwise about metadata, though not wrong. Built-in kinds refuse what custom ones are warned of.
pub fn warnings(resource: &Resource, object: &Value) -> Vec<String> {
    if resource.definition.is_none() {
        return Vec::new();
    }
    let unqualified = items(&object["metadata"], "finalizers").iter().filter_map(Value::as_str);
    let unqualified = unqualified.filter(|f| !f.contains('/') && !STANDARD_FINALIZERS.contains(f));
    let tell = |finalizer: &str| {
        format!(
            "metadata.finalizers: {}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental \
             conflicts with other finalizer writers",
            quote(finalizer)
        )
    };
    unqualified.map(tell).collect()
}

/// Where an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

impl Scope {
    fn of(namespaced: bool) -> Self {
        if namespaced { Self::Namespaced } else { Self::Cluster }
    }
}

/// What is wrong with the metadata at `path`.
pub fn validate_named(metadata: &Value, rule: NameRule, scope: Scope, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (name, prefix, namespace) =
        (text(metadata, "name"), text(metadata, "generateName"), text(metadata, "namespace"));
    if !prefix.is_empty() {
        let wrong = names::object_name(rule, prefix, true);
        refuse(&mut errors, &format!("{path}.generateName"), prefix, wrong);
    }
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), "name or generateName is required"));
    } else {
        refuse(&mut errors, &format!("{path}.name"), name, names::object_name(rule, name, false));
    }
    match (scope, namespace) {
        (Scope::Namespaced, "") => errors.push(FieldError::required(format!("{path}.namespace"), "")),
        (Scope::Namespaced, name) => refuse(&mut errors, &format!("{path}.namespace"), name, names::label(name)),
        (Scope::Cluster, "") => {}
        (Scope::Cluster, _) => {
            errors.push(FieldError::forbidden(format!("{path}.namespace"), "not allowed on this type"));
        }
    }
    if let Some(generation) = int(metadata, "generation").filter(|g| *g < 0) {
        errors.push(FieldError::invalid(format!("{path}.generation"), generation, NOT_NEGATIVE));
    }
    validate_common(metadata, path, &mut errors);
    finalizers(metadata, path, &mut errors);
    errors
}

fn validate_common(metadata: &Value, path: &str, errors: &mut Vec<FieldError>) {
    labels(metadata, "labels", &format!("{path}.labels"), errors);
    annotations(metadata, &format!("{path}.annotations"), errors);
    owners(metadata, &format!("{path}.ownerReferences"), errors);
}

/// What is wrong with a map of labels.
pub fn labels(parent: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(parent, key) {
        refuse(errors, path, key, names::qualified(key));
        let value = value.as_str().unwrap_or_default();
        refuse(errors, path, value, names::label_value(value));
    }
}

/// What is wrong with annotations.
pub fn annotations(metadata: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in entries(metadata, "annotations") {
        size += key.len() + value.as_str().map_or(0, str::len);
        refuse(errors, path, key, names::qualified(&key.to_lowercase()));
    }
    if size > ANNOTATIONS_MAX_BYTES {
        errors.push(too_long(path, ANNOTATIONS_MAX_BYTES));
    }
}

/// A value that has too many bytes.
pub fn too_long(path: &str, limit: usize) -> FieldError {
    let detail = format!("may not be more than {limit} bytes");
    FieldError { kind: Kind::TooLong, field: path.to_owned(), value: None, detail }
}

/// A label selector: what is wrong with it.
pub fn selector(selector: &Value, path: &str, errors: &mut Vec<FieldError>) {
    labels(selector, "matchLabels", &format!("{path}.matchLabels"), errors);
    for (i, requirement) in items(selector, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let values = items(requirement, "values");
        let operator = text(requirement, "operator");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(format!("{path}.values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(format!("{path}.values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(format!("{path}.operator"), operator, detail));
            }
        }
        refuse(errors, &format!("{path}.key"), text(requirement, "key"), names::qualified(text(requirement, "key")));
        for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
            refuse(errors, &format!("{path}.values[{i}]"), value, names::label_value(value));
        }
    }
}

fn owners(metadata: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let references = items(metadata, "ownerReferences");
    let mut controller: Option<String> = None;
    for owner in references {
        // As released: the paths do not tell which reference it is.
        let empty = |field: &str, detail: &str| FieldError::invalid(format!("{path}.{field}"), "", detail);
        let (api_version, kind, name) = (text(owner, "apiVersion"), text(owner, "kind"), text(owner, "name"));
        if !is_api_version(api_version) {
            let detail = "version must not be empty";
            errors.push(FieldError::invalid(format!("{path}.apiVersion"), api_version, detail));
        }
        for (field, value) in [("kind", kind), ("name", name), ("uid", text(owner, "uid"))] {
            if value.is_empty() {
                errors.push(empty(field, "must not be empty"));
            }
        }
        if (api_version, kind) == ("v1", "Event") {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), detail));
        }
        if flag(owner, "controller") {
            let this = format!("{kind}/{name}");
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(path, Value::Array(references.to_vec()), detail));
                }
            }
        }
    }
}

fn is_api_version(text: &str) -> bool {
    let version = match text.split_once('/') {
        Some((_, version)) => version,
        None => text,
    };
    !version.is_empty() && !version.contains('/')
}

fn finalizers(metadata: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.finalizers");
    let all: Vec<&str> = items(metadata, "finalizers").iter().filter_map(Value::as_str).collect();
    for finalizer in &all {
        refuse(errors, &path, finalizer, names::qualified(finalizer));
    }
    if all.contains(&ORPHAN) && all.contains(&FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, metadata["finalizers"].clone(), detail));
    }
}

fn domainless_finalizers(metadata: &Value) -> Vec<FieldError> {
    let all = items(metadata, "finalizers").iter().filter_map(Value::as_str).enumerate();
    let wrong = all.filter(|(_, f)| !f.contains('/') && !STANDARD_FINALIZERS.contains(f));
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    wrong.map(|(i, f)| FieldError::invalid(format!("metadata.finalizers[{i}]"), f, detail)).collect()
}

fn no_new_finalizers(new: &Value, old: &Value) -> Option<FieldError> {
    let set = |meta: &Value| -> BTreeSet<String> {
        items(meta, "finalizers").iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let old = set(old);
    let extra: Vec<String> = set(new).into_iter().filter(|f| !old.contains(f)).map(|f| quote(&f)).collect();
    let list = extra.join(", ");
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
    );
    (!extra.is_empty()).then(|| FieldError::forbidden("metadata.finalizers", detail))
}

/// One error for each thing that is wrong with a text.
pub(crate) fn refuse(errors: &mut Vec<FieldError>, path: &str, value: &str, wrong: Vec<String>) {
    errors.extend(wrong.into_iter().map(|detail| FieldError::invalid(path, value, detail)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::Registry;

    fn created(metadata: &Value) -> Vec<String> {
        let resource = Registry::builtin().find("", "v1", "configmaps").unwrap();
        validate(&resource, &json!({"metadata": metadata})).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn new_metadata_is_refused_in_kubernetes_words() {
        let owner =
            |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
        let cases = [
            (json!({"name": "a", "namespace": "n"}), None),
            (json!({"namespace": "n"}), Some("metadata.name: Required value: name or generateName is required")),
            (json!({"name": "a"}), Some("metadata.namespace: Required value")),
            (
                json!({"name": "a", "namespace": "n", "finalizers": ["nodomain"]}),
                Some(
                    "metadata.finalizers[0]: Invalid value: \"nodomain\": name is neither a standard finalizer name nor is it fully qualified",
                ),
            ),
            (
                json!({"name": "a", "namespace": "n", "finalizers": ["orphan", "foregroundDeletion"]}),
                Some(
                    "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
                ),
            ),
            (
                json!({"name": "a", "namespace": "n", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
                Some("metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"),
            ),
            (
                json!({"name": "a", "namespace": "n", "annotations": {"k": "v".repeat(256 * 1024)}}),
                Some("metadata.annotations: Too long: may not be more than 262144 bytes"),
            ),
        ];
        for (metadata, wanted) in cases {
            assert_eq!(created(&metadata), wanted.map(str::to_owned).into_iter().collect::<Vec<_>>());
        }
        let two = created(&json!({"name": "a", "namespace": "n", "ownerReferences": [owner("p"), owner("q")]}));
        assert!(two[0].ends_with("Found \"true\" in references for Pod/p and Pod/q"), "{two:?}");
    }

    #[test]
    fn what_the_server_keeps_may_not_be_changed() {
        let resource = Registry::builtin().find("", "v1", "configmaps").unwrap();
        let old = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0, "finalizers": ["e.com/a"]}});
        let change = |key: &str, value: Value| {
            let mut new = old.clone();
            new["metadata"][key] = value;
            validate_update(&resource, &new, &old).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(change("labels", json!({"a": "b"})), Vec::<String>::new());
        assert_eq!(change("uid", json!("v")), ["metadata.uid: Invalid value: \"v\": field is immutable"]);
        assert_eq!(
            change("creationTimestamp", json!("2026-01-02T00:00:00Z")),
            ["metadata.creationTimestamp: Invalid value: \"2026-01-02T00:00:00Z\": field is immutable"]
        );
        assert_eq!(
            change("finalizers", json!(["e.com/a", "e.com/c", "e.com/b"])),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"e.com/b\", \"e.com/c\"}"
            ]
        );
        assert_eq!(
            change("resourceVersion", json!("")),
            ["metadata.resourceVersion: Invalid value: \"\": must be specified for an update"]
        );
    }
}
