//! Answers, and how they are written.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::Call;
use crate::body::Body;
use crate::decode::api_version;
use crate::negotiate::{Form, Output};
use crate::resource::Resource;
use crate::resources;
use crate::schema;
use crate::status::ApiError;
use crate::store::{Stored, encode};
use crate::table::{self, IncludeObject};

/// An answer that is no error.
pub(crate) enum Reply {
    /// An object as it is stored.
    Stored(StatusCode, Arc<Stored>),
    /// An object of the resource that is not (or not so) in the store.
    Object(StatusCode, Value),
    /// Something that is always answered as it is: a Status, a Scale, a review.
    Plain(StatusCode, Value),
    /// A list with its own metadata.
    List(Value, Vec<Arc<Stored>>),
    /// Text.
    Text(StatusCode, String),
    /// A stream of watch events.
    Stream(Body),
    /// An answer that is passed on as it is.
    Raw(Response<Body>),
}

/// Writes an answer in the form that the client asked for.
pub(crate) fn write(call: &Call, reply: Reply) -> Result<Response<Body>, ApiError> {
    let resource = &call.resource;
    let whole = call.output.form == Form::Whole && !call.output.yaml;
    match reply {
        Reply::Stored(status, object) if whole => Ok(json_response(status, Body::pieces(stored(resource, &object)))),
        Reply::Stored(status, object) => transformed(call, status, &object.value),
        Reply::Object(status, object) => transformed(call, status, &object),
        Reply::Plain(status, value) => Ok(value_response(status, &value, call.output.yaml)),
        Reply::List(metadata, objects) if whole => {
            Ok(json_response(StatusCode::OK, Body::pieces(list(resource, &metadata, &objects))))
        }
        Reply::List(metadata, objects) => list_transformed(call, metadata, &objects),
        Reply::Text(status, text) => Ok(text_response(status, text)),
        Reply::Stream(body) => Ok(json_response(StatusCode::OK, body)),
        Reply::Raw(response) => Ok(response),
    }
}

/// A stored object as JSON, in the version of `resource`.
pub(crate) fn stored(resource: &Resource, object: &Stored) -> Vec<Bytes> {
    if object.value["apiVersion"] == api_version(resource).as_str() {
        return vec![object.json()];
    }
    vec![encode(&in_version(resource, &object.value)).0]
}

/// The beginning of an object, up to the comma before its other fields.
fn head(version: &str, kind: &str) -> Bytes {
    let (version, kind) = (Value::from(version), Value::from(kind));
    Bytes::from(format!("{{\"apiVersion\":{version},\"kind\":{kind},"))
}

fn list(resource: &Resource, metadata: &Value, objects: &[Arc<Stored>]) -> Vec<Bytes> {
    let version = api_version(resource);
    let (quoted, kind) = (Value::from(version.as_str()), Value::from(resource.list_kind.as_str()));
    let start = format!("{{\"kind\":{kind},\"apiVersion\":{quoted},\"metadata\":{metadata},\"items\":[");
    // Items of built-in lists carry no type of their own, those of custom resources do.
    let first = if resource.definition.is_some() { head(&version, &resource.kind) } else { Bytes::from_static(b"{") };
    let next = Bytes::from([b",", first.as_ref()].concat());
    let mut pieces = Vec::with_capacity(2 * objects.len() + 2);
    pieces.push(Bytes::from(start));
    for (i, object) in objects.iter().enumerate() {
        pieces.push(if i == 0 { first.clone() } else { next.clone() });
        if object.value["apiVersion"] == version.as_str() {
            pieces.push(object.fields());
        } else {
            let (json, fields_at) = encode(&in_version(resource, &object.value));
            pieces.push(json.slice(fields_at..));
        }
    }
    pieces.push(Bytes::from_static(b"]}"));
    pieces
}

fn transformed(call: &Call, status: StatusCode, object: &Value) -> Result<Response<Body>, ApiError> {
    let Output { yaml, form } = call.output;
    let value = match form {
        Form::Whole => in_version(&call.resource, object),
        Form::Metadata => table::partial_metadata(object),
        Form::MetadataList => {
            return Err(not_acceptable(
                "you requested PartialObjectMetadataList, but the requested object is not a list",
            ));
        }
        Form::Table => {
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            as_table(call, [object], metadata)?
        }
    };
    Ok(value_response(status, &value, yaml))
}

fn list_transformed(call: &Call, metadata: Value, objects: &[Arc<Stored>]) -> Result<Response<Body>, ApiError> {
    let Output { yaml, form } = call.output;
    let values = objects.iter().map(|o| &o.value);
    let value = match form {
        Form::Whole => json!({
            "apiVersion": api_version(&call.resource), "kind": call.resource.list_kind, "metadata": metadata,
            "items": values.map(|v| item(&call.resource, v)).collect::<Vec<_>>(),
        }),
        Form::MetadataList => json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": metadata,
            "items": values.map(table::partial_metadata).collect::<Vec<_>>(),
        }),
        Form::Metadata => {
            return Err(not_acceptable("you requested PartialObjectMetadata, but the requested object is a list"));
        }
        Form::Table => as_table(call, values, metadata)?,
    };
    Ok(value_response(StatusCode::OK, &value, yaml))
}

/// An object in the version of `resource`: of a custom resource in another version, what that version's schema knows.
pub(crate) fn in_version(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    let version = api_version(resource);
    if !object.is_object() || object["apiVersion"] == version.as_str() {
        return object;
    }
    object["apiVersion"] = version.into();
    object["kind"] = resource.kind.as_str().into();
    if resource.definition.is_some() {
        // What the version does not know is not news to anybody.
        let _ = schema::prune::apply(&mut object, &resource.schema);
        schema::default::apply(&mut object, &resource.schema);
    } else {
        resource.rules.convert(&mut object);
        schema::default::apply(&mut object, &resource.schema);
        resources::normalise(resource, &mut object);
    }
    object
}

fn item(resource: &Resource, object: &Value) -> Value {
    let mut object = in_version(resource, object);
    if resource.definition.is_none()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}

fn as_table<'a>(call: &Call, objects: impl IntoIterator<Item = &'a Value>, metadata: Value) -> Result<Value, ApiError> {
    Ok(table::table(&call.resource, objects, metadata, include(call)?, true, call.now()))
}

/// What of each object a table's rows carry.
pub(crate) fn include(call: &Call) -> Result<IncludeObject, ApiError> {
    match call.query.get("includeObject") {
        None | Some("" | "Metadata") => Ok(IncludeObject::Metadata),
        Some("None") => Ok(IncludeObject::None),
        Some("Object") => Ok(IncludeObject::Object),
        Some(other) => Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', \
             'None', or empty",
            crate::field::quote(other)
        ))),
    }
}

fn not_acceptable(message: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
}

/// An error as the client reads it.
pub(crate) fn error_response(error: &ApiError) -> Response<Body> {
    let mut response = value_response(error.code, &error.to_status(), false);
    if let Some(seconds) = error.details["retryAfterSeconds"].as_i64().filter(|s| *s > 0) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A value as JSON or YAML.
pub(crate) fn value_response(status: StatusCode, value: &Value, yaml: bool) -> Response<Body> {
    if yaml {
        // A JSON value always has a YAML form; JSON itself is one.
        let text = serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string());
        return response(status, "application/yaml", Body::full(text));
    }
    json_response(status, Body::full(value.to_string()))
}

fn json_response(status: StatusCode, body: Body) -> Response<Body> {
    response(status, "application/json", body)
}

/// Text as it is.
pub(crate) fn text_response(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    response(status, "text/plain; charset=utf-8", Body::full(text))
}

pub(crate) fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
