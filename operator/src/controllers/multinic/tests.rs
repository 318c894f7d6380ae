//! The controller's decisions as tables, and its edges against a mock API server.

mod api_errors;
mod fixtures;
mod jobs;
mod model;
mod outcomes;
mod plans;
mod statuses;
