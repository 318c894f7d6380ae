//! Verdicts and messages, as a real server gives them for the same schema and objects.

#![expect(clippy::needless_pass_by_value, reason = "a `json!` literal reads best without a reference")]

use serde_json::{Value, json};

use super::*;
use crate::schema::{compile, default, prune};

fn widget() -> SchemaRef {
    let spec = json!({
        "type": "object",
        "required": ["size"],
        "properties": {
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "ios": {"x-kubernetes-int-or-string": true},
            "ip": {"type": "string", "format": "ipv4"},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "maybe": {"type": "string", "nullable": true},
            "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
            "oneof": {
                "type": "object",
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            },
            "ports": {
                "type": "array", "maxItems": 3,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
                "items": {
                    "type": "object", "required": ["port"],
                    "properties": {"port": {"type": "integer"}, "proto": {"type": "string", "default": "TCP"}},
                },
            },
            "ratio": {"type": "number", "multipleOf": 0.5},
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "when": {"type": "string", "format": "date-time"},
        },
    });
    let root =
        json!({"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": {"type": "object"}}});
    compile::custom(Some(&root)).into()
}

/// What a server says of a widget with that spec, after pruning and defaulting it.
fn verdict(spec: Value) -> Vec<String> {
    let mut object = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    let schema = widget();
    prune::apply(&mut object, &schema);
    default::apply(&mut object, &schema);
    validate(&object, None, &schema).iter().map(ToString::to_string).collect()
}

#[test]
fn a_wrong_field_is_told_in_the_words_of_a_real_server() {
    for (spec, said) in [
        (json!({"size": 3, "ios": "50%", "any": {"deep": {"x": 1}}, "ports": [{"port": 1}], "unknown": 1}), &[][..]),
        (json!({"size": 1, "name": null, "maybe": null, "color": null}), &[]),
        (json!({"size": 1.0, "ios": 5}), &[]),
        (json!({"size": 10}), &["spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"]),
        (json!({"size": 0}), &["spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"]),
        (
            json!({"size": "x"}),
            &["spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\""],
        ),
        (json!({}), &["spec.size: Required value"]),
        (json!({"size": null}), &["spec.size: Required value"]),
        (
            json!({"size": 1, "color": "green"}),
            &["spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\""],
        ),
        (
            json!({"size": 1, "name": "A"}),
            &["spec.name: Invalid value: \"A\": spec.name in body should be at least 2 chars long"],
        ),
        (
            json!({"size": 1, "name": "ABC"}),
            &["spec.name: Invalid value: \"ABC\": spec.name in body should match '^[a-z]+$'"],
        ),
        (json!({"size": 1, "name": "toolong"}), &["spec.name: Too long: may not be more than 5 bytes"]),
        (json!({"size": 1, "ports": [{"port": 1}, {"port": 1}]}), &["spec.ports[1]: Duplicate value: {\"port\":1}"]),
        (json!({"size": 1, "ports": [{}]}), &["spec.ports[0].port: Required value"]),
        (
            json!({"size": 1, "ports": [{"port": 0}, {"port": 1}, {"port": 2}, {"port": 3}]}),
            &["spec.ports: Too many: 4: must have at most 3 items"],
        ),
        (json!({"size": 1, "tags": ["a", "a"]}), &["spec.tags[1]: Duplicate value: \"a\""]),
        (
            json!({"size": 1, "when": "yesterday"}),
            &["spec.when: Invalid value: \"yesterday\": spec.when in body must be of type date-time: \"yesterday\""],
        ),
        (
            json!({"size": 1, "ip": "999.1.1.1"}),
            &["spec.ip: Invalid value: \"999.1.1.1\": spec.ip in body must be of type ipv4: \"999.1.1.1\""],
        ),
        (
            json!({"size": 1, "map": {"a": "x"}}),
            &["spec.map.a: Invalid value: \"string\": spec.map.a in body must be of type integer: \"string\""],
        ),
        (
            json!({"size": 1, "ratio": 0.7}),
            &["spec.ratio: Invalid value: 0.7: spec.ratio in body should be a multiple of 0.5"],
        ),
        (
            json!({"size": 1, "oneof": {}}),
            &[
                "<nil>: Invalid value: \"\": \"spec.oneof\" must validate one and only one schema (oneOf). Found none valid",
                "spec.oneof.a: Required value",
            ],
        ),
        (
            json!({"size": 1, "oneof": {"a": "1", "b": "2"}}),
            &[
                "<nil>: Invalid value: \"\": \"spec.oneof\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            json!({"size": 1.5}),
            &[
                "spec.size: Invalid value: \"number\": spec.size in body must be of type integer: \"number\"",
                "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.size",
            ],
        ),
        (
            json!({"size": 1, "ios": true}),
            &["spec.ios: Invalid value: \"boolean\": spec.ios in body must be of type integer,string: \"boolean\""],
        ),
        (json!([]), &["spec: Invalid value: \"array\": spec in body must be of type object: \"array\""]),
    ] {
        assert_eq!(verdict(spec.clone()), said, "{spec}");
    }
}

#[test]
fn what_was_wrong_before_and_did_not_change_is_forgiven() {
    let schema = widget();
    let object = |size: i64, tags: Value, ports: Value| json!({"spec": {"size": size, "color": "x", "tags": tags, "ports": ports}});
    let old = object(99, json!(["a", "a"]), json!([{"port": 1, "proto": 5}]));
    let unchanged_parts = object(99, json!(["a", "a", "b"]), json!([{"port": 2}, {"port": 1, "proto": 5}]));
    assert_eq!(validate(&unchanged_parts, Some(&old), &schema), vec![]);
    let worse = object(100, json!(["a"]), json!([{"port": 1, "proto": 6}]));
    let said: Vec<String> = validate(&worse, Some(&old), &schema).iter().map(|e| e.field.clone()).collect();
    assert_eq!(said, ["spec.ports[0].proto", "spec.size"]);
}

#[test]
fn the_scale_paths_of_an_object_must_lead_to_numbers() {
    let paths = crate::resource::ScalePaths {
        spec_replicas: ".spec.size".into(),
        status_replicas: ".status.replicas".into(),
        label_selector: None,
    };
    let said = |object: Value| scale::spec(&object, &paths).map(|e| e.to_string());
    assert_eq!(
        said(json!({"spec": {"size": 1.5}})).as_deref(),
        Some(".spec.size: Invalid value: 0: .spec.size accessor error: 1.5 is of the type float64, expected int64")
    );
    assert_eq!(
        said(json!({"spec": []})).as_deref(),
        Some(
            ".spec.size: Invalid value: 0: .spec.size accessor error: [] is of the type []interface {}, expected map[string]interface{}"
        )
    );
    assert_eq!(said(json!({"spec": {"size": 1}})), None);
    assert_eq!(said(json!({})), None);
}
