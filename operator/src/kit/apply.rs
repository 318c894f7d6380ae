//! The one place of server-side apply.
//!
//! Every write goes out under a field manager of its controller's own and takes over fields that others wrote: an
//! operator that shares a field fights for it forever. What the object leaves out, and the manager had written before,
//! is removed.

use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Writes the status of an object, if the object is still at `resource_version`.
///
/// # Errors
/// The API server's; a conflict when the object has changed since.
pub async fn status<K, S>(
    client: &kube::Client,
    manager: &str,
    object: &K,
    resource_version: &str,
    status: &S,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    S: Serialize + Sync,
{
    let meta = object.meta();
    let name = meta.name.as_deref().unwrap_or_default();
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": name, "namespace": namespace, "resourceVersion": resource_version },
        "status": status,
    });
    let params = PatchParams::apply(manager).force();
    Api::<K>::namespaced(client.clone(), namespace).patch_status(name, &params, &Patch::Apply(&patch)).await
}
