//! The objects that every cluster has from the start: its namespaces, and its roles with who has them.
//!
//! The roles are read from `data/roles.txt`. What aggregated roles hold is not: a controller collects that, as in a real
//! cluster, and a server without controllers has them empty.

use serde_json::{Value, json};

use crate::store::{GroupResource, Key, Store};

const RBAC: &str = "rbac.authorization.k8s.io";
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
const ROLES: &str = include_str!("../../data/roles.txt");

/// A role in `kube-system` that servers beside the main one need to authenticate as it does.
const AUTHENTICATION_READER: &str = "extension-apiserver-authentication-reader";

/// Puts the namespaces and the default roles with their bindings into an empty store. `uid` and `now` give each
/// object its identity.
pub fn fill(store: &Store, mut uid: impl FnMut() -> String, now: &str) {
    let mut put = |group: &str, resource: &str, mut object: Value| {
        object["metadata"]["uid"] = uid().into();
        object["metadata"]["creationTimestamp"] = now.into();
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = Key::new(text("namespace"), text("name"));
        // The store is empty, so nothing can be in the way.
        let _ = store.create(&GroupResource::new(group, resource), key, object);
    };
    for name in NAMESPACES {
        put("", "namespaces", namespace(name));
    }
    let (roles, bindings) = read(ROLES);
    for role in roles {
        put(RBAC, "clusterroles", role);
    }
    for binding in bindings {
        put(RBAC, "clusterrolebindings", binding);
    }
    let mut metadata = labelled(AUTHENTICATION_READER);
    metadata["namespace"] = "kube-system".into();
    let read = rule("read on configmaps of core named extension-apiserver-authentication");
    let role = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": metadata, "rules": [read]});
    put(RBAC, "roles", role);
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}

fn labelled(name: &str) -> Value {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

/// The roles of a table, and their bindings.
fn read(table: &str) -> (Vec<Value>, Vec<Value>) {
    let (mut roles, mut bindings): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("role ") {
            roles.push(role(head));
        } else if let Some((name, subjects)) = line.strip_prefix("bind ").and_then(|rest| rest.split_once(" to ")) {
            bindings.push(binding(name, subjects));
        } else if let Some(role) = roles.last_mut() {
            if !role["rules"].is_array() {
                role["rules"] = json!([]);
            }
            if let Some(rules) = role["rules"].as_array_mut() {
                rules.push(rule(line));
            }
        }
    }
    (roles, bindings)
}

/// From `NAME [label LABEL] [collects LABEL]`.
fn role(head: &str) -> Value {
    let words: Vec<&str> = head.split(' ').collect();
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
    let mut metadata = labelled(words.first().copied().unwrap_or_default());
    if let Some(label) = after("label") {
        metadata["labels"][format!("{RBAC}/{label}")] = "true".into();
    }
    let mut role =
        json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": metadata, "rules": null});
    if let Some(label) = after("collects") {
        let selector = json!({"matchLabels": {format!("{RBAC}/{label}"): "true"}});
        role["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
    }
    role
}

/// From `VERBS on RESOURCES of GROUPS [named NAMES]` or `VERBS at PATHS`.
fn rule(line: &str) -> Value {
    let list = |words: &str| words.split(',').map(str::to_owned).collect::<Vec<_>>();
    if let Some((verbs, paths)) = line.split_once(" at ") {
        return json!({"nonResourceURLs": list(paths), "verbs": self::verbs(verbs)});
    }
    let (verbs, rest) = line.split_once(" on ").unwrap_or_default();
    let (resources, rest) = rest.split_once(" of ").unwrap_or_default();
    let (groups, names) = rest.split_once(" named ").map_or((rest, None), |(groups, names)| (groups, Some(names)));
    let groups: Vec<&str> = groups.split(',').map(|group| if group == "core" { "" } else { group }).collect();
    let mut rule = json!({"apiGroups": groups, "resources": list(resources), "verbs": self::verbs(verbs)});
    if let Some(names) = names {
        rule["resourceNames"] = list(names).into();
    }
    rule
}

/// The verbs behind the words, in the order of the alphabet.
fn verbs(words: &str) -> Vec<&str> {
    let mut verbs = Vec::new();
    for word in words.split(',') {
        match word {
            "read" => verbs.extend(["get", "list", "watch"]),
            "write" => verbs.extend(["create", "delete", "deletecollection", "patch", "update"]),
            verb => verbs.push(verb),
        }
    }
    verbs.sort_unstable();
    verbs
}

/// From `KIND NAME, KIND NAME`, or nobody.
fn binding(name: &str, subjects: &str) -> Value {
    let subject = |text: &str| {
        let (kind, name) = text.split_once(' ')?;
        Some(match name.split_once('/') {
            Some((namespace, name)) => json!({"kind": kind, "name": name, "namespace": namespace}),
            None => json!({"kind": kind, "apiGroup": RBAC, "name": name}),
        })
    };
    let subjects: Vec<Value> = subjects.split(", ").filter_map(subject).collect();
    let mut binding = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": labelled(name),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
    });
    if !subjects.is_empty() {
        binding["subjects"] = subjects.into();
    }
    binding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_rule_that_grants_something() {
        let (roles, bindings) = read(ROLES);
        assert!(roles.len() > 25, "{}", roles.len());
        for role in &roles {
            let collects = role["aggregationRule"].is_object();
            assert_eq!(role["rules"].is_null(), collects, "{role}");
            for rule in role["rules"].as_array().into_iter().flatten() {
                let filled = |field: &str| {
                    let words = rule[field].as_array().into_iter().flatten();
                    !rule[field].is_null() && words.into_iter().all(|word| word != "" || field == "apiGroups")
                };
                let whole = filled("nonResourceURLs") || (filled("apiGroups") && filled("resources"));
                assert!(whole && filled("verbs"), "{rule} of {}", role["metadata"]["name"]);
            }
        }
        for binding in &bindings {
            let known = roles.iter().any(|role| role["metadata"]["name"] == binding["roleRef"]["name"]);
            assert!(known, "{binding}");
        }
    }

    #[test]
    fn words_of_the_table_stand_for_what_it_says() {
        assert_eq!(
            rule("read,patch on pods,pods/log of core,apps named a"),
            json!({
                "apiGroups": ["", "apps"], "resources": ["pods", "pods/log"], "resourceNames": ["a"],
                "verbs": ["get", "list", "patch", "watch"],
            })
        );
        assert_eq!(rule("get at /a,/b/*"), json!({"nonResourceURLs": ["/a", "/b/*"], "verbs": ["get"]}));
        let view = role("view label aggregate-to-edit collects aggregate-to-view");
        assert_eq!(view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"], "true");
        let selector = &view["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"];
        assert_eq!(selector["rbac.authorization.k8s.io/aggregate-to-view"], "true");
    }
}
