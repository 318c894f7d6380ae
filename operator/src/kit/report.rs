//! Events, for people who run `kubectl describe`.
//!
//! kube's own recorder reads the machine's clock, for the times of an Event and for its name. This one takes both from
//! the operator's clock, so that a run in virtual time is consistent and can be repeated. Events are a courtesy: one
//! that cannot be written is logged, and nothing else depends on it.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client};

use super::clock::Clock;
use super::error::chain;

/// The API server refuses longer notes.
const NOTE_BYTES_MAX: usize = 1024;

/// What an Event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How serious it is.
    pub kind: Kind,
    /// Why, in one word.
    pub reason: String,
    /// What was being done, in one word.
    pub action: String,
    /// Why, in a sentence.
    pub note: String,
}

/// How serious an Event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For information.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Writes Events in a controller's name.
#[derive(Clone)]
pub struct Reporter {
    client: Client,
    controller: &'static str,
    clock: Clock,
}

impl Reporter {
    /// A reporter for `controller`.
    pub fn new(client: Client, controller: &'static str, clock: Clock) -> Self {
        Self { client, controller, clock }
    }

    /// Writes an Event about an object.
    pub async fn publish(&self, about: &ObjectReference, notice: &Notice) {
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let events = Api::<Event>::namespaced(self.client.clone(), namespace);
        let event = self.event(about, notice);
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => tracing::debug!(reason = notice.reason, note = notice.note, "event written"),
            // The same notice at the same moment is the same Event.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => tracing::warn!(reason = notice.reason, error = %chain(&error), "event not written"),
        }
    }

    fn event(&self, about: &ObjectReference, notice: &Notice) -> Event {
        let now = self.clock.now();
        let mut hasher = DefaultHasher::new();
        (&about.uid, &notice.reason, &notice.note, now.as_nanosecond()).hash(&mut hasher);
        let name = about.name.clone().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:016x}", hasher.finish())),
                namespace: Some(about.namespace.clone().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            action: Some(notice.action.clone()),
            event_time: Some(MicroTime(now)),
            // Without these, older tools show neither age nor count.
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            message: Some(shortened(&notice.note)),
            reason: Some(notice.reason.clone()),
            involved_object: about.clone(),
            reporting_component: Some(self.controller.to_owned()),
            reporting_instance: Some(self.controller.to_owned()),
            type_: Some(notice.kind.as_str().to_owned()),
            ..Event::default()
        }
    }
}

fn shortened(note: &str) -> String {
    if note.len() <= NOTE_BYTES_MAX {
        return note.to_owned();
    }
    let mut end = NOTE_BYTES_MAX - "…".len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_where_a_character_ends() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(600));
        assert!(cut.len() <= 1024 && cut.ends_with("é…"), "{cut}");
    }
}
