//! The configuration in force: read from its `ConfigMap`, and again whenever that changes.
//!
//! A bad one changes nothing: the last good one stays in force, and Event, metric and readiness say so. Before there was
//! a good one, the defaults decide how Pods drain that are held already, and no others are held.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::watch;

use crate::kit::backoff::Again;
use crate::kit::error::{chain, is_refused};
use crate::kit::health::Check;
use crate::kit::manager::Manager;
use crate::kit::report::Reporter;

use super::configuration::{Configuration, Invalid};
use super::measures::{Measures, Reload};
use super::{CONTROLLER, Settings, notices};

/// What the operator's readiness calls the configuration.
const CHECK: &str = "drain-configuration";

/// A configuration in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What it says.
    pub configuration: Arc<Configuration>,
    /// Somebody chose it, if only by choosing nothing. Without that, nothing new is held.
    pub is_chosen: bool,
    /// Why the newest one is not in force.
    pub trouble: Option<String>,
}

/// The configuration in force, for everybody who needs it. Clones follow the same one.
#[derive(Clone, Debug)]
pub struct Configured(watch::Receiver<Option<Standing>>);

impl Configured {
    /// A configuration that is made known through the sender.
    pub fn channel() -> (watch::Sender<Option<Standing>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// The configuration in force; none before its `ConfigMap` was looked for.
    pub fn now(&self) -> Option<Standing> {
        self.0.borrow().clone()
    }

    /// Resolves once there is one. Never, if nobody follows it any more.
    pub async fn known(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whenever another configuration is in force.
    pub(super) fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        let receiver = self.0.clone();
        futures::stream::unfold(receiver, async |mut receiver| {
            receiver.changed().await.ok()?;
            Some(((), receiver))
        })
    }
}

/// What a look at the `ConfigMap` found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// One that says this.
    Good(Box<Configuration>),
    /// One that says nothing that could be understood.
    Bad(Invalid),
    /// None: that is a choice too.
    Missing,
    /// The API server did not say.
    Unreadable(String),
}

impl Found {
    fn of(map: &ConfigMap) -> Self {
        match Configuration::parse(map.data.as_ref().unwrap_or(&std::collections::BTreeMap::new())) {
            Ok(configuration) => Self::Good(Box::new(configuration)),
            Err(invalid) => Self::Bad(invalid),
        }
    }
}

impl Standing {
    /// What is in force after a look at the `ConfigMap`. Pure.
    pub(super) fn after(before: Option<&Self>, found: Found) -> Self {
        let kept = |trouble: String| match before {
            Some(before) => Self { trouble: Some(trouble), ..before.clone() },
            None => Self { configuration: Arc::default(), is_chosen: false, trouble: Some(trouble) },
        };
        match found {
            Found::Good(configuration) => {
                Self { configuration: Arc::new(*configuration), is_chosen: true, trouble: None }
            }
            Found::Missing => Self { configuration: Arc::default(), is_chosen: true, trouble: None },
            Found::Bad(invalid) => kept(invalid.to_string()),
            Found::Unreadable(why) => kept(why),
        }
    }
}

/// Keeps the configuration in force up to date, until it is dropped.
pub(super) async fn follow(
    manager: Manager,
    settings: Settings,
    measures: Measures,
    sender: watch::Sender<Option<Standing>>,
) {
    let Settings { config_map_name: name, config_map_namespace: namespace, .. } = settings;
    let maps = Api::<ConfigMap>::namespaced(manager.client.clone(), &namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = manager.source.events(maps, only).backoff(Again::default()).boxed();
    let about = ObjectReference {
        api_version: Some(ConfigMap::api_version(&()).into_owned()),
        kind: Some(ConfigMap::kind(&()).into_owned()),
        name: Some(name),
        namespace: Some(namespace),
        ..ObjectReference::default()
    };
    let mut teller = Teller {
        reporter: Reporter::new(manager.client.clone(), CONTROLLER, manager.clock),
        check: manager.health.check(CHECK),
        measures,
        about,
    };
    let mut listed = None;
    while let Some(event) = events.next().await {
        let found = match event {
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(map)) => {
                listed = Some(map);
                continue;
            }
            Ok(Event::InitDone) => {
                let map = listed.take();
                teller.follow(map.as_ref());
                map.as_ref().map_or(Found::Missing, Found::of)
            }
            Ok(Event::Apply(map)) => {
                teller.follow(Some(&map));
                Found::of(&map)
            }
            Ok(Event::Delete(_)) => Found::Missing,
            Err(error) if sender.borrow().is_some() && !lasts(&error) => {
                tracing::debug!(controller = CONTROLLER, error = %chain(&error), "configuration watch failed");
                continue;
            }
            Err(error) => Found::Unreadable(chain(&error).to_string()),
        };
        let before = sender.borrow().clone();
        let standing = Standing::after(before.as_ref(), found);
        if before.as_ref() != Some(&standing) {
            teller.tell(before.as_ref(), &standing).await;
            sender.send_replace(Some(standing));
        }
    }
}

