//! The objects of one kind: read from the cache, written to the server.
//!
//! A write has come back through the cache when it returns, so that a controller never decides on what was before its
//! own last write.

use std::fmt;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Error, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::informer::{Informer, Key};
use super::{answer, pods};

/// Kinds that live in namespaces.
pub(in crate::cluster::embedded) trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + Serialize
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + fmt::Debug
        + Send
        + Sync
        + 'static
{
}

/// The objects of one kind; clones are the same objects.
pub(in crate::cluster::embedded) struct Objects<K> {
    client: Client,
    /// What is known of them.
    pub(in crate::cluster::embedded) cache: Informer<K>,
}

impl<K> Clone for Objects<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), cache: self.cache.clone() }
    }
}

impl<K: Namespaced> Objects<K> {
    /// Objects that are written through this client.
    pub(in crate::cluster::embedded) fn new(client: Client, cache: Informer<K>) -> Self {
        Self { client, cache }
    }

    /// The server itself, for what must not be read from a cache.
    pub(in crate::cluster::embedded) fn api(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes an object.
    pub(in crate::cluster::embedded) async fn create(&self, object: &K) -> Result<K, Error> {
        let made = self.api(namespace(object)).create(&PostParams::default(), object).await?;
        self.cache.until(&Key::of(&made), |shown| shown.is_some()).await;
        Ok(made)
    }

    /// Replaces an object.
    pub(in crate::cluster::embedded) async fn replace(&self, object: &K) -> Result<K, Error> {
        let Key { namespace, name } = Key::of(object);
        let written = self.api(&namespace).replace(&name, &PostParams::default(), object).await?;
        self.shown(&written).await;
        Ok(written)
    }

    /// Replaces an object's status.
    pub(in crate::cluster::embedded) async fn replace_status(&self, object: &K) -> Result<K, Error> {
        let Key { namespace, name } = Key::of(object);
        let written = self.api(&namespace).replace_status(&name, &PostParams::default(), object).await?;
        self.shown(&written).await;
        Ok(written)
    }

    /// Patches an object; one that is not there any more needs no patch.
    pub(in crate::cluster::embedded) async fn patch(&self, key: &Key, patch: &Value) -> Result<(), Error> {
        let patched =
            self.api(&key.namespace).patch(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        if let Some(written) = answer::unless_gone(patched)? {
            self.shown(&written).await;
        }
        Ok(())
    }

    /// Deletes an object, and none that has its name now; says whether it was there.
    pub(in crate::cluster::embedded) async fn delete(&self, object: &K) -> Result<bool, Error> {
        let key = Key::of(object);
        let uid = object.meta().uid.clone();
        let preconditions = Some(Preconditions { uid: uid.clone(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        let deleted = answer::unless_gone(self.api(&key.namespace).delete(&key.name, &params).await)?;
        let going = |shown: Option<&K>| shown.is_none_or(|shown| pods::is_deleting(shown) || shown.meta().uid != uid);
        self.cache.until(&key, going).await;
        Ok(deleted.is_some())
    }

    /// Waits until the cache shows a write, or what came after it.
    async fn shown(&self, written: &K) {
        let uid = &written.meta().uid;
        let version = version(written);
        let echoed = |shown: &K| shown.meta().uid != *uid || self::version(shown) >= version;
        self.cache.until(&Key::of(written), |shown| shown.is_none_or(echoed)).await;
    }
}

fn namespace<K: Resource>(object: &K) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

/// The embedded server's resource versions are numbers.
fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}
