//! Sequences of writes as the oracle recorded them, and properties of apply over made-up objects.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::managed::{keep_times, manager_name, record_update, validate_field_manager};
use super::{Manager, Operation, apply};
use crate::resource::{NoRules, Resource};
use crate::resources::registry::Registry;
use crate::schema::compile;
use crate::status::ApiError;

const NOW: &str = "2026-01-02T03:04:05Z";
const LATER: &str = "2026-01-02T03:05:05Z";

fn builtin(group: &str, version: &str, plural: &str) -> Resource {
    (*Registry::builtin().find(group, version, plural).expect(plural)).clone()
}

fn manager(name: &str, operation: Operation) -> Manager {
    Manager { name: name.into(), operation, api_version: "v1".into(), subresource: String::new() }
}

/// An object under test and what is done to it.
struct Live {
    resource: Resource,
    object: Option<Value>,
}

impl Live {
    fn new(resource: Resource) -> Self {
        Self { resource, object: None }
    }

    fn config_map() -> Self {
        Self::new(builtin("", "v1", "configmaps"))
    }

    fn try_apply(&mut self, name: &str, body: Value, force: bool, now: &str) -> Result<Value, ApiError> {
        let body = self.complete(body);
        let version = body["apiVersion"].as_str().expect("version").to_owned();
        let manager = Manager { api_version: version, ..manager(name, Operation::Apply) };
        let mut new = apply(self.object.as_ref(), &body, &manager, force, &self.resource, now)?;
        if let Some(old) = &self.object {
            keep_times(&mut new, old);
        }
        self.object = Some(new.clone());
        Ok(new)
    }

    fn apply(&mut self, name: &str, body: Value) -> Value {
        self.try_apply(name, body, false, NOW).expect("apply")
    }

    fn conflict(&mut self, name: &str, body: Value) -> String {
        self.try_apply(name, body, false, NOW).expect_err("conflict").message
    }

    fn update(&mut self, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        self.update_at(name, NOW, change)
    }

    fn update_at(&mut self, name: &str, now: &str, change: impl FnOnce(&mut Value)) -> Value {
        let old = self.object.clone();
        let mut new = old.clone().unwrap_or_else(|| self.complete(json!({})));
        change(&mut new);
        record_update(&manager(name, Operation::Update), old.as_ref(), &mut new, &self.resource, now);
        self.object = Some(new.clone());
        new
    }

    fn complete(&self, mut body: Value) -> Value {
        let group = &self.resource.group;
        let version = &self.resource.version;
        body["apiVersion"] = json!(if group.is_empty() { version.clone() } else { format!("{group}/{version}") });
        body["kind"] = json!(self.resource.kind);
        body["metadata"]["name"] = json!("a");
        body
    }
}

/// `manager operation: fields`, one a line.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    entries.iter().map(|e| format!("{} {}: {}", text(e, "manager"), text(e, "operation"), e["fieldsV1"])).collect()
}

