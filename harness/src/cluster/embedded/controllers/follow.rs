//! Following the objects of one kind: all of them once, and then every change.
//!
//! The watch is one for as long as the server keeps it, and asks for no bookmarks. `kube`'s own watcher, made for
//! servers behind proxies, begins anew every five minutes and hears a bookmark every minute; times the kinds of a
//! cluster, that is what days of idle virtual time would be spent on.

use std::fmt;
use std::time::Duration;

use futures::TryStreamExt;
use http::Request;
use http::header::ACCEPT;
use kube::api::{ListParams, WatchEvent};
use kube::{Api, Error, Resource};
use serde::de::DeserializeOwned;

/// How long a watch is asked for: a year.
const WATCH_SECONDS: u32 = 365 * 24 * 3600;

/// The first wait before everything is listed again.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// The longest wait.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What makes the server leave out all but the metadata.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// What is heard of the objects of a kind.
#[derive(Debug)]
pub(super) enum News<K> {
    /// These are all there are. It comes first, and again after a watch that was interrupted.
    All(Vec<K>),
    /// This one is new, or has changed.
    Applied(K),
    /// This one is gone.
    Deleted(K),
}

/// Tells what happens to the objects of a kind, or to those that a field selects, for as long as it is polled.
pub(super) async fn follow<K>(api: Api<K>, fields: Option<&str>, mut tell: impl FnMut(News<K>))
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug,
{
    let mut wait = RETRY_FIRST;
    let params = fields.iter().fold(ListParams::default(), |params, fields| params.fields(fields));
    loop {
        let followed = match api.list(&params).await {
            Ok(list) => {
                wait = RETRY_FIRST;
                tell(News::All(list.items));
                watch(&api, fields, &list.metadata.resource_version.unwrap_or_default(), &mut tell).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            tracing::debug!(%error, url = api.resource_url(), "watch interrupted");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Tells what happens after a version, until the server ends the watch.
async fn watch<K>(
    api: &Api<K>,
    fields: Option<&str>,
    version: &str,
    tell: &mut impl FnMut(News<K>),
) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug,
{
    // Names need no escapes; the sign between does.
    let only = fields.map(|fields| format!("&fieldSelector={}", fields.replace('=', "%3D"))).unwrap_or_default();
    let query = format!("watch=true&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}{only}");
    let accept = if K::metadata_api() { METADATA } else { "application/json" };
    let request = Request::get(format!("{}?{query}", api.resource_url())).header(ACCEPT, accept);
    let request = request.body(Vec::new()).map_err(Error::HttpError)?;
    let events = api.clone().into_client().request_events::<K>(request).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => tell(News::Applied(object)),
            WatchEvent::Deleted(object) => tell(News::Deleted(object)),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(Error::Api(status)),
        }
    }
    Ok(())
}
