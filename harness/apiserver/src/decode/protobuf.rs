//! Bodies in `application/vnd.kubernetes.protobuf`, the form typed clients of built-in kinds prefer, as the JSON that
//! the same client would have sent.
//!
//! A body is four bytes of magic and an envelope that names the kind of the message within. What the numbers of a
//! message's fields mean stands in `data/protobuf.txt`, one message a line, each field as `number:name:type`:
//!
//! - a type is `string`, `int`, `bool`, `double`, `bytes`, one of the API's own with a JSON form of theirs (`time`,
//!   `microtime`, `quantity`, `intorstring`, `json`, `strings`), or another message's name; `[]` makes it a list, `{}`
//!   a map by strings;
//! - a field without a name stands for the fields of its message, which JSON writes in line;
//! - `-` before a name: JSON leaves the field out when it holds its zero value. Where `shapes.txt` knows the type, it is
//!   told there instead;
//! - `?` before a message: JSON writes whichever of its fields is there, not the message.
//!
//! Nothing here panics or recurses without bound on arbitrary bytes; fields that are not listed are passed over.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::wire::{Fields, Payload, WireError, fixed64, varint};
use crate::field::quote;
use crate::resources::shape::normalise_as;
use crate::schema::builtin;
use crate::schema::node::SchemaRef;

