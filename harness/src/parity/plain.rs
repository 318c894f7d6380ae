//! An object without what no two runs have in common.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::cluster::access::RUN_LABEL;

/// Of an object's metadata, what every write or every cluster makes anew.
const METADATA: [&str; 7] =
    ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid", "deletionTimestamp"];

/// Labels and annotations that say which run made an object, how it came there, or when it was last changed.
const MARKS: [&str; 4] = [
    RUN_LABEL,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.daemonset.template.generation",
    "endpoints.kubernetes.io/last-change-trigger-time",
];

/// Lists whose order says nothing: who came first is a matter of time.
const UNORDERED: [&str; 2] = ["conditions", "endpoints"];

/// What is written in place of text that differs from run to run.
const TIME: &str = "<time>";
const UID: &str = "<uid>";
const ADDRESS: &str = "<address>";
const NAMESPACE: &str = "<namespace>";

/// What a run's names look like.
#[derive(Clone, Debug)]
pub struct Names {
    namespace: String,
    /// What to look for, and what is written in its place.
    patterns: Vec<(Regex, &'static str)>,
}

impl Names {
    /// Those of a scenario that ran in this namespace.
    pub fn new(namespace: &str) -> Self {
        let patterns = [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", TIME),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", UID),
            (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", ADDRESS),
            // What generated names end with: the letters that Kubernetes draws from spell no words.
            (r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-*"),
            // Digests of what a name stands for, a uid among it.
            (r"\b[0-9a-f]{10}\b", "<digest>"),
            // Those of templates, in the letters that digits are written with there.
            (r"\b[4-9bcdf]{8,10}\b", "<digest>"),
        ];
        let compiled = patterns.into_iter().filter_map(|(pattern, instead)| Some((Regex::new(pattern).ok()?, instead)));
        Self { namespace: namespace.to_owned(), patterns: compiled.collect() }
    }

    /// A text without what differs from run to run.
    pub fn plain(&self, text: &str) -> String {
        if text == self.namespace {
            return NAMESPACE.to_owned();
        }
        let replaced = |text: String, (pattern, instead): &(Regex, &'static str)| {
            if pattern.is_match(&text) { pattern.replace_all(&text, *instead).into_owned() } else { text }
        };
        self.patterns.iter().fold(text.to_owned(), replaced)
    }
}

/// An object without what no two runs have in common.
pub fn plain(object: &Value, names: &Names) -> Value {
    let mut object = walk(object, names);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        forget(metadata, &METADATA);
        for marks in ["labels", "annotations"] {
            if let Some(known) = metadata.get_mut(marks).and_then(Value::as_object_mut) {
                forget(known, &MARKS);
            }
            if metadata.get(marks).and_then(Value::as_object).is_some_and(Map::is_empty) {
                metadata.remove(marks);
            }
        }
        if let Some(prefix) = metadata.get("generateName").and_then(Value::as_str) {
            let name = format!("{prefix}*");
            metadata.insert("name".to_owned(), name.into());
        }
    }
    object
}

fn forget(fields: &mut Map<String, Value>, names: &[&str]) {
    fields.retain(|name, _| !names.contains(&name.as_str()));
}

fn walk(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => names.plain(text).into(),
        Value::Array(items) => items.iter().filter(|item| !is_mark(item)).map(|item| walk(item, names)).collect(),
        Value::Object(fields) => {
            // In order, whichever order a server writes them in.
            let sorted: BTreeMap<&String, &Value> =
                fields.iter().filter(|(name, value)| *name != RUN_LABEL && !are_marks(value)).collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), ordered(name, walk(value, names)))).collect()
        }
        other => other.clone(),
    }
}

/// A list in an order of its own where it has none.
fn ordered(name: &str, mut value: Value) -> Value {
    if let Value::Array(items) = &mut value
        && UNORDERED.contains(&name)
    {
        items.sort_by_cached_key(|item| (item.get("type").map(Value::to_string), item.to_string()));
    }
    value
}

