//! Configurations of admission webhooks.
//!
//! What an older configuration was allowed keeps being allowed when it is changed, so that it can be.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::customresourcedefinition::conversion::{webhook_service, webhook_url};
use super::metadata;
use super::names as forms;
use super::pod::defaults::default_text;
use super::print::{age, age_column, column, name, name_column};
use super::value::{at, each, has, int, items, set_default, text};
use crate::field::{FieldError, Kind};
use crate::resource::Rules;
use crate::schema::cel::{self, Wanted};
use crate::table::Column;

/// The versions of `AdmissionReview` that the server speaks.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const TIMEOUT_SECONDS_MAX: i64 = 30;
const CONDITIONS_MAX: usize = 64;

/// The rules of both kinds of configuration.
#[derive(Debug)]
pub(super) struct Configuration {
    /// Whether its webhooks may change objects.
    pub(super) mutating: bool,
}

impl Rules for Configuration {
    fn default(&self, object: &mut Value) {
        default_webhooks(object, self.mutating);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        webhooks(object, &Leniency::default())
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        webhooks(new, &Leniency::towards(new, old))
    }

    fn columns(&self) -> Vec<Column> {
        let about = "Webhooks indicates the number of webhooks registered in this configuration";
        vec![name_column(), column("Webhooks", "integer", about), age_column()]
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![name(object), items(object, "webhooks").len().into(), age(object, now)]
    }
}

fn default_webhooks(configuration: &mut Value, mutating: bool) {
    for hook in each(configuration, "webhooks") {
        default_text(hook, "failurePolicy", "Fail");
        default_text(hook, "matchPolicy", "Equivalent");
        set_default(hook, "namespaceSelector", json!({}));
        set_default(hook, "objectSelector", json!({}));
        set_default(hook, "timeoutSeconds", 10);
        if mutating {
            default_text(hook, "reinvocationPolicy", "Never");
        }
        default_rules(hook, "rules");
        if let Some(service) = at(hook, "clientConfig").and_then(|config| at(config, "service")) {
            set_default(service, "port", 443);
        }
    }
}

/// Rules are about all scopes unless they say otherwise.
pub(super) fn default_rules(object: &mut Value, field: &str) {
    for rule in each(object, field) {
        default_text(rule, "scope", "*");
    }
}

/// What is not held against a configuration because it was so before.
#[derive(Debug, Default)]
struct Leniency {
    side_effects: bool,
    review_versions: bool,
    same_names: bool,
    selectors: bool,
    conditions: bool,
}

impl Leniency {
    fn towards(new: &Value, old: &Value) -> Self {
        let (new, old) = (items(new, "webhooks"), items(old, "webhooks"));
        let mut names = BTreeSet::new();
        let selectors_wrong = |hook: &Value| {
            let mut errors = Vec::new();
            selectors(hook, "", &mut errors);
            !errors.is_empty()
        };
        Self {
            side_effects: !old.iter().all(|hook| NO_SIDE_EFFECTS.contains(&text(hook, "sideEffects"))),
            review_versions: old.iter().any(|hook| {
                let versions = items(hook, "admissionReviewVersions");
                !versions.is_empty() && !speaks(versions)
            }),
            same_names: !old.iter().all(|hook| names.insert(text(hook, "name"))),
            selectors: old.iter().any(selectors_wrong),
            conditions: new.len() == old.len()
                && new.iter().zip(old).all(|(new, old)| new["matchConditions"] == old["matchConditions"]),
        }
    }
}

fn webhooks(configuration: &Value, leniency: &Leniency) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (at, hook) in items(configuration, "webhooks").iter().enumerate() {
        let path = format!("webhooks[{at}]");
        webhook(hook, leniency, &path, &mut errors);
        review_versions(hook, leniency, &path, &mut errors);
        let name = text(hook, "name");
        if !leniency.same_names && !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), name));
        }
    }
    errors
}

fn webhook(hook: &Value, leniency: &Leniency, path: &str, errors: &mut Vec<FieldError>) {
    full_name(text(hook, "name"), &format!("{path}.name"), errors);
    for (at, rule) in items(hook, "rules").iter().enumerate() {
        rule_with_operations(rule, &format!("{path}.rules[{at}]"), errors);
    }
    policies(hook, path, errors);
    let effects: &[&str] = if leniency.side_effects { &SIDE_EFFECTS } else { &NO_SIDE_EFFECTS };
    match hook["sideEffects"].as_str() {
        None => {
            let detail = format!("must specify one of {}", effects.join(", "));
            errors.push(FieldError::required(format!("{path}.sideEffects"), detail));
        }
        Some(given) => one_of(given, &format!("{path}.sideEffects"), effects, errors),
    }
    if let Some(seconds) = int(hook, "timeoutSeconds").filter(|s| !(1..=TIMEOUT_SECONDS_MAX).contains(s)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(format!("{path}.timeoutSeconds"), seconds, detail));
    }
    if !leniency.selectors {
        selectors(hook, path, errors);
    }
    if let Some(policy) = hook["reinvocationPolicy"].as_str() {
        one_of(policy, &format!("{path}.reinvocationPolicy"), &["IfNeeded", "Never"], errors);
    }
    client(&hook["clientConfig"], &format!("{path}.clientConfig"), errors);
    if !leniency.conditions {
        match_conditions(hook, &["object", "oldObject", "request", "authorizer"], path, errors);
    }
}

/// Refuses a word that is none of those known.
pub(super) fn one_of(word: &str, path: &str, known: &[&str], errors: &mut Vec<FieldError>) {
    if !known.contains(&word) {
        errors.push(FieldError::not_supported(path, word, known));
    }
}

