//! Admission policies and their bindings.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::listing;
use super::metadata;
use super::names as forms;
use super::pod::defaults::default_text;
use super::simple::{SIMPLE, Simple, Status};
use super::value::{at, has, items, set_default, text};
use super::webhook::{default_rules, match_conditions, one_of, rule_with_operations};
use crate::field::FieldError;
use crate::schema::cel::{self, Wanted};

const ANNOTATIONS_MAX: usize = 20;
const VALUE_EXPRESSION_BYTES_MAX: usize = 5 * 1024;
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
pub(super) static POLICY: Simple = Simple {
    generation: true,
    status: Status::Split,
    default: |policy| {
        let Some(spec) = at(policy, "spec") else { return };
        default_text(spec, "failurePolicy", "Fail");
        if let Some(resources) = at(spec, "matchConstraints") {
            default_resources(resources);
        }
    },
    validate: policy,
    columns: listing::admission_columns,
    row: listing::admission_row,
    ..SIMPLE
};

pub(super) static BINDING: Simple = Simple {
    generation: true,
    default: |binding| {
        if let Some(resources) = at(binding, "spec").and_then(|spec| at(spec, "matchResources")) {
            default_resources(resources);
        }
    },
    validate: binding,
    columns: listing::binding_columns,
    row: listing::binding_row,
    ..SIMPLE
};

fn default_resources(resources: &mut Value) {
    default_text(resources, "matchPolicy", "Equivalent");
    set_default(resources, "namespaceSelector", json!({}));
    set_default(resources, "objectSelector", json!({}));
    for field in ["resourceRules", "excludeResourceRules"] {
        default_rules(resources, field);
    }
}

fn policy(policy: &Value, errors: &mut Vec<FieldError>) {
    let spec = &policy["spec"];
    one_of(text(spec, "failurePolicy"), "spec.failurePolicy", &["Fail", "Ignore"], errors);
    let params = has(spec, "paramKind");
    if params {
        param_kind(&spec["paramKind"], errors);
    }
    let constraints = &spec["matchConstraints"];
    if constraints.is_object() {
        match_resources(constraints, "spec.matchConstraints", errors);
        if items(constraints, "resourceRules").is_empty() {
            errors.push(FieldError::required("spec.matchConstraints.resourceRules", ""));
        }
    } else {
        errors.push(FieldError::required("spec.matchConstraints", ""));
    }
    let mut known = vec!["object", "oldObject", "request", "authorizer"];
    if params {
        known.push("params");
    }
    match_conditions(spec, &known, "spec", errors);
    known.push("namespaceObject");
    known.push("variables");
    variables(spec, &known, errors);
    let (validations, annotations) = (items(spec, "validations"), items(spec, "auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required("spec.validations", detail));
        errors.push(FieldError::required("spec.auditAnnotations", detail));
        return;
    }
    for (at, validation) in validations.iter().enumerate() {
        self::validation(validation, &known, &format!("spec.validations[{at}]"), errors);
    }
    audit_annotations(policy, annotations, &known, errors);
}

fn param_kind(kind: &Value, errors: &mut Vec<FieldError>) {
    let path = "spec.paramKind.apiVersion";
    let api_version = text(kind, "apiVersion");
    let parts: Vec<&str> = api_version.split('/').collect();
    match parts.as_slice() {
        [""] => errors.push(FieldError::required(path, "")),
        [_] | [_, _] => {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let wrong = if group.is_empty() { Vec::new() } else { forms::subdomain(group) };
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(path, group, wrong.join(",")));
            }
            let wrong = forms::rfc1035_label(version);
            if version.is_empty() {
                errors.push(FieldError::invalid(path, api_version, "version must be specified"));
            } else if !wrong.is_empty() {
                errors.push(FieldError::invalid(path, version, wrong.join(",")));
            }
        }
        _ => {
            let detail = format!("unexpected GroupVersion string: {api_version}");
            errors.push(FieldError::invalid(path, api_version, detail));
        }
    }
    let (path, name) = ("spec.paramKind.kind", text(kind, "kind"));
    let wrong = forms::rfc1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !wrong.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.push(FieldError::invalid(path, name, detail));
    }
}

fn match_resources(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    one_of(text(resources, "matchPolicy"), &format!("{path}.matchPolicy"), &["Equivalent", "Exact"], errors);
    for field in ["namespaceSelector", "objectSelector"] {
        metadata::selector(&resources[field], &format!("{path}.{field}"), errors);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (at, rule) in items(resources, field).iter().enumerate() {
            let path = format!("{path}.{field}[{at}]");
            let mut seen = BTreeSet::new();
            for (at, name) in items(rule, "resourceNames").iter().filter_map(Value::as_str).enumerate() {
                let path = format!("{path}.resourceNames[{at}]");
                let wrong = forms::path_segment(name, false);
                errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(path.as_str(), name, wrong)));
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(path, name));
                }
            }
            rule_with_operations(rule, &path, errors);
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    name.chars().all(word) && !name.starts_with(|c: char| c.is_ascii_digit()) && !cel::is_reserved(name)
}

fn variables(spec: &Value, known: &[&str], errors: &mut Vec<FieldError>) {
    for (at, variable) in items(spec, "variables").iter().enumerate() {
        let path = format!("spec.variables[{at}]");
        let (name, source) = (text(variable, "name"), text(variable, "expression"));
        if name.trim().is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), "name is not specified"));
        } else if !is_identifier(name) {
            errors.push(FieldError::invalid(format!("{path}.name"), name, "name is not a valid CEL identifier"));
        }
        expression(source, known, Wanted::Any, &format!("{path}.expression"), errors);
    }
}

