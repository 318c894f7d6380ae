//! What is wrong with how a definition's versions are converted.

use serde_json::Value;

use crate::field::FieldError;
use crate::resources::names as forms;

/// The versions of `ConversionReview` that this server speaks.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

pub(super) fn check(conversion: &Value, old: Option<&Value>) -> Vec<FieldError> {
    const PATH: &str = "spec.conversion";
    if !conversion.is_object() {
        return Vec::new();
    }
    let webhook = &conversion["webhook"];
    let config = &webhook["clientConfig"];
    let reviews = &webhook["conversionReviewVersions"];
    let mut errors = Vec::new();
    match conversion["strategy"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(format!("{PATH}.strategy"), "")),
        "None" => {}
        "Webhook" => {
            errors.extend(client(config, &format!("{PATH}.webhookClientConfig")));
            let known = old.map(|old| &old["conversion"]["webhook"]["conversionReviewVersions"]);
            let strict = known.is_none_or(|known| super::is_empty(known) || speaks(known));
            errors.extend(review_versions(reviews, strict, &format!("{PATH}.conversionReviewVersions")));
            return errors;
        }
        other => errors.push(FieldError::not_supported(format!("{PATH}.strategy"), other, &["None", "Webhook"])),
    }
    let detail = "should not be set when strategy is not set to Webhook";
    if !config.is_null() {
        errors.push(FieldError::forbidden(format!("{PATH}.webhookClientConfig"), detail));
    }
    if !super::is_empty(reviews) {
        errors.push(FieldError::forbidden(format!("{PATH}.conversionReviewVersions"), detail));
    }
    errors
}

fn client(config: &Value, path: &str) -> Vec<FieldError> {
    if !config.is_object() {
        return vec![FieldError::required(path, "required when strategy is set to Webhook")];
    }
    match (config["url"].as_str(), &config["service"]) {
        (Some(url), Value::Null) => webhook_url(url, &format!("{path}.url")),
        (None, service) if service.is_object() => webhook_service(service, &format!("{path}.service")),
        _ => vec![FieldError::required(path, "exactly one of url or service is required")],
    }
}

pub(in crate::resources) fn webhook_url(url: &str, path: &str) -> Vec<FieldError> {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut errors = Vec::new();
    if scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(FieldError::invalid(path, scheme, detail));
    }
    if host.is_empty() {
        errors.push(FieldError::invalid(path, host, format!("host must be specified{FORM}")));
    }
    for (part, detail) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !part.is_empty() {
            errors.push(FieldError::invalid(path, part, detail));
        }
    }
    errors
}

pub(in crate::resources) fn webhook_service(service: &Value, path: &str) -> Vec<FieldError> {
    let missing = ["name", "namespace"].into_iter().filter(|key| super::is_empty(&service[key]));
    let mut errors: Vec<FieldError> = missing.map(|key| FieldError::required(format!("{path}.{key}"), "")).collect();
    let port = service["port"].as_i64().unwrap_or(443);
    let wrong = forms::port_number(port);
    if !wrong.is_empty() {
        let detail = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(format!("{path}.port"), port, detail));
    }
    if let Some(text) = service["path"].as_str() {
        errors.extend(service_path(text, &format!("{path}.path")));
    }
    errors
}

/// What is wrong with a path: it is rooted, and its segments look like names of hosts.
fn service_path(text: &str, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if text.is_empty() || text == "/" {
        return errors;
    }
    if text == "//" {
        return vec![FieldError::invalid(path, text, "segment[0] may not be empty")];
    }
    if !text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must start with a '/'"));
    }
    // The first character is taken for the slash, whatever it is.
    let rest = text.char_indices().nth(1).map_or("", |(at, _)| &text[at..]);
    for (at, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if segment.is_empty() {
            errors.push(FieldError::invalid(path, text, format!("segment[{at}] may not be empty")));
            continue;
        }
        let wrong = forms::subdomain(segment).into_iter();
        errors.extend(wrong.map(|wrong| FieldError::invalid(path, text, format!("segment[{at}]: {wrong}"))));
    }
    errors
}

fn speaks(reviews: &Value) -> bool {
    reviews.as_array().into_iter().flatten().filter_map(Value::as_str).any(|v| REVIEW_VERSIONS.contains(&v))
}

fn review_versions(reviews: &Value, strict: bool, path: &str) -> Vec<FieldError> {
    let list: Vec<&str> = reviews.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if list.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    for (at, version) in list.iter().enumerate() {
        let field = format!("{path}[{at}]");
        if list[..at].contains(version) {
            errors.push(FieldError::invalid(field, *version, "duplicate version"));
            continue;
        }
        errors.extend(
            forms::rfc1035_label(version).into_iter().map(|wrong| FieldError::invalid(&*field, *version, wrong)),
        );
    }
    if strict && !speaks(reviews) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::invalid(path, reviews.clone(), detail));
    }
    errors
}
