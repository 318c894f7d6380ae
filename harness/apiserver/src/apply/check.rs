//! Whether a value fits its shape, in the words of structured merge.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::path::Step;
use super::shape::{Form, Scalar, Shape};
use crate::go::{plain, source, type_name};

/// One place where a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) path: String,
    pub(super) message: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// All of them as one text.
pub(super) fn join(misfits: &[Misfit]) -> String {
    match misfits {
        [one] => one.to_string(),
        many => many.iter().fold(String::from("errors:"), |text, misfit| format!("{text}\n  {misfit}")),
    }
}

/// Whether lists may hold an item twice. What a client applies may not; what is stored may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicates {
    Allowed,
    Refused,
}

/// Everything that does not fit.
pub(super) fn check(value: &Value, shape: Shape<'_>, duplicates: Duplicates) -> Vec<Misfit> {
    let mut walk = Walk { duplicates, path: String::new(), misfits: Vec::new() };
    walk.value(value, shape);
    walk.misfits
}

struct Walk {
    duplicates: Duplicates,
    path: String,
    misfits: Vec<Misfit>,
}

impl Walk {
    fn value(&mut self, value: &Value, shape: Shape<'_>) {
        match (shape.form(Some(value)), value) {
            (_, Value::Null) => {}
            (Form::Scalar(scalar), value) => self.scalar(value, scalar),
            (form @ (Form::List(_) | Form::AtomicList), Value::Array(items)) => self.list(items, form, shape),
            (Form::List(_) | Form::AtomicList, other) => {
                self.misfit(format!("expected list, got &{{{}}}", plain(other)));
            }
            (Form::Map | Form::AtomicMap, Value::Object(fields)) => {
                for (name, field) in fields {
                    let length = self.path.len();
                    self.path.push('.');
                    self.path.push_str(name);
                    match shape.field(name) {
                        Some(shape) => self.value(field, shape),
                        None => self.misfit("field not declared in schema".to_owned()),
                    }
                    self.path.truncate(length);
                }
            }
            (Form::Map | Form::AtomicMap, other) => {
                self.misfit(format!("expected map, got &{{{}}}", plain(other)));
            }
        }
    }

    fn list(&mut self, items: &[Value], form: Form<'_>, shape: Shape<'_>) {
        let item_shape = shape.items();
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let step = match form {
                Form::List(keys) => match shape.item_step(keys, item) {
                    Ok(step) => step,
                    // Without a step there is no way to tell about what is below either.
                    Err(why) => return self.misfit(format!("element {index}: {why}")),
                },
                _ => Step::Index(i64::try_from(index).unwrap_or(i64::MAX)),
            };
            let length = self.path.len();
            self.path.push_str(&step.to_string());
            if !seen.insert(step.clone()) && self.duplicates == Duplicates::Refused {
                let at = self.path.split_off(length);
                self.misfit(format!("duplicate entries for key {step}"));
                self.path.push_str(&at);
            }
            self.value(item, item_shape);
            self.path.truncate(length);
        }
    }

    fn scalar(&mut self, value: &Value, scalar: Scalar) {
        let message = match (scalar, value) {
            (Scalar::Numeric, Value::Number(_))
            | (Scalar::String, Value::String(_))
            | (Scalar::Boolean, Value::Bool(_))
            | (Scalar::Any, Value::Number(_) | Value::String(_) | Value::Bool(_)) => return,
            (Scalar::Numeric, other) => format!("expected numeric (int or float), got {}", type_name(other)),
            (Scalar::String, other) => {
                format!("expected string, got &value.valueUnstructured{{Value:{}}}", source(other))
            }
            (Scalar::Boolean, other) => format!("expected boolean, got &{{{}}}", plain(other)),
            (Scalar::Any, other) => format!("expected any scalar, got &{{{}}}", plain(other)),
        };
        self.misfit(message);
    }

    fn misfit(&mut self, message: String) {
        self.misfits.push(Misfit { path: self.path.clone(), message });
    }
}

/// A scalar that fits; null does.
pub(super) fn fits(value: Option<&Value>, scalar: Scalar) -> bool {
    match (scalar, value) {
        (_, None | Some(Value::Null)) => true,
        (Scalar::Numeric, Some(value)) => value.is_number(),
        (Scalar::String, Some(value)) => value.is_string(),
        (Scalar::Boolean, Some(value)) => value.is_boolean(),
        (Scalar::Any, Some(value)) => !value.is_array() && !value.is_object(),
    }
}