/// The content type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What each body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// The options of a deletion, which is asked for in the group and version of what is to be deleted.
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// How deep messages may lie in each other; JSON bodies are held to the same.
const MAX_DEPTH: u32 = 128;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProtobufError {
    /// It is something else.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// Neither the body nor the caller says what it is.
    #[error("Object 'Kind' is missing in the protobuf envelope")]
    NoKind,
    /// No built-in kind.
    #[error("no kind {} is registered for version {} in protobuf", quote(.kind), quote(.version))]
    UnknownKind {
        /// The kind named by the body.
        kind: String,
        /// The `apiVersion` named by the body.
        version: String,
    },
    /// The bytes are not in the wire format.
    #[error("proto: {0}")]
    Wire(#[from] WireError),
    /// The bytes do not hold what the field holds.
    #[error("proto: wrong wire type for a field of type {0}")]
    WrongType(&'static str),
    /// A time outside of the calendar.
    #[error("proto: time out of range")]
    Time(#[source] jiff::Error),
    /// Raw JSON that is none.
    #[error("raw JSON in a protobuf message: {0}")]
    Json(#[source] serde_json::Error),
    /// Messages in messages without end.
    #[error("proto: exceeded max depth")]
    TooDeep,
}

/// What a field holds, or one entry of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
    Bool,
    Double,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    Json,
    Strings,
    Message(&'static str),
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    One,
    List,
    Map,
}

#[derive(Debug)]
struct Field {
    number: u64,
    name: &'static str,
    /// Whether a zero value is left out.
    omit_empty: bool,
    count: Count,
    kind: Kind,
}

#[derive(Debug)]
struct Message {
    /// Whether JSON has one field's value in the message's place.
    either: bool,
    fields: Vec<Field>,
}

static MESSAGES: LazyLock<HashMap<&'static str, Message>> =
    LazyLock::new(|| include_str!("../../data/protobuf.txt").lines().filter_map(read_line).collect());

fn read_line(line: &'static str) -> Option<(&'static str, Message)> {
    let mut words = line.split(' ');
    let name = words.next().filter(|word| *word != "#")?;
    let bare = name.strip_prefix('?');
    Some((bare.unwrap_or(name), Message { either: bare.is_some(), fields: words.filter_map(read_field).collect() }))
}

fn read_field(word: &'static str) -> Option<Field> {
    let (number, rest) = word.split_once(':')?;
    let (name, kind) = rest.split_once(':')?;
    let (count, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
        (Some(item), _) => (Count::List, item),
        (_, Some(item)) => (Count::Map, item),
        _ => (Count::One, kind),
    };
    let kind = match kind {
        "string" => Kind::Text,
        "int" => Kind::Int,
        "bool" => Kind::Bool,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "time" => Kind::Time,
        "microtime" => Kind::MicroTime,
        "quantity" => Kind::Quantity,
        "intorstring" => Kind::IntOrString,
        "json" => Kind::Json,
        "strings" => Kind::Strings,
        other => Kind::Message(other),
    };
    let bare = name.strip_prefix('-');
    Some(Field { number: number.parse().ok()?, name: bare.unwrap_or(name), omit_empty: bare.is_some(), count, kind })
}

/// The JSON of a body; where its envelope names no kind it is of `default`, an `apiVersion` and a kind.
pub(super) fn decode(body: &[u8], default: Option<(&str, &str)>) -> Result<Value, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields::of(envelope) {
        match field? {
            (1, Payload::Bytes(type_meta)) => {
                for field in Fields::of(type_meta) {
                    match field? {
                        (1, Payload::Bytes(bytes)) => version = text(bytes),
                        (2, Payload::Bytes(bytes)) => kind = text(bytes),
                        _ => {}
                    }
                }
            }
            (2, Payload::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    if let Some((default_version, default_kind)) = default.filter(|_| kind.is_empty()) {
        default_version.clone_into(&mut version);
        default_kind.clone_into(&mut kind);
    }
    if kind.is_empty() {
        return Err(ProtobufError::NoKind);
    }
    let (group, short) = version.split_once('/').unwrap_or(("", &version));
    let definition = match builtin::for_kind(group, short, &kind) {
        Some(SchemaRef::Builtin(definition)) => definition,
        // All groups share it, those that only their clients know too.
        None if kind == "DeleteOptions" => DELETE_OPTIONS,
        _ => return Err(ProtobufError::UnknownKind { kind, version }),
    };
    let Some(message) = message(definition.strip_prefix("io.k8s.").unwrap_or(definition)) else {
        return Err(ProtobufError::UnknownKind { kind, version });
    };
    let mut fields = Map::new();
    read_message(message, raw, &mut fields, MAX_DEPTH)?;
    let mut object = Value::Object(fields);
    // Unlike JSON, the wire has the zero values of all fields that are no pointers.
    normalise_as(definition, &mut object);
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    Ok(object)
}

fn message(name: &str) -> Option<&'static Message> {
    MESSAGES.get(name)
}

/// Reads a message's fields into an object. A field that comes again replaces what is there, or goes on with it where
/// it is a list, a map or a message.
fn read_message(
    message: &Message,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: u32,
) -> Result<(), ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::TooDeep)?;
    for field in Fields::of(bytes) {
        let (number, payload) = field?;
        let Some(field) = message.fields.iter().find(|f| f.number == number) else { continue };
        match (field.count, field.kind) {
            (Count::One, Kind::Message(name)) if field.name.is_empty() => {
                if let Some(message) = self::message(name) {
                    read_message(message, payload_bytes(payload, name)?, object, depth)?;
                }
            }
            (Count::One, Kind::Message(name)) => {
                let place = object.entry(field.name).or_insert(Value::Null);
                read_into(name, payload, place, depth)?;
            }
            (Count::One, kind) => {
                let value = value(kind, payload, depth)?;
                if value.is_null() || field.omit_empty && is_zero(&value) {
                    object.remove(field.name);
                } else {
                    object.insert(field.name.to_owned(), value);
                }
            }
            (Count::List, kind) => {
                if let Value::Array(list) = object.entry(field.name).or_insert_with(|| json!([])) {
                    read_items(kind, payload, list, depth)?;
                }
            }
            (Count::Map, kind) => {
                if let Value::Object(map) = object.entry(field.name).or_insert_with(|| json!({})) {
                    let (key, value) = entry(kind, payload, depth)?;
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

/// Reads a message onto what an earlier field of the same number left.
fn read_into(name: &'static str, payload: Payload<'_>, place: &mut Value, depth: u32) -> Result<(), ProtobufError> {
    let bytes = payload_bytes(payload, name)?;
    let Some(message) = message(name) else { return Ok(()) };
    if message.either {
        let mut fields = Map::new();
        read_message(message, bytes, &mut fields, depth)?;
        *place = whichever(fields);
        return Ok(());
    }
    if !place.is_object() {
        *place = json!({});
    }
    match place {
        Value::Object(fields) => read_message(message, bytes, fields, depth),
        _ => Ok(()),
    }
}

/// Of a schema, a list and a flag, the one that says most.
fn whichever(fields: Map<String, Value>) -> Value {
    let weight = |value: &Value| match value {
        Value::Array(_) => 3,
        Value::Object(_) => 2,
        Value::Bool(_) => 1,
        _ => 0,
    };
    fields.into_iter().map(|(_, value)| value).max_by_key(weight).unwrap_or_default()
}

/// One item of a list, or many numbers packed together.
fn read_items(kind: Kind, payload: Payload<'_>, list: &mut Vec<Value>, depth: u32) -> Result<(), ProtobufError> {
    match (kind, payload) {
        (Kind::Int | Kind::Bool | Kind::Double, Payload::Bytes(mut packed)) => {
            while !packed.is_empty() {
                let item = match kind {
                    Kind::Double => Payload::Fixed64(fixed64(&mut packed)?),
                    _ => Payload::Varint(varint(&mut packed)?),
                };
                list.push(value(kind, item, depth)?);
            }
        }
        _ => list.push(value(kind, payload, depth)?),
    }
    Ok(())
}

/// An entry of a map: a message of a key and a value, either of which may be left out where it is empty.
fn entry(kind: Kind, payload: Payload<'_>, depth: u32) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut found) = (String::new(), None);
    for field in Fields::of(payload_bytes(payload, "map")?) {
        match field? {
            (1, payload) => key = text(payload_bytes(payload, "string")?),
            (2, payload) => found = Some(value(kind, payload, depth)?),
            _ => {}
        }
    }
    let empty = || match kind {
        Kind::Int | Kind::Bool | Kind::Double => value(kind, Payload::Varint(0), depth),
        _ => value(kind, Payload::Bytes(&[]), depth),
    };
    Ok((key, found.map_or_else(empty, Ok)?))
}

/// One value; null for a message of the API's own that is empty and has no other form.
fn value(kind: Kind, payload: Payload<'_>, depth: u32) -> Result<Value, ProtobufError> {
    Ok(match (kind, payload) {
        (Kind::Int, Payload::Varint(number)) => number.cast_signed().into(),
        (Kind::Int, _) => return Err(ProtobufError::WrongType("int")),
        (Kind::Bool, Payload::Varint(number)) => (number != 0).into(),
        (Kind::Bool, _) => return Err(ProtobufError::WrongType("bool")),
        (Kind::Double, Payload::Fixed64(bits)) => double(f64::from_bits(bits)),
        // What is left out of a map's entry.
        (Kind::Double, Payload::Varint(0)) => 0.into(),
        (Kind::Double, _) => return Err(ProtobufError::WrongType("double")),
        (Kind::Text, payload) => text(payload_bytes(payload, "string")?).into(),
        (Kind::Bytes, payload) => STANDARD.encode(payload_bytes(payload, "bytes")?).into(),
        (Kind::Time, payload) => time(payload_bytes(payload, "time")?, 0)?,
        (Kind::MicroTime, payload) => time(payload_bytes(payload, "time")?, 6)?,
        (Kind::Quantity, payload) => match first_bytes(payload, "quantity")? {
            [] => "0".into(),
            digits => text(digits).into(),
        },
        (Kind::IntOrString, payload) => int_or_string(payload_bytes(payload, "int or string")?)?,
        (Kind::Json, payload) => match first_bytes(payload, "JSON")? {
            [] => Value::Null,
            raw => serde_json::from_slice(raw).map_err(ProtobufError::Json)?,
        },
        (Kind::Strings, payload) => {
            let mut list = Vec::new();
            for field in Fields::of(payload_bytes(payload, "strings")?) {
                if let (1, payload) = field? {
                    list.push(text(payload_bytes(payload, "string")?).into());
                }
            }
            Value::Array(list)
        }
        (Kind::Message(name), payload) => {
            let mut place = Value::Null;
            read_into(name, payload, &mut place, depth)?;
            place
        }
    })
}

fn payload_bytes<'a>(payload: Payload<'a>, wanted: &'static str) -> Result<&'a [u8], ProtobufError> {
    match payload {
        Payload::Bytes(bytes) => Ok(bytes),
        _ => Err(ProtobufError::WrongType(wanted)),
    }
}

/// The first field of a message that has no other.
fn first_bytes<'a>(payload: Payload<'a>, wanted: &'static str) -> Result<&'a [u8], ProtobufError> {
    let mut found = &[][..];
    for field in Fields::of(payload_bytes(payload, wanted)?) {
        if let (1, payload) = field? {
            found = payload_bytes(payload, wanted)?;
        }
    }
    Ok(found)
}

/// As Go writes bytes that are not quite UTF-8 into JSON.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// JSON has whole numbers without a point, and none that is not finite.
fn double(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        // Small enough to be written without an exponent, so the text is that of an integer.
        return format!("{number:.0}").parse::<i64>().map_or(Value::Null, Value::from);
    }
    number.into()
}

/// Seconds and nanoseconds; an empty message is no time.
fn time(bytes: &[u8], digits: usize) -> Result<Value, ProtobufError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanoseconds) = (0, 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, Payload::Varint(number)) => seconds = number.cast_signed(),
            // Clients that write JSON have no more than this either.
            (2, Payload::Varint(number)) if digits > 0 => nanoseconds = number.cast_signed() / 1000 * 1000,
            _ => {}
        }
    }
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or(i32::MAX);
    let time = jiff::Timestamp::new(seconds, nanoseconds).map_err(ProtobufError::Time)?;
    Ok(format!("{time:.digits$}").into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut string) = (false, 0, String::new());
    for field in Fields::of(bytes) {
        match field? {
            (1, Payload::Varint(kind)) => is_text = kind == 1,
            (2, Payload::Varint(int)) => number = int.cast_signed(),
            (3, Payload::Bytes(bytes)) => string = text(bytes),
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { number.into() })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests;
