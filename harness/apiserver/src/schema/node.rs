//! The compiled form of a schema. Everything that depends on a type's structure (strict decoding, pruning, defaulting,
//! validation, strategic merge, server-side apply, OpenAPI) walks this form, for built-in and custom types alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use super::cel::Program;

/// A schema, or the name of the built-in definition that holds it (built-in types are recursive and compiled on
/// first use).
#[derive(Clone, Debug)]
pub enum SchemaRef {
    /// A schema that stands here.
    Inline(Arc<Schema>),
    /// A definition of `schemas.json`, such as `io.k8s.api.core.v1.PodSpec`.
    Builtin(&'static str),
}

impl SchemaRef {
    /// The schema itself. A name that is no definition stands for a schema that accepts anything.
    pub fn get(&self) -> &Schema {
        match self {
            Self::Inline(schema) => schema,
            Self::Builtin(name) => super::builtin::definition(name),
        }
    }
}

impl From<Schema> for SchemaRef {
    fn from(schema: Schema) -> Self {
        Self::Inline(Arc::new(schema))
    }
}

/// The JSON type a schema asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Nothing is asked.
    #[default]
    Any,
    /// An object with fields or a map.
    Object,
    /// A list.
    Array,
    /// A string.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
}

/// `x-kubernetes-list-type` with its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole, owned as a whole.
    #[default]
    Atomic,
    /// A set of scalars.
    Set,
    /// Objects told apart by these keys.
    Map(Vec<String>),
}

/// `x-kubernetes-patch-strategy` (strategic merge patch only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists are merged instead of replaced.
    pub merge: bool,
    /// Only the keys that the patch names are kept.
    pub retain_keys: bool,
    /// Objects are replaced instead of merged.
    pub replace: bool,
}

/// One rule of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The CEL expression.
    pub rule: String,
    /// What is said when it is false.
    pub message: Option<String>,
    /// A CEL expression that words the message.
    pub message_expression: Option<String>,
    /// `FieldValueInvalid` unless told otherwise.
    pub reason: Option<String>,
    /// The field the error is reported at, relative to where the rule stands.
    pub field_path: Option<String>,
    /// Evaluate a transition rule also when there is no old value.
    pub optional_old_self: bool,
    /// The compiled rule; none if it does not compile.
    pub program: Option<Arc<Program>>,
    /// The compiled message expression.
    pub message_program: Option<Arc<Program>>,
}

/// A regular expression, compiled once with the schema it stands in.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it is written.
    pub text: String,
    /// Compiled; the error is said to whoever meets it.
    pub regex: Result<Regex, String>,
}

impl Pattern {
    /// Compiles `text`.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), regex: super::pattern::compile(text) }
    }
}

/// Bounds and forms of a value.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are JSON schema's own")]
pub struct Bounds {
    pub maximum: Option<f64>,
    pub minimum: Option<f64>,
    pub exclusive_maximum: bool,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<u64>,
    pub min_length: Option<u64>,
    pub pattern: Option<Pattern>,
    pub max_items: Option<u64>,
    pub min_items: Option<u64>,
    pub unique_items: bool,
    pub max_properties: Option<u64>,
    pub min_properties: Option<u64>,
    pub format: Option<String>,
    pub enumeration: Option<Vec<Value>>,
    pub all_of: Vec<Arc<Schema>>,
    pub any_of: Vec<Arc<Schema>>,
    pub one_of: Vec<Arc<Schema>>,
    pub not: Option<Arc<Schema>>,
}

impl Bounds {
    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        let Self { maximum, minimum, multiple_of, max_length, min_length, pattern, .. } = self;
        let Self { max_items, min_items, max_properties, min_properties, format, enumeration, .. } = self;
        let lengths = [max_length, min_length, max_items, min_items, max_properties, min_properties];
        maximum.or(*minimum).or(*multiple_of).is_none()
            && lengths.iter().all(|l| l.is_none())
            && pattern.is_none()
            && format.is_none()
            && enumeration.is_none()
            && !self.unique_items
            && [&self.all_of, &self.any_of, &self.one_of].iter().all(|l| l.is_empty())
            && self.not.is_none()
    }
}

/// One node of a structural schema.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The JSON type.
    pub ty: Type,
    /// Null is a value.
    pub nullable: bool,
    /// Fields by name.
    pub properties: BTreeMap<String, SchemaRef>,
    /// The type of a map's values.
    pub additional: Option<SchemaRef>,
    /// The type of a list's items.
    pub items: Option<SchemaRef>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The value a missing field gets.
    pub default: Option<Value>,
    /// How a list is merged and owned.
    pub list_type: ListType,
    /// `x-kubernetes-map-type: atomic`: an object or map that is owned as a whole.
    pub atomic_map: bool,
    /// How strategic merge patch treats the field.
    pub patch_strategy: PatchStrategy,
    /// The key strategic merge patch tells items apart by.
    pub patch_merge_key: Option<String>,
    /// `x-kubernetes-preserve-unknown-fields`: nothing below is pruned.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`: has apiVersion, kind and metadata of its own.
    pub embedded_resource: bool,
    /// The definition of `schemas.json` this is, or is a copy of.
    pub definition: Option<&'static str>,
    /// CEL rules.
    pub rules: Vec<Rule>,
    /// Whether rules stand here or anywhere below.
    pub has_rules: bool,
    /// Bounds and forms; none for most nodes, so boxed.
    pub bounds: Option<Box<Bounds>>,
}
