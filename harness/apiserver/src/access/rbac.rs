//! Roles and bindings, evaluated as they stand in the store.

use serde_json::{Value, json};

use super::Attributes;
use super::user::{MASTERS, User};
use crate::store::{GroupResource, Key, Store};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether a user may do something.
pub fn allows(store: &Store, user: &User, about: &Attributes) -> bool {
    if user.is_in(MASTERS) {
        return true;
    }
    let namespace = if about.path.is_some() { "" } else { about.namespace.as_str() };
    any_rule(store, user, namespace, |rule| covers(rule, about))
}

/// What a user may do in a namespace, as the status of a `SelfSubjectRulesReview`.
pub fn rules_of(store: &Store, user: &User, namespace: &str) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    if user.is_in(MASTERS) {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    any_rule(store, user, namespace, |rule| {
        let list = if rule["nonResourceURLs"].is_array() { &mut paths } else { &mut resources };
        list.push(rule.clone());
        false
    });
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

/// Offers each rule that applies to a user in a namespace, until one is taken.
fn any_rule(store: &Store, user: &User, namespace: &str, mut take: impl FnMut(&Value) -> bool) -> bool {
    let bindings = |resource: &str, namespace: Option<&str>| {
        let bindings = store.list(&GroupResource::new(GROUP, resource), namespace, None);
        // The present is never compacted.
        bindings.map(|snapshot| snapshot.objects).unwrap_or_default()
    };
    let mut all = bindings("clusterrolebindings", None);
    if !namespace.is_empty() {
        all.extend(bindings("rolebindings", Some(namespace)));
    }
    all.iter().filter(|binding| names_user(&binding.value, user)).any(|binding| {
        let reference = &binding.value["roleRef"];
        let name = reference["name"].as_str().unwrap_or_default();
        let (resource, key) = match reference["kind"].as_str() {
            Some("ClusterRole") => ("clusterroles", Key::new("", name)),
            _ => ("roles", Key::new(super::super::lifecycle::meta(&binding.value, "namespace"), name)),
        };
        let role = store.get(&GroupResource::new(GROUP, resource), &key);
        role.is_some_and(|role| role.value["rules"].as_array().into_iter().flatten().any(&mut take))
    })
}

fn names_user(binding: &Value, user: &User) -> bool {
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    subjects.into_iter().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => name == user.name,
            Some("Group") => user.is_in(name),
            Some("ServiceAccount") => {
                let own = binding["metadata"]["namespace"].as_str().unwrap_or_default();
                let namespace = subject["namespace"].as_str().unwrap_or(own);
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

/// Whether a rule covers a request.
fn covers(rule: &Value, about: &Attributes) -> bool {
    let has = |field: &str, wanted: &dyn Fn(&str) -> bool| {
        rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).any(|v| v == "*" || wanted(v))
    };
    if !has("verbs", &|v| v == about.verb) {
        return false;
    }
    if let Some(path) = &about.path {
        return has("nonResourceURLs", &|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => pattern == path,
        });
    }
    let subresource = about.resource.split_once('/').map(|(_, subresource)| subresource);
    let resource = |pattern: &str| {
        pattern == about.resource || pattern.strip_prefix("*/").is_some_and(|wanted| Some(wanted) == subresource)
    };
    let names = rule["resourceNames"].as_array().filter(|names| !names.is_empty());
    has("apiGroups", &|v| v == about.group)
        && has("resources", &resource)
        && names.is_none_or(|names| names.iter().any(|n| n == about.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(verb: &str, resource: &str, name: &str) -> Attributes {
        let (verb, resource, name) = (verb.to_owned(), resource.to_owned(), name.to_owned());
        Attributes { verb, resource, name, ..Attributes::default() }
    }

    #[test]
    fn a_rule_covers_what_it_names_and_nothing_else() {
        let rule = |resources: &[&str], names: &[&str]| json!({"verbs": ["get"], "apiGroups": [""], "resources": resources, "resourceNames": names});
        let cases = [
            (rule(&["pods"], &[]), about("get", "pods", "p"), true),
            (rule(&["pods"], &[]), about("list", "pods", ""), false),
            (rule(&["pods"], &[]), about("get", "pods/log", "p"), false),
            (rule(&["pods/log"], &[]), about("get", "pods/log", "p"), true),
            (rule(&["*/log"], &[]), about("get", "pods/log", "p"), true),
            (rule(&["*/log"], &[]), about("get", "pods", "p"), false),
            (rule(&["*"], &[]), about("get", "pods/status", "p"), true),
            (rule(&["pods"], &["mine"]), about("get", "pods", "mine"), true),
            (rule(&["pods"], &["mine"]), about("get", "pods", "other"), false),
            (rule(&["pods"], &["mine"]), about("get", "pods", ""), false),
        ];
        for (rule, about, expected) in cases {
            assert_eq!(covers(&rule, &about), expected, "{rule} for {about:?}");
        }
    }

    #[test]
    fn a_path_rule_ends_where_its_star_stands() {
        let rule = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]});
        for (path, expected) in [("/healthz", true), ("/healthz/etcd", false), ("/api/v1", true), ("/apis", false)] {
            let about = Attributes { path: Some(path.to_owned()), ..about("get", "", "") };
            assert_eq!(covers(&rule, &about), expected, "{path}");
        }
    }
}