#[test]
fn appliers_share_dispute_and_hand_over_fields_as_the_oracle_recorded() {
    let mut live = Live::config_map();
    let one = live.apply("one", json!({"data": {"x": "1", "y": "1"}}));
    assert_eq!(owners(&one), [r#"one Apply: {"f:data":{"f:x":{},"f:y":{}}}"#]);
    assert_eq!(one["metadata"]["managedFields"][0]["time"], NOW);

    let two = live.apply("two", json!({"data": {"x": "1"}}));
    assert_eq!(
        owners(&two),
        [r#"two Apply: {"f:data":{"f:x":{}}}"#, r#"one Apply: {"f:data":{"f:x":{},"f:y":{}}}"#],
        "an apply that changes no value has no time and stands first"
    );
    assert_eq!(two["metadata"]["managedFields"][0].get("time"), None);

    assert_eq!(
        live.conflict("two", json!({"data": {"x": "2"}})),
        r#"Apply failed with 1 conflict: conflict with "one": .data.x"#
    );
    live.try_apply("two", json!({"data": {"x": "2"}}), true, NOW).expect("forced");
    let one = live.apply("one", json!({"data": {"y": "1"}}));
    assert_eq!(one["data"], json!({"x": "2", "y": "1"}));
    let one = live.apply("one", json!({"data": {}}));
    assert_eq!(one["data"], json!({"x": "2"}), "what one dropped is gone, what two owns is not");
    assert_eq!(owners(&one), [r#"one Apply: {"f:data":{}}"#, r#"two Apply: {"f:data":{"f:x":{}}}"#]);

    live.update("unknown", |o| o["data"]["m"] = json!("1"));
    let patched = live.update("patcher", |o| o["data"]["m"] = json!("2"));
    assert_eq!(owners(&patched)[2], r#"patcher Update: {"f:data":{"f:m":{}}}"#);
    assert_eq!(
        live.conflict("two", json!({"data": {"x": "2", "m": "3"}})),
        r#"Apply failed with 1 conflict: conflict with "patcher" using v1: .data.m"#
    );
    let gone = live.apply("one", json!({}));
    assert_eq!(gone["data"], json!({"m": "2", "x": "2"}));
    assert_eq!(owners(&gone).len(), 2, "a manager that owns nothing is forgotten");
}

#[test]
fn conflicts_name_every_field_by_manager() {
    let mut live = Live::config_map();
    live.apply("one", json!({"data": {"x": "1", "y": "1"}}));
    live.update("editor", |o| o["data"]["z"] = json!("1"));
    let error =
        live.try_apply("two", json!({"data": {"x": "2", "y": "2", "z": "2"}}), false, NOW).expect_err("conflicts");
    assert_eq!(
        error.message,
        "Apply failed with 3 conflicts: conflicts with \"editor\" using v1:\n- .data.z\nconflicts with \"one\":\n- .data.x\n- .data.y"
    );
    let causes = error.details["causes"].as_array().expect("causes");
    assert_eq!(
        causes[0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"editor\" using v1", "field": ".data.z"})
    );
    assert_eq!(causes.len(), 3);
}

#[test]
fn an_apply_that_changes_nothing_changes_nothing() {
    let mut live = Live::config_map();
    let first = live.apply("one", json!({"data": {"x": "1"}}));
    let again = live.try_apply("one", json!({"data": {"x": "1"}}), false, LATER).expect("again");
    assert_eq!(again, first);
}

#[test]
fn what_was_never_tracked_belongs_to_whoever_came_before_the_first_apply() {
    let mut live = Live::config_map();
    live.update("putter", |o| o["data"] = json!({"only": "put"}));
    let reset = live.update("anyone", |o| o["metadata"]["managedFields"] = json!([{}]));
    assert_eq!(reset["metadata"].get("managedFields"), None);
    let late = live.apply("late", json!({"data": {"only": "put"}}));
    assert_eq!(
        owners(&late),
        [r#"late Apply: {"f:data":{"f:only":{}}}"#, r#"before-first-apply Update: {"f:data":{".":{},"f:only":{}}}"#]
    );
}

#[test]
fn a_bad_configuration_is_refused_in_kubernetes_words() {
    let mut live = Live::config_map();
    let table = [
        (
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}),
            400,
            "invalid object type: /v1, Kind=Secret",
        ),
        (json!({"metadata": {"name": "a"}}), 400, "invalid object type: /, Kind="),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": []}}),
            400,
            "metadata.managedFields must be nil",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "nope": 1}),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .nope: field not declared in schema",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"n": 5}}),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.n: expected string, got &value.valueUnstructured{Value:5}",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"finalizers": ["f", "f"]}, "data": []}),
            500,
            "failed to create typed patch object (/; /v1, Kind=ConfigMap): errors:\n  .data: expected map, got &{[]}\n  .metadata.finalizers: duplicate entries for key [=\"f\"]",
        ),
    ];
    for (body, code, message) in table {
        let who = manager("x", Operation::Apply);
        let error = apply(None, &body, &who, false, &live.resource, NOW).expect_err(message);
        assert_eq!((error.code.as_u16(), error.message.as_str()), (code, message));
    }
    live.apply("x", json!({}));
}

