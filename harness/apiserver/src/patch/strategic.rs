//! Strategic merge patch: a merge patch that knows from the schema how lists are merged.
//!
//! The patch says more than values by its directives: `$patch: replace | delete | merge`, `$retainKeys`,
//! `$deleteFromPrimitiveList/<list>` and `$setElementOrder/<list>`.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Map, Value};

use super::order::{Identity, arrange};
use super::unfit;
use crate::field::quote;
use crate::go;
use crate::schema::node::{Schema, SchemaRef};
use crate::status::ApiError;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

type Fields = Map<String, Value>;

/// Why a strategic merge patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StrategicError {
    /// `$deleteFromPrimitiveList` without a list's name.
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    /// `$retainKeys` is no list, or the patch sets what it does not retain.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// `$setElementOrder` is no list, or has no list's name.
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrder,
    /// Lists of lists have no merge.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// An item without the field that tells items apart.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item, as Go prints it.
        item: String,
        /// The field.
        key: String,
    },
    /// A list of objects that the schema has no key for.
    #[error("cannot merge lists without merge key for struct")]
    NoKeyDeclared,
    /// A value of another type than is due.
    #[error("expected a {expected}, but received a {found}")]
    WrongType {
        /// The Go type that is due.
        expected: &'static str,
        /// The one that is there.
        found: &'static str,
    },
    /// Items of several types.
    #[error("list element types are not identical: {0}")]
    MixedList(String),
    /// `$patch` with an unknown word.
    #[error("unknown patch type: {directive} in map: {fields}")]
    UnknownDirective {
        /// The word.
        directive: String,
        /// The object it stands in.
        fields: String,
    },
    /// `$patch: merge` in a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    /// A list that the schema does not know.
    #[error("unable to find api field in struct for the json field {}", quote(.0))]
    UnknownField(String),
    /// The patch's items are in another order than it sets.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    Order {
        /// The items.
        patch: String,
        /// The order.
        order: String,
    },
}

impl From<StrategicError> for ApiError {
    fn from(error: StrategicError) -> Self {
        match error {
            StrategicError::PrimitiveList | StrategicError::RetainKeys | StrategicError::SetElementOrder => {
                Self::bad_request(error.to_string())
            }
            StrategicError::ListOfLists => unfit(),
            other => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", other.to_string()),
        }
    }
}

pub(super) fn apply(live: &Value, patch: Fields, schema: &SchemaRef) -> Result<Value, StrategicError> {
    let live = live.as_object().cloned().unwrap_or_default();
    merge_fields(live, patch, schema.get()).map(Value::Object)
}

fn merge_fields(mut live: Fields, mut patch: Fields, schema: &Schema) -> Result<Fields, StrategicError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Fields::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut live, &mut patch)?;
    set_orders(&mut live, &mut patch, schema)?;
    for (name, value) in patch {
        let (name, deletes) = match list_of(&name, DELETE_FROM_PRIMITIVE_LIST) {
            Some("") => return Err(StrategicError::PrimitiveList),
            Some(list) => (list.to_owned(), true),
            None => (name, false),
        };
        if value.is_null() {
            live.remove(&name);
            continue;
        }
        let merged = match (live.remove(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) if !deletes => {
                let schema = field(schema, &name)?;
                if schema.patch_strategy.replace {
                    Some(Value::Object(new))
                } else {
                    Some(Value::Object(merge_fields(old, new, schema)?))
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                Some(Value::Array(merge_list(old, new, field(schema, &name)?, deletes)?))
            }
            (old, _) if deletes => old,
            (Some(_) | None, new) => without_directives(without_nulls(new)),
        };
        live.extend(merged.map(|value| (name, value)));
    }
    Ok(live)
}

/// `$retainKeys`: what it does not name goes; the patch may not set what it does not name.
fn retain_keys(live: &mut Fields, patch: &mut Fields) -> Result<(), StrategicError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let keys: BTreeSet<&str> =
        keys.as_array().ok_or(StrategicError::RetainKeys)?.iter().filter_map(Value::as_str).collect();
    let is_list_directive =
        |name: &str| name.starts_with(DELETE_FROM_PRIMITIVE_LIST) || name.starts_with(SET_ELEMENT_ORDER);
    let retained =
        |(name, value): (&String, &Value)| value.is_null() || is_list_directive(name) || keys.contains(name.as_str());
    if !patch.iter().all(retained) {
        return Err(StrategicError::RetainKeys);
    }
    live.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

