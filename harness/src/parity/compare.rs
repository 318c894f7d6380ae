//! Where two witnesses differ.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::Witness;

/// As much of a value as is shown.
const VALUE_CHARS_MAX: usize = 80;

/// Something that is not the same on both clusters.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// How it ended.
    Outcome {
        /// On the first.
        first: String,
        /// On the second.
        second: String,
    },
    /// An object that only one of them has in the end.
    Object {
        /// Which.
        object: String,
        /// Whether the first has it.
        on_the_first: bool,
    },
    /// A field of an object.
    Field {
        /// Of which object.
        object: String,
        /// Where, as a path.
        path: String,
        /// On the first; none where it is not there.
        first: Option<Value>,
        /// On the second.
        second: Option<Value>,
    },
    /// The Events about an object, or their order.
    Events {
        /// About which.
        object: String,
        /// On the first.
        first: Vec<String>,
        /// On the second.
        second: Vec<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome { first, second } => write!(f, "it {first} and {second}"),
            Self::Object { object, on_the_first: true } => write!(f, "{object}: only on the first"),
            Self::Object { object, on_the_first: false } => write!(f, "{object}: only on the second"),
            Self::Field { object, path, first, second } => {
                write!(f, "{object}: {path} is {} and {}", shown(first.as_ref()), shown(second.as_ref()))
            }
            Self::Events { object, first, second } => {
                write!(f, "Events of {object}: {} and {}", listed(first), listed(second))
            }
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "absent".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    text.chars().take(VALUE_CHARS_MAX).chain(['…']).collect()
}

fn listed(reasons: &[String]) -> String {
    if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") }
}

/// Everything that differs, by object.
pub fn compare(first: &Witness, second: &Witness) -> Vec<Difference> {
    let mut differences = Vec::new();
    let titles: BTreeSet<&String> = first.objects.keys().chain(second.objects.keys()).collect();
    for object in titles {
        match (first.objects.get(object), second.objects.get(object)) {
            (Some(one), Some(other)) => fields(object, String::new(), Some(one), Some(other), &mut differences),
            (one, _) => {
                differences.push(Difference::Object { object: object.clone(), on_the_first: one.is_some() });
            }
        }
    }
    let about: BTreeSet<&String> = first.events.keys().chain(second.events.keys()).collect();
    for object in about {
        let of = |witness: &Witness| witness.events.get(object).cloned().unwrap_or_default();
        let (one, other) = (of(first), of(second));
        if one != other {
            differences.push(Difference::Events { object: object.clone(), first: one, second: other });
        }
    }
    differences
}

fn fields(
    object: &str,
    path: String,
    first: Option<&Value>,
    second: Option<&Value>,
    differences: &mut Vec<Difference>,
) {
    match (first, second) {
        (one, other) if one == other => {}
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                fields(object, step(&path, name), one.get(name), other.get(name), differences);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) if one.len() == other.len() => {
            for (number, (one, other)) in one.iter().zip(other).enumerate() {
                fields(object, format!("{path}[{number}]"), Some(one), Some(other), differences);
            }
        }
        (one, other) => differences.push(Difference::Field {
            object: object.to_owned(),
            path,
            first: one.cloned(),
            second: other.cloned(),
        }),
    }
}

fn step(path: &str, name: &str) -> String {
    let is_plain = name.chars().all(|letter| letter.is_ascii_alphanumeric());
    match (path.is_empty(), is_plain) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (false, false) => format!("{path}[{name:?}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn witness(object: &Value, reasons: &[&str]) -> Witness {
        Witness {
            objects: [("Job a/b".to_owned(), object.clone())].into(),
            events: [("Job b".to_owned(), reasons.iter().map(|reason| (*reason).to_owned()).collect())].into(),
        }
    }

    #[test]
    fn a_field_that_differs_is_named_by_its_path_with_both_values() {
        let one =
            witness(&json!({"status": {"conditions": [{"type": "Complete", "status": "True"}], "ready": 0}}), &[]);
        let two = witness(&json!({"status": {"conditions": [{"type": "Complete", "status": "False"}]}}), &[]);
        let told: Vec<String> = compare(&one, &two).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [r#"Job a/b: status.conditions[0].status is "True" and "False""#, "Job a/b: status.ready is 0 and absent",]
        );
        assert_eq!(compare(&one, &one), []);
    }

    #[test]
    fn the_order_of_events_counts() {
        let (one, two) =
            (witness(&json!({}), &["Created", "Completed"]), witness(&json!({}), &["Completed", "Created"]));
        let told: Vec<String> = compare(&one, &two).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Events of Job b: Created, Completed and Completed, Created"]);
    }

    #[test]
    fn an_object_that_only_one_has_is_said() {
        let told: Vec<String> =
            compare(&Witness::default(), &witness(&json!({}), &[])).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Job a/b: only on the second"]);
    }
}