fn expression(source: &str, known: &[&str], wanted: Wanted, path: &str, errors: &mut Vec<FieldError>) {
    if source.trim().is_empty() {
        errors.push(FieldError::required(path, "expression is not specified"));
    } else if let Err(why) = cel::check_free(source, known, wanted) {
        errors.push(FieldError::invalid(path, source, why));
    }
}

fn validation(validation: &Value, known: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    expression(text(validation, "expression"), known, Wanted::Bool, &format!("{path}.expression"), errors);
    let (source, field) = (text(validation, "messageExpression"), format!("{path}.messageExpression"));
    if !source.is_empty() && source.trim().is_empty() {
        errors.push(FieldError::invalid(field, source, "must be non-empty if specified"));
    } else if !source.is_empty() {
        // A message is not to tell who may do what.
        let known: Vec<&str> = known.iter().copied().filter(|name| *name != "authorizer").collect();
        if let Err(why) = cel::check_free(source, &known, Wanted::Text) {
            errors.push(FieldError::invalid(field, source, why));
        }
    }
    let (message, field) = (text(validation, "message"), format!("{path}.message"));
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(field, message, "message must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(field, message, "message must not contain line breaks"));
    }
    if let Some(reason) = validation["reason"].as_str() {
        one_of(reason, &format!("{path}.reason"), &REASONS, errors);
    }
}

fn audit_annotations(policy: &Value, annotations: &[Value], known: &[&str], errors: &mut Vec<FieldError>) {
    if annotations.len() > ANNOTATIONS_MAX {
        let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.push(FieldError::invalid("spec.auditAnnotations", annotations.to_vec(), detail));
    }
    let name = text(&policy["metadata"], "name");
    let mut keys = BTreeSet::new();
    for (at, annotation) in annotations.iter().enumerate() {
        let path = format!("spec.auditAnnotations[{at}]");
        let (key, field) = (text(annotation, "key"), format!("{path}.key"));
        if name.is_empty() {
            errors.push(FieldError::invalid(field.as_str(), key, "requires metadata.name be non-empty"));
        } else {
            let whole = format!("{name}/{key}");
            let wrong = forms::qualified(&whole);
            errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(field.as_str(), whole.as_str(), wrong)));
        }
        let (source, value) = (text(annotation, "valueExpression").trim(), format!("{path}.valueExpression"));
        if source.is_empty() {
            errors.push(FieldError::required(value, "valueExpression is not specified"));
        } else if source.len() > VALUE_EXPRESSION_BYTES_MAX {
            let detail = format!("must not exceed {VALUE_EXPRESSION_BYTES_MAX} bytes in length");
            errors.push(FieldError::required(value, detail));
        } else {
            expression(source, known, Wanted::TextOrNull, &value, errors);
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(field, key));
        }
    }
}

fn binding(binding: &Value, errors: &mut Vec<FieldError>) {
    let spec = &binding["spec"];
    let policy = text(spec, "policyName");
    if policy.is_empty() {
        errors.push(FieldError::required("spec.policyName", ""));
    } else {
        let wrong = forms::subdomain(policy);
        errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid("spec.policyName", policy, wrong)));
    }
    if has(spec, "paramRef") {
        param_ref(&spec["paramRef"], errors);
    }
    if has(spec, "matchResources") {
        // The real server misspells it.
        match_resources(&spec["matchResources"], "spec.matchResouces", errors);
    }
    actions(spec, errors);
}

fn param_ref(reference: &Value, errors: &mut Vec<FieldError>) {
    const PATH: &str = "spec.paramRef";
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let (name, selector) = (text(reference, "name"), has(reference, "selector"));
    if !name.is_empty() {
        let wrong = forms::path_segment(name, false);
        errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(format!("{PATH}.name"), name, wrong)));
    }
    if selector {
        metadata::selector(&reference["selector"], &format!("{PATH}.selector"), errors);
    }
    match (name, selector) {
        ("", false) => errors.push(FieldError::required(PATH, "one of name or selector must be specified")),
        (name, true) if !name.is_empty() => {
            errors.push(FieldError::forbidden(format!("{PATH}.name"), EXCLUSIVE));
            errors.push(FieldError::forbidden(format!("{PATH}.selector"), EXCLUSIVE));
        }
        _ => {}
    }
    let path = format!("{PATH}.parameterNotFoundAction");
    match text(reference, "parameterNotFoundAction") {
        "" => errors.push(FieldError::required(path, "")),
        action => one_of(action, &path, &["Deny", "Allow"], errors),
    }
}

fn actions(spec: &Value, errors: &mut Vec<FieldError>) {
    const PATH: &str = "spec.validationActions";
    let given: Vec<&str> = items(spec, "validationActions").iter().filter_map(Value::as_str).collect();
    let mut seen = BTreeSet::new();
    for (at, action) in given.iter().enumerate() {
        one_of(action, &format!("{PATH}[{at}]"), &["Audit", "Deny", "Warn"], errors);
        if !seen.insert(action) {
            errors.push(FieldError::duplicate(format!("{PATH}[{at}]"), *action));
        }
    }
    if given.contains(&"Deny") && given.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                      response and headers serves no purpose)";
        errors.push(FieldError::invalid(PATH, spec["validationActions"].clone(), detail));
    }
    if given.is_empty() {
        errors.push(FieldError::required(PATH, "at least one validation action is required"));
    }
}
