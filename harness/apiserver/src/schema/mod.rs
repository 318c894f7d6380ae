//! Structural schemas: built-in types and custom resource definitions in one form, and what is done by them.
//!
//! [`node`] is the form; the other rooms walk an object beside it.

pub mod node;
