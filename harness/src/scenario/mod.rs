//! Scenarios as data: model, loading with source spans, expressions, compilation to steps. Imports no kube client.

pub mod node;
