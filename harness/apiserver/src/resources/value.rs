//! Short ways through JSON objects that may hold anything: a missing or wrongly typed field reads as its zero value.

use serde_json::{Map, Value};

/// The string of a field, empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// The items of a field, none where there is no list.
pub(crate) fn items<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The entries of a map, in the order of their keys.
pub(crate) fn entries<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object[key].as_object().into_iter().flatten()
}

/// A whole number.
pub(crate) fn int(object: &Value, key: &str) -> Option<i64> {
    object[key].as_i64()
}

/// Whether a switch is on.
pub(crate) fn flag(object: &Value, key: &str) -> bool {
    object[key].as_bool().unwrap_or_default()
}

/// Whether a field holds anything.
pub(crate) fn has(object: &Value, key: &str) -> bool {
    !object[key].is_null()
}

/// The keys of an object that hold anything.
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    object.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()).map(|(k, _)| k.as_str()).collect()
}

/// The fields of an object, to be changed.
pub(crate) fn map(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.as_object_mut()
}

/// Sets a field of an object; anything else stays as it is.
pub(crate) fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
}

/// Sets a field that holds nothing.
pub(crate) fn set_default(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        let slot = fields.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.into();
        }
    }
}

/// Takes a field away.
pub(crate) fn remove(object: &mut Value, key: &str) -> Option<Value> {
    object.as_object_mut().and_then(|fields| fields.remove(key))
}

/// Gives `to` the field that `from` has, or none where it has none.
pub(crate) fn copy(to: &mut Value, from: &Value, key: &str) {
    match from.get(key) {
        Some(value) => set(to, key, value.clone()),
        None => drop(remove(to, key)),
    }
}

/// The object of a field, made where there is none.
pub(crate) fn object<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let slot = parent.as_object_mut()?.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.is_object().then_some(slot)
}

/// The items of a field, to be changed.
pub(crate) fn each<'a>(object: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A value below another, to be changed, if there is one.
pub(crate) fn at<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    object.get_mut(key).filter(|v| !v.is_null())
}
