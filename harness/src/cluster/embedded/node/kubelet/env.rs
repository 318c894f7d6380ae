//! A container's environment, command and arguments: references resolved, `$(VAR)` expanded. Pure but for what
//! [`Sources`] has fetched before.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, ObjectFieldSelector, Pod, ResourceFieldSelector, Secret,
};
use kube::ResourceExt;

/// The `ConfigMaps`, Secrets and claims that a Pod names, as far as they exist.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) config_maps: BTreeMap<String, ConfigMap>,
    pub(super) secrets: BTreeMap<String, Secret>,
    /// Where the volumes are that claims are bound to.
    pub(super) claims: BTreeMap<String, PathBuf>,
    /// Tokens of the Pod's account by audience (empty for the API server) and seconds, or why there is none.
    pub(super) tokens: BTreeMap<(String, i64), Result<String, String>>,
}

/// What a Pod's fields come from that its spec does not hold.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) host: String,
    pub(super) pod: String,
}

/// The environment of a container; an error is what its status says.
pub(super) fn environment(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    addresses: &Addresses,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::from([("HOSTNAME".to_owned(), hostname(pod))]);
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        let mut take = |key: &str, value: String| {
            env.insert(format!("{prefix}{key}"), value);
        };
        if let Some(reference) = &from.config_map_ref {
            match sources.config_maps.get(&reference.name) {
                Some(map) => map.data.iter().flatten().for_each(|(key, value)| take(key, value.clone())),
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap \"{}\" not found", reference.name)),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match sources.secrets.get(&reference.name) {
                Some(secret) => secret.data.iter().flatten().for_each(|(key, value)| take(key, text(&value.0))),
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret \"{}\" not found", reference.name)),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, variable, sources, addresses, &env)? {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

/// Command and arguments.
pub(super) fn arguments(container: &Container, env: &BTreeMap<String, String>) -> Vec<String> {
    let words = container.command.iter().flatten().chain(container.args.iter().flatten());
    words.map(|word| expand(word, env)).collect()
}

/// Replaces `$(NAME)` by what is known of it; `$$` is a dollar, and what is unknown stays as it stands.
pub(super) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        rest = &after[1..];
        if let Some(escaped) = rest.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, behind)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = behind;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// A field of the Pod as the downward API gives it.
pub(super) fn field(pod: &Pod, path: &str, addresses: &Addresses) -> Option<String> {
    let spec = pod.spec.as_ref();
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']");
    if let Some(key) = keyed("metadata.labels") {
        return Some(pod.labels().get(key).cloned().unwrap_or_default());
    }
    if let Some(key) = keyed("metadata.annotations") {
        return Some(pod.annotations().get(key).cloned().unwrap_or_default());
    }
    match path {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "metadata.labels" => Some(lines(pod.labels())),
        "metadata.annotations" => Some(lines(pod.annotations())),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => Some(spec?.service_account_name.clone().unwrap_or_else(|| "default".to_owned())),
        "status.hostIP" | "status.hostIPs" => Some(addresses.host.clone()),
        "status.podIP" | "status.podIPs" => Some(addresses.pod.clone()),
        _ => None,
    }
}

fn value(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    sources: &Sources,
    addresses: &Addresses,
    env: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    let Some(from) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), env)));
    };
    let namespace = pod.namespace().unwrap_or_default();
    if let Some(ObjectFieldSelector { field_path, .. }) = &from.field_ref {
        return field(pod, field_path, addresses)
            .map(Some)
            .ok_or_else(|| format!("unsupported fieldPath: {field_path}"));
    }
    if let Some(reference) = &from.resource_field_ref {
        return Ok(Some(resource(container, reference)));
    }
    if let Some(reference) = &from.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = sources.config_maps.get(&reference.name) else {
            return missing(optional, format!("configmap \"{}\" not found", reference.name));
        };
        let found = map.data.as_ref().and_then(|data| data.get(&reference.key)).cloned();
        let absent = format!("couldn't find key {} in ConfigMap {namespace}/{}", reference.key, reference.name);
        return found.map_or_else(|| missing(optional, absent), |value| Ok(Some(value)));
    }
    if let Some(reference) = &from.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(secret) = sources.secrets.get(&reference.name) else {
            return missing(optional, format!("secret \"{}\" not found", reference.name));
        };
        let found = secret.data.as_ref().and_then(|data| data.get(&reference.key)).map(|value| text(&value.0));
        let absent = format!("couldn't find key {} in Secret {namespace}/{}", reference.key, reference.name);
        return found.map_or_else(|| missing(optional, absent), |value| Ok(Some(value)));
    }
    Ok(None)
}

