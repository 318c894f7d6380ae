//! Structural validation: types, bounds and junctors, with the messages of Kubernetes' OpenAPI validator.
//!
//! The order of checks, what counts as a match (it decides which branch of an `anyOf` is reported) and some known oddities
//! are that validator's too, since clients see them. On update, an error is forgiven where the value, found again in the
//! old object by field or by list-map key, did not change.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::number;
use crate::field::{FieldError, Kind};
use crate::schema::node::{Bounds, ListType, Schema, SchemaRef, Type};
use crate::schema::{formats, go};

/// What is wrong with `new`, whose place in the object is `base` (empty for the whole object).
pub(super) fn check(new: &Value, old: Option<&Value>, schema: &Schema, base: &str) -> Vec<FieldError> {
    let outcome = Walker { path: String::new() }.correlated(new, old, schema);
    outcome.found.into_iter().map(|violation| violation.into_error(base)).collect()
}

/// What a violation becomes in a Status.
#[derive(Clone, Debug)]
pub(super) enum Code {
    Required,
    Enum(Vec<Value>),
    TooLong(u64),
    TooMany(u64),
    Type,
    Other,
    /// Not tied to a field: junctors and ranges of number formats.
    Untied,
}

#[derive(Clone, Debug)]
pub(super) struct Violation {
    code: Code,
    /// Path from the root of this validation.
    name: String,
    value: Option<Value>,
    text: String,
}

impl Violation {
    pub(super) fn new(code: Code, name: &str, value: Option<Value>, text: String) -> Self {
        Self { code, name: name.to_owned(), value, text }
    }

    fn untied(text: String) -> Self {
        Self::new(Code::Untied, "", None, text)
    }

    /// `expected` as the message names it; `found` is a type or the offending text.
    fn wrong_type(name: &str, expected: &str, found: &str) -> Self {
        let text = format!("{name} in body must be of type {expected}: {}", crate::field::quote(found));
        Self::new(Code::Type, name, Some(found.into()), text)
    }

    fn into_error(self, base: &str) -> FieldError {
        let name = self.name.trim_start_matches('.');
        let field = match (base.is_empty(), name.is_empty() || matches!(self.code, Code::Untied)) {
            (true, true) => "<nil>".to_owned(),
            (true, false) => name.to_owned(),
            (false, true) => base.to_owned(),
            (false, false) => format!("{base}.{name}"),
        };
        let value = || self.value.clone().unwrap_or_else(|| "".into());
        let plural = |n: u64, one: &str| if n == 1 { one.to_owned() } else { format!("{one}s") };
        match self.code {
            Code::Required => FieldError::required(field, ""),
            Code::Enum(allowed) => {
                let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                let allowed: Vec<String> = allowed.iter().map(word).collect();
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                FieldError::not_supported(field, self.value.unwrap_or(Value::Null), &allowed)
            }
            Code::TooLong(max) => {
                let detail = format!("may not be more than {max} {}", plural(max, "byte"));
                FieldError { kind: Kind::TooLong, field, value: None, detail }
            }
            Code::TooMany(max) => FieldError::new(
                Kind::TooMany,
                field,
                value(),
                format!("must have at most {max} {}", plural(max, "item")),
            ),
            Code::Type => FieldError::new(Kind::TypeInvalid, field, value(), self.text),
            Code::Other | Code::Untied => FieldError::invalid(field, value(), self.text),
        }
    }
}

/// What one validator found, and how many checks went well on the way.
#[derive(Default)]
struct Outcome {
    found: Vec<Violation>,
    matches: usize,
}

impl Outcome {
    fn add(&mut self, violation: Violation) {
        if !self.found.iter().any(|known| known.text == violation.text) {
            self.found.push(violation);
        }
    }

    fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        other.found.into_iter().for_each(|violation| self.add(violation));
    }

    fn one(violation: Violation) -> Self {
        Self { found: vec![violation], matches: 0 }
    }
}

struct Walker {
    path: String,
}

