//! What a real server says of schemas that are not right.

#![expect(clippy::needless_pass_by_value, reason = "a `json!` literal reads best without a reference")]

use serde_json::{Value, json};

use super::*;

fn said(schema: &Value) -> Vec<String> {
    check(schema, false, "s").iter().map(ToString::to_string).collect()
}

fn in_spec(spec: Value) -> Value {
    json!({"type": "object", "properties": {"spec": spec}})
}

#[test]
fn a_schema_that_is_not_right_is_refused_in_the_words_of_a_real_server() {
    for (schema, expected) in [
        (
            in_spec(json!({"properties": {"a": {"type": "string"}}})),
            &["s.properties[spec].type: Required value: must not be empty for specified object fields"][..],
        ),
        (
            in_spec(json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}})),
            &[
                "s.properties[spec].properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
            ],
        ),
        (
            json!({"type": "array"}),
            &[
                "s.items: Required value: must be specified",
                "s.type: Invalid value: \"array\": must be object at the root",
            ],
        ),
        (
            in_spec(json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"})),
            &[
                "s.properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            ],
        ),
        (
            json!({"type": "object", "oneOf": [{"required": ["a"], "properties": {"a": {"minimum": 1}}}]}),
            &["s.properties[a]: Required value: because it is defined in s.oneOf[0].properties[a]"],
        ),
        (in_spec(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})), &[]),
        (
            in_spec(json!({"type": "string", "pattern": "("})),
            &["s.properties[spec].pattern: Invalid value: \"(\": must be a valid regular expression"],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            &[
                "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}}}),
            &[],
        ),
    ] {
        let said = said(&schema);
        assert_eq!(said.len(), expected.len(), "{schema}: {said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}\n{expected}");
        }
    }
}

#[test]
fn transition_rules_need_a_place_where_old_values_are_found_again() {
    let schema = in_spec(json!({"type": "array", "items": {
        "type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}}));
    assert_eq!(
        said(&schema),
        [
            "s.properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: \"self >= oldSelf\": oldSelf cannot be used on \
          the uncorrelatable portion of the schema within s.properties[spec]"
        ]
    );
}

#[test]
fn paths_lead_to_fields_or_say_why_not() {
    let schema = json!({"properties": {"a": {"properties": {"b": {"type": "string"}}}, "m": {"additionalProperties": {"type": "integer"}}}});
    assert_eq!(field_at(&schema, ".a.b"), Ok(&json!({"type": "string"})));
    assert_eq!(field_at(&schema, ".a['b']"), Ok(&json!({"type": "string"})));
    assert_eq!(field_at(&schema, ".m['x']"), Ok(&json!({"type": "integer"})));
    assert!(field_at(&schema, ".a.c").is_err());
    assert!(field_at(&schema, "a").is_err());
}