fn missing(optional: bool, message: String) -> Result<Option<String>, String> {
    if optional { Ok(None) } else { Err(message) }
}

/// `limits.cpu` and the like, as they are written; `0` where the container says nothing of it.
fn resource(container: &Container, reference: &ResourceFieldSelector) -> String {
    let resources = container.resources.as_ref();
    let (kind, name) = reference.resource.split_once('.').unwrap_or(("", &reference.resource));
    let amounts = match kind {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        _ => resources.and_then(|resources| resources.requests.as_ref()),
    };
    amounts.and_then(|amounts| amounts.get(name)).map_or_else(|| "0".to_owned(), |amount| amount.0.clone())
}

fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let on_host = spec.is_some_and(|spec| spec.host_network == Some(true));
    let named = spec.and_then(|spec| if on_host { spec.node_name.clone() } else { spec.hostname.clone() });
    named.unwrap_or_else(|| pod.name_any())
}

fn lines(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn variables_in_arguments_are_expanded_as_the_kubelet_does() {
        let env = BTreeMap::from([("NODE".to_owned(), "n1".to_owned())]);
        let cases = [
            ("--node=$(NODE)", "--node=n1"),
            ("$(NODE)$(NODE)", "n1n1"),
            ("$$(NODE)", "$(NODE)"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$(NODE", "$(NODE"),
            ("100$", "100$"),
            ("$NODE", "$NODE"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn every_source_of_a_variable_reaches_the_program() {
        let env = environment(&pod(), &container(), &sources(), &addresses()).expect("all there");
        let expected = [
            ("PLAIN", "n1-x"),
            ("NODE_NAME", "n1"),
            ("TEAM", "net"),
            ("HOST_IP", "172.18.0.2"),
            ("FROM_MAP", "info"),
            ("FROM_SECRET", "hush"),
            ("CFG_level", "info"),
            ("MEMORY", "64Mi"),
        ];
        for (name, value) in expected {
            assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!env.contains_key("ABSENT"), "an optional key that is not there leaves the variable unset");
    }

    #[test]
    fn a_reference_to_nothing_says_what_is_missing() {
        let mut sources = sources();
        sources.secrets.clear();
        let error = environment(&pod(), &container(), &sources, &addresses()).expect_err("no secret");
        assert_eq!(error, "secret \"s\" not found");
        sources = super::tests::sources();
        sources.config_maps.insert("c".to_owned(), ConfigMap::default());
        let error = environment(&pod(), &container(), &sources, &addresses()).expect_err("no key");
        assert_eq!(error, "couldn't find key level in ConfigMap default/c");
    }

    fn pod() -> Pod {
        let metadata = json!({"name": "p", "namespace": "default", "labels": {"team": "net"}});
        from_value(json!({"metadata": metadata, "spec": {"nodeName": "n1", "containers": []}})).expect("a pod")
    }

    fn container() -> Container {
        from_value(json!({
            "name": "c",
            "resources": {"limits": {"memory": "64Mi"}},
            "envFrom": [{"prefix": "CFG_", "configMapRef": {"name": "c"}}],
            "env": [
                {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "PLAIN", "value": "$(NODE_NAME)-x"},
                {"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['team']"}}},
                {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "level"}}},
                {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "no", "optional": true}}},
                {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            ],
        }))
        .expect("a container")
    }

    fn sources() -> Sources {
        let map = from_value(json!({"data": {"level": "info"}})).expect("a map");
        let secret = from_value(json!({"data": {"k": "aHVzaA=="}})).expect("a secret");
        Sources {
            tokens: BTreeMap::new(),
            config_maps: BTreeMap::from([("c".to_owned(), map)]),
            secrets: BTreeMap::from([("s".to_owned(), secret)]),
            claims: BTreeMap::new(),
        }
    }

    fn addresses() -> Addresses {
        Addresses { host: "172.18.0.2".to_owned(), pod: "10.244.0.2".to_owned() }
    }
}