#[test]
fn a_created_pod_has_an_owner_for_what_was_set_and_not_for_what_is_always_there() {
    let mut live = Live::new(builtin("", "v1", "pods"));
    let pod = live.update("unknown", |o| {
        o["spec"] = json!({
            "containers": [{"name": "app", "image": "nginx:1.27", "resources": {}}],
            "restartPolicy": "Always",
            "securityContext": {},
        });
        o["status"] = json!({});
    });
    assert_eq!(
        owners(&pod),
        [
            r#"unknown Update: {"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}},"f:restartPolicy":{},"f:securityContext":{}}}"#
        ]
    );
}

#[test]
fn list_items_are_owned_by_key_and_merged_by_key() {
    let mut live = Live::new(builtin("", "v1", "pods"));
    live.apply(
        "one",
        json!({"spec": {"containers": [
        {"name": "app", "image": "nginx", "ports": [{"containerPort": 80}]}]}}),
    );
    assert_eq!(
        live.conflict("two", json!({"spec": {"containers": [{"name": "app", "image": "other"}]}})),
        r#"Apply failed with 1 conflict: conflict with "one": .spec.containers[name="app"].image"#
    );
    let pod = live.apply(
        "two",
        json!({"spec": {"containers": [
        {"name": "app", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]},
        {"name": "side", "image": "x"}]}}),
    );
    let containers = pod["spec"]["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 2);
    assert_eq!(containers[0]["ports"], json!([{"containerPort": 80, "name": "http", "protocol": "TCP"}]));
    let pod = live.apply("two", json!({"spec": {}}));
    assert_eq!(pod["spec"]["containers"], json!([{"name": "app", "image": "nginx", "ports": [{"containerPort": 80}]}]));
}

#[test]
fn status_and_the_rest_have_their_own_owners() {
    let mut live = Live::new(builtin("", "v1", "pods"));
    live.update("creator", |o| {
        o["spec"] = json!({"containers": [{"name": "app", "image": "nginx"}]});
        o["status"] = json!({"phase": "Running"});
    });
    assert!(!owners(live.object.as_ref().expect("pod"))[0].contains("f:status"), "status is not set on create");
    let kubelet = Manager { subresource: "status".into(), ..manager("kubelet", Operation::Apply) };
    let body = live.complete(json!({"status": {"conditions": [{"type": "A", "status": "True"}]}}));
    let pod = apply(live.object.as_ref(), &body, &kubelet, false, &live.resource, NOW).expect("status");
    let entry = &pod["metadata"]["managedFields"][0];
    assert_eq!(entry["subresource"], "status");
    assert_eq!(
        entry["fieldsV1"],
        json!({"f:status": {"f:conditions": {"k:{\"type\":\"A\"}": {".": {}, "f:status": {}, "f:type": {}}}}})
    );
    let other = Manager { name: "other".into(), ..kubelet };
    let body = live.complete(json!({"status": {"conditions": [{"type": "A", "status": "False"}]}}));
    let error = apply(Some(&pod), &body, &other, false, &live.resource, NOW).expect_err("conflict");
    assert_eq!(
        error.message,
        r#"Apply failed with 1 conflict: conflict with "kubelet" with subresource "status": .status.conditions[type="A"].status"#
    );
}

