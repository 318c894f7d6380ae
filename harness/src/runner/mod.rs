//! Runs scenarios: the dispatcher owns the run's state and puts what happens in order, an executor runs one scenario on
//! a thread and a clock of its own, reports read events and nothing else.

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
mod watching;

use std::error::Error;
use std::time::Duration;

pub use self::dispatcher::{Options, run};
use crate::scenario::duration::Span;

/// A duration as people write it, in whole milliseconds.
fn span(duration: Duration) -> Span {
    Span(duration)
}

/// An error with everything that caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors quote their cause themselves.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