/// The taint that keeps Pods of others off a scenario's nodes, and the toleration that lets its own on. The label of the run,
/// by which its own are sent there, is told by its name.
fn is_mark(item: &Value) -> bool {
    item.get("key").and_then(Value::as_str) == Some(RUN_LABEL)
}

fn are_marks(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty() && items.iter().all(is_mark),
        Value::Object(fields) => !fields.is_empty() && fields.keys().all(|name| name == RUN_LABEL),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_runs_of_one_scenario_look_the_same() {
        let run = |uid: &str, namespace: &str, time: &str, suffix: &str, address: &str| {
            json!({
                "kind": "Pod",
                "metadata": {
                    "name": format!("job-{suffix}"), "generateName": "job-", "namespace": namespace, "uid": uid,
                    "resourceVersion": suffix, "creationTimestamp": time, "managedFields": [{"time": time}],
                    "labels": {"slipway.dev/run": suffix, "batch.kubernetes.io/controller-uid": uid},
                },
                "spec": {"volumes": [{"name": format!("kube-api-access-{suffix}")}]},
                "message": format!("made by apply-{}-{suffix}", &uid.replace('-', "")[..10]),
                "status": {"podIP": address, "startTime": time, "phase": "Succeeded"},
            })
        };
        let one = run("0a0a0a0a-0000-4000-8000-000000000001", "s", "2026-01-01T00:00:00Z", "bcd24", "10.244.0.3");
        let two =
            run("0b0b0b0b-0000-4000-8000-000000000002", "slipway-x", "2026-02-02T01:02:03.5Z", "zz9zz", "10.1.2.3");
        assert_eq!(plain(&one, &Names::new("s")), plain(&two, &Names::new("slipway-x")));
    }

    #[test]
    fn what_tells_a_run_from_others_is_no_part_of_a_node_or_pod() {
        let names = Names::new("s");
        let node = |taints: Value| json!({"kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": taints}});
        let (mark, other) = (json!({"key": RUN_LABEL, "effect": "NoSchedule"}), json!({"key": "a"}));
        assert_eq!(plain(&node(json!([mark])), &names)["spec"], json!({}));
        assert_eq!(plain(&node(json!([other, mark])), &names), node(json!([other])));
        let set = |selector: Value| json!({"kind": "StatefulSet", "spec": {"template": {"spec": {"nodeSelector": selector}}}});
        let template = |selector: Value| plain(&set(selector), &names)["spec"]["template"]["spec"].clone();
        assert_eq!(template(json!({RUN_LABEL: "0123456789"})), json!({}));
        assert_eq!(template(json!({RUN_LABEL: "0123456789", "disk": "ssd"})), json!({"nodeSelector": {"disk": "ssd"}}));
    }

    #[test]
    fn who_was_there_first_is_no_part_of_a_list_without_an_order() {
        let names = Names::new("s");
        let of = |one: &str, other: &str| {
            let conditions = json!([{"type": one, "status": "True"}, {"type": other, "status": "True"}]);
            let endpoints = json!([{"nodeName": one}, {"nodeName": other}]);
            plain(&json!({"status": {"conditions": conditions}, "endpoints": endpoints}), &names)
        };
        assert_eq!(of("Ready", "Served"), of("Served", "Ready"));
        let args = plain(&json!({"args": ["b", "a"]}), &names);
        assert_eq!(args, json!({"args": ["b", "a"]}));
    }

    #[test]
    fn digests_of_templates_differ_with_the_run() {
        let names = Names::new("s");
        assert_eq!(names.plain("web-d67c775c-x1z2w"), "web-<digest>-x1z2w");
        assert_eq!(names.plain("web-8d997b78f-bcd24"), "web-<digest>-*");
        assert_eq!(names.plain("agent-76b8dcdbd"), names.plain("agent-6b9f8d7c5b"));
        assert_eq!(names.plain("port 49160, version 1.2.3"), "port 49160, version 1.2.3");
    }

    #[test]
    fn what_a_scenario_is_about_is_kept() {
        let object = json!({
            "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"app": "x"}, "finalizers": ["f"]},
            "data": {"version": "1.2.3", "count": "4"},
        });
        assert_eq!(plain(&object, &Names::new("s")), object);
    }
}