/// `$setElementOrder`: merges the lists it is about and puts them into order.
fn set_orders(live: &mut Fields, patch: &mut Fields, schema: &Schema) -> Result<(), StrategicError> {
    let names: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in names {
        let order = as_list(patch.remove(&directive).unwrap_or_default())?;
        let name = list_of(&directive, SET_ELEMENT_ORDER).filter(|name| !name.is_empty());
        let name = name.ok_or(StrategicError::SetElementOrder)?;
        let old = live.get(name).cloned().map(as_list).transpose()?;
        let new = patch.get(name).cloned().map(as_list).transpose()?;
        let schema = field(schema, name)?;
        let key = schema.patch_merge_key.as_deref();
        if let Some(new) = &new {
            check_order(new, &order, key)?;
        }
        let before = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => match without_directives(Value::Array(new)) {
                Some(new) => as_list(new)?,
                None => continue,
            },
            (Some(old), Some(new)) => merge_list(old, new, schema, false)?,
        };
        let identity = key.map_or(Identity::Scalar, Identity::Key);
        for list in [&merged, &order, &before] {
            check_keys(list, identity)?;
        }
        live.insert(name.to_owned(), Value::Array(arrange(merged, &order, &before, identity)));
        patch.remove(name);
    }
    Ok(())
}

/// The items of the patch must come in the order that it sets.
fn check_order(new: &[Value], order: &[Value], key: Option<&str>) -> Result<(), StrategicError> {
    if new.is_empty() || order.is_empty() {
        return Ok(());
    }
    let identity = key.map_or(Identity::Scalar, Identity::Key);
    let mut rest = order.iter();
    for item in new.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        let id = identity.of(item).ok_or_else(|| no_merge_key(item, key))?;
        if !rest.any(|due| identity.of(due).as_ref() == Some(&id)) {
            let text = |items: &[Value]| go::plain(&Value::Array(items.to_vec()));
            return Err(StrategicError::Order { patch: text(new), order: text(order) });
        }
    }
    Ok(())
}

fn merge_list(
    live: Vec<Value>,
    patch: Vec<Value>,
    schema: &Schema,
    deletes: bool,
) -> Result<Vec<Value>, StrategicError> {
    if !schema.patch_strategy.merge && !deletes {
        return Ok(patch);
    }
    let Some(objects) = of_objects(&live, &patch)? else { return Ok(live) };
    if !objects {
        return Ok(merge_scalars(live, &patch, deletes));
    }
    let key = schema.patch_merge_key.as_deref().ok_or(StrategicError::NoKeyDeclared)?;
    let (live, patch) = directives(live, patch, key)?;
    let item_schema = schema.items.as_ref().map(SchemaRef::get);
    let merged = merge_objects(live.clone(), &patch, key, item_schema)?;
    let identity = Identity::Key(key);
    for list in [&merged, &patch, &live] {
        check_keys(list, identity)?;
    }
    Ok(arrange(merged, &patch, &live, identity))
}

fn merge_scalars(live: Vec<Value>, patch: &[Value], deletes: bool) -> Vec<Value> {
    let identity = Identity::Scalar;
    if deletes {
        let gone = identity.set(patch);
        return live.into_iter().filter(|item| identity.of(item).is_none_or(|id| !gone.contains(&id))).collect();
    }
    let mut seen = BTreeSet::new();
    let both = live.iter().chain(patch).filter(|item| seen.insert(identity.of(item)));
    let merged = both.cloned().collect();
    arrange(merged, patch, &live, identity)
}

