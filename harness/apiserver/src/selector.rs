//! Label and field selectors: parsing and matching. Pure.

mod field;
mod label;

pub use field::{FieldSelector, FieldTerm, unknown_field};
pub use label::{LabelSelector, Operator, Requirement};

/// Why a selector cannot be parsed; `Display` is what the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn selects(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector).unwrap().matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn a_label_selector_selects_what_kubernetes_says() {
        let labels = json!({"app": "x", "tier": "3", "empty": ""});
        let cases = [
            ("", true),
            ("app", true),
            ("!app", false),
            ("nosuch", false),
            ("!nosuch", true),
            ("app=x", true),
            ("app==x,tier=3", true),
            ("app!=x", false),
            ("nosuch!=x", true),
            ("app in (x, y)", true),
            ("app in (y)", false),
            ("app notin (y)", true),
            ("nosuch notin (y)", true),
            ("nosuch in (y)", false),
            ("tier>2", true),
            ("tier<3", false),
            ("app>2", false),
            ("empty=", true),
            ("empty in ()", true),
            ("in in (in)", false),
            ("example.com/a", false),
        ];
        for (selector, expected) in cases {
            assert_eq!(selects(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn a_malformed_selector_is_explained_as_kubernetes_explains_it() {
        let cases = [
            ("app=x=y", "found '=', expected: ',' or 'end of string'"),
            ("app in x", "unable to parse requirement: found 'x' expected: '('"),
            ("app in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("app,", "found '', expected: identifier after ','"),
            (",app", "found ',', expected: !, identifier, or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("app x", "unable to parse requirement: found 'x', expected: in, notin, =, ==, !=, gt, lt"),
        ];
        for (selector, expected) in cases {
            assert_eq!(LabelSelector::parse(selector).unwrap_err().to_string(), expected, "{selector}");
        }
        let value = LabelSelector::parse("app=a..").unwrap_err().to_string();
        assert!(
            value.starts_with("unable to parse requirement: values[0][app]: Invalid value: \"a..\": a valid label"),
            "{value}"
        );
        let key = LabelSelector::parse("a/b/c").unwrap_err().to_string();
        assert!(key.starts_with("unable to parse requirement: <nil>: Invalid value: \"a/b/c\": "), "{key}");
    }

    #[test]
    fn a_selector_of_an_object_selects_what_its_text_would() {
        let cases = [
            (json!({"matchLabels": {"app": "x"}}), Some("app=x")),
            (json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}), Some("a in (x,y)")),
            (json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}), Some("!a")),
            (json!({}), Some("")),
            (Value::Null, Some("")),
            (json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), None),
            (json!({"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}), None),
        ];
        for (selector, expected) in cases {
            let text = LabelSelector::from_object(&selector).map(|selector| selector.to_string());
            assert_eq!(text.as_deref(), expected, "{selector}");
        }
    }

    #[test]
    fn a_field_selector_compares_whole_values() {
        let object = |field: &str| if field == "spec.nodeName" { "n=1,2".to_owned() } else { String::new() };
        let cases =
            [("spec.nodeName=n\\=1\\,2", true), ("spec.nodeName!=x", true), ("spec.nodeName==", false), ("", true)];
        for (selector, expected) in cases {
            assert_eq!(FieldSelector::parse(selector).unwrap().matches(object), expected, "{selector}");
        }
        for (selector, message) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ] {
            assert_eq!(FieldSelector::parse(selector).unwrap_err().to_string(), message);
        }
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        let key = "([a-z]{1,5}\\.[a-z]{2,3}/)?[A-Za-z][A-Za-z0-9_.-]{0,8}[a-z0-9]";
        let value = "([A-Za-z0-9]([A-Za-z0-9_.-]{0,6}[A-Za-z0-9])?)?";
        let list = proptest::collection::btree_set(value, 1..4);
        (key, 0usize..8, list, any::<i64>()).prop_map(|(key, operator, values, number)| {
            let mut values: Vec<String> = values.into_iter().collect();
            let operator = match operator {
                0 => Operator::Exists,
                1 => Operator::DoesNotExist,
                2 => Operator::Equals,
                3 => Operator::NotEquals,
                4 => Operator::In,
                5 => Operator::NotIn,
                6 => Operator::GreaterThan,
                _ => Operator::LessThan,
            };
            match operator {
                Operator::Exists | Operator::DoesNotExist => values.clear(),
                Operator::Equals | Operator::NotEquals => values.truncate(1),
                Operator::GreaterThan | Operator::LessThan => values = vec![number.unsigned_abs().to_string()],
                Operator::In | Operator::NotIn => {}
            }
            Requirement { key, operator, values }
        })
    }

    proptest! {
        #[test]
        fn a_selector_that_is_written_is_read_as_the_same(mut all in proptest::collection::vec(requirement(), 0..4)) {
            all.retain(|r| !matches!(r.operator, Operator::GreaterThan | Operator::LessThan) || r.values[0].parse::<i64>().is_ok());
            all.sort_by(|a, b| a.key.cmp(&b.key));
            let selector = LabelSelector(all);
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn a_field_selector_that_is_written_is_read_as_the_same(
            terms in proptest::collection::vec(("[a-z][a-z.]{0,8}", any::<bool>(), "[a-z=,\\\\]{0,6}"), 0..4),
        ) {
            let mut terms: Vec<FieldTerm> =
                terms.into_iter().map(|(field, negated, value)| FieldTerm { field, negated, value }).collect();
            terms.sort_by_key(|t| FieldSelector(vec![t.clone()]).to_string());
            let selector = FieldSelector(terms);
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC*") {
            let _ = LabelSelector::parse(&text);
            let _ = FieldSelector::parse(&text);
        }
    }
}
