//! The controller's decisions as tables, and its edges against a mock API server.

mod api_errors;
pub(super) mod fixtures;
mod jobs;
mod model;
mod outcomes;
mod plans;
mod statuses;
