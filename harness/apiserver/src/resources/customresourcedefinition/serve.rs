//! From a definition to the resources it stands for.

use std::sync::Arc;

use serde_json::Value;

use super::{is_true, versions};
use crate::convert::Webhook;
use crate::resource::{NoRules, Resource, ScalePaths, Subresource};
use crate::schema::compile;
use crate::table;

/// What may be done with custom resources, in the order discovery tells.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// What may still be done with them while their definition goes.
const LAST_VERBS: [&str; 5] = ["delete", "deletecollection", "get", "list", "watch"];

/// The resources a definition stands for, one for each served version; none before it is established.
pub fn resources(definition: &Value) -> Vec<Resource> {
    if !is_true(definition, "Established") {
        return Vec::new();
    }
    versions(definition).filter(|v| v["served"] == true).map(|version| resource(definition, version)).collect()
}

fn resource(definition: &Value, version: &Value) -> Resource {
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<String>>();
    let subresources = &version["subresources"];
    let kind = text(&names["kind"]);
    let verbs: &[&str] = if is_true(definition, "Terminating") { &LAST_VERBS } else { &VERBS };
    let storage = versions(definition).find(|v| v["storage"] == true).map(|v| text(&v["name"]));
    let selectable = version["selectableFields"].as_array().into_iter().flatten();
    Resource {
        group: text(&spec["group"]),
        version: text(&version["name"]),
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        list_kind: text(&names["listKind"]),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        verbs: verbs.iter().map(|v| (*v).to_owned()).collect(),
        subresources: subresources_of(subresources, &kind),
        schema: compile::custom(version.pointer("/schema/openAPIV3Schema").filter(|s| !s.is_null())).into(),
        has_status: subresources["status"].is_object(),
        scale: scale(&subresources["scale"]),
        columns: table::printer_columns(version),
        selectable_fields: selectable.map(|f| text(&f["jsonPath"]).trim_start_matches('.').to_owned()).collect(),
        definition: Some(text(&definition["metadata"]["name"])),
        deprecation: deprecation(spec, version, &kind),
        storage_version: storage,
        conversion: Webhook::from_conversion(&spec["conversion"]).map(Arc::new),
        rules: &NoRules,
        kind,
    }
}

fn subresources_of(subresources: &Value, kind: &str) -> Vec<Subresource> {
    let verbs = || ["get", "patch", "update"].map(str::to_owned).to_vec();
    let own = |name: &str| Subresource {
        name: name.to_owned(),
        group: String::new(),
        version: String::new(),
        kind: kind.to_owned(),
        verbs: verbs(),
    };
    let scale = || Subresource {
        name: "scale".to_owned(),
        group: "autoscaling".to_owned(),
        version: "v1".to_owned(),
        kind: "Scale".to_owned(),
        verbs: verbs(),
    };
    let status = subresources["status"].is_object().then(|| own("status"));
    status.into_iter().chain(subresources["scale"].is_object().then(scale)).collect()
}

fn scale(scale: &Value) -> Option<ScalePaths> {
    let path = |key: &str| scale[key].as_str().map(str::to_owned);
    Some(ScalePaths {
        spec_replicas: path("specReplicasPath")?,
        status_replicas: path("statusReplicasPath")?,
        label_selector: path("labelSelectorPath").filter(|p| !p.is_empty()),
    })
}

fn deprecation(spec: &Value, version: &Value, kind: &str) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
        Some(warning) => warning.to_owned(),
        None => format!("{}/{} {kind} is deprecated", text(&spec["group"]), text(&version["name"])),
    })
}
