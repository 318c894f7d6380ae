//! Runs scenarios: the dispatcher owns the run's state and puts what happens in order, an executor runs one scenario on
//! a thread and a clock of its own, reports read events and nothing else.

mod answer;
mod assertion;
mod capture;
mod chronicle;
mod dispatcher;
mod events;
mod evict;
mod executor;
mod measuring;
mod metrics;
mod nodes;
pub mod report;
mod resources;
mod scene;
mod script;
mod traffic;
mod trouble;
mod view;
mod watching;
mod witness;

use std::time::Duration;

pub use self::dispatcher::{Options, run};
use crate::chain::chain;
use crate::scenario::duration::Span;

/// A duration as people write it, in whole milliseconds.
fn span(duration: Duration) -> Span {
    Span(duration)
}
