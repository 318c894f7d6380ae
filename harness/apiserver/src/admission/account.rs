//! What every new Pod gets from its service account: the account's name, its token in every container, and the secrets
//! that its images are pulled with.
//!
//! Only a cluster does this: a server alone has nobody who makes accounts for its namespaces.

use std::time::Duration;

use serde_json::{Value, json};

use crate::handle::Call;
use crate::lifecycle::meta;
use crate::resources::value::{at, each, flag, has, items, object, set, set_default, text};
use crate::status::ApiError;
use crate::store::{GroupResource, Key};

/// The account of a Pod that names none.
const DEFAULT: &str = "default";
/// Where containers look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How the volumes with tokens begin.
const VOLUME: &str = "kube-api-access-";
/// How long such a token is asked to be good for: a number by which the server knows who mounts tokens.
const SECONDS: i64 = 3607;
/// The account of a new namespace comes a moment after it.
const ATTEMPTS: usize = 10;
const WAIT: Duration = Duration::from_millis(100);

/// Completes a new Pod.
///
/// # Errors
/// 403 where its account is not there.
pub(crate) async fn admit(call: &Call, pod: &mut Value) -> Result<(), ApiError> {
    let pods = call.resource.group.is_empty() && call.resource.plural == "pods" && call.target.subresource.is_empty();
    // What a kubelet mirrors it has started already, without asking anybody.
    if !call.server.0.service_accounts || !pods || has(&pod["metadata"]["annotations"], "kubernetes.io/config.mirror") {
        return Ok(());
    }
    let name = match text(&pod["spec"], "serviceAccountName") {
        "" => DEFAULT.to_owned(),
        name => name.to_owned(),
    };
    let account = account(call, &name).await.ok_or_else(|| {
        let namespace = &call.target.namespace;
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        ApiError::forbidden("", "pods", meta(pod, "name"), &why)
    })?;
    let Some(spec) = object(pod, "spec") else { return Ok(()) };
    // The second is an old name of the first.
    set(spec, "serviceAccountName", name.as_str());
    set(spec, "serviceAccount", name.as_str());
    if automounts(&account, spec) {
        mount(spec, || format!("{VOLUME}{}", call.server.0.entropy.suffix()));
    }
    if items(spec, "imagePullSecrets").is_empty() && !items(&account, "imagePullSecrets").is_empty() {
        set(spec, "imagePullSecrets", account["imagePullSecrets"].clone());
    }
    Ok(())
}

async fn account(call: &Call, name: &str) -> Option<Value> {
    let (accounts, key) = (GroupResource::new("", "serviceaccounts"), Key::new(call.target.namespace.as_str(), name));
    for attempt in 0..ATTEMPTS {
        if let Some(found) = call.store().get(&accounts, &key) {
            return Some(found.value.clone());
        }
        if name != DEFAULT || attempt + 1 == ATTEMPTS {
            break;
        }
        tokio::time::sleep(WAIT).await;
    }
    None
}

/// Whether the token is to be mounted: as the Pod says, else as its account says, else yes.
fn automounts(account: &Value, spec: &Value) -> bool {
    let field = "automountServiceAccountToken";
    [spec, account].into_iter().find(|said| has(said, field)).is_none_or(|said| flag(said, field))
}

/// Mounts a volume with the token into every container that has nothing there yet.
fn mount(spec: &mut Value, name: impl FnOnce() -> String) {
    let known = items(spec, "volumes").iter().map(|volume| text(volume, "name")).find(|name| name.starts_with(VOLUME));
    let known = known.map(str::to_owned);
    let bare = |container: &Value| items(container, "volumeMounts").iter().all(|m| text(m, "mountPath") != MOUNT_PATH);
    let needed = ["initContainers", "containers"].iter().flat_map(|list| items(spec, list)).any(bare);
    if !needed {
        return;
    }
    let has_volume = known.is_some();
    let name = known.unwrap_or_else(name);
    for list in ["initContainers", "containers"] {
        for container in each(spec, list).filter(|container| bare(container)) {
            set_default(container, "volumeMounts", json!([]));
            let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
            if let Some(mounts) = at(container, "volumeMounts").and_then(Value::as_array_mut) {
                mounts.push(mount);
            }
        }
    }
    if has_volume {
        return;
    }
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]);
    set_default(spec, "volumes", json!([]));
    if let Some(volumes) = at(spec, "volumes").and_then(Value::as_array_mut) {
        volumes.push(json!({"name": name, "projected": {"defaultMode": 0o644, "sources": sources}}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_mounted_as_the_pod_says_and_else_as_its_account_says() {
        let field = |value: Value| json!({"automountServiceAccountToken": value});
        let cases = [
            (Value::Null, Value::Null, true),
            (Value::Bool(false), Value::Null, false),
            (Value::Bool(false), Value::Bool(true), true),
            (Value::Null, Value::Bool(false), false),
        ];
        for (account, spec, expected) in cases {
            assert_eq!(automounts(&field(account.clone()), &field(spec.clone())), expected, "{account} {spec}");
        }
    }

    #[test]
    fn every_container_gets_the_token_that_has_nothing_in_its_place() {
        let own = json!([{"name": "mine", "mountPath": MOUNT_PATH}]);
        let mut spec = json!({
            "initContainers": [{"name": "i"}],
            "containers": [{"name": "a"}, {"name": "b", "volumeMounts": own}],
        });
        mount(&mut spec, || "kube-api-access-x".to_owned());
        let mounted = json!([{"name": "kube-api-access-x", "readOnly": true, "mountPath": MOUNT_PATH}]);
        assert_eq!(
            (&spec["initContainers"][0]["volumeMounts"], &spec["containers"][0]["volumeMounts"]),
            (&mounted, &mounted)
        );
        assert_eq!(spec["containers"][1]["volumeMounts"], own);
        assert_eq!(spec["volumes"][0]["name"], "kube-api-access-x");
        let once = spec.clone();
        mount(&mut spec, || "kube-api-access-y".to_owned());
        assert_eq!(spec, once, "a template that was taken from a Pod has it already");
    }
}
