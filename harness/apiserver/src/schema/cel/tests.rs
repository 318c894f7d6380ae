//! Rules as definitions in the wild have them, with the answers of a real server.

#![expect(clippy::needless_pass_by_value, reason = "a `json!` literal reads best without a reference")]

use serde_json::{Value, json};

use crate::schema::compile;
use crate::schema::node::SchemaRef;
use crate::schema::validate::validate;

fn schema(spec: Value) -> SchemaRef {
    compile::custom(Some(&json!({"type": "object", "properties": {"spec": spec}}))).into()
}

fn rule_schema() -> SchemaRef {
    schema(json!({
        "type": "object",
        "properties": {
            "addr": {"type": "string", "maxLength": 40, "x-kubernetes-validations": [
                {"rule": "isIP(self)", "messageExpression": "'not an IP: ' + self", "reason": "FieldValueInvalid"}]},
            "fixed": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "fixed is immutable"}]},
            "list": {"type": "array", "maxItems": 10,
                "items": {"type": "object", "properties": {"id": {"type": "integer"}, "mac": {"type": "string"}}},
                "x-kubernetes-validations": [
                    {"rule": "self.all(x, self.exists_one(y, y.mac == x.mac))", "message": "mac must be unique"}]},
            "max": {"type": "integer"},
            "min": {"type": "integer"},
        },
        "x-kubernetes-validations": [
            {"rule": "!has(self.min) || !has(self.max) || self.min <= self.max", "message": "min must not exceed max", "fieldPath": ".min"},
            {"rule": "!has(self.fixed) || self.fixed.startsWith('f')"},
        ],
    }))
}

fn said(schema: &SchemaRef, new: Value, old: Option<Value>) -> Vec<String> {
    let new = json!({"spec": new});
    let old = old.map(|spec| json!({"spec": spec}));
    validate(&new, old.as_ref(), schema).iter().map(ToString::to_string).collect()
}

#[test]
fn rules_speak_as_on_a_real_server() {
    let schema = rule_schema();
    let ok =
        json!({"addr": "10.0.0.1", "fixed": "f1", "list": [{"id": 1, "mac": "a"}, {"mac": "b"}], "max": 2, "min": 1});
    assert_eq!(said(&schema, ok, None), Vec::<String>::new());
    assert_eq!(said(&schema, json!({"max": 2, "min": 3}), None), ["spec.min: Invalid value: min must not exceed max"]);
    assert_eq!(
        said(&schema, json!({"list": [{"mac": "a"}, {"mac": "a"}]}), None),
        ["spec.list: Invalid value: mac must be unique"]
    );
    assert_eq!(
        said(&schema, json!({"addr": "q", "fixed": "x", "max": 2, "min": 3}), None),
        [
            "spec.min: Invalid value: min must not exceed max",
            "spec: Invalid value: failed rule: !has(self.fixed) || self.fixed.startsWith('f')",
            "spec.addr: Invalid value: \"q\": not an IP: q",
        ]
    );
}

#[test]
fn a_transition_rule_needs_an_old_value_and_is_not_forgiven() {
    let schema = rule_schema();
    assert_eq!(
        said(&schema, json!({"fixed": "f2"}), Some(json!({"fixed": "f1"}))),
        ["spec.fixed: Invalid value: \"f2\": fixed is immutable"]
    );
    assert_eq!(said(&schema, json!({"fixed": "f2"}), Some(json!({}))), Vec::<String>::new());
}

#[test]
fn a_rule_that_was_broken_before_is_forgiven_while_nothing_changes() {
    let schema = rule_schema();
    let old = json!({"addr": "q", "min": 1});
    assert_eq!(said(&schema, json!({"addr": "q", "min": 2}), Some(old.clone())), Vec::<String>::new());
    assert_eq!(said(&schema, json!({"addr": "r"}), Some(old)), ["spec.addr: Invalid value: \"r\": not an IP: r"]);
}