/// A name that has a domain.
fn full_name(name: &str, path: &str, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let wrong = forms::subdomain(name);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, name, wrong.join(",")));
    } else if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

fn policies(hook: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(policy) = hook["failurePolicy"].as_str() {
        one_of(policy, &format!("{path}.failurePolicy"), &["Fail", "Ignore"], errors);
    }
    if let Some(policy) = hook["matchPolicy"].as_str() {
        one_of(policy, &format!("{path}.matchPolicy"), &["Equivalent", "Exact"], errors);
    }
}

fn selectors(hook: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in ["namespaceSelector", "objectSelector"] {
        metadata::selector(&hook[field], &format!("{path}.{field}"), errors);
    }
}

fn client(config: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match (config["url"].as_str(), &config["service"]) {
        (Some(url), Value::Null) => errors.extend(webhook_url(url, &format!("{path}.url"))),
        (None, service) if service.is_object() => {
            errors.extend(webhook_service(service, &format!("{path}.service")));
        }
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn speaks(versions: &[Value]) -> bool {
    versions.iter().filter_map(Value::as_str).any(|version| REVIEW_VERSIONS.contains(&version))
}

fn review_versions(hook: &Value, leniency: &Leniency, path: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.admissionReviewVersions");
    let versions = items(hook, "admissionReviewVersions");
    if versions.is_empty() {
        let detail = format!("must specify one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::required(path, detail));
        return;
    }
    let mut seen = BTreeSet::new();
    for (at, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        let field = format!("{path}[{at}]");
        if !seen.insert(version) {
            errors.push(FieldError::invalid(field, version, "duplicate version"));
            continue;
        }
        let wrong = forms::rfc1035_label(version);
        errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(field.as_str(), version, wrong)));
    }
    if !leniency.review_versions && !speaks(versions) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::invalid(path, versions.to_vec(), detail));
    }
}

/// What is wrong with a rule that says which requests are meant.
pub(super) fn rule_with_operations(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let list = |field: &str| -> Vec<&str> { items(rule, field).iter().filter_map(Value::as_str).collect() };
    let lonely = |field: &str, what: &str, errors: &mut Vec<FieldError>| {
        let given = list(field);
        if given.is_empty() {
            errors.push(FieldError::required(format!("{path}.{field}"), ""));
        }
        if given.len() > 1 && given.contains(&"*") {
            let detail = format!("if '*' is present, must not specify other {what}");
            errors.push(FieldError::invalid(format!("{path}.{field}"), rule[field].clone(), detail));
        }
    };
    lonely("operations", "operations", errors);
    for (at, operation) in list("operations").into_iter().enumerate() {
        one_of(operation, &format!("{path}.operations[{at}]"), &OPERATIONS, errors);
    }
    lonely("apiGroups", "API groups", errors);
    lonely("apiVersions", "API versions", errors);
    let versions = list("apiVersions").into_iter().enumerate().filter(|(_, version)| version.is_empty());
    errors.extend(versions.map(|(at, _)| FieldError::required(format!("{path}.apiVersions[{at}]"), "")));
    resources(&list("resources"), &rule["resources"], &format!("{path}.resources"), errors);
    if let Some(scope) = rule["scope"].as_str() {
        one_of(scope, &format!("{path}.scope"), &["*", "Cluster", "Namespaced"], errors);
    }
}

fn resources(list: &[&str], value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut with_all_below, mut of_all) = (BTreeSet::new(), BTreeSet::new());
    let mut last_is_plain = false;
    for (at, resource) in list.iter().enumerate() {
        if resource.is_empty() {
            errors.push(FieldError::required(format!("{path}[{at}]"), ""));
            continue;
        }
        let Some((name, subresource)) = resource.split_once('/') else {
            last_is_plain = *resource != "*";
            continue;
        };
        let mut covered = |by: String| {
            let detail = format!("if '{by}' is present, must not specify {resource}");
            errors.push(FieldError::invalid(format!("{path}[{at}]"), *resource, detail));
        };
        if with_all_below.contains(name) {
            covered(format!("{name}/*"));
        }
        if of_all.contains(subresource) {
            covered(format!("*/{subresource}"));
        }
        if subresource == "*" {
            with_all_below.insert(name);
        }
        if name == "*" {
            of_all.insert(subresource);
        }
    }
    if list.len() > 1 && list.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, value.clone(), detail));
    }
    if list.contains(&"*") && last_is_plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, value.clone(), detail));
    }
}

/// What is wrong with the `matchConditions` of `holder`, in which `variables` are known.
pub(super) fn match_conditions(holder: &Value, variables: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.matchConditions");
    let conditions = items(holder, "matchConditions");
    if conditions.len() > CONDITIONS_MAX {
        let detail = format!("must have at most {CONDITIONS_MAX} items");
        errors.push(FieldError::new(Kind::TooMany, path.as_str(), conditions.len(), detail));
    }
    let mut names = BTreeSet::new();
    for (at, condition) in conditions.iter().enumerate() {
        let (expression, name) = (text(condition, "expression").trim(), text(condition, "name"));
        let field = format!("{path}[{at}].expression");
        if expression.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if let Err(why) = cel::check_free(expression, variables, Wanted::Bool) {
            errors.push(FieldError::invalid(field, expression, why));
        }
        let field = format!("{path}[{at}].name");
        if name.is_empty() {
            errors.push(FieldError::required(field.as_str(), ""));
        }
        if has(condition, "name") && !name.is_empty() {
            let wrong = forms::qualified(name);
            errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(field.as_str(), name, wrong)));
            if !names.insert(name) {
                errors.push(FieldError::duplicate(field, name));
            }
        }
    }
}
