//! JSON patch (RFC 6902).
//!
//! As the library that Kubernetes uses reads it, which is why it is not the `json-patch` crate: `replace` and `test`
//! of an absent field take it for null, `copy` of one copies a null, negative indices count from behind, an operation
//! without a value means null, and the document as a whole is no target.

use http::StatusCode;
use serde_json::{Map, Value};

use super::unfit;
use crate::go;
use crate::status::ApiError;

/// More operations than this are refused.
const MAX_OPERATIONS: usize = 10_000;

/// One operation, not yet checked: what it lacks is told when its turn comes.
type Operation = Map<String, Value>;

/// Why an operation cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// An operation of no known kind.
    #[error("unexpected kind {0:?}")]
    Kind(String),
    /// No path, no `from`.
    #[error("operation without {0:?}")]
    NoPath(&'static str),
    /// Nothing is at the path, or nothing that could hold it.
    #[error("nothing at {0:?}")]
    Missing(String),
    /// Not an index of the list.
    #[error("invalid index at {0:?}")]
    Index(String),
    /// A test failed.
    #[error("test of {0:?} failed")]
    Test(String),
}

pub(super) fn apply(live: &Value, body: Value) -> Result<Value, ApiError> {
    let operations = decode(body)?;
    let mut object = live.clone();
    run(&mut object, &operations).map_err(|_| unfit())?;
    Ok(object)
}

/// Applies a patch that a webhook answered with.
///
/// # Errors
/// The operations are no list of objects, or the first one that cannot be done.
pub fn apply_operations(object: &mut Value, operations: Value) -> Result<(), String> {
    let operations = decode(operations).map_err(|error| error.message)?;
    run(object, &operations).map_err(|error| error.to_string())
}

/// Paths of fields that no operation has.
pub(super) fn unknown_fields(operations: &Value) -> Vec<String> {
    let fields = operations
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .flat_map(|(at, operation)| operation.as_object().into_iter().flatten().map(move |(name, _)| (at, name)));
    let unknown = fields.filter(|(_, name)| !matches!(name.as_str(), "op" | "path" | "from" | "value"));
    unknown.map(|(at, name)| format!("[{at}].{name}")).collect()
}

fn decode(body: Value) -> Result<Vec<Operation>, ApiError> {
    let wrong = |what: &Value, into: &str| {
        let what = go::json_type(what);
        ApiError::bad_request(format!("error decoding patch: json: cannot unmarshal {what} into Go {into}"))
    };
    let items = match body {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => return Err(wrong(&other, "value of type []handlers.jsonPatchOp")),
    };
    if items.len() > MAX_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            items.len()
        );
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message));
    }
    let mut operations = Vec::with_capacity(items.len());
    for item in items {
        let operation = match item {
            Value::Object(operation) => operation,
            Value::Null => Operation::new(),
            other => return Err(wrong(&other, "value of type handlers.jsonPatchOp")),
        };
        for name in ["op", "path", "from"] {
            if let Some(value) = operation.get(name).filter(|v| !v.is_string() && !v.is_null()) {
                return Err(wrong(value, &format!("struct field jsonPatchOp.{name} of type string")));
            }
        }
        operations.push(operation);
    }
    Ok(operations)
}

fn run(object: &mut Value, operations: &[Operation]) -> Result<(), OperationError> {
    operations.iter().try_for_each(|operation| step(object, operation))
}

fn step(object: &mut Value, operation: &Operation) -> Result<(), OperationError> {
    let text = |name: &'static str| {
        operation.get(name).and_then(Value::as_str).ok_or(OperationError::NoPath(name)).map(str::to_owned)
    };
    let value = || operation.get("value").cloned().unwrap_or_default();
    match operation.get("op").and_then(Value::as_str).unwrap_or("unknown") {
        "add" => Place::find(object, &text("path")?)?.add(value()),
        "remove" => Place::find(object, &text("path")?)?.remove().map(drop),
        "replace" => Place::find(object, &text("path")?)?.replace(value()),
        "move" => {
            let moved = Place::find(object, &text("from")?)?.remove()?;
            Place::find(object, &text("path")?)?.add(moved)
        }
        "copy" => {
            let copied = Place::find(object, &text("from")?)?.get()?.cloned().unwrap_or_default();
            Place::find(object, &text("path")?)?.add(copied)
        }
        "test" => {
            let path = text("path")?;
            let is = Place::find(object, &path)?.get()?.cloned().unwrap_or_default();
            if is == value() { Ok(()) } else { Err(OperationError::Test(path)) }
        }
        other => Err(OperationError::Kind(other.to_owned())),
    }
}