#[test]
fn optional_old_self_lets_a_rule_run_on_create() {
    let schema = schema(json!({"type": "object", "properties": {"a": {"type": "integer", "x-kubernetes-validations": [
        {"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "message": "only up", "optionalOldSelf": true}]}}}));
    assert_eq!(said(&schema, json!({"a": 1}), None), Vec::<String>::new());
    assert_eq!(said(&schema, json!({"a": 1}), Some(json!({"a": 2}))), ["spec.a: Invalid value: 1: only up"]);
}

#[test]
fn rules_stay_silent_where_the_structure_is_wrong_already() {
    let text = said(&rule_schema(), json!({"max": "x", "min": 3}), None);
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[1].starts_with("<nil>: Invalid value: null: some validation rules were not checked"), "{text:?}");
}

#[test]
fn expressions_of_all_kinds_are_evaluated() {
    for (rule, holds) in [
        ("self.a__dash__b == 1", true),
        ("self.when < timestamp('2030-01-01T00:00:00Z')", true),
        ("self.how == duration('90s')", true),
        ("quantity(self.q).isLessThan(quantity('2Gi'))", true),
        ("self.ios == 5 || self.ios == '5'", true),
        ("self.ratio == 2.0", true),
        ("cel.bind(x, self.list.size(), x == 2 && x > 1)", true),
        ("self.list.map(x, x * 2).sum() == 6", true),
        ("self.list.filter(x, x > 1).size() == 1", true),
        ("self.?missing.orValue('d') == 'd'", true),
        ("self.map['k.1'] == 'v' && 'k.1' in self.map && self.map.all(k, k.startsWith('k'))", true),
        ("has(self.missing)", false),
        ("self.__namespace__ == 'n'", true),
        ("'%s-%d'.format([self.q, self.list[0]]) == '1Gi-1'", true),
        ("self.mac.lowerAscii().matches('^([0-9a-f]{2}:){5}[0-9a-f]{2}$')", true),
        ("cidr('10.0.0.0/8').containsIP(ip('10.1.2.3'))", true),
        ("sets.contains(self.list, [1])", true),
        ("optional.of(1).optMap(x, x + 1).value() == 2", true),
    ] {
        let spec = json!({
            "type": "object",
            "properties": {
                "a-b": {"type": "integer"}, "when": {"type": "string", "format": "date-time"},
                "how": {"type": "string", "format": "duration"}, "q": {"type": "string"},
                "ios": {"x-kubernetes-int-or-string": true}, "ratio": {"type": "number"},
                "list": {"type": "array", "items": {"type": "integer"}}, "missing": {"type": "string"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "namespace": {"type": "string"}, "mac": {"type": "string"},
            },
            "x-kubernetes-validations": [{"rule": rule, "message": "broken"}],
        });
        let object = json!({
            "a-b": 1, "when": "2024-01-01T00:00:00Z", "how": "1m30s", "q": "1Gi", "ios": "5", "ratio": 2,
            "list": [1, 2], "map": {"k.1": "v"}, "namespace": "n", "mac": "FA:16:3E:F3:B0:3F",
        });
        let schema = schema(spec);
        let known = schema.get().properties["spec"].get();
        let findings = super::compile::check(&known.rules[0], known);
        assert_eq!(findings.rule, None, "{rule}");
        let said = said(&schema, object, None);
        let expected: &[&str] = if holds { &[] } else { &["spec: Invalid value: broken"] };
        assert_eq!(said, expected, "{rule}");
    }
}

#[test]
fn a_rule_that_cannot_work_is_refused_with_its_definition() {
    let document = json!({
        "type": "object",
        "properties": {
            "n": {"type": "integer"}, "s": {"type": "string"},
            "items": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}},
        },
    });
    for (rule, complaint) in [
        ("self.nope > 1", "undefined field 'nope'"),
        ("self.", "Syntax error"),
        ("self.n == 'a'", "no matching overload"),
        ("self.n", "must evaluate to a bool"),
        ("self.items.all(x, x.nope == 1)", "undefined field 'nope'"),
        ("self.s.nope()", "undeclared reference to 'nope'"),
        ("self.n.startsWith('a')", "no matching overload"),
        ("other > 1", "undeclared reference to 'other'"),
        ("Foo{a: 1} == 1", "undeclared reference"),
        ("self.n && true", "no matching overload"),
    ] {
        let schema = compile::plain(&document);
        let rule = crate::schema::node::Rule { rule: rule.to_owned(), ..Default::default() };
        let found = super::compile::check(&rule, &schema).rule.unwrap_or_default();
        assert!(found.contains(complaint), "{}: {found}", rule.rule);
    }
}
