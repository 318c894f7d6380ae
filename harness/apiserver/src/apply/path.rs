//! One step of a path through an object: a field, or an item of a list by key, by value or by index.
//!
//! Steps have a total order (the order in which Kubernetes writes them) and two spellings: the one of `FieldsV1`
//! (`f:spec`, `k:{"name":"app"}`) and the one people read in conflicts (`.spec`, `[name="app"]`).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde_json::{Number, Value};

use crate::field::quote;
use crate::go;

/// One step of a path.
#[derive(Clone, Debug)]
pub enum Step {
    /// A field of an object or a key of a map.
    Field(Arc<str>),
    /// The item of a list that has these fields, sorted by name.
    Key(Arc<[(String, Value)]>),
    /// The item of a set that has this value.
    Value(Arc<Value>),
    /// The item at this position.
    Index(i64),
}

/// Why a step of `FieldsV1` cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Too short, or without a colon.
    #[error("a path element must begin with a letter and a colon")]
    Malformed,
    /// A later version of Kubernetes may know it; it is skipped.
    #[error("unknown path element type")]
    Unknown,
    /// What follows the colon is not of the type's form.
    #[error("the content of a path element cannot be read")]
    Content,
}

impl Step {
    /// The field `name`.
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// The item with these fields.
    pub fn key(mut fields: Vec<(String, Value)>) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(fields.into())
    }

    /// The spelling of `FieldsV1`.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let mut text = String::from("k:{");
                for (i, (name, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    push_json(&mut text, &Value::String(name.clone()));
                    text.push(':');
                    push_json(&mut text, value);
                }
                text.push('}');
                text
            }
            Self::Value(value) => {
                let mut text = String::from("v:");
                push_json(&mut text, value);
                text
            }
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads the spelling of `FieldsV1`.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn decode(text: &str) -> Result<Self, StepError> {
        let (kind, content) = text.split_once(':').filter(|(kind, _)| kind.len() == 1).ok_or(StepError::Malformed)?;
        match kind {
            "f" => Ok(Self::field(content)),
            "v" => serde_json::from_str(content).map(|v| Self::Value(Arc::new(v))).map_err(|_| StepError::Content),
            "k" => match serde_json::from_str(content) {
                Ok(Value::Object(fields)) => Ok(Self::key(fields.into_iter().collect())),
                _ => Err(StepError::Content),
            },
            "i" => content.parse().map(Self::Index).map_err(|_| StepError::Content),
            _ => Err(StepError::Unknown),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_fields(a, b),
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Step {}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_str("[")?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", readable(value))?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", readable(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path as people read it, like `.spec.containers[name="app"].image`.
pub fn display(path: &[Step]) -> String {
    path.iter().map(ToString::to_string).collect()
}

fn compare_fields(a: &[(String, Value)], b: &[(String, Value)]) -> Ordering {
    let each = a.iter().zip(b).map(|((an, av), (bn, bv))| an.cmp(bn).then_with(|| compare(av, bv)));
    each.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// A total order of values: numbers (by value, whole or not), strings, booleans, lists, maps, null.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let each = a.iter().zip(b).map(|(a, b)| compare(a, b));
            each.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let each = a.iter().zip(b).map(|((an, av), (bn, bv))| an.cmp(bn).then_with(|| compare(av, bv)));
            each.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => kind_rank(a).cmp(&kind_rank(b)),
    }
}

/// Whether two values are the same; `1` and `1.0` are.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((an, av), (bn, bv))| an == bn && equal(av, bv))
        }
        _ => a == b,
    }
}

fn kind_rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
    }
}

/// The number as a whole one, also when it is written with a fraction of zero.
fn whole(number: &Number) -> Option<i128> {
    /// Every whole number up to here is exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(n) = number.as_i64() {
        return Some(n.into());
    }
    if let Some(n) = number.as_u64() {
        return Some(n.into());
    }
    let f = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    (f.fract() == 0.0 && f.abs() <= EXACT).then_some(f as i128)
}

/// A value in a path that people read.
fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Number(number) => whole(number).map_or_else(|| number.to_string(), |n| n.to_string()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(readable).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", readable(v))).collect();
            fields.concat()
        }
        other => other.to_string(),
    }
}

/// A scalar in a step: whole numbers have no fraction, so that a port is spelt in one way.
fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::Number(_) => out.push_str(&readable(value)),
        other => out.push_str(&go::json(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_are_spelt_as_kubernetes_spells_them() {
        let port = Step::key(vec![("protocol".into(), json!("TCP")), ("containerPort".into(), json!(80))]);
        let table = [
            (Step::field("spec"), "f:spec", ".spec"),
            (port, r#"k:{"containerPort":80,"protocol":"TCP"}"#, r#"[containerPort=80,protocol="TCP"]"#),
            (Step::Value(Arc::new(json!("a<b"))), r#"v:"a\u003cb""#, r#"[="a<b"]"#),
            (Step::Index(3), "i:3", "[3]"),
        ];
        for (step, encoded, read) in table {
            assert_eq!(step.encode(), encoded);
            assert_eq!(step.to_string(), read);
            assert_eq!(Step::decode(encoded), Ok(step));
        }
    }

    #[test]
    fn what_is_no_step_is_refused_and_what_is_unknown_is_told_apart() {
        let table = [
            ("", StepError::Malformed),
            ("spec", StepError::Malformed),
            ("ff:spec", StepError::Malformed),
            ("x:spec", StepError::Unknown),
            ("k:[]", StepError::Content),
            ("v:{", StepError::Content),
            ("i:x", StepError::Content),
        ];
        for (text, why) in table {
            assert_eq!(Step::decode(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_port_that_was_read_as_a_float_is_the_same_port() {
        assert_eq!(Step::Value(Arc::new(json!(80))), Step::Value(Arc::new(json!(80.0))));
        assert!(equal(&json!({"a": [1.0]}), &json!({"a": [1]})));
        assert_eq!(Step::Value(Arc::new(json!(80.0))).encode(), "v:80");
    }
}
