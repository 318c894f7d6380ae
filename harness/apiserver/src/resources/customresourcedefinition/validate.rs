//! What is wrong with a definition as a whole.

use serde_json::Value;

use super::{is_true, spec};
use crate::field::{FieldError, quote};
use crate::resources::metadata::IMMUTABLE;
use crate::schema::formats;

/// The annotation by which Kubernetes' own groups are kept apart.
const APPROVED: &str = "api-approved.kubernetes.io";

pub(super) fn create(object: &Value) -> Vec<FieldError> {
    let mut errors = name(object);
    errors.extend(spec::check(&object["spec"], None));
    errors.extend(status(object));
    errors.extend(stored_versions(object));
    errors.extend(approval(object, None));
    errors.extend(preserve_unknown(object, None));
    errors
}

pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = spec::check(&new["spec"], Some(&old["spec"]));
    errors.extend(immutable(new, old));
    errors.extend(status(new));
    errors.extend(stored_versions(new));
    errors.extend(approval(new, Some(old)));
    errors.extend(preserve_unknown(new, Some(old)));
    errors
}

pub(super) fn status(object: &Value) -> Vec<FieldError> {
    spec::names(&object["status"]["acceptedNames"], "status.acceptedNames")
}

fn name(object: &Value) -> Vec<FieldError> {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&object["metadata"]["name"]);
    let wanted = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if name == wanted || name.is_empty() {
        return Vec::new();
    }
    vec![FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group")]
}

/// What decides where objects are stored cannot change, the rest of the names can until it is established.
fn immutable(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut fields = vec![("spec.group", "/spec/group"), ("spec.names.plural", "/spec/names/plural")];
    if is_true(old, "Established") {
        fields.extend([("spec.scope", "/spec/scope"), ("spec.names.kind", "/spec/names/kind")]);
    }
    let changed = fields.into_iter().filter(|(_, at)| new.pointer(at) != old.pointer(at));
    changed
        .map(|(field, at)| FieldError::invalid(field, new.pointer(at).cloned().unwrap_or_default(), IMMUTABLE))
        .collect()
}

fn stored_versions(object: &Value) -> Vec<FieldError> {
    const FIELD: &str = "status.storedVersions";
    let stored = &object["status"]["storedVersions"];
    let list: Vec<&str> = stored.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if list.is_empty() {
        return vec![FieldError::invalid(FIELD, stored.clone(), "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    let names: Vec<&str> = super::versions(object).filter_map(|v| v["name"].as_str()).collect();
    for version in super::versions(object).filter(|v| v["storage"] == true) {
        let name = version["name"].as_str().unwrap_or_default();
        if !list.contains(&name) {
            let detail = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(FIELD, stored.clone(), detail));
        }
    }
    for (at, name) in list.iter().enumerate().filter(|(_, name)| !names.contains(name)) {
        let detail = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
             until a storage migration ensures no data remains persisted in {name} and removes {name} from \
             status.storedVersions"
        );
        errors.push(FieldError::invalid(format!("{FIELD}[{at}]"), *name, detail));
    }
    errors
}

/// How a definition in one of Kubernetes' own groups is approved.
#[derive(PartialEq, Eq)]
enum Approval {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

fn approval(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let group = new["spec"]["group"].as_str().unwrap_or_default();
    let owned = |domain: &str| group == domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !owned("k8s.io") && !owned("kubernetes.io") {
        return None;
    }
    let state = approval_state(new);
    if old.is_some_and(|old| approval_state(old) == state) {
        return None;
    }
    let field = format!("metadata.annotations[{APPROVED}]");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let must = format!("protected groups must have approval annotation {}", quote(APPROVED));
    match state {
        Approval::Bypassed | Approval::Approved => None,
        Approval::Missing => Some(FieldError::required(field, format!("{must}, {see}"))),
        Approval::Invalid => {
            let detail = format!("{must} with either a URL or a reason starting with \"unapproved\", {see}");
            Some(FieldError::invalid(field, new["metadata"]["annotations"][APPROVED].clone(), detail))
        }
    }
}

fn approval_state(object: &Value) -> Approval {
    let text = object["metadata"]["annotations"][APPROVED].as_str().unwrap_or_default();
    let is_url = || {
        let host = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        formats::check("uri", text) == Some(true) && host.is_some_and(|h| !h.is_empty())
    };
    match text {
        "" => Approval::Missing,
        text if text.starts_with("unapproved") => Approval::Bypassed,
        _ if is_url() => Approval::Approved,
        _ => Approval::Invalid,
    }
}

fn preserve_unknown(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let on = |object: &Value| object["spec"]["preserveUnknownFields"] == true;
    (on(new) && !old.is_some_and(on)).then(|| {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        FieldError::invalid("spec.preserveUnknownFields", true, detail)
    })
}