impl Walker {
    /// A value that was found again in the old object, if `old` is there.
    fn correlated(&mut self, new: &Value, old: Option<&Value>, schema: &Schema) -> Outcome {
        let mut outcome = self.node(new, old, schema);
        if !outcome.found.is_empty() && old == Some(new) {
            outcome.found.clear();
        }
        outcome
    }

    fn node(&mut self, new: &Value, old: Option<&Value>, schema: &Schema) -> Outcome {
        let mut all = Outcome::default();
        let bounds = schema.bounds.as_deref();
        let format = bounds.and_then(|b| b.format.as_deref()).unwrap_or_default();
        if new.is_null() {
            all.merge(self.types(new, schema, format));
            all.merge(self.enumeration(new, bounds));
            return all;
        }
        if schema.ty != Type::Any || !format.is_empty() {
            all.merge(self.types(new, schema, format));
            all.matches += 1;
        }
        all.merge(bounds.map_or(Outcome { found: Vec::new(), matches: 1 }, |b| self.junctors(new, old, b)));
        all.matches += 1;
        match new {
            Value::String(text) => {
                all.merge(self.string(text, bounds));
                all.matches += 1;
                if let Some(right) = formats::check(format, text) {
                    if !right {
                        all.add(Violation::wrong_type(&self.path, format, text));
                    }
                    all.matches += 1;
                }
            }
            Value::Number(number) => {
                let (ty, of_type) = number::format_of(schema.ty, format);
                for violation in number::check(&self.path, number, ty, of_type, bounds) {
                    all.add(violation);
                }
                all.matches += 2;
            }
            Value::Array(items) => {
                all.merge(self.items(items, old, schema));
                all.matches += 2;
            }
            Value::Object(_) | Value::Bool(_) | Value::Null => {}
        }
        all.merge(self.enumeration(new, bounds));
        all.matches += 1;
        if let Value::Object(fields) = new {
            all.merge(self.fields(fields, old, schema));
            all.matches += 1;
        }
        all.matches += 1;
        all
    }

    fn types(&self, new: &Value, schema: &Schema, format: &str) -> Outcome {
        let expected = names(schema.ty);
        let right = Outcome { found: Vec::new(), matches: 1 };
        if new.is_null() {
            if !expected.is_empty() && !schema.nullable {
                return Outcome::one(Violation::wrong_type(&self.path, &expected.join(","), "null"));
            }
            return right;
        }
        let (found, of_format) = match new {
            Value::Null => ("null", ""),
            Value::Bool(_) => ("boolean", ""),
            Value::Number(n) if n.is_i64() => ("integer", "int64"),
            Value::Number(_) => ("number", "float64"),
            Value::String(_) => ("string", ""),
            Value::Array(_) => ("array", ""),
            Value::Object(_) => ("object", ""),
        };
        let whole = found == "number" && expected.contains(&"integer") && new.as_f64().is_some_and(number::is_whole);
        let close = whole || (found == "integer" && expected.contains(&"number"));
        let numeric = expected.contains(&"number") || expected.contains(&"integer");
        let worded = matches!(new, Value::String(_) | Value::Array(_));
        if !(worded || format.is_empty() || expected.contains(&found) || of_format == format || close) {
            return Outcome::one(Violation::wrong_type(&self.path, format, of_format));
        }
        // Kubernetes leaves texts (and, oddly, lists) with a format to the format's own check.
        if (!numeric && !format.is_empty() && worded) || expected.is_empty() || expected.contains(&found) || close {
            return right;
        }
        Outcome::one(Violation::wrong_type(&self.path, &expected.join(","), found))
    }

    fn enumeration(&self, new: &Value, bounds: Option<&Bounds>) -> Outcome {
        let allowed = bounds.and_then(|b| b.enumeration.as_deref()).unwrap_or_default();
        if allowed.is_empty() || allowed.iter().any(|v| number::same(v, new)) {
            return Outcome::default();
        }
        let text = format!("{} in body should be one of {}", self.path, go::display(&Value::Array(allowed.to_vec())));
        Outcome::one(Violation::new(Code::Enum(allowed.to_vec()), &self.path, Some(new.clone()), text))
    }

