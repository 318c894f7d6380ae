//! Containers' logs, kept within bounds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use slipway_apiserver::clock::Clock;
use slipway_apiserver::gateway::LogOptions;
use tokio::sync::watch;

use crate::cluster::embedded::controllers::informer::Key;

/// Bytes of log kept per container: enough for any failure to be read, little enough for thousands of Pods.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Pods that are gone whose logs are kept, so that a failed step can still show what they said.
const GONE_KEPT_MAX: usize = 64;

/// The logs of a cluster's containers. Clones are the same logs.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster::embedded) struct Logs(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    pods: BTreeMap<Key, BTreeMap<String, Attempts>>,
    gone: VecDeque<Key>,
}

/// The logs of a container's current attempt and of the one before.
#[derive(Clone, Debug, Default)]
struct Attempts {
    current: Log,
    previous: Option<Log>,
}

impl Logs {
    /// A container starts, or starts again, and writes here.
    pub(in crate::cluster::embedded) fn begin(&self, pod: &Key, container: &str, log: Log) {
        let mut registry = self.lock();
        // A name that is used again is a new Pod.
        if let Some(at) = registry.gone.iter().position(|gone| gone == pod) {
            registry.gone.remove(at);
            registry.pods.remove(pod);
        }
        let containers = registry.pods.entry(pod.clone()).or_default();
        let previous = containers.get(container).map(|attempts| attempts.current.clone());
        containers.insert(container.to_owned(), Attempts { current: log, previous });
    }

    /// A Pod is gone: its logs stay until those of many others have gone too.
    pub(in crate::cluster::embedded) fn retire(&self, pod: &Key) {
        let mut registry = self.lock();
        if !registry.pods.contains_key(pod) || registry.gone.contains(pod) {
            return;
        }
        registry.gone.push_back(pod.clone());
        if registry.gone.len() > GONE_KEPT_MAX
            && let Some(oldest) = registry.gone.pop_front()
        {
            registry.pods.remove(&oldest);
        }
    }

    /// A container's log; none where it has never started. Without a name, those of all containers, one after the
    /// other.
    pub(in crate::cluster::embedded) fn read(
        &self,
        pod: &Key,
        container: Option<&str>,
        previous: bool,
    ) -> Option<String> {
        let registry = self.lock();
        let containers = registry.pods.get(pod)?;
        let text = |attempts: &Attempts| {
            let log = if previous { attempts.previous.as_ref() } else { Some(&attempts.current) };
            log.map(Log::text)
        };
        match container {
            Some(name) => containers.get(name).and_then(text),
            None => Some(containers.values().filter_map(text).collect()),
        }
    }

    /// A container's log as it is asked for, in pieces; none where there is none.
    pub(in crate::cluster::embedded) fn stream(
        &self,
        pod: &Key,
        container: &str,
        options: &LogOptions,
    ) -> Option<BoxStream<'static, Bytes>> {
        let registry = self.lock();
        let attempts = registry.pods.get(pod)?.get(container)?;
        let log = if options.previous { attempts.previous.clone()? } else { attempts.current.clone() };
        drop(registry);
        Some(log.stream(options))
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a container has written, oldest lines dropped first. Clones write to the same log.
#[derive(Clone, Debug)]
pub struct Log {
    clock: Option<Clock>,
    lines: Arc<Mutex<Lines>>,
    /// How far it has come, and whether it goes on.
    news: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Line>,
    bytes: usize,
    /// How many lines have been dropped from the front.
    dropped: u64,
}

#[derive(Clone, Debug)]
struct Line {
    at: Timestamp,
    text: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    lines: u64,
    ended: bool,
}

impl Default for Log {
    /// A log whose lines have no time.
    fn default() -> Self {
        Self { clock: None, lines: Arc::default(), news: watch::Sender::default() }
    }
}

impl Log {
    /// A log whose lines are stamped by a clock.
    pub fn timed(clock: Clock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// Appends text, line by line.
    pub fn write(&self, text: &str) {
        let at = self.clock.as_ref().map_or(Timestamp::UNIX_EPOCH, Clock::now);
        let mut kept = self.lock();
        for line in text.lines() {
            kept.bytes += line.len() + 1;
            kept.kept.push_back(Line { at, text: line.to_owned() });
        }
        while kept.bytes > KEPT_BYTES_MAX {
            let Some(dropped) = kept.kept.pop_front() else { break };
            kept.bytes -= dropped.text.len() + 1;
            kept.dropped += 1;
        }
        let lines = kept.dropped + kept.kept.len() as u64;
        drop(kept);
        self.news.send_modify(|progress| progress.lines = lines);
    }

    /// Nothing more will be written: whoever follows has read it all.
    pub fn end(&self) {
        self.news.send_modify(|progress| progress.ended = true);
    }

    /// What is asked for, line by line; with `follow` until the end.
    fn stream(&self, options: &LogOptions) -> BoxStream<'static, Bytes> {
        let (first, from) = {
            let kept = self.lock();
            let since = |line: &&Line| options.since.is_none_or(|since| line.at >= since);
            let chosen: Vec<&Line> = kept.kept.iter().filter(since).collect();
            let skipped = options.tail_lines.map_or(0, |lines| chosen.len().saturating_sub(lines));
            let text = chosen.into_iter().skip(skipped).map(|line| line.show(options.timestamps)).collect::<String>();
            (text, kept.dropped + kept.kept.len() as u64)
        };
        let first = stream::iter((!first.is_empty()).then(|| Bytes::from(first)));
        if !options.follow {
            return first.boxed();
        }
        let (log, news, timestamps) = (self.clone(), self.news.subscribe(), options.timestamps);
        let rest = stream::unfold((log, news, from), move |(log, mut news, from)| async move {
            let progress = *news.wait_for(|progress| progress.ended || progress.lines > from).await.ok()?;
            if progress.lines <= from {
                return None;
            }
            let (text, next) = log.after(from, timestamps);
            Some((Bytes::from(text), (log, news, next)))
        });
        first.chain(rest).boxed()
    }

