//! Service level indicators: what is measured while scenarios run, and what becomes of it.
//!
//! Two kinds of source: what the operator tells ([`exposition`], read from elsewhere by [`scrape`]) and what the server
//! sees ([`observed`]). Indicators are
//! data ([`spec`]); [`compute`] makes one number of each. Nothing here knows the runner, a cluster or the API server, and
//! a measurement that fails is a value that says so, never an error.

pub mod amount;
pub mod compute;
pub mod exposition;
pub mod histogram;
pub mod observed;
pub mod scrape;
pub mod selector;
pub mod session;
pub mod spec;
pub mod summary;
