//! Partial objects: what is named must be so, what is not named may be anything.

use serde_json::{Map, Value};

/// A place where an object is not as expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The place, like `status.interfaceStatuses[0].state`.
    pub path: String,
    /// What should be there; nothing where it should be absent.
    pub expected: Value,
    /// What is there; nothing where it is absent.
    pub actual: Option<Value>,
}

/// Every place where `actual` is not as the partial object `expected` says. Maps may hold more than is named, lists
/// must be as long as given, and `null` stands for absence.
pub fn differences(expected: &Value, actual: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), expected, Some(actual), &mut found);
    found
}

fn compare(path: String, expected: &Value, actual: Option<&Value>, found: &mut Vec<Difference>) {
    match (expected, actual) {
        (Value::Null, None | Some(Value::Null)) => {}
        (Value::Object(expected), Some(Value::Object(actual))) => {
            for (key, expected) in expected {
                compare(child(&path, key), expected, actual.get(key), found);
            }
        }
        (Value::Array(expected), Some(Value::Array(actual))) if expected.len() == actual.len() => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(format!("{path}[{index}]"), expected, Some(actual), found);
            }
        }
        (expected, Some(actual)) if equal(expected, actual) => {}
        (expected, actual) => found.push(Difference { path, expected: expected.clone(), actual: actual.cloned() }),
    }
}

/// Numbers are equal by value: `1` and `1.0` are the same to whoever wrote them.
fn equal(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        // Whole numbers are compared as such: beyond 2^53 different ones are the same float.
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => a.as_f64() == b.as_f64(),
        _ => expected == actual,
    }
}

fn child(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}['{key}']"),
    }
}

/// The part of `actual` that `expected` speaks of, so that the two can be shown side by side.
pub fn project(expected: &Value, actual: &Value) -> Value {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let mut projected = Map::new();
            for (key, expected) in expected {
                match actual.get(key) {
                    Some(actual) => {
                        projected.insert(key.clone(), project(expected, actual));
                    }
                    None if expected.is_null() => {
                        projected.insert(key.clone(), Value::Null);
                    }
                    None => {}
                }
            }
            Value::Object(projected)
        }
        (Value::Array(expected), Value::Array(actual)) => actual
            .iter()
            .enumerate()
            .map(|(index, actual)| expected.get(index).map_or_else(|| actual.clone(), |e| project(e, actual)))
            .collect(),
        (_, actual) => actual.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_named_must_be_so_and_the_rest_may_be_anything() {
        let actual = json!({"a": 1, "b": {"c": "x", "d": null}, "l": [{"i": 1, "j": 2}, {"i": 2}], "k.y/z": true});
        let matching = [
            json!({}),
            json!({"a": 1.0}),
            json!({"b": {"c": "x"}}),
            json!({"b": {"d": null, "e": null}}),
            json!({"l": [{"i": 1}, {"i": 2}]}),
        ];
        for expected in matching {
            assert_eq!(differences(&expected, &actual), [], "{expected}");
        }
        let different = [
            (json!({"a": 2}), "a"),
            (json!({"a": "1"}), "a"),
            (json!({"a": null}), "a"),
            (json!({"b": {"x": 1}}), "b.x"),
            (json!({"l": [{"i": 1}]}), "l"),
            (json!({"l": [{"i": 1}, {"i": 3}]}), "l[1].i"),
            (json!({"k.y/z": false}), "['k.y/z']"),
        ];
        for (expected, path) in different {
            let paths: Vec<_> = differences(&expected, &actual).into_iter().map(|d| d.path).collect();
            assert_eq!(paths, [path], "{expected}");
        }
    }

    #[test]
    fn only_what_is_spoken_of_is_shown() {
        let actual = json!({"a": 1, "b": {"c": "x", "d": 2}, "l": [{"i": 1, "j": 2}, {"i": 2}]});
        let expected = json!({"b": {"c": "y", "z": 1}, "l": [{"i": 5}]});
        assert_eq!(project(&expected, &actual), json!({"b": {"c": "x"}, "l": [{"i": 1}, {"i": 2}]}));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (-3..3_i64).prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_is_as_it_is(value in values()) {
            prop_assert_eq!(differences(&value, &value), []);
            prop_assert_eq!(project(&value, &value), value);
        }
    }
}