/// Whether somebody has to do something about it. Watches end all the time, and API servers are away for a moment: what
/// is in force by then is no worse for that.
fn lasts(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => is_refused(source),
        watcher::Error::WatchError(status) => status.is_forbidden(),
        watcher::Error::NoResourceVersion => true,
    }
}

/// Tells people and machines what is in force.
struct Teller {
    reporter: Reporter,
    check: Check,
    measures: Measures,
    about: ObjectReference,
}

impl Teller {
    /// Events are about the object as it was seen last.
    fn follow(&mut self, map: Option<&ConfigMap>) {
        self.about.uid = map.and_then(ResourceExt::uid);
        self.about.resource_version = map.and_then(ResourceExt::resource_version);
    }

    async fn tell(&self, before: Option<&Standing>, standing: &Standing) {
        if let Some(trouble) = &standing.trouble {
            let what = if standing.is_chosen { "the last good one stays in force" } else { "nothing new is held" };
            tracing::warn!(controller = CONTROLLER, trouble, "bad configuration: {what}");
            self.check.noted(format!("{what}: {trouble}"));
            self.measures.reloaded(Reload::Refused);
            self.reporter.publish(&self.about, &notices::bad_configuration(what, trouble)).await;
            return;
        }
        tracing::info!(controller = CONTROLLER, "configuration read");
        self.check.ready();
        self.measures.reloaded(Reload::Accepted);
        // The first one is no news.
        if before.is_some() {
            self.reporter.publish(&self.about, &notices::configuration_read()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn found(key: &str, value: &str) -> Found {
        let data = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        Found::of(&ConfigMap { data: Some(data), ..ConfigMap::default() })
    }

    fn grace(standing: &Standing) -> Duration {
        standing.configuration.terms.grace
    }

    #[test]
    fn a_bad_configuration_leaves_the_last_good_one_in_force() {
        let good = Standing::after(None, found("gracePeriodSeconds", "7"));
        assert!(good.is_chosen && good.trouble.is_none());
        for bad in [found("gracePeriodSeconds", "soon"), Found::Unreadable("forbidden".to_owned())] {
            let kept = Standing::after(Some(&good), bad);
            assert_eq!((grace(&kept), kept.is_chosen), (Duration::from_secs(7), true));
            assert!(kept.trouble.is_some());
            let better = Standing::after(Some(&kept), found("gracePeriodSeconds", "8"));
            assert_eq!((grace(&better), better.trouble), (Duration::from_secs(8), None));
            let none = Standing::after(Some(&kept), Found::Missing);
            assert_eq!((grace(&none), none.trouble), (Duration::from_secs(30), None), "no ConfigMap is a choice");
        }
    }

    #[test]
    fn a_bad_first_configuration_holds_nothing_new() {
        for bad in [found("gracePeriodSeconds", "soon"), Found::Unreadable("forbidden".to_owned())] {
            let standing = Standing::after(None, bad);
            assert!(!standing.is_chosen, "Pods that are held already drain by the defaults, and no others are held");
            assert_eq!(grace(&standing), Duration::from_secs(30));
            assert!(!Standing::after(Some(&standing), found("gracePeriodSeconds", "later")).is_chosen);
            assert!(Standing::after(Some(&standing), Found::Missing).is_chosen);
        }
        assert!(Standing::after(None, Found::Missing).is_chosen);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_configuration_learns_of_it() {
        let (sender, configured) = Configured::channel();
        assert_eq!(configured.now(), None);
        assert!(futures::FutureExt::now_or_never(configured.known()).is_none());
        let mut changes = std::pin::pin!(configured.changes());
        sender.send_replace(Some(Standing::after(None, Found::Missing)));
        configured.known().await;
        assert_eq!(changes.next().await, Some(()));
        assert!(configured.now().is_some_and(|standing| standing.is_chosen));
    }
}
