//! Applies the rules of a schema to an object, or to a change of one.
//!
//! Rules look at values that are there. A transition rule (one that reads `oldSelf`) applies only where the value has a
//! predecessor; any other rule is forgiven where nothing changed.

use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{ExecutionError, Value as Cel};
use std::fmt::Write as _;

use serde_json::Value;

use super::value::convert;
use crate::field::{FieldError, Kind};
use crate::schema::node::{ListType, Rule, Schema, SchemaRef, Type};

/// The longest message an expression may make, in bytes.
const MESSAGE_BYTES_MAX: usize = 5120;

/// What the rules of a schema have against an object or a change.
pub fn validate(new: &Value, old: Option<&Value>, schema: &Schema) -> Vec<FieldError> {
    let correlation = Correlation { current: old.map(|old| (new, old)), parent: None };
    let mut walk = Walk { path: String::new(), errors: Vec::new() };
    walk.visit(new, old, schema, correlation);
    walk.errors
}

/// A value and its predecessor: of this place, and of the nearest place above that had one.
#[derive(Clone, Copy)]
struct Correlation<'a> {
    current: Option<(&'a Value, &'a Value)>,
    parent: Option<(&'a Value, &'a Value)>,
}

impl<'a> Correlation<'a> {
    fn is_unchanged(self) -> bool {
        self.current.or(self.parent).is_some_and(|(new, old)| new == old)
    }

    fn below(self, next: impl Fn(&'a Value, &'a Value) -> Option<(&'a Value, &'a Value)>) -> Self {
        match self.current {
            None => self,
            Some((new, old)) => Self { current: next(new, old), parent: self.current },
        }
    }

    fn field(self, name: &str) -> Self {
        // Both versions of an object are read in the same one: a change of these is not seen.
        if self.parent.is_none() && matches!(name, "apiVersion" | "kind") {
            return Self { current: None, parent: None };
        }
        self.below(|new, old| Some((new.get(name)?, old.get(name)?)))
    }

    fn item(self, at: usize, list: &ListType) -> Self {
        self.below(|new, old| {
            let item = new.get(at)?;
            Some((item, crate::schema::validate::counterpart(item, old, list)?))
        })
    }
}

struct Walk {
    path: String,
    errors: Vec<FieldError>,
}

impl Walk {
    fn visit(&mut self, new: &Value, old: Option<&Value>, schema: &Schema, correlation: Correlation<'_>) {
        if !schema.has_rules || new.is_null() {
            return;
        }
        if !schema.rules.is_empty() {
            self.apply_all(new, old.filter(|o| !o.is_null()), schema, correlation);
        }
        let before = self.path.len();
        match new {
            Value::Array(items) => {
                let Some(known) = schema.items.as_ref().map(SchemaRef::get) else { return };
                for (at, item) in items.iter().enumerate() {
                    let _ = write!(self.path, "[{at}]");
                    let old = old.and_then(|o| crate::schema::validate::counterpart(item, o, &schema.list_type));
                    self.visit(item, old, known, correlation.item(at, &schema.list_type));
                    self.path.truncate(before);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let own = schema.properties.get(name);
                    let Some(known) = own.or(schema.additional.as_ref()).map(SchemaRef::get) else { continue };
                    if own.is_none() {
                        let _ = write!(self.path, "[{name}]");
                    } else {
                        if before > 0 {
                            self.path.push('.');
                        }
                        self.path.push_str(name);
                    }
                    self.visit(field, old.and_then(|o| o.get(name)), known, correlation.field(name));
                    self.path.truncate(before);
                }
            }
            _ => {}
        }
    }

    fn apply_all(&mut self, new: &Value, old: Option<&Value>, schema: &Schema, correlation: Correlation<'_>) {
        let own = convert(new, Some(schema));
        let before = old.map(|old| convert(old, Some(schema)));
        for rule in &schema.rules {
            let Some(program) = &rule.program else { continue };
            if program.uses_old_self && before.is_none() && !rule.optional_old_self {
                continue;
            }
            let mut variables = vec![("self", own.clone())];
            if rule.optional_old_self {
                let optional = before.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                variables.push(("oldSelf", Cel::Opaque(std::sync::Arc::new(optional))));
            } else if let Some(before) = &before {
                variables.push(("oldSelf", before.clone()));
            }
            match program.run(&variables) {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => {
                    if program.uses_old_self || !correlation.is_unchanged() {
                        let old_self = before.iter().map(|before| ("oldSelf", before.clone()));
                        let plain: Vec<_> = std::iter::once(("self", own.clone())).chain(old_self).collect();
                        self.errors.push(self.refusal(rule, message(rule, &plain), new, schema));
                    }
                }
                Err(why) => self.errors.push(self.failure(rule, &why, schema)),
            }
        }
    }

    fn place(&self, rule: Option<&Rule>) -> String {
        match (self.path.is_empty(), rule.and_then(|r| r.field_path.as_deref())) {
            (true, None) => "<nil>".to_owned(),
            (true, Some(below)) => below.trim_start_matches('.').to_owned(),
            (false, None) => self.path.clone(),
            (false, Some(below)) => format!("{}.{}", self.path, below.trim_start_matches('.')),
        }
    }

    fn refusal(&self, rule: &Rule, detail: String, value: &Value, schema: &Schema) -> FieldError {
        let field = self.place(Some(rule));
        let value = (!matches!(schema.ty, Type::Object | Type::Array)).then(|| value.clone());
        match rule.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(field, detail),
            Some("FieldValueRequired") => FieldError::required(field, detail),
            Some("FieldValueDuplicate") => FieldError { kind: Kind::Duplicate, field, value, detail: String::new() },
            _ => FieldError { kind: Kind::Invalid, field, value, detail },
        }
    }

    /// A rule that could not be evaluated.
    fn failure(&self, rule: &Rule, why: &ExecutionError, schema: &Schema) -> FieldError {
        let subject = rule.message.as_deref().unwrap_or(&rule.rule).trim();
        let detail = match words(why) {
            text if text.starts_with("no such overload") => format!(
                "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {subject}"
            ),
            text => format!("{text} evaluating rule: {subject}"),
        };
        let ty = match schema.ty {
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
            Type::Any | Type::IntOrString => "",
        };
        FieldError::invalid(self.place(None), ty, detail)
    }
}

fn message(rule: &Rule, variables: &[(&str, Cel)]) -> String {
    let made = rule.message_program.as_ref().and_then(|program| match program.run(variables) {
        Ok(Cel::String(text)) => Some(text.trim().to_owned()),
        _ => None,
    });
    let usable = |text: &String| !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
    made.filter(usable).unwrap_or_else(|| match rule.message.as_deref() {
        Some(message) => message.trim().to_owned(),
        None => format!("failed rule: {}", rule.rule.trim()),
    })
}

/// An evaluation error in the words of Kubernetes' engine.
pub(crate) fn words(why: &ExecutionError) -> String {
    match why {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::NoSuchOverload
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedUnaryOperator(..)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnexpectedType { .. } => "no such overload".to_owned(),
        ExecutionError::IndexOutOfBounds(at) => format!("index out of bounds: {at:?}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        other => other.to_string(),
    }
}
