//! Bytes to JSON objects: JSON, YAML and protobuf bodies, duplicate and unknown fields, field validation levels.

mod protobuf;
mod wire;

use std::fmt;

use http::{HeaderMap, StatusCode, header};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::field::{FieldError, quote};
use crate::resource::Resource;
use crate::resources;
use crate::route::Query;
use crate::schema;
use crate::status::ApiError;

/// The largest request body, as in a real server.
pub const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`, for built-in kinds only.
    Protobuf,
}

/// The body's form by its content type; JSON when none is given.
///
/// # Errors
/// 415 for any other.
pub fn media(headers: &HeaderMap) -> Result<Media, ApiError> {
    match content_type(headers) {
        "" | "application/json" => Ok(Media::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Media::Yaml),
        protobuf::MEDIA_TYPE => Ok(Media::Protobuf),
        _ => Err(unsupported(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// The content type without its parameters.
pub fn content_type(headers: &HeaderMap) -> &str {
    let text = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// 415 with a message.
pub fn unsupported(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
}

/// What is done about fields the schema does not know, and fields that stand twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and the client is warned.
    Warn,
    /// The request is refused.
    Strict,
}

impl FieldValidation {
    /// From the `fieldValidation` parameter, whose values are checked elsewhere.
    pub fn of(query: &Query) -> Self {
        match query.get("fieldValidation") {
            Some("Ignore") => Self::Ignore,
            Some("Strict") => Self::Strict,
            _ => Self::Warn,
        }
    }
}

/// A body as an object of `resource`: parsed, of the right kind, without unknown fields and nulls, not yet defaulted.
/// Warnings are added to `warnings`.
///
/// # Errors
/// 400 for a body that is malformed, of another kind or version, or refused by strict validation; 415 for a custom
/// resource in protobuf, of which only built-in kinds have a form.
pub fn object(
    body: &[u8],
    media: Media,
    resource: &Resource,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    if media == Media::Protobuf && resource.definition.is_some() {
        return Err(unsupported(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml",
        ));
    }
    let default = (api_version(resource), resource.kind.as_str());
    let Parsed { value, duplicates } = parse_as(body, media, Some((&default.0, default.1)))?;
    let object = typed(value, resource)?;
    let refuse = |_: &Value, why: &str| cannot_handle(&resource.kind, &resource.version, &resource.kind, why);
    finish(object, twice(duplicates), resource, validation, warnings, &refuse)
}

/// As [`object`] for the result of a patch. `problems` are what strict validation has against the patch itself, and
/// `shown` says what is quoted when the result cannot be read.
///
/// # Errors
/// As [`object`], but 422 for values of a wrong type and what strict validation refuses.
pub fn patched(
    value: Value,
    problems: Vec<String>,
    resource: &Resource,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
    shown: &dyn Fn(&Value) -> String,
) -> Result<Value, ApiError> {
    let refuse =
        |object: &Value, why: &str| ApiError::invalid("", "", "", &[FieldError::invalid("patch", shown(object), why)]);
    finish(typed(value, resource)?, problems, resource, validation, warnings, &refuse)
}

/// What became of an object that a webhook changed, as if it had come as a whole: without unknown fields, defaulted.
///
/// # Errors
/// What of it has a wrong type.
pub(crate) fn mutated(object: Value, resource: &Resource) -> Result<Value, String> {
    if !object.is_object() {
        return Err("the patched object is no JSON object".to_owned());
    }
    let refuse = |_: &Value, why: &str| ApiError::bad_request(why);
    let finished = finish(object, Vec::new(), resource, FieldValidation::Ignore, &mut Vec::new(), &refuse);
    let mut object = finished.map_err(|error| error.message)?;
    schema::default::apply(&mut object, &resource.schema);
    resource.rules.default(&mut object);
    resources::normalise(resource, &mut object);
    Ok(object)
}

/// What strict validation says of fields that stand twice.
pub fn twice(paths: Vec<String>) -> Vec<String> {
    paths.into_iter().map(|path| format!("duplicate field {}", quote(&path))).collect()
}

fn finish(
    mut object: Value,
    mut problems: Vec<String>,
    resource: &Resource,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
    refuse: &dyn Fn(&Value, &str) -> ApiError,
) -> Result<Value, ApiError> {
    if resource.definition.is_none() {
        let decoded = schema::strict::decode(&mut object, &resource.schema);
        decoded.map_err(|why| refuse(&object, &why))?;
    }
    problems.extend(schema::prune::apply(&mut object, &resource.schema));
    match validation {
        FieldValidation::Strict if !problems.is_empty() => {
            let why = format!("strict decoding error: {}", problems.join(", "));
            return Err(refuse(&object, &why));
        }
        FieldValidation::Warn => warnings.extend(problems),
        _ => {}
    }
    if resource.definition.is_none() {
        drop_nulls(&mut object);
        resources::normalise(resource, &mut object);
    } else if let Some(metadata) = object.get_mut("metadata") {
        drop_nulls(metadata);
    }
    tidy_metadata(&mut object);
    Ok(object)
}

/// Fills in apiVersion and kind where they are missing, refuses others than the resource's.
fn typed(value: Value, resource: &Resource) -> Result<Value, ApiError> {
    let Value::Object(mut fields) = value else {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): the body is no JSON object",
            resource.kind
        )));
    };
    let expected = api_version(resource);
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (given_version, given_kind) = (text("apiVersion"), text("kind"));
    if resource.definition.is_some() {
        if given_kind.is_empty() {
            let why = "Object 'Kind' is missing";
            return Err(ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): {why}",
                resource.kind
            )));
        }
        if given_version != expected {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({given_version}) does not match the expected API version ({expected})"
            )));
        }
        return Ok(Value::Object(fields));
    }
    let kind = if given_kind.is_empty() { resource.kind.clone() } else { given_kind };
    let version = if given_version.is_empty() { expected.clone() } else { given_version };
    let short = version.rsplit('/').next().unwrap_or_default().to_owned();
    if version != expected {
        let why = format!(
            "no kind {} is registered for version {} in scheme {}",
            quote(&kind),
            quote(&version),
            quote("pkg/api/legacyscheme/scheme.go:30")
        );
        return Err(cannot_handle(&kind, &short, &resource.kind, &why));
    }
    if kind != resource.kind {
        let package = match resource.group.split('.').next() {
            None | Some("") => "core",
            Some(first) => first,
        };
        let why = format!("converting ({short}.{kind}) to ({package}.{}): unknown conversion", resource.kind);
        return Err(cannot_handle(&kind, &short, &resource.kind, &why));
    }
    fields.insert("apiVersion".to_owned(), version.into());
    fields.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(fields))
}

/// The `apiVersion` of a resource's objects.
pub fn api_version(resource: &Resource) -> String {
    if resource.group.is_empty() {
        resource.version.clone()
    } else {
        format!("{}/{}", resource.group, resource.version)
    }
}

fn cannot_handle(kind: &str, version: &str, expected: &str, why: &str) -> ApiError {
    ApiError::bad_request(format!("{kind} in version {} cannot be handled as a {expected}: {why}", quote(version)))
}

/// Null means absent in a typed object.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Object metadata leaves out what is empty.
fn tidy_metadata(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    metadata.retain(|_, field| match field {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
    });
}

/// A parsed body.
#[derive(Debug)]
pub struct Parsed {
    /// The value; of a field that stands twice the last one.
    pub value: Value,
    /// Paths of fields that stand twice.
    pub duplicates: Vec<String>,
}

/// Parses a body.
///
/// # Errors
/// 400 with the parser's words.
pub fn parse(body: &[u8], media: Media) -> Result<Parsed, ApiError> {
    parse_as(body, media, None)
}

/// As [`parse`]; `default` is the `apiVersion` and kind of a protobuf message that does not name its own.
fn parse_as(body: &[u8], media: Media, default: Option<(&str, &str)>) -> Result<Parsed, ApiError> {
    let malformed = |error: String| ApiError::bad_request(format!("couldn't get version/kind; parse error: {error}"));
    let tree: Tree = match media {
        Media::Json => serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))?,
        Media::Yaml => {
            let text = std::str::from_utf8(body).map_err(|e| malformed(e.to_string()))?;
            serde_yaml::from_str(text).map_err(|e| malformed(e.to_string()))?
        }
        Media::Protobuf => {
            let value = protobuf::decode(body, default).map_err(|e| ApiError::bad_request(e.to_string()))?;
            return Ok(Parsed { value, duplicates: Vec::new() });
        }
    };
    let mut duplicates = Vec::new();
    let value = tree.into_value("", &mut duplicates);
    Ok(Parsed { value, duplicates })
}

/// JSON that remembers every entry of a map.
enum Tree {
    Leaf(Value),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn into_value(self, path: &str, duplicates: &mut Vec<String>) -> Value {
        match self {
            Self::Leaf(value) => value,
            Self::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(i, item)| match item {
                    Self::Leaf(value) => value,
                    item => item.into_value(&format!("{path}[{i}]"), duplicates),
                })
                .collect(),
            Self::Map(entries) => {
                let mut fields = Map::new();
                for (name, entry) in entries {
                    let below = || if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    let value = match entry {
                        Self::Leaf(value) => value,
                        entry => entry.into_value(&below(), duplicates),
                    };
                    if fields.contains_key(&name) {
                        duplicates.push(below());
                    }
                    fields.insert(name, value);
                }
                Value::Object(fields)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}