/// A place in the document: what holds it, and under which key.
struct Place<'a> {
    parent: &'a mut Value,
    key: String,
    path: &'a str,
}

impl<'a> Place<'a> {
    /// Goes down to the parent of `path`, which must be there.
    fn find(object: &'a mut Value, path: &'a str) -> Result<Self, OperationError> {
        let missing = || OperationError::Missing(path.to_owned());
        let (_, rest) = path.split_once('/').ok_or_else(missing)?;
        let (parents, key) = rest.rsplit_once('/').map_or((None, rest), |(parents, key)| (Some(parents), key));
        let mut parent = object;
        for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
            let part = unescape(part);
            parent = match parent {
                Value::Object(fields) => fields.get_mut(&part),
                Value::Array(items) => existing(&part, items.len()).and_then(|at| items.get_mut(at)),
                _ => None,
            }
            .ok_or_else(missing)?;
        }
        if !parent.is_object() && !parent.is_array() {
            return Err(missing());
        }
        Ok(Self { parent, key: unescape(key), path })
    }

    fn get(&self) -> Result<Option<&Value>, OperationError> {
        match &*self.parent {
            Value::Array(items) => {
                let at = existing(&self.key, items.len()).ok_or_else(|| self.index())?;
                Ok(items.get(at))
            }
            other => Ok(other.get(&self.key)),
        }
    }

    fn add(self, value: Value) -> Result<(), OperationError> {
        let error = self.index();
        match self.parent {
            Value::Object(fields) => {
                fields.insert(self.key, value);
            }
            Value::Array(items) if self.key == "-" => items.push(value),
            Value::Array(items) => {
                // One more place than there are items.
                let at = existing(&self.key, items.len() + 1).ok_or(error)?;
                items.insert(at, value);
            }
            _ => return Err(error),
        }
        Ok(())
    }

    fn replace(self, value: Value) -> Result<(), OperationError> {
        let error = self.index();
        match self.parent {
            Value::Object(fields) => {
                fields.insert(self.key, value);
            }
            Value::Array(items) => {
                let at = existing(&self.key, items.len()).ok_or_else(|| error.clone())?;
                *items.get_mut(at).ok_or(error)? = value;
            }
            _ => return Err(error),
        }
        Ok(())
    }

    fn remove(self) -> Result<Value, OperationError> {
        let error = self.index();
        match self.parent {
            Value::Object(fields) => {
                fields.remove(&self.key).ok_or_else(|| OperationError::Missing(self.path.to_owned()))
            }
            Value::Array(items) => {
                let at = existing(&self.key, items.len()).ok_or(error)?;
                Ok(items.remove(at))
            }
            _ => Err(error),
        }
    }

    fn index(&self) -> OperationError {
        OperationError::Index(self.path.to_owned())
    }
}

/// The index that `key` means in a list of this length; negative ones count from behind.
fn existing(key: &str, length: usize) -> Option<usize> {
    let index: i64 = key.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index + length } else { index };
    (0..length).contains(&index).then(|| usize::try_from(index).ok()).flatten()
}

fn unescape(part: &str) -> String {
    // One pass, so that "~01" is "~1".
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (c, skip) = match rest.as_bytes().get(at + 1) {
            Some(b'0') => ('~', 2),
            Some(b'1') => ('/', 2),
            _ => ('~', 1),
        };
        out.push(c);
        rest = &rest[at + skip..];
    }
    out.push_str(rest);
    out
}
