//! Objects as a watch shows them: every change yields the whole selection, so that no state in between is missed and
//! nothing has to be asked for twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;

use crate::scenario::plan::Target;

/// The objects that are selected at one moment, by namespace and name.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    objects: BTreeMap<String, Arc<Value>>,
}

impl Selection {
    /// The objects, ordered by namespace and name.
    pub(super) fn objects(&self) -> Vec<&Value> {
        self.objects.values().map(AsRef::as_ref).collect()
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<&str> {
        self.objects.keys().map(String::as_str).collect()
    }
}

/// The selection after each change, the first one being what is there at the beginning.
pub(super) fn selections(
    api: Api<DynamicObject>,
    target: &Target,
) -> impl Stream<Item = Result<Selection, watcher::Error>> + Send + use<> {
    let mut config = watcher::Config::default();
    if let Some(name) = &target.name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    if !target.labels.is_empty() {
        let labels: Vec<_> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        config = config.labels(&labels.join(","));
    }
    let state = (Selection::default(), BTreeMap::new());
    watcher(api, config)
        .default_backoff()
        .scan(state, |(selection, relisted), event| {
            let changed = match event {
                Ok(event) => follow(selection, relisted, event).then(|| Ok(selection.clone())),
                Err(error) => Some(Err(error)),
            };
            std::future::ready(Some(changed))
        })
        .filter_map(std::future::ready)
}

/// Takes an event in; says whether the selection is whole and may have changed.
fn follow(selection: &mut Selection, relisted: &mut BTreeMap<String, Arc<Value>>, event: Event<DynamicObject>) -> bool {
    match event {
        Event::Init => {
            relisted.clear();
            false
        }
        Event::InitApply(object) => {
            relisted.insert(key(&object), to_json(&object));
            false
        }
        Event::InitDone => {
            selection.objects = std::mem::take(relisted);
            true
        }
        Event::Apply(object) => {
            selection.objects.insert(key(&object), to_json(&object));
            true
        }
        Event::Delete(object) => {
            selection.objects.remove(&key(&object));
            true
        }
    }
}

fn key(object: &DynamicObject) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match &object.metadata.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

fn to_json(object: &DynamicObject) -> Arc<Value> {
    // A map with text keys, which is all that an object from the server can be, always becomes JSON.
    Arc::new(serde_json::to_value(object).unwrap_or_default())
}
