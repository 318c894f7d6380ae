//! What is wrong with the schema of a custom resource definition: form, structure, defaults, list types, rules.
//!
//! Rules are judged only where the schema around them is right, as Kubernetes does: what it would say otherwise helps
//! nobody.

mod lists;

use serde_json::Value;

use super::cel::compile as rules;
use super::node::{Schema, SchemaRef};
use super::{compile, prune, structural, validate};
use crate::field::FieldError;

/// What may stand at the root of a schema whose `status` is a subresource, by the names of Go's fields.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// JSON types, as errors list them.
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Reasons a rule may give.
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with an `openAPIV3Schema` that stands at `path`.
pub fn check(schema: &Value, has_status: bool, path: &str) -> Vec<FieldError> {
    let mut errors = if has_status { root(schema, path) } else { Vec::new() };
    if schema["nullable"] == true {
        errors.push(FieldError::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    let unsupported = structural::unsupported(schema);
    let mut compiled = None;
    if unsupported.is_none() {
        let found = structural::check(schema, path);
        if found.is_empty() {
            let root = compile::custom(Some(schema));
            let found = defaults(schema, &root, path);
            if found.is_empty() {
                compiled = Some(root);
            }
            errors.extend(found);
        } else {
            errors.extend(found);
        }
    }
    let (of_form, of_rules) =
        form(schema, path, &Surroundings { is_root: true, ..Default::default() }, compiled.as_ref());
    errors.extend(of_form);
    errors.extend(of_rules);
    if let (true, Some(keyword)) = (errors.is_empty(), unsupported) {
        errors.push(FieldError::invalid(path, "", format!("OpenAPIV3Schema '{keyword}' is not supported")));
    }
    errors
}

fn root(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, _) in schema.as_object().into_iter().flatten() {
        if key == "type" && schema["type"] != "object" {
            let detail =
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            errors.push(FieldError::invalid(format!("{path}.type"), schema["type"].clone(), detail));
            break;
        }
        if !AT_ROOT.iter().any(|(known, _)| known == key) {
            let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
            let names = names.join(" ");
            let detail = format!(
                "only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
            );
            errors.push(FieldError::invalid(path, schema.clone(), detail));
            break;
        }
    }
    errors
}

/// Defaults must be of the schema they stand in.
fn defaults(document: &Value, schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(default) = document.get("default").filter(|d| !d.is_null()) {
        let field = format!("{path}.default");
        let mut pruned = default.clone();
        prune::quietly(&mut pruned, schema);
        if pruned != *default {
            errors.push(FieldError::invalid(&*field, default.clone(), "must not have unknown fields"));
        }
        errors.extend(validate::value(default, schema, &field));
    }
    if let (Some(items), Some(known)) = (document.get("items"), &schema.items) {
        errors.extend(defaults(items, known.get(), &format!("{path}.items")));
    }
    for (name, field) in document["properties"].as_object().into_iter().flatten() {
        if let Some(known) = schema.properties.get(name) {
            errors.extend(defaults(field, known.get(), &format!("{path}.properties[{name}]")));
        }
    }
    errors
}

/// What the nodes above one mean for it.
#[derive(Clone, Default)]
struct Surroundings {
    is_root: bool,
    inside_metadata: bool,
    /// Why defaults are not allowed.
    no_defaults: Option<String>,
    /// The first node above whose parts are not found again in an old object.
    uncorrelated: Option<String>,
}

/// Errors of form and errors of rules, at and below a node.
fn form(
    document: &Value,
    path: &str,
    around: &Surroundings,
    schema: Option<&Schema>,
) -> (Vec<FieldError>, Vec<FieldError>) {
    let mut own = keywords(document, path, around);
    let mut of_rules = Vec::new();
    for (child, step) in structural::children(document) {
        let below = below(document, path, &step, around);
        let known = schema.and_then(|schema| compiled_child(schema, &step));
        let (form_errors, rule_errors) = form(child, &format!("{path}.{step}"), &below, known);
        own.extend(form_errors);
        of_rules.extend(rule_errors);
    }
    own.extend(lists::check(document, path));
    own.extend(rule_form(document, path));
    if own.is_empty()
        && let Some(schema) = schema
    {
        of_rules.extend(rule_content(document, path, around, schema));
    }
    (own, of_rules)
}

fn compiled_child<'a>(schema: &'a Schema, step: &str) -> Option<&'a Schema> {
    let child = match step {
        "items" => schema.items.as_ref(),
        "additionalProperties" => schema.additional.as_ref(),
        step => schema.properties.get(step.strip_prefix("properties[")?.strip_suffix(']')?),
    };
    child.map(SchemaRef::get)
}

fn below(document: &Value, path: &str, step: &str, around: &Surroundings) -> Surroundings {
    let mut next = Surroundings { is_root: false, ..around.clone() };
    let uncorrelate = |next: &mut Surroundings| {
        next.uncorrelated.get_or_insert_with(|| path.to_owned());
    };
    if step == "items" && document["x-kubernetes-list-type"] != "map" {
        uncorrelate(&mut next);
    }
    if step == "additionalProperties" && around.inside_metadata {
        next.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
    }
    let name = step.strip_prefix("properties[").and_then(|s| s.strip_suffix(']')).unwrap_or_default();
    let resource = around.is_root || document["x-kubernetes-embedded-resource"] == true;
    if resource && matches!(name, "metadata" | "kind" | "apiVersion") {
        next.inside_metadata = true;
        if around.is_root {
            next.no_defaults = Some(format!("in top-level {name}"));
        }
    }
    next
}

