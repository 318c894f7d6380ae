//! Tables, as kubectl prints them.

use serde_json::{Value, json};

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

/// The columns of a kind without columns of its own.
pub fn name_and_age() -> Vec<Column> {
    Vec::new()
}

/// Their row.
pub fn name_and_age_row(_object: &Value, _now: jiff::Timestamp) -> Vec<Value> {
    vec![json!("")]
}
