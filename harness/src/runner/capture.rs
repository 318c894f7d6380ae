//! What the operator logs and what panics say during one scenario. Every scenario has its own thread, so its lines are
//! its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::{EnvFilter, fmt as log};

use crate::scenario::duration::Span;
use crate::sim::clock::ScenarioClock;

/// As many lines as are kept: more than any report shows, so that filtering them later still leaves enough.
const LINES_MAX: usize = 1000;

/// The log of one scenario.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// Collects this thread's log lines until the guard is dropped.
    pub(super) fn collect(&self, clock: ScenarioClock) -> tracing::subscriber::DefaultGuard {
        // The operator in full, the machinery below it only when it complains.
        let filter = format!("warn,{}=debug", crate::target::LOG_TARGET);
        let subscriber = log::Subscriber::builder()
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(self.clone())
            .with_ansi(false)
            .with_timer(Timer(clock))
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The last lines.
    pub(super) fn tail(&self, lines: usize) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().skip(kept.len().saturating_sub(lines)).cloned().collect()
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { log: self.clone(), text: Vec::new() }
    }
}

/// One line on its way into the log.
pub(super) struct Line {
    log: Log,
    text: Vec<u8>,
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut kept = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in String::from_utf8_lossy(&self.text).lines() {
            if kept.len() == LINES_MAX {
                kept.pop_front();
            }
            kept.push_back(line.to_owned());
        }
    }
}

/// Lines carry the time on the scenario's clock.
struct Timer(ScenarioClock);

impl FormatTime for Timer {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:>8}", format!("+{}", Span(self.0.elapsed())))
    }
}

thread_local! {
    /// The panics of this thread, where somebody listens.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Keeps what panics on this thread say, instead of printing it.
pub(super) fn listen_to_panics() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let message = info.payload_as_str().unwrap_or("no message");
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let heard = PANICS.try_with(|panics| match panics.try_borrow_mut().as_deref_mut() {
                Ok(Some(panics)) => {
                    panics.push(format!("{message} ({place})"));
                    true
                }
                _ => false,
            });
            if heard != Ok(true) {
                before(info);
            }
        }));
    });
    PANICS.with(|panics| *panics.borrow_mut() = Some(Vec::new()));
}

/// What panics on this thread have said since the last time it was asked.
pub(super) fn panics() -> Vec<String> {
    PANICS.with(|panics| panics.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenarios_log_holds_its_own_operators_lines_and_their_virtual_time() {
        let log = Log::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let _guard = log.collect(ScenarioClock::start());
            tracing::info!(target: "slipway_operator::x", node = "worker-1", "first");
            tokio::time::advance(std::time::Duration::from_millis(90_500)).await;
            tracing::warn!(target: "slipway_operator::x", "second");
            tracing::info!(target: "hyper", "noise");
        });
        let lines = log.tail(10);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("first") && lines[0].contains("worker-1"), "{lines:?}");
        assert!(lines[1].contains("+1m30s500ms") && lines[1].contains("second"), "{lines:?}");
        assert_eq!(log.tail(1), lines[1..]);
    }

    #[test]
    fn a_panic_is_kept_with_its_place() {
        listen_to_panics();
        assert!(std::panic::catch_unwind(|| panic!("all is lost")).is_err());
        let said = panics();
        assert!(said.len() == 1 && said[0].starts_with("all is lost (") && said[0].contains("capture.rs"), "{said:?}");
        assert!(panics().is_empty());
    }
}
