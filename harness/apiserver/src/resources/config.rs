//! Configuration: `ConfigMap`, `Secret`, `ServiceAccount`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::metadata::{IMMUTABLE, refuse, too_long};
use super::names;
use super::pod::defaults::default_text;
use super::print::{age, between, column, name};
use super::simple::{SIMPLE, Simple};
use super::value::{entries, flag, has, items, object, remove, set, text};
use crate::field::FieldError;

/// All values of one object, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
const IMMUTABLE_WHEN_SET: &str = "field is immutable when `immutable` is set";
const SERVICE_ACCOUNT: &str = "kubernetes.io/service-account.name";

pub(super) static CONFIG_MAP: Simple = Simple {
    validate: validate_config_map,
    change: |new, old, errors| immutable(new, old, &["data", "binaryData"], errors),
    columns: || between([column("Data", "string", CONFIG_DATA)]),
    row: |object, now| vec![name(object), count(object, &["data", "binaryData"]), age(object, now)],
    ..SIMPLE
};

pub(super) static SECRET: Simple = Simple {
    default: default_secret,
    validate: validate_secret,
    change: |new, old, errors| {
        if text(new, "type") != text(old, "type") {
            errors.push(FieldError::invalid("type", text(new, "type"), IMMUTABLE));
        }
        immutable(new, old, &["data"], errors);
    },
    fields: &["type"],
    field: |secret, path| (path == "type").then(|| text(secret, "type").to_owned()),
    columns: || between([column("Type", "string", SECRET_TYPE), column("Data", "string", SECRET_DATA)]),
    row: |object, now| vec![name(object), text(object, "type").into(), count(object, &["data"]), age(object, now)],
    ..SIMPLE
};

pub(super) static ACCOUNT: Simple = Simple {
    columns: || between([column("Secrets", "string", ACCOUNT_SECRETS)]),
    row: |object, now| vec![name(object), items(object, "secrets").len().into(), age(object, now)],
    ..SIMPLE
};

const CONFIG_DATA: &str = "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or \
    '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap \
    with the keys in the BinaryData field, this is enforced during validation process.";
const SECRET_TYPE: &str = "Used to facilitate programmatic handling of secret data. More info: \
    https://kubernetes.io/docs/concepts/configuration/secret/#secret-types";
const SECRET_DATA: &str = "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The \
    serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly non-string) \
    data value here. Described in https://tools.ietf.org/html/rfc4648#section-4";
const ACCOUNT_SECRETS: &str = "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount \
    are allowed to use. Pods are only limited to this list if this service account has a \
    \"kubernetes.io/enforce-mountable-secrets\" annotation set to \"true\". The \
    \"kubernetes.io/enforce-mountable-secrets\" annotation is deprecated since v1.32. Prefer separate namespaces to \
    isolate access to mounted secrets. This field should not be used to find auto-generated service account token \
    secrets for use outside of pods. Instead, tokens can be requested directly using the TokenRequest API, or service \
    account token secrets can be manually created. More info: https://kubernetes.io/docs/concepts/configuration/secret";

fn count(object: &Value, maps: &[&str]) -> Value {
    maps.iter().map(|map| entries(object, map).count()).sum::<usize>().into()
}

fn validate_config_map(map: &Value, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in entries(map, "data") {
        refuse(errors, &format!("data[{key}]"), key, names::config_key(key));
        if has(&map["binaryData"], key) {
            errors.push(FieldError::invalid(
                format!("data[{key}]"),
                key.as_str(),
                "duplicate of key present in binaryData",
            ));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(map, "binaryData") {
        refuse(errors, &format!("binaryData[{key}]"), key, names::config_key(key));
        size += decoded_len(value);
    }
    if size > MAX_BYTES {
        errors.push(too_long("", MAX_BYTES));
    }
}

fn decoded_len(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.trim_end_matches('=').len() * 3 / 4)
}

/// What is marked immutable keeps its values and its mark.
fn immutable(new: &Value, old: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if !flag(old, "immutable") {
        return;
    }
    if !flag(new, "immutable") {
        errors.push(FieldError::forbidden("immutable", IMMUTABLE_WHEN_SET));
    }
    for field in fields {
        if new[*field] != old[*field] {
            errors.push(FieldError::forbidden(*field, IMMUTABLE_WHEN_SET));
        }
    }
}

/// `stringData` is for writing only.
fn default_secret(secret: &mut Value) {
    default_text(secret, "type", "Opaque");
    let Some(Value::Object(plain)) = remove(secret, "stringData") else { return };
    if plain.is_empty() {
        return;
    }
    if let Some(data) = object(secret, "data") {
        for (key, value) in plain {
            set(data, &key, BASE64.encode(value.as_str().unwrap_or_default()));
        }
    }
}

fn validate_secret(secret: &Value, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in entries(secret, "data") {
        refuse(errors, &format!("data[{key}]"), key, names::config_key(key));
        size += decoded_len(value);
    }
    if size > MAX_BYTES {
        errors.push(too_long("data", MAX_BYTES));
    }
    let require = |keys: &[&str], errors: &mut Vec<FieldError>| {
        let missing = keys.iter().filter(|key| secret["data"].get(**key).is_none());
        errors.extend(missing.map(|key| FieldError::required(format!("data[{key}]"), "")));
    };
    match text(secret, "type") {
        "kubernetes.io/service-account-token"
            if text(&secret["metadata"]["annotations"], SERVICE_ACCOUNT).is_empty() =>
        {
            errors.push(FieldError::required(format!("metadata.annotations[{SERVICE_ACCOUNT}]"), ""));
        }
        "kubernetes.io/dockercfg" => json_key(secret, ".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => json_key(secret, ".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" => {
            let either = ["username", "password"].iter().any(|key| secret["data"].get(*key).is_some());
            if !either {
                require(&["username", "password"], errors);
            }
        }
        "kubernetes.io/ssh-auth" => require(&["ssh-privatekey"], errors),
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"], errors),
        _ => {}
    }
}

/// A key whose value must be JSON.
fn json_key(secret: &Value, key: &str, errors: &mut Vec<FieldError>) {
    let path = format!("data[{key}]");
    let Some(value) = secret["data"].get(key) else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    let bytes = BASE64.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Value>(&bytes) {
        errors.push(FieldError::invalid(path, "<secret contents redacted>", error.to_string()));
    }
}
