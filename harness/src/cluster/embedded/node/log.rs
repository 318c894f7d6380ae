//! Containers' logs, kept within bounds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_apiserver::service::LogSource;

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

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSource for Logs {
    fn read(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Option<String> {
        let key = Key { namespace: namespace.to_owned(), name: pod.to_owned() };
        Self::read(self, &key, Some(container), previous)
    }
}

/// What a container has written, oldest lines dropped first. Clones write to the same log.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Log {
    /// Appends text, line by line.
    pub fn write(&self, text: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            kept.bytes += line.len() + 1;
            kept.lines.push_back(line.to_owned());
        }
        while kept.bytes > KEPT_BYTES_MAX {
            let Some(dropped) = kept.lines.pop_front() else { break };
            kept.bytes -= dropped.len() + 1;
        }
    }

    /// Everything kept, each line ended.
    pub fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

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
