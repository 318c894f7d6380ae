//! Tables, as kubectl prints them.

use serde_json::{Value, json};

use crate::resource::Resource;

/// One column of a Table (`meta.k8s.io/v1`).
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: String,
    /// `name` for the name column.
    pub format: String,
    /// What it holds.
    pub description: String,
    /// Columns above 0 are printed by `-o wide` only.
    pub priority: i32,
    /// For custom resources: where the value stands.
    pub json_path: Option<String>,
}

/// What of each object a row carries (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// The columns of a kind without columns of its own.
pub fn name_and_age() -> Vec<Column> {
    Vec::new()
}

/// Their row.
pub fn name_and_age_row(_object: &Value, _now: jiff::Timestamp) -> Vec<Value> {
    vec![json!("")]
}

/// A Table of `objects` with the list's own metadata (`resourceVersion`, `continue`, `remainingItemCount`).
///
/// `with_columns` is false for every event of a watch but the first.
pub fn table<'a>(
    resource: &Resource,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: Value,
    include: IncludeObject,
    with_columns: bool,
    now: jiff::Timestamp,
) -> Value {
    let _ = (resource, objects.into_iter().count(), include, with_columns, now);
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

/// How long ago, as kubectl words it (`5m30s`, `3d2h`).
pub fn human_duration(_seconds: i64) -> String {
    String::new()
}

/// Its `PartialObjectMetadata` (`meta.k8s.io/v1`).
pub fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}
