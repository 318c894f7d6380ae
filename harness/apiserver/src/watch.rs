//! Watch streams: resume, bookmarks, 410, streaming lists.
//!
//! A watch is a position in its collection's history and a filter. It sleeps until the store writes, and it holds no
//! events of its own: one that is too slow is overtaken by compaction and ends with 410, as its client expects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::body::Body;
use crate::convert;
use crate::decode::api_version;
use crate::handle::get::{revision, wait_for};
use crate::handle::list::{Filter, check_options};
use crate::handle::reply::{include, stored};
use crate::handle::{Call, Reply};
use crate::negotiate::Form;
use crate::status::ApiError;
use crate::store::{Change, Compacted, Event, Follower, Snapshot, Stored};
use crate::table::{self, IncludeObject};

/// How often a quiet watch tells how far it is.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// How long before its end a watch tells so once more, so that its client need not read much again.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// How long a watch lasts for a client that does not say: one to two times this.
const DEFAULT_TIMEOUT_SECONDS: u64 = 1800;
/// The annotation of the bookmark that ends a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Answers with a stream of events.
pub(crate) async fn watch(call: &mut Call) -> Result<Reply, ApiError> {
    let timeout = timeout(call)?;
    call.query.number("limit")?;
    check_options(call, true)?;
    let filter = Filter::of(call)?;
    let include = include(call)?;
    let since = revision(call)?;
    let initial = call.query.get("sendInitialEvents").map(|_| call.query.flag("sendInitialEvents"));
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let state_first = initial.unwrap_or(matches!(since, None | Some(0)));
    if let Some(since) = since
        && initial == Some(true)
    {
        wait_for(call, since).await?;
    }
    let mut pending = VecDeque::new();
    let mut writer = Writer { include, with_columns: true };
    let mut since = since.filter(|s| *s > 0).unwrap_or_else(|| call.store().revision());
    if state_first {
        let namespace = (!call.target.namespace.is_empty()).then_some(call.target.namespace.as_str());
        let now = call.store().list(&call.collection(), namespace, None);
        let Snapshot { revision, objects } = now.map_err(|c| ApiError::expired(c.to_string()))?;
        since = revision;
        for object in objects.into_iter().filter(|o| filter.matches(call, &o.value)) {
            let object = convert::stored(&call.server, &call.resource, &object).await?;
            pending.extend(writer.event(call, "ADDED", &object));
        }
        if initial == Some(true) && bookmarks {
            let annotations = json!({INITIAL_EVENTS_END: "true"});
            pending.push_back(bookmark(call, revision, Some(annotations)));
        }
    }
    let follower = call.store().follow(&call.collection(), since);
    let deadline = Instant::now() + timeout;
    let watcher = Watcher {
        next_bookmark: next_bookmark(deadline),
        call: call.split(),
        filter,
        follower,
        pending,
        writer,
        bookmarks,
        deadline,
        ended: false,
    };
    Ok(Reply::Stream(Body::stream(watcher.into_stream())))
}

fn timeout(call: &Call) -> Result<Duration, ApiError> {
    let seconds = call.query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    // A century is as good as forever, and no clock overflows by it.
    let longest = 100 * 365 * 24 * 3600;
    let own = || DEFAULT_TIMEOUT_SECONDS + call.server.0.entropy.below(DEFAULT_TIMEOUT_SECONDS);
    Ok(Duration::from_secs(seconds.unwrap_or_else(own).min(longest)))
}

/// A bookmark is due after an interval, or shortly before the end if that comes first and is not too near.
fn next_bookmark(deadline: Instant) -> Instant {
    let now = Instant::now();
    let regular = now + BOOKMARK_INTERVAL;
    match deadline.checked_sub(BOOKMARK_BEFORE_END) {
        Some(last) if last > now && last < regular => last,
        _ => regular,
    }
}

struct Watcher {
    call: Call,
    filter: Filter,
    follower: Follower,
    pending: VecDeque<Bytes>,
    writer: Writer,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    ended: bool,
}

