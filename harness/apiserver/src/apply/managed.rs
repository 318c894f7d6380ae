//! `metadata.managedFields` across writes: reading, keeping and writing them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::check::{Duplicates, check};
use super::set::FieldSet;
use super::shape::Shape;
use super::update::{Managers, Owned, written};
use super::{Manager, Operation, blank, reset};
use crate::field::{FieldError, Kind};
use crate::resource::Resource;

/// Entries of updates beyond this number are rolled into one, the oldest first.
const MAX_UPDATE_MANAGERS: usize = 10;

/// The manager that old updates are rolled into.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// Longest name of a manager, in bytes.
const MAX_NAME_LENGTH: usize = 128;

/// Managers of an object with the times of their last change.
#[derive(Clone, Debug, Default)]
pub(super) struct Ownership {
    pub(super) managers: Managers,
    pub(super) times: BTreeMap<Manager, Timestamp>,
}

/// Why stored or sent managed fields cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManagedError {
    /// Neither `Apply` nor `Update`.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// An entry without a version.
    #[error("apiVersion must not be empty")]
    ApiVersion,
    /// An entry without a type of its fields.
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    /// An entry in a form that is not known.
    #[error("invalid fieldsType {} in managed fields entry {index}", crate::field::quote(fields_type))]
    FieldsType {
        /// The form.
        fields_type: String,
        /// Which entry.
        index: usize,
    },
    /// The fields cannot be read.
    #[error("error decoding versioned set of manager {}", crate::field::quote(manager))]
    Fields {
        /// Whose.
        manager: String,
        /// Why.
        #[source]
        source: super::set::DecodeError,
    },
}

/// Keeps `new`'s managed fields after a create, update or patch by `manager`.
///
/// `new` is decoded and defaulted, but neither prepared for its kind nor seen by admission: what those set nobody owns.
/// `live` is none for a create.
pub fn record_update(manager: &Manager, live: Option<&Value>, new: &mut Value, resource: &Resource, now: &str) {
    let sent = take(new);
    let stored = live.map_or(&Value::Null, |live| &live["metadata"]["managedFields"]);
    let decoded = decode_sent_or_stored(sent.as_ref(), stored, &manager.subresource);
    // An object that nobody kept track of from the start is not tracked before it is applied.
    if decoded.managers.is_empty() && live.is_some() {
        return;
    }
    let shape = Shape::object(&resource.schema);
    let fits = |object: &Value| check(object, shape, Duplicates::Allowed).is_empty();
    // A custom resource may be stored in a shape that its schema no longer allows.
    if resource.definition.is_some() && !(fits(new) && live.is_none_or(fits)) {
        put(new, stored.clone());
        return;
    }
    let live = live.map_or_else(|| blank::object(resource, new), stripped);
    let ownership = record(decoded, manager, &live, new, resource, now);
    encode(&ownership, new);
}

/// As [`record_update`], from decoded managers to decoded managers.
pub(super) fn record(
    mut ownership: Ownership,
    manager: &Manager,
    live: &Value,
    new: &Value,
    resource: &Resource,
    now: &str,
) -> Ownership {
    let reset = reset::fields(resource, &manager.subresource);
    let set = written(live, new, Shape::object(&resource.schema), &mut ownership.managers, &reset);
    let set = set.difference(&reset::identity());
    if !set.is_empty() {
        let owned = ownership.managers.entry(manager.clone());
        let owned =
            owned.or_insert_with(|| Owned { set: FieldSet::default(), api_version: manager.api_version.clone() });
        owned.set = owned.set.union(&set);
        ownership.times.extend(time(now).map(|time| (manager.clone(), time)));
    }
    cap_update_managers(&mut ownership);
    ownership
}

/// Takes back new times of managed fields if nothing else of the object changed.
///
/// Called with the object as it would be stored.
pub fn keep_times(new: &mut Value, live: &Value) {
    fn entries(object: &Value) -> &[Value] {
        object["metadata"]["managedFields"].as_array().map_or(&[], Vec::as_slice)
    }
    fn timeless(entry: &Value) -> impl Iterator<Item = (&String, &Value)> {
        entry.as_object().into_iter().flatten().filter(|(key, _)| *key != "time")
    }
    let (ours, theirs) = (entries(new), entries(live));
    let same_managers = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| timeless(a).eq(timeless(b)));
    if !same_managers || ours == theirs {
        return;
    }
    let fields = |object: &Value| {
        let mut object = object.clone();
        take(&mut object);
        object
    };
    if fields(new) == fields(live) {
        put(new, live["metadata"]["managedFields"].clone());
    }
}

/// The name a write is recorded under: what the client asked for, else its user agent up to the first slash.
pub fn manager_name(field_manager: Option<&str>, user_agent: Option<&str>) -> String {
    if let Some(name) = field_manager.filter(|name| !name.is_empty()) {
        return name.to_owned();
    }
    let agent = user_agent.and_then(|agent| agent.split('/').next()).unwrap_or_default();
    let mut name = String::new();
    for c in agent.chars().filter(|c| is_print(*c)) {
        if name.len() + c.len_utf8() > MAX_NAME_LENGTH {
            break;
        }
        name.push(c);
    }
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// What is wrong with a `fieldManager` parameter.
pub fn validate_field_manager(name: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if name.len() > MAX_NAME_LENGTH {
        let detail = format!("may not be more than {MAX_NAME_LENGTH} bytes");
        errors.push(FieldError::new(Kind::TooLong, "fieldManager", "", detail));
    }
    for (position, c) in name.char_indices().filter(|(_, c)| !is_print(*c)) {
        let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(c));
        errors.push(FieldError::invalid("fieldManager", name, detail));
    }
    errors
}

