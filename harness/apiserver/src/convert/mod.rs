//! Objects from one version into another.
//!
//! Built-in kinds convert by their rules, custom resources by their definition's strategy: with `None` a version is
//! another name for the same fields, with `Webhook` somebody else knows how. Objects are stored in the version that
//! their definition says when a webhook converts them, else in the one they were written in.

pub(crate) mod owners;
pub(crate) mod webhook;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

pub use webhook::Webhook;

use crate::decode::api_version;
use crate::handle::Reply;
use crate::handle::reply::in_version;
use crate::resource::Resource;
use crate::schema;
use crate::service::ApiServer;
use crate::status::ApiError;
use crate::store::Stored;

/// An object in the version of `resource`.
///
/// # Errors
/// 500 when a webhook is needed that does not do its part.
pub(crate) async fn to(server: &ApiServer, resource: &Resource, object: &Value) -> Result<Value, ApiError> {
    let version = api_version(resource);
    let Some(webhook) = resource.conversion.as_ref().filter(|_| object["apiVersion"] != version.as_str()) else {
        return Ok(in_version(resource, object));
    };
    let mut converted = webhook.convert(server, &version, &[object]).await?;
    let mut object = converted.pop().unwrap_or_default();
    settle(resource, &mut object);
    Ok(object)
}

/// As [`to`], without a copy where the object is in that version already.
///
/// # Errors
/// As [`to`].
pub(crate) async fn read<'a>(
    server: &ApiServer,
    resource: &Resource,
    object: &'a Value,
) -> Result<Cow<'a, Value>, ApiError> {
    if object["apiVersion"] == api_version(resource).as_str() {
        return Ok(Cow::Borrowed(object));
    }
    to(server, resource, object).await.map(Cow::Owned)
}

/// An object in the version in which it is stored: for webhooks' definitions that of the definition, else as it is.
///
/// # Errors
/// As [`to`].
pub(crate) async fn to_storage(server: &ApiServer, resource: &Resource, object: Value) -> Result<Value, ApiError> {
    let (Some(_), Some(storage)) = (&resource.conversion, &resource.storage_version) else { return Ok(object) };
    let Some(stored) = server.0.registry.find(&resource.group, storage, &resource.plural) else {
        // A version that is not served is stored all the same, by its name.
        let mut unserved = Resource { version: storage.clone(), ..resource.clone() };
        unserved.schema = schema::node::Schema { preserve_unknown: true, ..Default::default() }.into();
        return to(server, &unserved, &object).await;
    };
    if object["apiVersion"] == api_version(&stored).as_str() {
        return Ok(object);
    }
    to(server, &stored, &object).await
}

/// What a version knows of an object that a webhook made.
fn settle(resource: &Resource, object: &mut Value) {
    let _ = schema::prune::apply(object, &resource.schema);
    schema::default::apply(object, &resource.schema);
}

/// A stored object in the version of `resource`; the same where that is how it is stored.
///
/// # Errors
/// As [`to`].
pub(crate) async fn stored(
    server: &ApiServer,
    resource: &Resource,
    object: &Arc<Stored>,
) -> Result<Arc<Stored>, ApiError> {
    if resource.conversion.is_none() || object.value["apiVersion"] == api_version(resource).as_str() {
        return Ok(Arc::clone(object));
    }
    Ok(Arc::new(object.with(to(server, resource, &object.value).await?)))
}

/// An answer whose objects are in the version of `resource`, as far as it takes a webhook to bring them there.
///
/// # Errors
/// As [`to`].
pub(crate) async fn reply(server: &ApiServer, resource: &Resource, reply: Reply) -> Result<Reply, ApiError> {
    let Some(webhook) = &resource.conversion else { return Ok(reply) };
    let version = api_version(resource);
    match reply {
        Reply::Stored(status, object) => Ok(Reply::Stored(status, stored(server, resource, &object).await?)),
        Reply::Object(status, object) => Ok(Reply::Object(status, to(server, resource, &object).await?)),
        Reply::List(metadata, mut objects) => {
            let places: Vec<usize> =
                (0..objects.len()).filter(|at| objects[*at].value["apiVersion"] != version.as_str()).collect();
            if !places.is_empty() {
                let foreign: Vec<&Value> = places.iter().map(|at| &objects[*at].value).collect();
                let converted = webhook.convert(server, &version, &foreign).await?;
                for (at, mut object) in places.into_iter().zip(converted) {
                    settle(resource, &mut object);
                    objects[at] = Arc::new(objects[at].with(object));
                }
            }
            Ok(Reply::List(metadata, objects))
        }
        other => Ok(other),
    }
}
