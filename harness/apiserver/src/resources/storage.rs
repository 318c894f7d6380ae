//! Storage: classes, volumes and claims.

use serde_json::{Value, json};

use super::listing;
use super::metadata::IMMUTABLE;
use super::pod::defaults::default_text;
use super::quantity::Quantity;
use super::simple::{SIMPLE, Simple, Status};
use super::value::{has, items, object, set_default, text};
use crate::field::FieldError;

pub(super) static CLASS: Simple = Simple {
    default: |class| {
        set_default(class, "reclaimPolicy", "Delete");
        set_default(class, "volumeBindingMode", "Immediate");
    },
    validate: |class, errors| {
        if text(class, "provisioner").is_empty() {
            errors.push(FieldError::required("provisioner", ""));
        }
    },
    change: |new, old, errors| {
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            if new[field] != old[field] {
                errors.push(FieldError::forbidden(field, "updates to this field are forbidden."));
            }
        }
    },
    columns: listing::class_columns,
    row: listing::class_row,
    ..SIMPLE
};

pub(super) static VOLUME: Simple = Simple {
    status: Status::Split,
    default: |volume| {
        if let Some(spec) = object(volume, "spec") {
            default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
            set_default(spec, "volumeMode", "Filesystem");
        }
        phase(volume);
    },
    validate: |volume, errors| {
        let spec = &volume["spec"];
        access(spec, errors);
        if !has(spec, "capacity") {
            errors.push(FieldError::required("spec.capacity", ""));
        }
    },
    columns: listing::volume_columns,
    row: listing::volume_row,
    ..SIMPLE
};

pub(super) static CLAIM: Simple = Simple {
    status: Status::Split,
    default: default_claim,
    validate: |claim, errors| {
        let spec = &claim["spec"];
        access(spec, errors);
        let wanted = Quantity::from_json(&spec["resources"]["requests"]["storage"]);
        match wanted {
            None => errors.push(FieldError::required("spec.resources[storage]", "")),
            Some(wanted) if wanted.is_negative() || wanted.is_zero() => {
                let at = "spec.resources[storage]";
                errors.push(FieldError::invalid(at, wanted.to_string(), "must be greater than zero"));
            }
            Some(_) => {}
        }
    },
    change: |new, old, errors| {
        for field in ["accessModes", "selector", "storageClassName", "volumeMode"] {
            if has(&old["spec"], field) && new["spec"][field] != old["spec"][field] {
                errors.push(FieldError::invalid(format!("spec.{field}"), new["spec"][field].clone(), IMMUTABLE));
            }
        }
    },
    columns: listing::claim_columns,
    row: listing::claim_row,
    ..SIMPLE
};

/// Defaults of a claim, also inside a `StatefulSet`.
pub(super) fn default_claim(claim: &mut Value) {
    if let Some(spec) = object(claim, "spec") {
        set_default(spec, "volumeMode", "Filesystem");
    }
    phase(claim);
}

fn phase(object_with_status: &mut Value) {
    set_default(object_with_status, "status", json!({}));
    if let Some(status) = object(object_with_status, "status") {
        default_text(status, "phase", "Pending");
    }
}

fn access(spec: &Value, errors: &mut Vec<FieldError>) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let modes = items(spec, "accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required("spec.accessModes", ""));
    }
    for mode in modes.iter().filter_map(Value::as_str).filter(|m| !MODES.contains(m)) {
        errors.push(FieldError::not_supported("spec.accessModes", mode, &MODES));
    }
}