#[test]
fn kubectl_takes_over_what_it_applied_client_side() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let mut live = Live::config_map();
    let last = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","y":"old"}}"#;
    live.update("kubectl-client-side-apply", |o| {
        o["data"] = json!({"x": "1", "y": "new"});
        o["metadata"]["annotations"] = json!({annotation: last});
    });
    assert!(live.conflict("someone", json!({"data": {"x": "2"}})).contains(".data.x"));
    let message = live.conflict("kubectl", json!({"data": {"x": "2", "y": "2"}}));
    assert_eq!(
        message, r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.y"#,
        "what was changed since is not kubectl's"
    );
    let object = live.apply("kubectl", json!({"data": {"x": "2"}}));
    assert_eq!(object["data"]["x"], "2");
    let kept = object["metadata"]["annotations"][annotation].as_str().expect("annotation");
    assert!(kept.contains(r#""x":"2""#) && kept.ends_with('\n'), "{kept}");
}

#[test]
fn the_eleventh_editor_rolls_the_oldest_two_into_one() {
    let mut live = Live::config_map();
    live.update("first", |o| o["data"] = json!({}));
    for n in 0..12 {
        let now = format!("2026-01-02T03:{n:02}:00Z");
        live.update_at(&format!("editor-{n:02}"), &now, |o| o["data"][format!("k{n}")] = json!("v"));
    }
    let object = live.object.expect("object");
    let managers = owners(&object);
    assert_eq!(managers.len(), 10);
    assert!(managers[0].starts_with("ancient-changes Update"), "{managers:?}");
    assert!(managers[0].contains("f:k0") && managers[0].contains("f:k2"), "{managers:?}");
}

#[test]
fn managed_fields_that_a_client_sends_count_if_they_can_be_read() {
    let mut live = Live::config_map();
    live.update("one", |o| o["data"] = json!({"x": "1"}));
    let broken = live.update("two", |o| o["metadata"]["managedFields"] = json!([{"manager": "x"}]));
    assert_eq!(owners(&broken), [r#"one Update: {"f:data":{".":{},"f:x":{}}}"#]);
    let given = json!([{"manager": "given", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:x": {}}}}]);
    let taken = live.update("two", |o| o["metadata"]["managedFields"] = given);
    assert_eq!(owners(&taken), [r#"given Update: {"f:data":{"f:x":{}}}"#]);
    let dropped = live.update("two", |o| {
        o["metadata"].as_object_mut().expect("metadata").remove("managedFields");
    });
    assert_eq!(owners(&dropped), owners(&taken), "a client that does not know them does not delete them");
}

#[test]
fn managers_are_named_by_parameter_or_user_agent() {
    let table = [
        (Some("mine"), Some("curl/8"), "mine"),
        (Some(""), Some("kubectl/v1.36 (linux/amd64)"), "kubectl"),
        (None, Some("we\u{7}ird agent/1"), "weird agent"),
        (None, Some("/1"), "unknown"),
        (None, None, "unknown"),
    ];
    for (parameter, agent, want) in table {
        assert_eq!(manager_name(parameter, agent), want);
    }
    assert_eq!(manager_name(None, Some(&"x".repeat(200))).len(), 128);
    assert!(validate_field_manager("fine").is_empty());
    assert_eq!(
        validate_field_manager(&"x".repeat(129))[0].to_string(),
        "fieldManager: Too long: may not be more than 128 bytes"
    );
    assert_eq!(
        validate_field_manager("a\nb")[0].to_string(),
        r#"fieldManager: Invalid value: "a\nb": invalid character U+000A (at position 1)"#
    );
}

fn widget() -> Resource {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "a": {"type": "integer"},
            "b": {"type": "string"},
            "atomic": {"type": "array", "items": {"type": "integer"}},
            "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "whole": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "kind"],
                "items": {"type": "object", "properties": {
                    "id": {"type": "integer"}, "kind": {"type": "string", "default": "k"}, "v": {"type": "string"}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    Resource {
        group: "example.com".into(),
        version: "v1".into(),
        plural: "widgets".into(),
        kind: "Widget".into(),
        schema: compile::custom(Some(&schema)).into(),
        has_status: true,
        definition: Some("widgets.example.com".into()),
        rules: &NoRules,
        ..builtin("", "v1", "configmaps")
    }
}

fn spec() -> impl Strategy<Value = Value> {
    let word = || "[a-c]{1,2}";
    let words = || prop::collection::btree_map(word(), word(), 0..3).prop_map(|m| json!(m));
    let item = (0..4, prop::option::of("[kl]"), prop::option::of(word())).prop_map(|(id, kind, v)| {
        let mut item = json!({"id": id});
        if let Some(kind) = kind {
            item["kind"] = json!(kind);
        }
        if let Some(v) = v {
            item["v"] = json!(v);
        }
        item
    });
    // An empty list that is merged has no owner; as in Kubernetes it goes with its parent.
    let items = prop::collection::vec(item, 1..4).prop_map(|items| {
        let mut seen = std::collections::BTreeSet::new();
        let key = |i: &Value| (i["id"].as_i64(), i["kind"].as_str().unwrap_or("k").to_owned());
        json!(items.into_iter().filter(|i| seen.insert(key(i))).collect::<Vec<_>>())
    });
    let free = prop_oneof![Just(json!({})), (0..3).prop_map(|n| json!({"deep": {"n": n}, "list": [n]}))];
    let fields = (
        prop::option::of((0..3).prop_map(|n| json!(n))),
        prop::option::of(word().prop_map(|w| json!(w))),
        prop::option::of(prop::collection::vec(0..3, 0..3).prop_map(|v| json!(v))),
        prop::option::of(prop::collection::btree_set(word(), 1..3).prop_map(|v| json!(v))),
        prop::option::of(words()),
        prop::option::of(words()),
        prop::option::of(items),
        prop::option::of(free),
    );
    fields.prop_map(|(a, b, atomic, set, map, whole, items, free)| {
        let names = ["a", "b", "atomic", "set", "map", "whole", "items", "free"];
        let values = [a, b, atomic, set, map, whole, items, free];
        let fields = names.into_iter().zip(values).filter_map(|(k, v)| v.map(|v| (k.to_owned(), v)));
        json!({"spec": fields.collect::<serde_json::Map<_, _>>()})
    })
}

/// Whether everything `part` says is so in `whole`.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        // Null is pruned from what is stored, if the schema does not ask for it.
        (_, Value::Null) => true,
        (_, Value::Object(part)) if part.is_empty() => true,
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(k, v)| whole.get(k).is_some_and(|w| contains(w, v)) || v.is_null())
        }
        (Value::Array(whole), Value::Array(part)) => part.iter().all(|p| whole.iter().any(|w| contains(w, p))),
        (whole, part) => whole == part,
    }
}

proptest! {
    #[test]
    fn what_is_applied_is_there_and_applying_it_again_changes_nothing(one in spec(), two in spec()) {
        let mut live = Live::new(widget());
        live.apply("one", one);
        let merged = live.try_apply("two", two.clone(), true, NOW).expect("forced");
        prop_assert!(contains(&merged["spec"], &two["spec"]), "{merged:#} lacks {two:#}");
        let again = live.try_apply("two", two, true, LATER).expect("again");
        prop_assert_eq!(merged, again);
    }

    #[test]
    fn a_field_that_its_only_applier_drops_is_gone_and_one_that_is_shared_stays(one in spec(), two in spec()) {
        let mut live = Live::new(widget());
        live.apply("two", two.clone());
        let alone = live.object.clone().expect("object");
        live.try_apply("one", one.clone(), true, NOW).expect("forced");
        let shared = live.try_apply("two", two.clone(), true, NOW).expect("forced");
        prop_assert!(contains(&shared["spec"], &two["spec"]));
        let left = live.apply("one", json!({"spec": {}}));
        prop_assert!(contains(&left["spec"], &two["spec"]), "{left:#} lost some of {two:#}");
        prop_assert!(contains(&alone["spec"], &left["spec"]) || one["spec"] == json!({}), "{left:#} kept some of {one:#}");
    }

    #[test]
    fn who_changed_a_field_owns_it_and_nobody_else_does(before in spec(), after in spec()) {
        let mut live = Live::new(widget());
        live.update("before", |o| o["spec"] = before["spec"].clone());
        let object = live.update("after", |o| o["spec"] = after["spec"].clone());
        let ownership = super::managed::decode(&object["metadata"]["managedFields"]).expect("decodes");
        let sets: Vec<_> = ownership.managers.values().map(|owned| owned.set.clone()).collect();
        for (i, set) in sets.iter().enumerate() {
            for other in &sets[i + 1..] {
                prop_assert!(set.intersection(other).is_empty());
            }
        }
    }
}

#[test]
fn ten_thousand_items_are_merged_in_a_moment() {
    let items = |from: usize, value: &str| {
        let item = |id: usize| json!({"id": id, "v": value});
        json!({"spec": {"items": (from..from + 10_000).map(item).collect::<Vec<_>>()}})
    };
    let mut live = Live::new(widget());
    live.apply("one", items(0, "x"));
    let merged = live.try_apply("two", items(5_000, "y"), true, NOW).expect("forced");
    assert_eq!(merged["spec"]["items"].as_array().map(Vec::len), Some(15_000));
    let left = live.apply("one", json!({}));
    assert_eq!(left["spec"]["items"].as_array().map(Vec::len), Some(10_000));
}
