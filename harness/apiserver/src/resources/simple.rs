//! Rules that fit in a table: most kinds need a few functions and no type of their own.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::value::{copy, set};
use crate::field::FieldError;
use crate::resource::{NameRule, Rules};
use crate::table::{Column, name_and_age, name_and_age_row};

/// Who keeps the status of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is none, or it is part of the object like any other field.
    None,
    /// Only writes to its subresource change it.
    Split,
    /// As [`Status::Split`], but an object may be created with one.
    SplitAfterCreate,
}

/// The rules of one kind, as functions.
#[derive(Debug)]
pub(crate) struct Simple {
    /// Whether changes of the spec are counted.
    pub(crate) generation: bool,
    /// What its names look like.
    pub(crate) names: NameRule,
    /// Who keeps the status.
    pub(crate) status: Status,
    /// Fills in defaults.
    pub(crate) default: fn(&mut Value),
    /// What the server sets on create.
    pub(crate) create: fn(&mut Value),
    /// What the server keeps on update: new, old.
    pub(crate) keep: fn(&mut Value, &Value),
    /// What is wrong with an object.
    pub(crate) validate: fn(&Value, &mut Vec<FieldError>),
    /// What is wrong with a change, besides what is wrong with the object: new, old.
    pub(crate) change: fn(&Value, &Value, &mut Vec<FieldError>),
    /// What is wrong with a change of status: new, old.
    pub(crate) status_change: fn(&Value, &Value, &mut Vec<FieldError>),
    /// Where objects are stored that several groups serve.
    pub(crate) stored_as: Option<(&'static str, &'static str)>,
    /// What becomes of an object that was written through another group.
    pub(crate) convert: fn(&mut Value),
    /// The fields that objects can be selected by.
    pub(crate) fields: &'static [&'static str],
    /// Their values.
    pub(crate) field: fn(&Value, &str) -> Option<String>,
    /// What kubectl prints.
    pub(crate) columns: fn() -> Vec<Column>,
    /// A row of it.
    pub(crate) row: fn(&Value, Timestamp) -> Vec<Value>,
}

/// Rules to start from.
pub(crate) const SIMPLE: Simple = Simple {
    generation: false,
    names: NameRule::Subdomain,
    status: Status::None,
    default: |_| {},
    create: |_| {},
    keep: |_, _| {},
    validate: |_, _| {},
    change: |_, _, _| {},
    status_change: |_, _, _| {},
    stored_as: None,
    convert: |_| {},
    fields: &[],
    field: |_, _| None,
    columns: name_and_age,
    row: name_and_age_row,
};

impl Rules for Simple {
    fn default(&self, object: &mut Value) {
        (self.default)(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.status == Status::Split {
            set(object, "status", json!({}));
        }
        (self.create)(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        if self.status != Status::None {
            copy(new, old, "status");
        }
        (self.keep)(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        copy(new, old, "spec");
    }

    fn has_generation(&self) -> bool {
        self.generation
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        (self.validate)(object, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        (self.change)(new, old, &mut errors);
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        (self.status_change)(new, old, &mut errors);
        errors
    }

    fn name_rule(&self) -> NameRule {
        self.names
    }

    fn stored_as(&self) -> Option<(&'static str, &'static str)> {
        self.stored_as
    }

    fn convert(&self, object: &mut Value) {
        (self.convert)(object);
    }

    fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    fn field(&self, object: &Value, path: &str) -> Option<String> {
        (self.field)(object, path)
    }

    fn columns(&self) -> Vec<Column> {
        (self.columns)()
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        (self.row)(object, now)
    }
}
