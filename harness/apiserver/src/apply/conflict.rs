//! Conflicts: what an applier would take from others, in Kubernetes' words.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::{Value, json};

use super::path::{Step, display};
use super::{Manager, Operation};
use crate::field::quote;
use crate::status::ApiError;

/// One field that somebody else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) manager: Manager,
    pub(super) path: Vec<Step>,
}

/// The answer to an apply that was not forced. `conflicts` are sorted by manager.
pub(super) fn error(conflicts: &[Conflict]) -> ApiError {
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", name(&conflict.manager)),
                "field": display(&conflict.path),
            })
        })
        .collect();
    let error = ApiError::new(StatusCode::CONFLICT, "Conflict", message(conflicts));
    ApiError { details: json!({"causes": causes}), ..error }
}

fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", name(&one.manager), display(&one.path));
    }
    let mut text = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.manager) {
            let newline = if last.is_some() { "\n" } else { "" };
            let _ = write!(text, "{newline}conflicts with {}:", name(&conflict.manager));
            last = Some(&conflict.manager);
        }
        let _ = write!(text, "\n- {}", display(&conflict.path));
    }
    text
}

fn name(manager: &Manager) -> String {
    let mut text = quote(&manager.name);
    if !manager.subresource.is_empty() {
        let _ = write!(text, " with subresource {}", quote(&manager.subresource));
    }
    if manager.operation == Operation::Update {
        let _ = write!(text, " using {}", manager.api_version);
    }
    text
}
