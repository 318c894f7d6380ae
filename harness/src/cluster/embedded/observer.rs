//! Tells a recorder of indicators what the API server answers and stores.

use std::sync::{Arc, Mutex, PoisonError};

use slipway_apiserver::clock::Clock;
use slipway_apiserver::observe::Observer;
use slipway_apiserver::service::Record;
use slipway_apiserver::store::{Change, Event, GroupResource};

use crate::sli::observed::{self, Recorder};

/// Looks on for a recorder.
#[derive(Debug)]
pub(super) struct Onlooker {
    recorder: Arc<Mutex<Recorder>>,
    /// The user whose requests are the operator's.
    operator: String,
    clock: Clock,
}

impl Onlooker {
    /// An onlooker at a server that goes by `clock`.
    pub(super) fn new(recorder: Arc<Mutex<Recorder>>, operator: &str, clock: Clock) -> Self {
        Self { recorder, operator: operator.to_owned(), clock }
    }

    fn tell(&self, what: impl FnOnce(&mut Recorder)) {
        what(&mut self.recorder.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// `plural.group`, or the plural alone in the core group.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl Observer for Onlooker {
    fn answered(&self, record: &Record) {
        let resource = qualified(&record.group, &record.resource);
        let call = observed::Call {
            verb: record.verb,
            resource: &resource,
            subresource: &record.subresource,
            namespace: &record.namespace,
            name: &record.name,
            status: record.status.as_u16(),
            by_operator: record.user == self.operator,
            at: record.ended,
            revisions: (record.revision_before, record.revision),
        };
        self.tell(|recorder| recorder.call(&call));
    }

    fn stored(&self, resource: &GroupResource, event: &Event) {
        let resource = qualified(&resource.group, &resource.resource);
        let change = observed::Change {
            resource: &resource,
            before: event.previous.as_ref().filter(|_| event.change == Change::Updated).map(|stored| &stored.value),
            object: &event.object.value,
            gone: event.change == Change::Deleted,
            at: self.clock.now(),
            revision: event.revision(),
        };
        self.tell(|recorder| recorder.change(&change));
    }
}
