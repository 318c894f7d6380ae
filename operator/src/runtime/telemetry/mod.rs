//! What the operator says about itself while it runs: logs, and traces for those who collect them.

mod logs;
mod traces;

use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::kit::clock::Clock;

pub use logs::LogFormat;
pub use traces::{TraceError, Traces};

/// Where finished lines of the log go.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// What collects the logs that pass `filter`, and the traces where there is somebody to send them to.
pub fn subscriber(
    format: LogFormat,
    filter: EnvFilter,
    clock: Clock,
    sink: Sink,
    traces: Option<&Traces>,
) -> impl Subscriber + Send + Sync + use<> {
    tracing_subscriber::registry()
        .with(logs::Logs::new(format, clock, sink).with_filter(filter))
        .with(traces.map(Traces::layer))
}
