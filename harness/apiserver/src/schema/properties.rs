//! What must hold for any schema and any JSON.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::node::SchemaRef;
use super::{compile, default, definition, prune, validate};

/// Field names that schemas and objects share, so that they meet.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c-d", "__e", "namespace", "metadata"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-10i64..10).prop_map(Value::from),
        (-10i32..10).prop_map(|n| json!(f64::from(n) / 4.0)),
        "[a-c]{0,3}".prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(name(), inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A schema and a default of its type, or none.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        (any::<bool>(), 0u8..4)
            .prop_map(|(nullable, n)| json!({"type": "string", "nullable": nullable, "maxLength": n})),
        Just(json!({"type": "string", "default": "abc", "pattern": "^[a-z]+$"})),
        Just(json!({"type": "integer", "default": 3, "minimum": 0, "maximum": 9})),
        Just(json!({"type": "number", "multipleOf": 0.5})),
        Just(json!({"type": "boolean", "default": false})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({"type": "string", "enum": ["a", "b"], "default": "a"})),
        Just(json!({"type": "string", "format": "date-time"})),
        Just(
            json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}, {"rule": "self >= oldSelf"}]})
        ),
    ]
}

fn any_schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (btree_map(name(), inner.clone(), 0..4), any::<bool>()).prop_map(|(properties, default)| {
                let required: Vec<&String> = properties.keys().take(1).collect();
                let mut schema = json!({"type": "object", "properties": properties, "required": required});
                if default {
                    schema["default"] = json!({});
                }
                schema
            }),
            inner.clone().prop_map(|values| json!({"type": "object", "additionalProperties": values})),
            (inner, any::<bool>()).prop_map(|(items, set)| {
                json!({"type": "array", "items": items, "x-kubernetes-list-type": if set { "set" } else { "atomic" }})
            }),
        ]
    })
}

fn compiled(schema: &Value) -> SchemaRef {
    compile::custom(Some(&json!({"type": "object", "properties": {"spec": schema}}))).into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pruning_and_defaulting_twice_is_doing_it_once(schema in any_schema(), spec in any_json()) {
        let schema = compiled(&schema);
        let mut once = json!({"spec": spec});
        prune::apply(&mut once, &schema);
        let mut twice = once.clone();
        prop_assert!(prune::apply(&mut twice, &schema).is_empty());
        prop_assert_eq!(&once, &twice);
        default::apply(&mut once, &schema);
        let mut twice = once.clone();
        default::apply(&mut twice, &schema);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_was_valid_once_stays_valid(schema in any_schema(), spec in any_json()) {
        let schema = compiled(&schema);
        let mut object = json!({"spec": spec});
        prune::apply(&mut object, &schema);
        default::apply(&mut object, &schema);
        if validate::validate(&object, None, &schema).is_empty() {
            let before = object.clone();
            prune::apply(&mut object, &schema);
            default::apply(&mut object, &schema);
            prop_assert_eq!(&before, &object);
            prop_assert!(validate::validate(&object, None, &schema).is_empty());
            prop_assert!(validate::validate(&object, Some(&before), &schema).is_empty());
        }
    }

    #[test]
    fn no_schema_and_no_object_make_anything_panic(schema in any_json(), object in any_json(), old in any_json()) {
        definition::check(&schema, true, "s");
        let schema = SchemaRef::from(compile::custom(Some(&schema)));
        let mut object = object;
        prune::apply(&mut object, &schema);
        default::apply(&mut object, &schema);
        validate::validate(&object, Some(&old), &schema);
    }

    #[test]
    fn a_schema_made_for_the_purpose_is_judged_without_panic(schema in any_schema()) {
        definition::check(&json!({"type": "object", "properties": {"spec": schema}}), false, "s");
    }
}
