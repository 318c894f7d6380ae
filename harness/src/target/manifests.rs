//! Manifests of others, put on a cluster before a scenario begins and taken away again by `uninstall`.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, Client};
use serde_json::Value;

use super::RaiseError;
use crate::chain::chain;
use crate::cluster::Cluster;

/// The field manager of whatever is installed before a scenario begins.
const INSTALLER: &str = "slipway-installer";

/// How long a definition may take until it is served; a real API server needs about a second.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// Kinds that others stand on, in the order in which they are needed. Everything else follows, and webhooks come last:
/// they would be asked about the rest.
const FIRST: [&str; 9] = [
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
];
const LAST: [&str; 2] = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];

/// What was put on a cluster.
pub(super) struct Installed {
    api: Api<DynamicObject>,
    kind: String,
    name: String,
}

/// Applies manifests in the order in which they need each other; what they define is served when this returns.
pub(super) async fn install(
    cluster: &dyn Cluster,
    namespace: &str,
    manifests: &[Value],
) -> Result<Vec<Installed>, RaiseError> {
    let client = cluster.client();
    let mut manifests = manifests.to_vec();
    manifests.sort_by_key(|manifest| rank(text(manifest, "/kind")));
    let mut installed = Vec::new();
    for mut manifest in manifests {
        let (kind, name) = (text(&manifest, "/kind").to_owned(), text(&manifest, "/metadata/name").to_owned());
        let failed = || format!("install {kind} {name}");
        let api = api(&client, namespace, &manifest).await.map_err(RaiseError::because(failed()))?;
        cluster.claim(&mut manifest, &api).await.map_err(RaiseError::because(failed()))?;
        let params = PatchParams::apply(INSTALLER).force();
        api.patch(&name, &params, &Patch::Apply(&manifest)).await.map_err(RaiseError::because(failed()))?;
        if kind == "CustomResourceDefinition" {
            let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
            let established = await_condition(definitions, &name, is_crd_established());
            tokio::time::timeout(ESTABLISHED_WITHIN, established)
                .await
                .map_err(RaiseError::because(format!("wait for {name} to be served")))?
                .map_err(RaiseError::because(format!("watch {name}")))?;
        }
        installed.push(Installed { api, kind, name });
    }
    Ok(installed)
}

/// Deletes what was installed, what was needed first last.
pub(super) async fn remove(installed: &[Installed]) -> Result<(), String> {
    let mut left = Vec::new();
    for Installed { api, kind, name } in installed.iter().rev() {
        match api.delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => left.push(format!("{kind} {name}: {}", chain(&error))),
            Ok(_) => {}
        }
    }
    if left.is_empty() { Ok(()) } else { Err(format!("not removed: {}", left.join("; "))) }
}

/// Where objects of a manifest's kind are.
async fn api(client: &Client, namespace: &str, manifest: &Value) -> Result<Api<DynamicObject>, kube::Error> {
    let (group, version) = match text(manifest, "/apiVersion").split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", text(manifest, "/apiVersion")),
    };
    let kind = GroupVersionKind::gvk(group, version, text(manifest, "/kind"));
    let (resource, capabilities) = pinned_kind(client, &kind).await?;
    Ok(match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let own = text(manifest, "/metadata/namespace");
            let namespace = if own.is_empty() { namespace } else { own };
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    })
}

fn rank(kind: &str) -> usize {
    let late = FIRST.len();
    match FIRST.iter().position(|first| *first == kind) {
        Some(rank) => rank,
        None if LAST.contains(&kind) => late + 1,
        None => late,
    }
}

fn text<'a>(manifest: &'a Value, pointer: &str) -> &'a str {
    manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_stand_on_comes_first_and_webhooks_last() {
        let mut kinds = ["ValidatingWebhookConfiguration", "Deployment", "ClusterRoleBinding", "Namespace"];
        kinds.sort_by_key(|kind| rank(kind));
        assert_eq!(kinds, ["Namespace", "ClusterRoleBinding", "Deployment", "ValidatingWebhookConfiguration"]);
    }
}
