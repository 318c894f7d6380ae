//! Placeholders for what differs from server to server: uids, revisions, generated names, times.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$").unwrap());
static UID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap());
static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(\d+s|\d+m(\d+s)?|<unknown>|<invalid>)$").unwrap());

/// What was seen so far, in the order it was first seen.
#[derive(Default)]
pub(crate) struct Normal {
    uids: HashMap<String, String>,
    revisions: HashMap<String, String>,
    names: Vec<(String, String)>,
}

/// Where a value stands.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    key: Option<&'a str>,
    /// In the metadata of a list or table.
    in_list: bool,
}

impl Normal {
    /// An answer with placeholders.
    pub(crate) fn value(&mut self, value: &Value) -> Value {
        self.at(value, Place::default())
    }

    fn at(&mut self, value: &Value, place: Place<'_>) -> Value {
        match value {
            Value::Object(fields) => self.object(fields, place),
            Value::Array(items) if place.key == Some("cells") => items.iter().map(|cell| self.cell(cell)).collect(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::String(text) if TIME.is_match(text) => "time".into(),
            Value::String(text) => self.text(text).into(),
            other => other.clone(),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, place: Place<'_>) -> Value {
        if let Some(metadata) = fields.get("metadata") {
            self.generated_name(metadata);
        }
        let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
        let is_list = (kind.ends_with("List") && fields.contains_key("items")) || kind == "Table";
        let mut out = Map::new();
        for (key, value) in fields {
            let normal = match (key.as_str(), value) {
                ("resourceVersion", Value::String(text)) if place.key == Some("metadata") => {
                    self.revision(text, place.in_list)
                }
                ("caBundle", _) => "ca".into(),
                ("continue", Value::String(text)) if !text.is_empty() => "continue".into(),
                ("clusterIP", Value::String(text)) if !text.is_empty() && text != "None" => "ip".into(),
                ("clusterIPs", Value::Array(ips)) => {
                    ips.iter().map(|ip| if ip == "None" { ip.clone() } else { "ip".into() }).collect()
                }
                ("managedFields", Value::Array(entries)) => {
                    let mut entries: Vec<Value> = entries.iter().map(|entry| self.value(entry)).collect();
                    entries.sort_by_key(|entry| {
                        ["operation", "manager", "subresource", "apiVersion"]
                            .map(|k| entry[k].as_str().unwrap_or_default().to_owned())
                    });
                    entries.into()
                }
                _ => self.at(value, Place { key: Some(key), in_list: is_list }),
            };
            out.insert(key.clone(), normal);
        }
        Value::Object(out)
    }

    fn revision(&mut self, text: &str, in_list: bool) -> Value {
        if text.is_empty() {
            return "".into();
        }
        if in_list {
            return "rv-list".into();
        }
        let next = format!("rv-{}", self.revisions.len() + 1);
        self.revisions.entry(text.to_owned()).or_insert(next).as_str().into()
    }

    fn generated_name(&mut self, metadata: &Value) {
        let (Some(prefix), Some(name)) = (metadata["generateName"].as_str(), metadata["name"].as_str()) else { return };
        if !prefix.is_empty() && name.starts_with(prefix) && self.names.iter().all(|(known, _)| known != name) {
            self.names.push((name.to_owned(), format!("{prefix}gen-{}", self.names.len() + 1)));
        }
    }

    fn cell(&mut self, cell: &Value) -> Value {
        match cell.as_str() {
            Some(text) if AGE.is_match(text) => "age".into(),
            _ => self.value(cell),
        }
    }

    fn text(&mut self, text: &str) -> String {
        let uids = &mut self.uids;
        let mut text = UID
            .replace_all(text, |found: &regex::Captures<'_>| {
                let next = format!("uid-{}", uids.len() + 1);
                uids.entry(found[0].to_owned()).or_insert(next).clone()
            })
            .into_owned();
        for (name, placeholder) in &self.names {
            text = text.replace(name, placeholder);
        }
        text
    }
}
