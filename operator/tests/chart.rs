//! The Helm chart's files that are made from the code, held against the code; and its values, held against the settings.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use slipway_operator::runtime::rbac::{self, Install, Manifest};
use slipway_operator::runtime::{Controller, Rights, Settings};

/// Set this variable to write the files anew.
const UPDATE: &str = "UPDATE_CHART";

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

#[track_caller]
fn is_committed(path: &str, text: &str) {
    let path = deploy("helm/slipway-operator").join(path);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "{} is stale: run the tests once with {UPDATE}=1 and commit it", path.display());
}

#[test]
fn the_chart_has_the_same_definitions_webhooks_and_dashboard() {
    let pairs = [
        ("webhooks/drain.yaml", "files/webhooks.yaml"),
        ("dashboards/slipway.json", "files/dashboard.json"),
        ("crds/demo.example.com_hellos.yaml", "files/crds/demo.example.com_hellos.yaml"),
        ("crds/multinic.io_multinicnodeconfigs.yaml", "files/crds/multinic.io_multinicnodeconfigs.yaml"),
    ];
    for (original, copy) in pairs {
        is_committed(copy, &std::fs::read_to_string(deploy(original)).unwrap());
    }
    let definitions = Controller::ALL.into_iter().flat_map(Controller::crds).count();
    assert_eq!(std::fs::read_dir(deploy("helm/slipway-operator/files/crds")).unwrap().count(), definitions);
}

#[test]
fn the_chart_grants_the_same_rights() {
    let mut rights: BTreeMap<&str, Value> =
        Controller::ALL.into_iter().map(|controller| (controller.name(), json!(controller.rights()))).collect();
    rights.insert("manager", json!(Rights::of_the_manager()));
    let people = rbac::parts(&Install::default()).into_iter().filter(|part| part.name == "people");
    let people: Map<String, Value> = people
        .flat_map(|part| part.manifests)
        .filter_map(|manifest| {
            let Manifest::ClusterRole(role) = manifest else { return None };
            let labels = role.metadata.labels.unwrap_or_default();
            let aggregate = |label: &String| label.split_once("aggregate-to-").map(|(_, to)| to.to_owned());
            let to: Vec<_> = labels.keys().filter_map(aggregate).collect();
            Some((role.metadata.name?, json!({ "aggregateTo": to, "rules": role.rules })))
        })
        .collect();
    rights.insert("people", Value::Object(people));
    let head = "# Made from the code: what each controller may do, and where.\n";
    is_committed("files/rights.yaml", &format!("{head}{}", serde_yaml::to_string(&rights).unwrap()));
}

fn values() -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(deploy("helm/slipway-operator/values.yaml")).unwrap()).unwrap()
}

#[test]
fn every_setting_has_a_value_and_the_values_are_settings() {
    let settings = &values()["settings"];
    let read: Settings = serde_json::from_value(settings.clone()).unwrap();
    let default = Settings::default();
    assert_eq!((&read.hello, read.shutdown_timeout), (&default.hello, default.shutdown_timeout));
    let multinic = slipway_operator::controllers::multinic::Settings {
        agent_image: default.multinic.agent_image.clone(),
        ..read.multinic.clone()
    };
    assert_eq!(multinic, default.multinic, "the chart's defaults are the program's");
    let tag = read.multinic.agent_image.rsplit(':').next();
    assert_eq!(tag, Some(env!("CARGO_PKG_VERSION")));
    let mut missing = Vec::new();
    compare("settings", &json!(default), settings, &mut missing);
    // Each replica is called as its Pod.
    missing.retain(|path| path != "settings.leaderElection.identity");
    assert!(missing.is_empty(), "not in values.yaml: {missing:?}");
}

/// The fields of `all` that `some` does not have.
fn compare(path: &str, all: &Value, some: &Value, missing: &mut Vec<String>) {
    for (name, value) in all.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match some.get(name) {
            Some(other) => compare(&path, value, other, missing),
            None => missing.push(path),
        }
    }
}

#[test]
fn the_schema_of_the_values_is_that_of_the_settings() {
    let mut settings = schemars::schema_for!(Settings).to_value();
    let fields = settings.as_object_mut().unwrap();
    fields.remove("$schema");
    let mut definitions = fields.remove("$defs").and_then(|it| it.as_object().cloned()).unwrap_or_default();
    definitions.insert("OperatorSettings".to_owned(), settings);
    let mut properties = Map::new();
    for (name, value) in values().as_object().unwrap() {
        properties.insert(name.clone(), of(name, value));
    }
    properties.insert("settings".to_owned(), json!({ "$ref": "#/$defs/OperatorSettings" }));
    // Helm puts these in by itself.
    properties.insert("global".to_owned(), json!({ "type": "object" }));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart slipway-operator",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    });
    is_committed("values.schema.json", &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
}

/// The schema that a default implies: its type, and for a fixed set of fields those fields and no others.
fn of(name: &str, value: &Value) -> Value {
    /// Whose fields are the user's.
    const OPEN: [&str; 13] = [
        "data",
        "annotations",
        "labels",
        "resources",
        "affinity",
        "nodeSelector",
        "podAnnotations",
        "podLabels",
        "metricsFrom",
        "tracesTo",
        "requests",
        "limits",
        "global",
    ];
    match value {
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) if name == "minAvailable" => json!({ "type": ["integer", "string"] }),
        Value::Number(_) => json!({ "type": "integer", "minimum": 0 }),
        Value::String(_) if name == "pullPolicy" => json!({ "enum": ["Always", "IfNotPresent", "Never"] }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(_) => json!({ "type": "array" }),
        Value::Object(_) if OPEN.contains(&name) => json!({ "type": "object" }),
        Value::Object(fields) => {
            let fields: Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), of(name, value))).collect();
            json!({ "type": "object", "properties": fields, "additionalProperties": false })
        }
        Value::Null => json!({}),
    }
}