    /// The lines from a place on, and the place behind them.
    fn after(&self, from: u64, timestamps: bool) -> (String, u64) {
        let kept = self.lock();
        let skipped = usize::try_from(from.saturating_sub(kept.dropped)).unwrap_or(usize::MAX);
        let text = kept.kept.iter().skip(skipped).map(|line| line.show(timestamps)).collect();
        (text, kept.dropped + kept.kept.len() as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything kept, each line ended.
    pub fn text(&self) -> String {
        self.lock().kept.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }

    /// The last lines, at most this many lines and bytes.
    pub fn tail(&self, lines_max: usize, bytes_max: usize) -> String {
        let text = self.text();
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts: Vec<usize> = std::iter::once(0).chain(starts).filter(|start| *start < text.len()).collect();
        let from_line = starts.get(starts.len().saturating_sub(lines_max)).copied().unwrap_or(0);
        let mut from = from_line.max(text.len().saturating_sub(bytes_max));
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text.get(from..).unwrap_or_default().to_owned()
    }
}

impl Line {
    fn show(&self, timestamp: bool) -> String {
        if timestamp { format!("{:.9} {}\n", self.at, self.text) } else { format!("{}\n", self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_follows_a_log_reads_every_line_once_until_the_container_has_ended() {
        let log = Log::default();
        log.write("one\ntwo");
        let options = LogOptions { follow: true, tail_lines: Some(1), ..LogOptions::default() };
        let read = log.stream(&options).collect::<Vec<_>>();
        let write = async {
            tokio::task::yield_now().await;
            log.write("three");
            tokio::task::yield_now().await;
            log.write("four\nfive");
            log.end();
        };
        let (pieces, ()) = tokio::join!(read, write);
        assert_eq!(pieces.concat(), b"two\nthree\nfour\nfive\n");
    }

    #[tokio::test]
    async fn a_log_can_be_asked_for_by_time_and_shows_when_its_lines_were_written() {
        let log = Log::timed(Clock::starting_at("2030-01-01T00:00:00Z".parse().expect("a time")));
        log.write("one");
        let read = async |options: LogOptions| log.stream(&options).collect::<Vec<_>>().await.concat();
        let timed = read(LogOptions { timestamps: true, ..LogOptions::default() }).await;
        let timed = String::from_utf8(timed).expect("text");
        assert!(timed.starts_with("2030-01-01T00:00:00.") && timed.ends_with("Z one\n"), "{timed}");
        let later = Some("2030-01-01T01:00:00Z".parse().expect("a time"));
        assert!(read(LogOptions { since: later, ..LogOptions::default() }).await.is_empty());
    }

    #[test]
    fn the_tail_keeps_the_last_lines_within_the_bytes_and_never_splits_a_character() {
        let log = Log::default();
        log.write("one\ntwo\nthrée\n");
        assert_eq!(log.tail(2, 100), "two\nthrée\n");
        assert_eq!(log.tail(80, 4), "ée\n", "`é` is two bytes");
        assert_eq!(log.tail(80, 3), "e\n", "half of `é` is not a character");
        assert_eq!(log.tail(80, 0), "");
    }

    #[test]
    fn a_chatty_container_keeps_its_newest_lines_and_no_more_than_its_share_of_memory() {
        let log = Log::default();
        for number in 0..20_000 {
            log.write(&format!("line {number}"));
        }
        let text = log.text();
        assert!(text.len() <= KEPT_BYTES_MAX, "{} bytes kept", text.len());
        assert!(text.ends_with("line 19999\n"));
    }
}
