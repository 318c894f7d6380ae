//! Nobody grants what they do not hold: the check behind every write of a role or a binding.
//!
//! Who may `escalate` roles or `bind` them is asked nothing, and neither are administrators.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rbac::{self, rules_of_role};
use super::user::MASTERS;
use super::{Attributes, User};
use crate::field::quote;
use crate::go::quoted_list;
use crate::handle::Call;
use crate::lifecycle::{meta, metadata};
use crate::status::ApiError;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a role or binding that grants more than its writer holds; `old` is none for a new one.
///
/// # Errors
/// 403 with what is missing, 404 for a binding to a role that is not there.
pub(crate) fn check(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    if call.resource.group != GROUP || call.user.is_in(MASTERS) || old.is_some_and(|old| grants_alike(new, old)) {
        return Ok(());
    }
    let plural = call.resource.plural.as_str();
    let forbidden = |why: &str| ApiError::forbidden(GROUP, plural, meta(new, "name"), why);
    let granted = match plural {
        "roles" | "clusterroles" => {
            if may(call, "escalate", plural, &call.target.name) {
                return Ok(());
            }
            let collects = |role: &Value| role["aggregationRule"].is_object();
            let everything = || {
                vec![
                    json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
                    json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
                ]
            };
            if (collects(new) || old.is_some_and(collects)) && hold(call, &everything()).is_err() {
                return Err(forbidden("must have cluster-admin privileges to use the aggregationRule"));
            }
            new["rules"].as_array().cloned().unwrap_or_default()
        }
        "rolebindings" | "clusterrolebindings" => {
            let reference = &new["roleRef"];
            let role = if reference["kind"] == "ClusterRole" { "clusterroles" } else { "roles" };
            if may(call, "bind", role, text(&reference["name"])) {
                return Ok(());
            }
            rules_of_role(call.store(), reference, &call.target.namespace)?
        }
        _ => return Ok(()),
    };
    hold(call, &granted).map_err(|why| forbidden(&why))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn may(call: &Call, verb: &str, resource: &str, name: &str) -> bool {
    let about = Attributes {
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        namespace: call.target.namespace.clone(),
        path: None,
    };
    rbac::decide(call.store(), &call.user, &about).allowed
}

/// Whether only what garbage collection needs differs.
fn grants_alike(new: &Value, old: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
            metadata(&mut object).remove(field);
        }
        object
    };
    bare(new) == bare(old)
}

/// Whether the request's user holds these rules; else what is missing, in the words of a real server.
fn hold(call: &Call, wanted: &[Value]) -> Result<(), String> {
    let (held, unresolved) = rbac::rules_for(call.store(), &call.user, &call.target.namespace);
    let missing = missing(&held, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let told: BTreeSet<String> = compact(missing).iter().map(describe).collect();
    let told: Vec<String> = told.into_iter().collect();
    let User { name, groups, .. } = call.user.as_ref();
    let mut message = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(name),
        quoted_list(groups),
        told.join("\n")
    );
    if !unresolved.is_empty() {
        message.push_str("; resolution errors: [");
        message.push_str(&unresolved.join(", "));
        message.push(']');
    }
    Err(message)
}

/// The parts of `wanted`, each of one verb on one resource or path, that no rule of `held` covers.
fn missing(held: &[Value], wanted: &[Value]) -> Vec<Part> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !held.iter().any(|rule| covers(rule, part))).collect()
}

/// One verb on one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Resource { group: String, resource: String, name: Option<String>, verbs: Vec<String> },
    Path { path: String, verb: String },
}

fn words<'a>(rule: &'a Value, field: &str) -> impl Iterator<Item = &'a str> + Clone {
    rule[field].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str)
}

fn parts(rule: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    let names: Vec<Option<String>> = match words(rule, "resourceNames").map(str::to_owned).collect::<Vec<_>>() {
        names if names.is_empty() => vec![None],
        names => names.into_iter().map(Some).collect(),
    };
    for group in words(rule, "apiGroups") {
        for resource in words(rule, "resources") {
            for verb in words(rule, "verbs") {
                parts.extend(names.iter().map(|name| Part::Resource {
                    group: group.to_owned(),
                    resource: resource.to_owned(),
                    name: name.clone(),
                    verbs: vec![verb.to_owned()],
                }));
            }
        }
    }
    for path in words(rule, "nonResourceURLs") {
        parts.extend(words(rule, "verbs").map(|verb| Part::Path { path: path.to_owned(), verb: verb.to_owned() }));
    }
    parts
}

