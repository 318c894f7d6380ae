//! Conditions, after the Kubernetes API conventions.
