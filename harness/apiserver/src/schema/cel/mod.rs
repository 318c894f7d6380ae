//! `x-kubernetes-validations`: rules in CEL, compiled once with the schema they stand in.

pub mod compile;

use serde_json::Value;

use super::node::Schema;
use crate::field::FieldError;

/// One compiled expression.
#[derive(Debug)]
pub struct Program {
    #[expect(dead_code, reason = "evaluated by the walk that comes next")]
    program: kube_cel::cel::Program,
}

/// Whether there are rules in a schema.
pub fn has_rules(schema: &Schema) -> bool {
    schema.has_rules
}

/// What the rules of a schema have against an object or a change.
pub fn validate(_new: &Value, _old: Option<&Value>, _schema: &Schema) -> Vec<FieldError> {
    Vec::new()
}