/// Items that are directives: the live list without what they delete (nothing of it is left if they replace it), and
/// the patch without them.
fn directives(live: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>), StrategicError> {
    let (special, plain): (Vec<Value>, Vec<Value>) = patch.into_iter().partition(|item| item.get(DIRECTIVE).is_some());
    let identity = Identity::Key(key);
    let mut replace = false;
    let mut gone = BTreeSet::new();
    for item in &special {
        match item[DIRECTIVE].as_str() {
            Some("delete") => {
                gone.insert(identity.of(item).ok_or_else(|| no_merge_key(item, Some(key)))?);
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(StrategicError::MergeInList),
            _ => {
                let fields = item.as_object().cloned().unwrap_or_default();
                return Err(unknown_directive(&item[DIRECTIVE], &fields));
            }
        }
    }
    if replace {
        return Ok((plain, Vec::new()));
    }
    let live = live.into_iter().filter(|item| identity.of(item).is_none_or(|id| !gone.contains(&id))).collect();
    Ok((live, plain))
}

fn merge_objects(
    mut live: Vec<Value>,
    patch: &[Value],
    key: &str,
    schema: Option<&Schema>,
) -> Result<Vec<Value>, StrategicError> {
    let identity = Identity::Key(key);
    let mut places: BTreeMap<String, usize> = identity.places(&live);
    let anything = Schema { preserve_unknown: true, ..Schema::default() };
    for item in patch {
        let id = identity.of(item).ok_or_else(|| no_merge_key(item, Some(key)))?;
        if let Some(old) = places.get(&id).and_then(|place| live.get_mut(*place)) {
            let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
            *old = Value::Object(merge_fields(fields(old), fields(item), schema.unwrap_or(&anything))?);
        } else {
            places.insert(id, live.len());
            live.push(item.clone());
        }
    }
    Ok(live)
}

/// Whether the items of two lists are objects; none if there are no items.
fn of_objects(live: &[Value], patch: &[Value]) -> Result<Option<bool>, StrategicError> {
    let mut items = live.iter().chain(patch);
    let Some(first) = items.next() else { return Ok(None) };
    if first.is_array() {
        return Err(StrategicError::ListOfLists);
    }
    let ty = go::type_name(first);
    if items.any(|item| go::type_name(item) != ty) {
        let lists = Value::Array(vec![Value::Array(live.to_vec()), Value::Array(patch.to_vec())]);
        return Err(StrategicError::MixedList(go::plain(&lists)));
    }
    Ok(Some(first.is_object()))
}

fn check_keys(items: &[Value], identity: Identity<'_>) -> Result<(), StrategicError> {
    match (identity, items.iter().find(|item| identity.of(item).is_none())) {
        (Identity::Key(key), Some(item)) => Err(no_merge_key(item, Some(key))),
        _ => Ok(()),
    }
}

/// The list that `$directive/list` is about; empty if it names none. None means that it is no such directive.
fn list_of<'a>(name: &'a str, directive: &str) -> Option<&'a str> {
    name.strip_prefix(directive).map(|rest| rest.strip_prefix('/').unwrap_or_default())
}

fn field<'a>(schema: &'a Schema, name: &str) -> Result<&'a Schema, StrategicError> {
    let found = schema.properties.get(name).or(schema.additional.as_ref()).map(SchemaRef::get);
    match found {
        Some(found) => Ok(found),
        // Nothing is known, so nothing is merged but objects.
        None if schema.preserve_unknown || schema.properties.is_empty() => Ok(schema),
        None => Err(StrategicError::UnknownField(name.to_owned())),
    }
}

fn as_list(value: Value) -> Result<Vec<Value>, StrategicError> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(StrategicError::WrongType { expected: "[]interface {}", found: go::type_name(&other) }),
    }
}

fn no_merge_key(item: &Value, key: Option<&str>) -> StrategicError {
    StrategicError::NoMergeKey { item: go::plain(item), key: key.unwrap_or_default().to_owned() }
}

fn unknown_directive(directive: &Value, fields: &Fields) -> StrategicError {
    StrategicError::UnknownDirective {
        directive: go::plain(directive),
        fields: go::plain(&Value::Object(fields.clone())),
    }
}

/// A new value has no nulls in its objects.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(name, v)| (name, without_nulls(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// A new value has no directives; an object that is one is not there at all.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => {
            let kept = fields.into_iter().filter_map(|(name, v)| without_directives(v).map(|v| (name, v)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}
