//! The operator under test: what scenarios may say of it, what a cluster needs before it runs, and how it is put on a
//! cluster. The only file that imports `slipway_operator`.

use serde_json::{Value, json};

/// The controllers a scenario may choose.
pub fn controllers() -> Vec<String> {
    vec!["multinic".to_owned()]
}

/// The JSON schema of the settings a scenario may give.
pub fn settings_schema() -> Value {
    json!({"type": "object"})
}
