//! Events, as controllers and kubelets write them: the same event again only counts up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use slipway_apiserver::clock::Clock;

/// How many different events are remembered for counting, as client-go's correlator does.
const REMEMBERED_MAX: usize = 4096;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cluster::embedded) enum Severity {
    /// Something went as it should.
    Normal,
    /// Something did not.
    Warning,
}

impl Severity {
    fn text(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What makes two events the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    uid: String,
    severity: Severity,
    reason: &'static str,
    message: String,
    field: Option<String>,
}

/// Writes the events of one component.
#[derive(Clone)]
pub(in crate::cluster::embedded) struct Recorder {
    client: Client,
    clock: Clock,
    source: EventSource,
    seen: Arc<Mutex<BTreeMap<Identity, (String, i32)>>>,
    stamped: Arc<AtomicI64>,
}

impl Recorder {
    /// A recorder for a component, on a node where it has one.
    pub(in crate::cluster::embedded) fn new(client: Client, clock: Clock, component: &str, host: Option<&str>) -> Self {
        let source = EventSource { component: Some(component.to_owned()), host: host.map(str::to_owned) };
        Self { client, clock, source, seen: Arc::default(), stamped: Arc::default() }
    }

    /// Writes an event about an object. An event that cannot be written is logged and lost, as in a real cluster.
    pub(in crate::cluster::embedded) async fn event<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        severity: Severity,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.event_on(object.object_ref(&()), severity, reason, message.into()).await;
    }

    /// Writes an event about a part of an object.
    pub(in crate::cluster::embedded) async fn event_on(
        &self,
        object: ObjectReference,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let namespace = object.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let identity = Identity {
            uid: object.uid.clone().unwrap_or_default(),
            severity,
            reason,
            message,
            field: object.field_path.clone(),
        };
        if let Err(error) = self.write(&api, namespace, object, identity).await {
            tracing::debug!(%error, reason, "cannot write an event");
        }
    }

    async fn write(
        &self,
        api: &Api<Event>,
        namespace: String,
        object: ObjectReference,
        identity: Identity,
    ) -> Result<(), kube::Error> {
        let now = Time(self.clock.now());
        let repeated = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get_mut(&identity).map(|(name, count)| {
                *count += 1;
                (name.clone(), *count)
            })
        };
        if let Some((name, count)) = repeated {
            let patch = json!({ "count": count, "lastTimestamp": now });
            match api.patch(&name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                answer => return answer.map(drop),
            }
        }
        let about = object.name.clone().unwrap_or_default();
        let mut event = Event {
            metadata: ObjectMeta { namespace: Some(namespace), ..ObjectMeta::default() },
            involved_object: object,
            type_: Some(identity.severity.text().to_owned()),
            reason: Some(identity.reason.to_owned()),
            message: Some(identity.message.clone()),
            source: Some(self.source.clone()),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        let name = loop {
            let name = format!("{about}.{:x}", self.stamp());
            event.metadata.name = Some(name.clone());
            match api.create(&PostParams::default(), &event).await {
                // Where time stands still, another component may have told of the same object at the same instant.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                answer => {
                    answer?;
                    break name;
                }
            }
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED_MAX {
            seen.clear();
        }
        seen.insert(identity, (name, 1));
        Ok(())
    }

    /// A number for an event's name, unlike those before it even where time stands still.
    fn stamp(&self) -> i64 {
        let now = i64::try_from(self.clock.now().as_nanosecond()).unwrap_or(i64::MAX);
        let next = |last: i64| now.max(last + 1);
        let last = self.stamped.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::ListParams;
    use slipway_apiserver::service::{ApiServer, Config, User};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_two_components_tell_of_one_object_at_the_same_instant_is_all_kept() {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let server = ApiServer::new(Config { clock, ..Config::default() });
        let client = Client::new(server.as_user(User::new("admin", ["system:masters"])), "default");
        let metadata =
            ObjectMeta { name: Some("web".to_owned()), namespace: Some("default".to_owned()), ..ObjectMeta::default() };
        let pod = Pod { metadata, ..Pod::default() };
        for (component, reason) in [("scheduler", "Scheduled"), ("kubelet", "Pulled"), ("another", "Killing")] {
            let recorder = Recorder::new(client.clone(), clock, component, None);
            recorder.event(&pod, Severity::Normal, reason, "").await;
        }
        let events: Api<Event> = Api::namespaced(client, "default");
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let mut reasons: Vec<String> = events.into_iter().filter_map(|event| event.reason).collect();
        reasons.sort();
        assert_eq!(reasons, ["Killing", "Pulled", "Scheduled"]);
    }
}