/// What is wrong with managed fields that somebody else wrote.
///
/// # Errors
/// The first entry that cannot be read.
pub(crate) fn readable(entries: &Value) -> Result<(), ManagedError> {
    decode(entries).map(drop)
}

/// A copy of the object without its managed fields.
pub(super) fn stripped(object: &Value) -> Value {
    let mut object = object.clone();
    take(&mut object);
    object
}

/// Reads managed fields; absent ones are empty.
pub(super) fn decode(entries: &Value) -> Result<Ownership, ManagedError> {
    let mut ownership = Ownership::default();
    for (index, entry) in entries.as_array().into_iter().flatten().enumerate() {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let operation = match entry["operation"].as_str() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            _ => return Err(ManagedError::Operation),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err(ManagedError::ApiVersion);
        }
        match entry["fieldsType"].as_str().unwrap_or_default() {
            "FieldsV1" => {}
            "" => return Err(ManagedError::NoFieldsType(index)),
            other => return Err(ManagedError::FieldsType { fields_type: other.to_owned(), index }),
        }
        let manager = Manager {
            name: text("manager"),
            operation,
            api_version: if operation == Operation::Apply { String::new() } else { api_version.clone() },
            subresource: text("subresource"),
        };
        let set = match &entry["fieldsV1"] {
            Value::Null => FieldSet::default(),
            fields => FieldSet::decode(fields)
                .map_err(|source| ManagedError::Fields { manager: manager.name.clone(), source })?,
        };
        ownership.times.extend(entry["time"].as_str().and_then(time).map(|time| (manager.clone(), time)));
        ownership.managers.insert(manager, Owned { set, api_version });
    }
    Ok(ownership)
}

/// Writes managed fields into the object, in the order in which Kubernetes keeps them.
pub(super) fn encode(ownership: &Ownership, object: &mut Value) {
    let seconds = |manager: &Manager| ownership.times.get(manager).map_or(0, |time| time.as_second());
    let mut managers: Vec<(&Manager, &Owned)> = ownership.managers.iter().collect();
    managers.sort_by(|(p, a), (q, b)| {
        let key = |manager: &Manager| (manager.operation, seconds(manager));
        key(p)
            .cmp(&key(q))
            .then_with(|| (&p.name, &a.api_version, &p.subresource).cmp(&(&q.name, &b.api_version, &q.subresource)))
    });
    let entry = |(manager, owned): (&Manager, &Owned)| {
        let mut entry = json!({
            "operation": match manager.operation { Operation::Apply => "Apply", Operation::Update => "Update" },
            "apiVersion": owned.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": owned.set.encode(),
        });
        if !manager.name.is_empty() {
            entry["manager"] = json!(manager.name);
        }
        if !manager.subresource.is_empty() {
            entry["subresource"] = json!(manager.subresource);
        }
        if let Some(time) = ownership.times.get(manager) {
            entry["time"] = json!(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        entry
    };
    put(object, Value::Array(managers.into_iter().map(entry).collect()));
}

/// What counts before a write: what the client sent if it can be used, else what is stored. A client resets them by
/// an empty list or one empty entry; through a subresource it cannot touch them.
fn decode_sent_or_stored(sent: Option<&Value>, stored: &Value, subresource: &str) -> Ownership {
    if subresource.is_empty() {
        let reset = match sent.and_then(Value::as_array).map(Vec::as_slice) {
            Some([]) => true,
            Some([entry]) => entry.as_object().is_some_and(Map::is_empty),
            _ => false,
        };
        if reset {
            return Ownership::default();
        }
        if let Some(Ok(ownership)) = sent.map(decode)
            && !ownership.managers.is_empty()
        {
            return ownership;
        }
    }
    decode(stored).unwrap_or_default()
}

fn cap_update_managers(ownership: &mut Ownership) {
    let updates = ownership.managers.keys().filter(|manager| manager.operation == Operation::Update);
    let mut oldest_first: Vec<Manager> = updates.cloned().collect();
    let mut count = oldest_first.len();
    oldest_first.sort_by_key(|manager| ownership.times.get(manager).map_or(0, |time| time.as_second()));
    let mut first_of_version: BTreeMap<String, Manager> = BTreeMap::new();
    for manager in oldest_first {
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let Some(first) = first_of_version.get(&manager.api_version) else {
            first_of_version.insert(manager.api_version.clone(), manager);
            continue;
        };
        let bucket = Manager {
            name: ANCIENT_CHANGES.to_owned(),
            operation: Operation::Update,
            api_version: manager.api_version.clone(),
            subresource: String::new(),
        };
        if !ownership.managers.contains_key(&bucket)
            && let Some(owned) = ownership.managers.remove(first)
        {
            ownership.managers.insert(bucket.clone(), owned);
        }
        if let Some(owned) = ownership.managers.remove(&manager)
            && let Some(ancient) = ownership.managers.get_mut(&bucket)
        {
            ancient.set = ancient.set.union(&owned.set);
        }
        count -= 1;
        // The later time of the two.
        if let Some(time) = ownership.times.get(&manager).copied() {
            ownership.times.insert(bucket, time);
        }
    }
}

/// Takes the managed fields out of an object.
fn take(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata").and_then(Value::as_object_mut).and_then(|metadata| metadata.remove("managedFields"))
}

/// Puts managed fields into an object; empty ones are left out.
fn put(object: &mut Value, entries: Value) {
    let Some(object) = object.as_object_mut() else { return };
    let empty = entries.as_array().is_none_or(Vec::is_empty);
    if empty {
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        return;
    }
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("managedFields".to_owned(), entries);
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// What Go's `unicode.IsPrint` takes for printable, near enough: letters, marks, numbers, punctuation, symbols and the
/// plain space.
fn is_print(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff9}'..='\u{fffb}'))
}
