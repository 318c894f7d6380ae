//! Compiles the rules of a schema.

use crate::schema::node::Schema;

/// Compiles every rule of a custom resource's schema in place.
pub fn attach(_root: &mut Schema) {}
