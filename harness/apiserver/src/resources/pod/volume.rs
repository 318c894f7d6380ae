//! What is wrong with a pod's volumes.

use std::collections::HashSet;

use serde_json::Value;

use super::container::{choice, descending_path, field_ref, no_steps_back, resource_ref};
use crate::field::FieldError;
use crate::resources::metadata::{NOT_NEGATIVE, refuse};
use crate::resources::names;
use crate::resources::quantity::Quantity;
use crate::resources::value::{has, int, items, keys, text};

const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// Sources whose fields are required texts.
const REQUIRED: [(&str, &[&str]); 13] = [
    ("secret", &["secretName"]),
    ("configMap", &["name"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("nfs", &["server", "path"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("gitRepo", &["repository"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("azureFile", &["secretName", "shareName"]),
    ("csi", &["driver"]),
    ("flexVolume", &["driver"]),
    ("hostPath", &["path"]),
];

/// Checks all volumes and tells their names.
pub(super) fn validate<'a>(spec: &'a Value, path: &str, errors: &mut Vec<FieldError>) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (i, volume) in items(spec, "volumes").iter().enumerate() {
        let path = format!("{path}.volumes[{i}]");
        let name = text(volume, "name");
        source(volume, &path, errors);
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
            continue;
        }
        let wrong = names::label(name);
        if wrong.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        refuse(errors, &format!("{path}.name"), name, wrong);
    }
    names
}

fn source(volume: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let kinds: Vec<&str> = keys(volume).into_iter().filter(|k| *k != "name").collect();
    for (i, kind) in kinds.iter().enumerate() {
        let path = format!("{path}.{kind}");
        if i > 0 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type"));
        } else {
            one(kind, &volume[*kind], &path, errors);
        }
    }
    if kinds.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn one(kind: &str, source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let required = REQUIRED.iter().find(|(k, _)| *k == kind).map(|(_, fields)| *fields).unwrap_or_default();
    for field in required {
        if text(source, field).is_empty() {
            errors.push(FieldError::required(format!("{path}.{field}"), ""));
        }
    }
    match kind {
        "hostPath" => {
            no_steps_back(text(source, "path"), &format!("{path}.path"), errors);
            let ty = text(source, "type");
            if !HOST_PATH_TYPES.contains(&ty) {
                errors.push(FieldError::not_supported(format!("{path}.type"), ty, &HOST_PATH_TYPES));
            }
        }
        "nfs" if !text(source, "path").is_empty() && !text(source, "path").starts_with('/') => {
            errors.push(FieldError::invalid(format!("{path}.path"), text(source, "path"), "must be an absolute path"));
        }
        "emptyDir" => {
            if let Some(limit) = Quantity::from_json(&source["sizeLimit"]).filter(Quantity::is_negative) {
                let detail = "SizeLimit field must be a valid resource quantity";
                errors.push(FieldError::forbidden(
                    format!("{path}.sizeLimit"),
                    format!("{detail}: {NOT_NEGATIVE}: {limit}"),
                ));
            }
        }
        "secret" | "configMap" => {
            mode(source, "defaultMode", path, errors);
            key_paths(source, path, errors);
        }
        "downwardAPI" => {
            mode(source, "defaultMode", path, errors);
            files(source, path, errors);
        }
        "projected" => projected(source, path, errors),
        "image" => choice(source, "pullPolicy", &["Always", "IfNotPresent", "Never"], path, errors),
        "ephemeral" if !has(source, "volumeClaimTemplate") => {
            errors.push(FieldError::required(format!("{path}.volumeClaimTemplate"), ""));
        }
        _ => {}
    }
}

fn mode(source: &Value, field: &str, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(mode) = int(source, field).filter(|m| !(0..=0o777).contains(m)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(format!("{path}.{field}"), mode, detail));
    }
}

fn key_paths(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (i, item) in items(source, "items").iter().enumerate() {
        let path = format!("{path}.items[{i}]");
        if text(item, "key").is_empty() {
            errors.push(FieldError::required(format!("{path}.key"), ""));
        }
        file(item, &path, errors);
    }
}

/// A file in a volume.
fn file(item: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let name = text(item, "path");
    let at = format!("{path}.path");
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    descending_path(name, &at, errors);
    if name.starts_with("..") && name != ".." && !name.starts_with("../") {
        errors.push(FieldError::invalid(at, name, "must not start with '..'"));
    }
    mode(item, "mode", path, errors);
}

fn files(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (i, item) in items(source, "items").iter().enumerate() {
        let path = format!("{path}.items[{i}]");
        file(item, &path, errors);
        match (has(item, "fieldRef"), has(item, "resourceFieldRef")) {
            (true, true) => errors.push(FieldError::invalid(
                path,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            )),
            (true, false) => field_ref(&item["fieldRef"], &FILE_FIELDS, &format!("{path}.fieldRef"), errors),
            (false, true) => resource_ref(&item["resourceFieldRef"], true, &format!("{path}.resourceFieldRef"), errors),
            (false, false) => {
                errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
            }
        }
    }
}

fn projected(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    mode(source, "defaultMode", path, errors);
    for (i, projection) in items(source, "sources").iter().enumerate() {
        let path = format!("{path}.sources[{i}]");
        let kinds = keys(projection);
        if kinds.is_empty() {
            errors.push(FieldError::required(&path, "must specify a volume type"));
        }
        for (i, kind) in kinds.iter().enumerate() {
            let (inner, path) = (&projection[*kind], format!("{path}.{kind}"));
            if i > 0 {
                errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type per source"));
                continue;
            }
            match *kind {
                "secret" | "configMap" => {
                    if text(inner, "name").is_empty() {
                        errors.push(FieldError::required(format!("{path}.name"), ""));
                    }
                    key_paths(inner, &path, errors);
                }
                "downwardAPI" => files(inner, &path, errors),
                "serviceAccountToken" => token(inner, &path, errors),
                _ => {}
            }
        }
    }
}

fn token(token: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let seconds = int(token, "expirationSeconds").unwrap_or_default();
    let at = format!("{path}.expirationSeconds");
    if seconds < 600 {
        errors.push(FieldError::invalid(at, seconds, "may not specify a duration less than 10 minutes"));
    } else if seconds > 1 << 32 {
        errors.push(FieldError::invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    if text(token, "path").is_empty() {
        errors.push(FieldError::required(format!("{path}.path"), ""));
    }
}
