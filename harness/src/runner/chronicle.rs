//! Looks on while a scenario runs and keeps what explains a failure and may be gone when it happens: Events, and the
//! last words of containers whose Pods are deleted.

use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::api::events::v1::Event as NewEvent;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};

use crate::event::Section;
use crate::scenario::duration::Span;
use crate::sim::clock::ScenarioClock;

/// As many Events as a report shows.
const EVENTS_MAX: usize = 15;

/// As many last words as a report shows.
const ENDINGS_MAX: usize = 10;

/// What has been seen.
#[derive(Clone, Debug)]
pub(super) struct Chronicle {
    kept: Arc<Mutex<Kept>>,
    clock: ScenarioClock,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<String>,
    endings: VecDeque<String>,
    /// Endings that have been told, by Pod, container and restart count.
    told: BTreeSet<(String, String, i32)>,
}

impl Chronicle {
    /// Begins to look on; ends with the runtime.
    pub(super) fn begin(client: &Client, clock: ScenarioClock) -> Self {
        let chronicle = Self { kept: Arc::default(), clock };
        tokio::spawn(chronicle.clone().follow_events(client.clone()));
        tokio::spawn(chronicle.clone().follow_pods(Api::all(client.clone())));
        chronicle
    }

    /// What has been seen, as parts of a report.
    pub(super) fn sections(&self) -> Vec<Section> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let events = Section::new("the last Events", kept.events.iter().cloned().collect());
        let endings = Section::new("containers that ended", kept.endings.iter().cloned().collect());
        events.into_iter().chain(endings).collect()
    }

    async fn follow_events(self, client: Client) {
        let config = watcher::Config::default;
        let old =
            watcher(Api::<Event>::all(client.clone()), config()).default_backoff().applied_objects().map_ok(|event| {
                let about = event.involved_object;
                [event.type_, event.reason, about.kind, about.name, event.message]
            });
        let new = watcher(Api::<NewEvent>::all(client), config()).default_backoff().applied_objects().map_ok(|event| {
            let about = event.regarding.unwrap_or_default();
            [event.type_, event.reason, about.kind, about.name, event.note]
        });
        // Two groups serve Events, and not every cluster shows those of one in the other.
        let mut stream = pin!(futures::stream::select(old, new));
        while let Some(next) = stream.next().await {
            // A watch that is broken off resumes by itself; what it showed before is kept.
            let Ok([severity, reason, kind, name, note]) = next.map(|words| words.map(Option::unwrap_or_default))
            else {
                continue;
            };
            let at = format!("+{}", Span(self.clock.elapsed()));
            let line = format!("{at:>8} {severity} {reason} {kind}/{name}: {note}");
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // An Event that both groups show is one Event.
            if kept.events.back() != Some(&line) {
                keep(&mut kept.events, line, EVENTS_MAX);
            }
        }
    }

    async fn follow_pods(self, api: Api<Pod>) {
        let mut stream = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
        while let Some(next) = stream.next().await {
            let Ok(pod) = next else { continue };
            let name = format!(
                "{}/{}",
                pod.metadata.namespace.as_deref().unwrap_or_default(),
                pod.metadata.name.as_deref().unwrap_or_default()
            );
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
            for status in pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten()) {
                let Some(ended) = status.state.as_ref().and_then(|state| state.terminated.as_ref()) else { continue };
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                if !kept.told.insert((uid, status.name.clone(), status.restart_count)) {
                    continue;
                }
                let line = format!(
                    "{:>8} {name} on {node}, container {}: exit code {} ({}): {}",
                    format!("+{}", Span(self.clock.elapsed())),
                    status.name,
                    ended.exit_code,
                    ended.reason.as_deref().unwrap_or_default(),
                    ended.message.as_deref().unwrap_or("no message").trim_end(),
                );
                keep(&mut kept.endings, line, ENDINGS_MAX);
            }
        }
    }
}

fn keep(lines: &mut VecDeque<String>, line: String, most: usize) {
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line);
}
