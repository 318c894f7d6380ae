//! Finalizers, for controllers whose cleanup takes more than one reconcile.
//!
//! Guarantees: a finalizer is added or removed only on the object as it was read, so that nobody else's finalizer is
//! lost and a release never hits an object that has come back under the same name.

use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

/// Adds a finalizer.
///
/// # Errors
/// The API server's; a conflict when the object has changed since it was read.
pub async fn hold<K>(client: &kube::Client, manager: &str, object: &K, finalizer: &str) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    write(client, manager, object, &finalizers).await
}

/// Removes a finalizer. Says whether the object was still there.
///
/// # Errors
/// The API server's; a conflict when the object has changed since it was read.
pub async fn release<K>(client: &kube::Client, manager: &str, object: &K, finalizer: &str) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    release_any(client, manager, object, &[finalizer]).await
}

/// Removes those of these finalizers that the object has. Says whether the object was still there.
///
/// # Errors
/// The API server's; a conflict when the object has changed since it was read.
pub async fn release_any<K>(
    client: &kube::Client,
    manager: &str,
    object: &K,
    finalizers: &[&str],
) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let others = object.finalizers().iter().filter(|other| !finalizers.contains(&other.as_str()));
    let finalizers: Vec<_> = others.cloned().collect();
    match write(client, manager, object, &finalizers).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn write<K>(client: &kube::Client, manager: &str, object: &K, finalizers: &[String]) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers } });
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let namespace = object.namespace().unwrap_or_default();
    Api::<K>::namespaced(client.clone(), &namespace).patch(&object.name_any(), &params, &Patch::Merge(&patch)).await
}
