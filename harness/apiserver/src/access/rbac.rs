//! Roles and bindings, evaluated as they stand in the store.

use serde_json::{Map, Value, json};

use super::Attributes;
use super::user::{MASTERS, User};
use crate::field::quote;
use crate::lifecycle::meta;
use crate::status::ApiError;
use crate::store::{GroupResource, Key, Store};

const GROUP: &str = "rbac.authorization.k8s.io";
/// How the user names of service accounts begin.
const ACCOUNT: &str = "system:serviceaccount:";

/// What was decided, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the user may.
    pub allowed: bool,
    /// Which binding says so, or what could not be looked up; empty where there is nothing to say.
    pub reason: String,
}

/// Whether a user may do something.
pub fn decide(store: &Store, user: &User, about: &Attributes) -> Verdict {
    if user.is_in(MASTERS) {
        return Verdict { allowed: true, reason: String::new() };
    }
    let namespace = if about.path.is_some() { "" } else { about.namespace.as_str() };
    let mut granted = None;
    let missing = visit(store, user, namespace, |source, rule| {
        let covered = covers(rule, about);
        if covered {
            granted = Some(format!("RBAC: allowed by {}", source.describe()));
        }
        covered
    });
    match granted {
        Some(reason) => Verdict { allowed: true, reason },
        None => Verdict { allowed: false, reason: unresolved(&missing) },
    }
}

fn unresolved(missing: &[String]) -> String {
    match missing {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        many => format!("RBAC: [{}]", many.join(", ")),
    }
}

/// The rules that apply to a user in a namespace, and what could not be looked up.
pub fn rules_for(store: &Store, user: &User, namespace: &str) -> (Vec<Value>, Vec<String>) {
    let mut rules = Vec::new();
    let missing = visit(store, user, namespace, |_, rule| {
        rules.push(rule.clone());
        false
    });
    (rules, missing)
}

/// What a user may do in a namespace, as the status of a `SelfSubjectRulesReview`.
pub fn rules_of(store: &Store, user: &User, namespace: &str) -> Value {
    let (rules, missing) = rules_for(store, user, namespace);
    let with = |wanted: &str, fields: &[&str]| -> Vec<Value> {
        let filled = |rule: &&Value| rule[wanted].as_array().is_some_and(|list| !list.is_empty());
        let picked = rules.iter().filter(filled).map(|rule| {
            let fields = fields.iter().filter(|field| rule[**field].as_array().is_some_and(|list| !list.is_empty()));
            fields.map(|field| ((*field).to_owned(), rule[*field].clone())).collect::<Map<_, _>>().into()
        });
        picked.collect()
    };
    let mut status = json!({
        "resourceRules": with("resources", &["verbs", "apiGroups", "resources", "resourceNames"]),
        "nonResourceRules": with("nonResourceURLs", &["verbs", "nonResourceURLs"]),
        "incomplete": !missing.is_empty(),
    });
    if !missing.is_empty() {
        status["evaluationError"] = missing.join(", ").into();
    }
    status
}

/// The rules of the role that a binding refers to; of a cluster role where it is of that kind.
///
/// # Errors
/// 404 in the words of the role's own resource.
pub fn rules_of_role(store: &Store, reference: &Value, namespace: &str) -> Result<Vec<Value>, ApiError> {
    let name = reference["name"].as_str().unwrap_or_default();
    let (resource, key) = match reference["kind"].as_str() {
        Some("ClusterRole") => ("clusterroles", Key::new("", name)),
        _ => ("roles", Key::new(namespace, name)),
    };
    match store.get(&GroupResource::new(GROUP, resource), &key) {
        Some(role) => Ok(role.value["rules"].as_array().cloned().unwrap_or_default()),
        None => Err(ApiError::not_found(GROUP, resource, name)),
    }
}

/// Whence a rule applies to a user.
struct Source<'a> {
    binding: &'a Value,
    subject: &'a Value,
}

impl Source<'_> {
    /// In the words of a real server.
    fn describe(&self) -> String {
        let (reference, kind) = (&self.binding["roleRef"], text(&self.binding["kind"]));
        let (name, namespace) = (meta(self.binding, "name"), meta(self.binding, "namespace"));
        let binding = if namespace.is_empty() { name.to_owned() } else { format!("{name}/{namespace}") };
        let subject = match text(&self.subject["namespace"]) {
            _ if self.subject["kind"] != "ServiceAccount" => text(&self.subject["name"]).to_owned(),
            "" => format!("{}/{namespace}", text(&self.subject["name"])),
            own => format!("{}/{own}", text(&self.subject["name"])),
        };
        format!(
            "{kind} {} of {} {} to {} {}",
            quote(&binding),
            text(&reference["kind"]),
            quote(text(&reference["name"])),
            text(&self.subject["kind"]),
            quote(&subject)
        )
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Offers each rule that applies to a user in a namespace, until one is taken. Returns what could not be looked up.
fn visit(
    store: &Store,
    user: &User,
    namespace: &str,
    mut take: impl FnMut(&Source<'_>, &Value) -> bool,
) -> Vec<String> {
    let bindings = |resource: &str, namespace: Option<&str>| {
        let bindings = store.list(&GroupResource::new(GROUP, resource), namespace, None);
        // The present is never compacted.
        bindings.map(|snapshot| snapshot.objects).unwrap_or_default()
    };
    let mut all = bindings("clusterrolebindings", None);
    if !namespace.is_empty() {
        all.extend(bindings("rolebindings", Some(namespace)));
    }
    let mut missing = Vec::new();
    for binding in all.iter().map(|binding| &binding.value) {
        let Some(subject) = subject_of(binding, user) else { continue };
        match rules_of_role(store, &binding["roleRef"], meta(binding, "namespace")) {
            Ok(rules) => {
                let source = Source { binding, subject };
                if rules.iter().any(|rule| take(&source, rule)) {
                    return missing;
                }
            }
            Err(error) if missing.contains(&error.message) => {}
            Err(error) => missing.push(error.message),
        }
    }
    missing
}

/// As whom a binding means a user; none where it does not.
fn subject_of<'a>(binding: &'a Value, user: &User) -> Option<&'a Value> {
    let mut subjects = binding["subjects"].as_array().into_iter().flatten();
    subjects.find(|subject| {
        let name = text(&subject["name"]);
        match subject["kind"].as_str() {
            Some("User") => name == user.name,
            Some("Group") => user.is_in(name),
            Some("ServiceAccount") => {
                let namespace = subject["namespace"].as_str().unwrap_or(meta(binding, "namespace"));
                user.name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once(':')) == Some((namespace, name))
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