impl Watcher {
    fn into_stream(self) -> impl Stream<Item = Bytes> + Send + 'static {
        futures::stream::unfold(self, |mut watcher| async move {
            let piece = watcher.next().await?;
            Some((piece, watcher))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pending.pop_front() {
                return Some(piece);
            }
            if self.ended {
                return None;
            }
            let server = self.call.server.clone();
            tokio::select! {
                // What is there is told before the time is up.
                biased;
                events = self.follower.next(&server.0.store) => match events {
                    Ok(events) => {
                        for event in &events {
                            self.tell(event).await;
                        }
                    }
                    Err(Compacted { oldest }) => self.expire(oldest),
                },
                () = server.0.closing.cancelled() => self.ended = true,
                () = tokio::time::sleep_until(self.deadline) => self.ended = true,
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = next_bookmark(self.deadline);
                    // Nothing is pending, so all that happened so far is told.
                    if let Some(revision) = self.follower.caught_up(&server.0.store) {
                        self.pending.push_back(bookmark(&self.call, revision, None));
                    }
                }
            }
        }
    }

    /// Ends the stream: what the client missed is no longer known.
    fn expire(&mut self, oldest: u64) {
        let error = ApiError::expired(format!("too old resource version: {} ({oldest})", self.follower.seen()));
        self.fail(&error);
    }

    /// Ends the stream with an error.
    fn fail(&mut self, error: &ApiError) {
        let event = json!({"type": "ERROR", "object": error.to_status()});
        self.pending.push_back(Bytes::from(format!("{event}\n")));
        self.ended = true;
    }

    /// Queues what an event means for this watch: an object that enters the selection is added, one that leaves it
    /// is deleted.
    async fn tell(&mut self, event: &Event) {
        let namespace = &self.call.target.namespace;
        if !namespace.is_empty() && self.call.resource.namespaced && event.key.namespace != *namespace {
            return;
        }
        let selected = |object: &Arc<Stored>| self.filter.matches(&self.call, &object.value);
        let before = event.previous.as_ref().filter(|o| selected(o));
        let after = event.change != Change::Deleted && selected(&event.object);
        let (kind, object) = match (before, after) {
            (Some(_), true) => ("MODIFIED", Arc::clone(&event.object)),
            (None, true) => ("ADDED", Arc::clone(&event.object)),
            (Some(_), false) if event.change == Change::Deleted => ("DELETED", Arc::clone(&event.object)),
            (Some(before), false) => ("DELETED", Arc::new(before.at(event.revision()))),
            (None, false) => return,
        };
        match convert::stored(&self.call.server, &self.call.resource, &object).await {
            Ok(object) => {
                let pieces = self.writer.event(&self.call, kind, &object);
                self.pending.extend(pieces);
            }
            Err(error) => self.fail(&error),
        }
    }
}

/// Writes events in the form the client asked for.
struct Writer {
    include: IncludeObject,
    /// Only the first table names its columns.
    with_columns: bool,
}

impl Writer {
    fn event(&mut self, call: &Call, kind: &str, object: &Stored) -> Vec<Bytes> {
        let start = Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":"));
        let object = match call.output.form {
            Form::Whole => stored(&call.resource, object),
            Form::Metadata => vec![text(&table::partial_metadata(&object.value))],
            // An event holds no list; a real server drops it.
            Form::MetadataList => return Vec::new(),
            Form::Table => {
                let metadata = json!({"resourceVersion": object.revision.to_string()});
                let first = std::mem::replace(&mut self.with_columns, false);
                vec![text(&table::table(&call.resource, [&object.value], metadata, self.include, first, call.now()))]
            }
        };
        let end = Bytes::from_static(b"}\n");
        [vec![start], object, vec![end]].concat()
    }
}

fn text(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn bookmark(call: &Call, revision: u64, annotations: Option<Value>) -> Bytes {
    let (version, kind) = match call.output.form {
        Form::Metadata | Form::MetadataList => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata"),
        _ => (api_version(&call.resource), call.resource.kind.as_str()),
    };
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(annotations) = annotations {
        metadata["annotations"] = annotations;
    }
    let object = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
    Bytes::from(format!("{}\n", json!({"type": "BOOKMARK", "object": object})))
}