fn keywords(document: &Value, path: &str, around: &Surroundings) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |key: &str| format!("{path}.{key}");
    let ty = document["type"].as_str().unwrap_or_default();
    if !ty.is_empty() && !TYPES.contains(&ty) {
        errors.push(FieldError::not_supported(at("type"), ty, &TYPES));
    }
    if ty == "null" {
        errors.push(FieldError::forbidden(at("type"), "type cannot be set to null, use nullable as an alternative"));
    }
    let is_set = |key: &str| document.get(key).is_some_and(|v| !v.is_null());
    if let Some(why) = around.no_defaults.as_ref().filter(|_| is_set("default")) {
        errors.push(FieldError::forbidden(at("default"), format!("must not be set {why}")));
    }
    for key in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if is_set(key) {
            errors.push(FieldError::forbidden(at(key), format!("{key} is not supported")));
        }
    }
    if document["items"].is_array() {
        errors.push(FieldError::forbidden(at("items"), "items must be a schema object and not an array"));
    }
    if around.inside_metadata && document["x-kubernetes-embedded-resource"] == true {
        let detail = "must not be used inside of resource meta";
        errors.push(FieldError::forbidden(at("x-kubernetes-embedded-resource"), detail));
    }
    if document["uniqueItems"] == true {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(at("uniqueItems"), detail));
    }
    let additional = &document["additionalProperties"];
    let has_properties = document["properties"].as_object().is_some_and(|p| !p.is_empty());
    if has_properties && (additional.is_object() || *additional == false) {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(at("additionalProperties"), detail));
    }
    if document["x-kubernetes-preserve-unknown-fields"] == false {
        let field = at("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(field, false, "must be true or undefined"));
    }
    errors
}

/// What is wrong with how rules are written down.
fn rule_form(document: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, rule) in document["x-kubernetes-validations"].as_array().into_iter().flatten().enumerate() {
        let field = |key: &str| format!("{path}.x-kubernetes-validations[{at}].{key}");
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let blank = |key: &str| !text(key).is_empty() && text(key).trim().is_empty();
        let broken = |key: &str| text(key).trim().contains(['\n', '\r']);
        if text("rule").trim().is_empty() {
            errors.push(FieldError::required(field("rule"), "rule is not specified"));
        } else if blank("message") {
            errors.push(FieldError::invalid(field("message"), text("message"), "must be non-empty if specified"));
        } else if broken("message") {
            errors.push(FieldError::invalid(field("message"), text("message"), "must not contain line breaks"));
        } else if broken("rule") && text("message").is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(field("message"), detail));
        }
        if blank("messageExpression") {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(field("messageExpression"), detail));
        }
        if !text("reason").is_empty() && !REASONS.contains(&text("reason")) {
            errors.push(FieldError::not_supported(field("reason"), text("reason"), &REASONS));
        }
        if blank("fieldPath") {
            errors.push(FieldError::invalid(field("fieldPath"), text("fieldPath"), "must be non-empty if specified"));
        }
        if text("fieldPath").contains(['\n', '\r']) {
            errors.push(FieldError::invalid(field("fieldPath"), text("fieldPath"), "must not contain line breaks"));
        }
        if !text("fieldPath").is_empty() && field_at(document, text("fieldPath")).is_err() {
            errors.push(FieldError::invalid(field("fieldPath"), text("fieldPath"), "must be a valid path"));
        }
    }
    errors
}

/// What is wrong with what rules say.
fn rule_content(document: &Value, path: &str, around: &Surroundings, schema: &Schema) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, rule) in schema.rules.iter().enumerate() {
        let field = |key: &str| format!("{path}.x-kubernetes-validations[{at}].{key}");
        let shown = || document["x-kubernetes-validations"][at].clone();
        let findings = rules::check(rule, schema);
        errors.extend(findings.rule.map(|why| FieldError::invalid(field("rule"), shown(), why)));
        let message = findings.message_expression;
        errors.extend(message.map(|why| FieldError::invalid(field("messageExpression"), shown(), why)));
        match &around.uncorrelated {
            Some(above) if findings.uses_old_self => {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
                errors.push(FieldError::invalid(field("rule"), rule.rule.as_str(), detail));
            }
            _ if !findings.uses_old_self
                && document["x-kubernetes-validations"][at].get("optionalOldSelf").is_some() =>
            {
                let detail = "may not be set if oldSelf is not used in rule";
                errors.push(FieldError::invalid(field("optionalOldSelf"), rule.optional_old_self, detail));
            }
            _ => {}
        }
    }
    errors
}

/// The schema of the field that a simple JSON path (`.a.b`, `.a['b']`) leads to.
///
/// # Errors
/// Where the path goes astray.
pub fn field_at<'a>(schema: &'a Value, path: &str) -> Result<&'a Value, String> {
    let mut at = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix("['") {
            let (inner, after) = quoted.split_once("']").ok_or("unexpected end of JSON path")?;
            name = inner.replace("\\'", "'").replace("\\\\", "\\");
            rest = after;
        } else if let Some(plain) = rest.strip_prefix('.') {
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            let (inner, after) = plain.split_at(end);
            if inner.is_empty() {
                return Err("unexpected end of JSON path".to_owned());
            }
            name = inner.to_owned();
            rest = after;
        } else {
            return Err(format!("expected [ or . but got: {rest}"));
        }
        let next = at["properties"].get(&name);
        let in_map = || Some(&at["additionalProperties"]).filter(|a| a.is_object());
        at = match next {
            Some(next) => next,
            None if at["properties"].is_object() => return Err("does not refer to a valid field".to_owned()),
            None => in_map().ok_or("does not refer to a valid field")?,
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
