//! Scenarios as data: model, loading with source spans, expressions, compilation to steps. Imports no kube client.

pub mod check;
pub mod diagnostic;
pub mod duration;
pub mod expression;
pub mod forms;
pub mod model;
pub mod node;
pub mod template;
pub mod tree;