fn covers(rule: &Value, part: &Part) -> bool {
    let has = |field: &str, wanted: &str| words(rule, field).any(|word| word == "*" || word == wanted);
    match part {
        Part::Path { path, verb } => {
            let reaches = |pattern: &str| {
                pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
            };
            has("verbs", verb) && words(rule, "nonResourceURLs").any(reaches)
        }
        Part::Resource { group, resource, name, verbs } => {
            let below = resource
                .split_once('/')
                .is_some_and(|(_, sub)| words(rule, "resources").any(|word| word.strip_prefix("*/") == Some(sub)));
            let mut names = words(rule, "resourceNames").peekable();
            let meant = names.peek().is_none() || name.as_deref().is_some_and(|name| names.any(|own| own == name));
            verbs.iter().all(|verb| has("verbs", verb))
                && has("apiGroups", group)
                && (has("resources", resource) || below)
                && meant
        }
    }
}

/// Puts the verbs on one resource together.
fn compact(missing: Vec<Part>) -> Vec<Part> {
    let mut compacted: Vec<Part> = Vec::new();
    for part in missing {
        let Part::Resource { group, resource, name, verbs } = &part else {
            compacted.push(part);
            continue;
        };
        let same = compacted.iter_mut().find_map(|known| match known {
            Part::Resource { group: g, resource: r, name: n, verbs } if (&*g, &*r, &*n) == (group, resource, name) => {
                Some(verbs)
            }
            _ => None,
        });
        match same {
            Some(known) => {
                let fresh: Vec<String> = verbs.iter().filter(|verb| !known.contains(verb)).cloned().collect();
                known.extend(fresh);
            }
            None => compacted.push(part),
        }
    }
    compacted
}

fn describe(part: &Part) -> String {
    let one = |text: &String| quoted_list(std::slice::from_ref(text));
    match part {
        Part::Path { path, verb } => format!("{{NonResourceURLs:{}, Verbs:{}}}", one(path), one(verb)),
        Part::Resource { group, resource, name, verbs } => {
            let name = name.as_ref().map(|name| format!(", ResourceNames:{}", one(name))).unwrap_or_default();
            format!("{{APIGroups:{}, Resources:{}{name}, Verbs:{}}}", one(group), one(resource), quoted_list(verbs))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(resources: &[&str], verbs: &[&str], names: &[&str]) -> Value {
        json!({"apiGroups": [""], "resources": resources, "verbs": verbs, "resourceNames": names})
    }

    #[test]
    fn what_is_missing_is_told_verb_by_verb() {
        let paths = |paths: &[&str], verbs: &[&str]| json!({"nonResourceURLs": paths, "verbs": verbs});
        let everything = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
        let cases = [
            (rule(&["pods"], &["get", "list"], &[]), rule(&["pods"], &["get"], &[]), ""),
            (
                rule(&["pods"], &["get"], &[]),
                rule(&["pods"], &["get", "delete", "list"], &[]),
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "list"]}"#,
            ),
            (rule(&["pods"], &["get"], &[]), rule(&["pods"], &["get"], &["mine"]), ""),
            (
                rule(&["pods"], &["get"], &["mine"]),
                rule(&["pods"], &["get"], &["mine", "yours"]),
                r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["yours"], Verbs:["get"]}"#,
            ),
            (
                rule(&["pods"], &["get"], &["mine"]),
                rule(&["pods"], &["get"], &[]),
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#,
            ),
            (rule(&["*/log"], &["get"], &[]), rule(&["pods/log"], &["get"], &[]), ""),
            (everything.clone(), rule(&["pods/exec"], &["create"], &["x"]), ""),
            (rule(&["pods"], &["get"], &[]), everything, r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#),
            (paths(&["/api/*"], &["get"]), paths(&["/api/v1"], &["get"]), ""),
            (
                paths(&["/api/*"], &["get"]),
                paths(&["/api/v1", "/metrics"], &["get"]),
                r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#,
            ),
        ];
        for (held, wanted, expected) in cases {
            let told: Vec<String> = compact(missing(&[held], &[wanted])).iter().map(describe).collect();
            assert_eq!(told.join("\n"), expected);
        }
    }

    #[test]
    fn a_change_that_only_lets_go_of_an_object_grants_nothing() {
        let role = json!({"metadata": {"name": "r", "finalizers": ["a"], "resourceVersion": "1"}, "rules": []});
        let released = json!({"metadata": {"name": "r", "resourceVersion": "1"}, "rules": []});
        let wider = json!({"metadata": {"name": "r"}, "rules": [rule(&["pods"], &["get"], &[])]});
        assert!(grants_alike(&released, &role));
        assert!(!grants_alike(&wider, &role));
    }
}
