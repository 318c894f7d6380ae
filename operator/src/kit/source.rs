//! How controllers hear of changes: by a watch, or by listing again and again where watches cannot be used.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How controllers hear of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The API server tells, the moment something changes.
    #[default]
    Watch,
    /// The operator asks, again and again, and hears of what is different. It keeps a copy of everything it asks for.
    Poll {
        /// From one question to the next.
        #[serde(with = "crate::kit::duration")]
        #[schemars(with = "String")]
        interval: Duration,
    },
}

impl Source {
    /// The changes of a kind, beginning with what is there. After an error the next item is the next try, so whoever
    /// reads decides how long to wait.
    pub fn events<K>(&self, api: Api<K>, config: watcher::Config) -> BoxStream<'static, watcher::Result<Event<K>>>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        match self {
            Self::Watch => watcher::watcher(api, config).boxed(),
            Self::Poll { interval } => Poll::new(api, &config, *interval).events(),
        }
    }
}

/// A list, over and over.
struct Poll<K> {
    api: Api<K>,
    params: ListParams,
    interval: Duration,
    /// What the last list held, by namespace and name. Nothing before the first.
    known: Option<HashMap<Key, K>>,
    /// What has not been told yet.
    untold: VecDeque<Event<K>>,
    /// When to ask.
    next: Instant,
}

type Key = (Option<String>, String);

impl<K> Poll<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    fn new(api: Api<K>, config: &watcher::Config, interval: Duration) -> Self {
        let params = ListParams {
            label_selector: config.label_selector.clone(),
            field_selector: config.field_selector.clone(),
            limit: config.page_size,
            ..ListParams::default()
        };
        Self { api, params, interval, known: None, untold: VecDeque::new(), next: Instant::now() }
    }

    fn events(self) -> BoxStream<'static, watcher::Result<Event<K>>> {
        stream::unfold(self, |mut poll| async move {
            loop {
                if let Some(event) = poll.untold.pop_front() {
                    return Some((Ok(event), poll));
                }
                tokio::time::sleep_until(poll.next).await;
                match poll.list().await {
                    Ok(listed) => {
                        poll.next = Instant::now() + poll.interval;
                        poll.compare(listed);
                    }
                    Err(error) => return Some((Err(watcher::Error::InitialListFailed(error)), poll)),
                }
            }
        })
        .boxed()
    }

    /// Everything there is, page by page.
    async fn list(&mut self) -> kube::Result<HashMap<Key, K>> {
        let (mut listed, mut params) = (HashMap::new(), self.params.clone());
        loop {
            let page = self.api.list(&params).await?;
            let slim = page.items.into_iter().map(|mut object| {
                object.managed_fields_mut().clear();
                ((object.namespace(), object.name_any()), object)
            });
            listed.extend(slim);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(listed),
            }
        }
    }

    /// Tells how what is there differs from what was there.
    fn compare(&mut self, listed: HashMap<Key, K>) {
        match &mut self.known {
            None => {
                self.untold.push_back(Event::Init);
                self.untold.extend(listed.values().cloned().map(Event::InitApply));
                self.untold.push_back(Event::InitDone);
            }
            Some(known) => {
                for (key, object) in &listed {
                    match known.remove(key) {
                        Some(old) if old.uid() != object.uid() => {
                            self.untold.extend([Event::Delete(old), Event::Apply(object.clone())]);
                        }
                        Some(old) if old.resource_version() == object.resource_version() => {}
                        Some(_) | None => self.untold.push_back(Event::Apply(object.clone())),
                    }
                }
                self.untold.extend(known.drain().map(|(_, gone)| Event::Delete(gone)));
            }
        }
        self.known = Some(listed);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Client;

    use super::*;

    fn poll() -> Poll<ConfigMap> {
        let (service, _) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        let api = Api::namespaced(Client::new(service, "ns"), "ns");
        Poll::new(api, &watcher::Config::default(), Duration::from_secs(30))
    }

    fn listed(objects: &[(&str, &str, &str)]) -> HashMap<Key, ConfigMap> {
        let object = |(name, uid, version): &(&str, &str, &str)| {
            let mut map = ConfigMap::default();
            map.metadata.name = Some((*name).to_owned());
            map.metadata.uid = Some((*uid).to_owned());
            map.metadata.resource_version = Some((*version).to_owned());
            ((None, (*name).to_owned()), map)
        };
        objects.iter().map(object).collect()
    }

    fn told(poll: &mut Poll<ConfigMap>) -> Vec<String> {
        let text = |event: Event<ConfigMap>| match event {
            Event::Init => "init".to_owned(),
            Event::InitDone => "done".to_owned(),
            Event::InitApply(map) => format!("init {}", map.uid().unwrap()),
            Event::Apply(map) => format!("apply {}", map.uid().unwrap()),
            Event::Delete(map) => format!("delete {}", map.uid().unwrap()),
        };
        let mut told: Vec<_> = poll.untold.drain(..).map(text).collect();
        told.sort();
        told
    }

    #[tokio::test]
    async fn lists_that_differ_are_told_as_a_watch_would_have() {
        let mut poll = poll();
        poll.compare(listed(&[("a", "a1", "1"), ("b", "b1", "2"), ("c", "c1", "3")]));
        assert_eq!(told(&mut poll), ["done", "init", "init a1", "init b1", "init c1"]);
        poll.compare(listed(&[("a", "a1", "1"), ("b", "b1", "5"), ("d", "d1", "6")]));
        assert_eq!(told(&mut poll), ["apply b1", "apply d1", "delete c1"]);
        poll.compare(listed(&[("a", "a2", "9"), ("b", "b1", "5"), ("d", "d1", "6")]));
        assert_eq!(told(&mut poll), ["apply a2", "delete a1"], "another object under the same name");
        poll.compare(listed(&[]));
        assert_eq!(told(&mut poll), ["delete a2", "delete b1", "delete d1"]);
    }
}