    fn string(&self, text: &str, bounds: Option<&Bounds>) -> Outcome {
        let Some(bounds) = bounds else { return Outcome::default() };
        let length = || text.chars().count() as u64;
        let say = |code: Code, what: String| {
            let text = Some(Value::from(text));
            Outcome::one(Violation::new(code, &self.path, text, format!("{} in body should {what}", self.path)))
        };
        if let Some(max) = bounds.max_length.filter(|max| length() > *max) {
            return say(Code::TooLong(max), format!("be at most {max} chars long"));
        }
        if let Some(min) = bounds.min_length.filter(|min| length() < *min) {
            return say(Code::Other, format!("be at least {min} chars long"));
        }
        match &bounds.pattern {
            Some(pattern) => match &pattern.regex {
                Ok(regex) if regex.is_match(text) => Outcome::default(),
                Ok(_) => say(Code::Other, format!("match '{}'", pattern.text)),
                Err(why) => say(Code::Other, format!("match '{}, but pattern is invalid: {why}'", pattern.text)),
            },
            None => Outcome::default(),
        }
    }

    fn items(&mut self, items: &[Value], old: Option<&Value>, schema: &Schema) -> Outcome {
        let mut all = Outcome::default();
        let before = self.path.len();
        if let Some(known) = schema.items.as_ref().map(SchemaRef::get) {
            for (at, item) in items.iter().enumerate() {
                let _ = write!(self.path, "[{at}]");
                let old = old.and_then(|list| counterpart(item, list, &schema.list_type));
                let outcome = self.correlated(item, old, known);
                all.merge(outcome);
                self.path.truncate(before);
            }
        }
        let Some(bounds) = schema.bounds.as_deref() else { return all };
        let size = items.len() as u64;
        let say = |code: Code, value: Option<Value>, what: String| {
            Violation::new(code, &self.path, value, format!("{} in body {what}", self.path))
        };
        if let Some(min) = bounds.min_items.filter(|min| size < *min) {
            all.add(say(Code::Other, Some(size.into()), format!("should have at least {min} items")));
        }
        if let Some(max) = bounds.max_items.filter(|max| size > *max) {
            all.add(say(Code::TooMany(max), Some(size.into()), format!("should have at most {max} items")));
        }
        if bounds.unique_items && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
            all.add(say(Code::Other, None, "shouldn't contain duplicates".to_owned()));
        }
        all
    }

    fn fields(&mut self, fields: &Map<String, Value>, old: Option<&Value>, schema: &Schema) -> Outcome {
        let mut all = Outcome::default();
        let size = fields.len() as u64;
        if let Some(bounds) = schema.bounds.as_deref() {
            if let Some(min) = bounds.min_properties.filter(|min| size < *min) {
                let text = format!("{} in body should have at least {min} properties", self.path);
                all.add(Violation::new(Code::Other, &self.path, Some(size.into()), text));
            }
            if let Some(max) = bounds.max_properties.filter(|max| size > *max) {
                let text = format!("{} in body should have at most {max} properties", self.path);
                all.add(Violation::new(Code::TooMany(max), &self.path, Some(size.into()), text));
            }
        }
        let before = self.path.len();
        for (name, field) in fields {
            let known = schema.properties.get(name);
            let Some(child) = known.or(schema.additional.as_ref()).map(SchemaRef::get) else { continue };
            // Both versions of an object are read in the same one: a change of these is not seen.
            let type_field = before == 0 && matches!(name.as_str(), "apiVersion" | "kind");
            let old = old.filter(|_| !type_field).and_then(|o| o.get(name));
            if before > 0 || known.is_none() {
                self.path.push('.');
            }
            self.path.push_str(name);
            let outcome = if schema.embedded_resource && name == "metadata" {
                self.metadata(field, old, child)
            } else {
                self.correlated(field, old, child)
            };
            self.path.truncate(before);
            all.merge(outcome);
        }
        for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
            let path = format!("{}.{name}", self.path);
            all.add(Violation::new(Code::Required, &path, None, format!("{path} in body is required")));
        }
        all
    }

    /// Metadata is checked where all objects' metadata is; a schema may only add to what names look like.
    fn metadata(&mut self, new: &Value, old: Option<&Value>, schema: &Schema) -> Outcome {
        let mut all = Outcome::default();
        let before = self.path.len();
        for name in ["name", "generateName"] {
            let (Some(value), Some(known)) = (new.get(name), schema.properties.get(name)) else { continue };
            self.path.push('.');
            self.path.push_str(name);
            let outcome = self.correlated(value, old.and_then(|o| o.get(name)), known.get());
            self.path.truncate(before);
            all.merge(outcome);
        }
        all
    }

    fn junctors(&mut self, new: &Value, old: Option<&Value>, bounds: &Bounds) -> Outcome {
        let mut all = Outcome { found: Vec::new(), matches: 1 };
        let name = crate::field::quote(&self.path);
        if !bounds.any_of.is_empty() {
            let (valid, kept) = self.branches(new, old, &bounds.any_of, true);
            if valid == 0 {
                all.add(Violation::untied(format!("{name} must validate at least one schema (anyOf)")));
            }
            all.merge(kept);
        }
        if !bounds.one_of.is_empty() {
            let (valid, kept) = self.branches(new, old, &bounds.one_of, false);
            if valid != 1 {
                let found = if valid == 0 { "none valid".to_owned() } else { format!("{valid} valid alternatives") };
                let text = format!("{name} must validate one and only one schema (oneOf). Found {found}");
                all.add(Violation::untied(text));
            }
            if valid <= 1 {
                all.merge(kept);
            }
        }
        if !bounds.all_of.is_empty() {
            let outcomes: Vec<Outcome> = bounds.all_of.iter().map(|branch| self.node(new, old, branch)).collect();
            let valid = outcomes.iter().filter(|o| o.found.is_empty()).count();
            let whole = outcomes.len();
            for outcome in outcomes {
                all.merge(outcome);
            }
            if valid != whole {
                let none = if valid == 0 { ". None validated" } else { "" };
                all.add(Violation::untied(format!("{name} must validate all the schemas (allOf){none}")));
            }
        }
        if bounds.not.as_ref().is_some_and(|not| self.node(new, old, not).found.is_empty()) {
            all.add(Violation::untied(format!("{name} must not validate the schema (not)")));
        }
        all
    }

    /// How many branches are valid, and the outcome to keep: the first valid one, else the one with the most matches.
    fn branches(
        &mut self,
        new: &Value,
        old: Option<&Value>,
        branches: &[std::sync::Arc<Schema>],
        first_is_enough: bool,
    ) -> (usize, Outcome) {
        let (mut valid, mut kept): (usize, Option<Outcome>) = (0, None);
        for branch in branches {
            let outcome = self.node(new, old, branch);
            if outcome.found.is_empty() {
                valid += 1;
                if valid == 1 {
                    kept = Some(outcome);
                }
                if first_is_enough {
                    break;
                }
            } else if valid == 0 && kept.as_ref().is_none_or(|k| outcome.matches > k.matches) {
                kept = Some(outcome);
            }
        }
        (valid, kept.unwrap_or_default())
    }
}

/// The item of an old list that is the same as `item` by its keys; only map lists have such.
pub(in crate::schema) fn counterpart<'a>(item: &Value, old: &'a Value, list_type: &ListType) -> Option<&'a Value> {
    let ListType::Map(keys) = list_type else { return None };
    let same =
        |other: &&Value| other.is_object() && item.is_object() && keys.iter().all(|k| other.get(k) == item.get(k));
    old.as_array()?.iter().find(same)
}

fn names(ty: Type) -> &'static [&'static str] {
    match ty {
        Type::Any => &[],
        Type::Object => &["object"],
        Type::Array => &["array"],
        Type::String => &["string"],
        Type::Integer => &["integer"],
        Type::Number => &["number"],
        Type::Boolean => &["boolean"],
        Type::IntOrString => &["integer", "string"],
    }
}
