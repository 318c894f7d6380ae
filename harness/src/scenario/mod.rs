//! Scenarios as data: model, loading with source spans, expressions, compilation to steps. Imports no kube client.
//!
//! ```text
//! load (files) → tree (values with places) → template (bindings) → check (schema of model) → compile → plan
//! ```

pub mod check;
mod compile;
pub mod diagnostic;
pub mod duration;
pub mod expression;
pub mod finding;
pub mod forms;
pub mod image;
pub mod load;
mod manifest;
pub mod model;
pub mod node;
pub mod operator;
pub mod partial;
pub mod plan;
pub mod template;
pub mod tree;
