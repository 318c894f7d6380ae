//! Schemas as structured merge sees them: which values are leaves, which lists are sets or maps, which fields there are.
//!
//! A [`Shape`] is a schema, or the type that is made up from a value where the schema says nothing: maps are merged key
//! by key and lists are replaced. A schema that allows several types is read by the value at hand.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::path::{Step, equal};
use crate::schema::node::{ListType, Schema, SchemaRef, Type};

/// The definition that `metadata` follows, whatever a custom resource's own schema says.
static OBJECT_META: SchemaRef = SchemaRef::Builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// What a schema says.
    Declared {
        schema: &'a Schema,
        /// Unknown fields are kept, here and below.
        preserve: bool,
        /// This is an object with apiVersion, kind and metadata.
        object: bool,
    },
    /// Made up from the value: maps are merged.
    Deduced,
    /// Made up from the value, inside a list: nothing is merged.
    Atomic,
}

/// What is done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// Replaced.
    Scalar(Scalar),
    /// Replaced, but made of items.
    AtomicList,
    /// Merged item by item; without keys it is a set.
    List(&'a [String]),
    /// Replaced, but made of fields.
    AtomicMap,
    /// Merged field by field.
    Map,
}

/// Which scalars are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    String,
    Boolean,
    Any,
}

impl<'a> Shape<'a> {
    /// The shape of a whole object.
    pub(super) fn object(schema: &'a SchemaRef) -> Self {
        match Self::of(schema, false) {
            Self::Declared { schema, preserve, .. } => Self::Declared { schema, preserve, object: true },
            other => other,
        }
    }

    fn of(schema: &'a SchemaRef, preserve: bool) -> Self {
        let schema = schema.get();
        let preserve = preserve || schema.preserve_unknown;
        let object = schema.embedded_resource;
        Self::Declared { schema, preserve, object }
    }

    /// How `value` is treated. Null and an absent value take the first form of map, scalar and list that is allowed; so
    /// does a value of a type that is not.
    pub(super) fn form(self, value: Option<&Value>) -> Form<'a> {
        let (ty, format) = match self {
            Self::Declared { schema, .. } => (schema.ty, has_format(schema)),
            Self::Deduced | Self::Atomic => (Type::Any, false),
        };
        match ty {
            Type::Object => self.map(),
            Type::Array => self.list(),
            Type::String => Form::Scalar(if format { Scalar::Any } else { Scalar::String }),
            Type::Integer | Type::Number => Form::Scalar(Scalar::Numeric),
            Type::Boolean => Form::Scalar(Scalar::Boolean),
            Type::Any | Type::IntOrString => match value {
                None | Some(Value::Null | Value::Object(_)) => self.map(),
                Some(Value::Array(_)) => self.list(),
                Some(_) => Form::Scalar(Scalar::Any),
            },
        }
    }

    fn map(self) -> Form<'a> {
        match self {
            Self::Declared { schema, .. } if schema.atomic_map => Form::AtomicMap,
            Self::Atomic => Form::AtomicMap,
            Self::Declared { .. } | Self::Deduced => Form::Map,
        }
    }

    fn list(self) -> Form<'a> {
        match self {
            Self::Declared { schema, .. } => match &schema.list_type {
                ListType::Atomic => Form::AtomicList,
                ListType::Set => Form::List(&[]),
                ListType::Map(keys) => Form::List(keys),
            },
            Self::Deduced | Self::Atomic => Form::AtomicList,
        }
    }

    /// Whether an absent or null value leaves open what is done with it.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::Declared { schema, .. } => matches!(schema.ty, Type::Any | Type::IntOrString),
            Self::Deduced | Self::Atomic => true,
        }
    }

    /// Whether the schema names this field (the keys of a map it does not).
    pub(super) fn names(self, field: &str) -> bool {
        match self {
            Self::Declared { schema, object, .. } => {
                schema.properties.contains_key(field) || (object && is_object_field(field))
            }
            Self::Deduced | Self::Atomic => false,
        }
    }

    /// The shape of a field or of a map's value; none if the schema does not allow it.
    pub(super) fn field(self, name: &str) -> Option<Self> {
        let (schema, preserve) = match self {
            Self::Declared { object: true, .. } if name == "metadata" => return Some(Self::of(&OBJECT_META, false)),
            Self::Declared { schema, preserve, .. } => (schema, preserve),
            Self::Deduced => return Some(Self::Deduced),
            Self::Atomic => return Some(Self::Atomic),
        };
        if let Some(field) = schema.properties.get(name).or(schema.additional.as_ref()) {
            return Some(Self::of(field, preserve));
        }
        (preserve || schema.properties.is_empty() || self.names(name)).then_some(Self::Deduced)
    }

    /// The shape of a list's items.
    pub(super) fn items(self) -> Self {
        match self {
            Self::Declared { schema, preserve, .. } => {
                schema.items.as_ref().map_or(Self::Atomic, |items| Self::of(items, preserve))
            }
            Self::Deduced | Self::Atomic => Self::Atomic,
        }
    }

    /// The step that leads to an item of a set or a list with keys.
    pub(super) fn item_step(self, keys: &[String], item: &Value) -> Result<Step, String> {
        if keys.is_empty() {
            return match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
                scalar => Ok(Step::Value(Arc::new(scalar.clone()))),
            };
        }
        let fields = match item {
            Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
            Value::Object(fields) => fields,
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let key = |name: &String| {
            let value = fields.get(name).cloned().or_else(|| self.key_default(name));
            value.map(|value| (name.clone(), value))
        };
        let found: Vec<(String, Value)> = keys.iter().filter_map(key).collect();
        if found.is_empty() {
            let quoted: Vec<String> = keys.iter().map(|k| crate::field::quote(k)).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                quoted.join(" ")
            ));
        }
        Ok(Step::key(found))
    }

    fn key_default(self, name: &str) -> Option<Value> {
        let Self::Declared { schema, .. } = self.items() else { return None };
        schema.properties.get(name).and_then(|field| field.get().default.clone())
    }
}

/// Fields that every object has.
fn is_object_field(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn has_format(schema: &Schema) -> bool {
    let format = schema.bounds.as_ref().and_then(|b| b.format.as_deref());
    format.is_some_and(|format| !format.is_empty() && format != "byte")
}

/// The value as a list; null and other types are none.
pub(super) fn as_list(value: Option<&Value>) -> Option<&Vec<Value>> {
    value.and_then(Value::as_array)
}

/// The value as a map; null and other types are none.
pub(super) fn as_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// Whether the two absent-or-equal values are the same.
pub(super) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => equal(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}
