//! Whether a definition's names are free, and whether it is established: the conditions on its way to being served.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{find, is_true, set_condition};
use crate::field::quote;

/// The next step of a definition's status, with the names that others in its group hold; none when there is nothing left
/// to do. Kubernetes takes two steps, so that the names are known before it serves them: names first, establishing then.
pub fn next(definition: &Value, others: &[&Value], now: &str) -> Option<Value> {
    accept(definition, others, now).or_else(|| establish(definition, now))
}

fn accept(definition: &Value, others: &[&Value], now: &str) -> Option<Value> {
    let wanted = &definition["spec"]["names"];
    let held = &definition["status"]["acceptedNames"];
    if wanted == held && find(definition, "NamesAccepted").is_some() {
        return None;
    }
    let (resources, kinds) = taken(definition, others);
    let mut accepted = held.as_object().cloned().unwrap_or_default();
    let mut conflict = None;
    for (name, taken, reason) in [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("shortNames", &resources, "ShortNamesConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ] {
        match in_use(&wanted[name], &held[name], taken) {
            Some(message) => conflict = Some((reason, message)),
            None => set(&mut accepted, name, &wanted[name]),
        }
    }
    set(&mut accepted, "categories", &wanted["categories"]);

    let (status, reason, message) = match &conflict {
        Some((reason, message)) => ("False", *reason, message.as_str()),
        None => ("True", "NoConflicts", "no conflicts found"),
    };
    let accepted = Value::Object(accepted);
    let known = find(definition, "NamesAccepted");
    if accepted == *held
        && known.is_some_and(|c| c["status"] == status && c["reason"] == reason && c["message"] == message)
    {
        return None;
    }
    let mut next = definition.clone();
    next["status"]["acceptedNames"] = accepted;
    set_condition(&mut next, "NamesAccepted", status, reason, message, now);
    if !is_true(definition, "Established") {
        if conflict.is_none() {
            let message = "the initial names have been accepted";
            set_condition(&mut next, "Established", "False", "Installing", message, now);
        } else if find(definition, "Established").is_none() {
            set_condition(&mut next, "Established", "False", "NotAccepted", "not all names are accepted", now);
        }
    }
    Some(next)
}

fn establish(definition: &Value, now: &str) -> Option<Value> {
    if !is_true(definition, "NamesAccepted") || is_true(definition, "Established") {
        return None;
    }
    let mut next = definition.clone();
    let message = "the initial names have been accepted";
    set_condition(&mut next, "Established", "True", "InitialNamesAccepted", message, now);
    Some(next)
}

/// The names of resources and of kinds that other definitions of the group hold.
fn taken(definition: &Value, others: &[&Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    let same_group = |other: &&&Value| {
        other["spec"]["group"] == definition["spec"]["group"]
            && other["metadata"]["name"] != definition["metadata"]["name"]
    };
    for names in others.iter().filter(same_group).map(|other| &other["status"]["acceptedNames"]) {
        resources.extend(["plural", "singular", "shortNames"].iter().flat_map(|name| texts(&names[name])));
        kinds.extend(["kind", "listKind"].iter().flat_map(|name| texts(&names[name])));
    }
    (resources, kinds)
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

fn in_use(wanted: &Value, held: &Value, taken: &BTreeSet<String>) -> Option<String> {
    let held = texts(held);
    let conflicts: Vec<String> = texts(wanted)
        .into_iter()
        .filter(|name| !name.is_empty() && !held.contains(name) && taken.contains(name))
        .map(|name| format!("{} is already in use", quote(&name)))
        .collect();
    match conflicts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

fn set(names: &mut Map<String, Value>, name: &str, value: &Value) {
    if value.is_null() {
        names.remove(name);
    } else {
        names.insert(name.to_owned(), value.clone());
    }
}
