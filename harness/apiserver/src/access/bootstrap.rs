//! The objects that every cluster has from the start.

use serde_json::{Value, json};

use crate::store::{GroupResource, Key, Store};

const RBAC: &str = "rbac.authorization.k8s.io";
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Paths that anybody may read who wants to know what the server is.
const PUBLIC_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
/// Paths that whoever is known may read to find resources.
const DISCOVERY_PATHS: [&str; 12] = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
    "/openapi/v2",
];

/// Puts the namespaces and the default roles with their bindings into an empty store. `uid` and `now` give each
/// object its identity.
pub fn fill(store: &Store, mut uid: impl FnMut() -> String, now: &str) {
    let mut put = |group: &str, resource: &str, mut object: Value| {
        object["metadata"]["uid"] = uid().into();
        object["metadata"]["creationTimestamp"] = now.into();
        let key = Key::new("", object["metadata"]["name"].as_str().unwrap_or_default());
        // The store is empty, so nothing can be in the way.
        let _ = store.create(&GroupResource::new(group, resource), key, object);
    };
    for name in NAMESPACES {
        put("", "namespaces", namespace(name));
    }
    for (name, rules) in cluster_roles() {
        put(RBAC, "clusterroles", role(name, &rules));
    }
    for (name, groups) in bindings() {
        put(RBAC, "clusterrolebindings", binding(name, groups));
    }
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

fn role(name: &str, rules: &Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": labelled(name), "rules": rules})
}

fn binding(name: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> =
        groups.iter().map(|group| json!({"kind": "Group", "apiGroup": RBAC, "name": group})).collect();
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": labelled(name),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}, "subjects": subjects,
    })
}

fn cluster_roles() -> [(&'static str, Value); 4] {
    [
        (
            "cluster-admin",
            json!([
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
                {"nonResourceURLs": ["*"], "verbs": ["*"]},
            ]),
        ),
        ("system:discovery", json!([{"nonResourceURLs": DISCOVERY_PATHS, "verbs": ["get"]}])),
        ("system:public-info-viewer", json!([{"nonResourceURLs": PUBLIC_PATHS, "verbs": ["get"]}])),
        (
            "system:basic-user",
            json!([
                {
                    "apiGroups": ["authorization.k8s.io"], "verbs": ["create"],
                    "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                },
                {"apiGroups": ["authentication.k8s.io"], "verbs": ["create"], "resources": ["selfsubjectreviews"]},
            ]),
        ),
    ]
}

fn bindings() -> [(&'static str, &'static [&'static str]); 4] {
    [
        ("cluster-admin", &["system:masters"]),
        ("system:discovery", &["system:authenticated"]),
        ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
        ("system:basic-user", &["system:authenticated"]),
    ]
}
