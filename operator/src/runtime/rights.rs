//! What a controller may do on a cluster, and no more. [`super::rbac`] makes the roles of it.
//!
//! A right is missing here until something fails without it, and a scenario shows that: scenarios run with exactly these.

use k8s_openapi::api::rbac::v1::PolicyRule;

use serde::Serialize;

use super::Controller;
use crate::controllers::drain::connections;

/// Rights, by where they are needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rights {
    /// On objects in the namespaces that are looked at.
    pub looked_at: Vec<PolicyRule>,
    /// On objects that are in no namespace.
    pub cluster: Vec<PolicyRule>,
    /// On objects in the operator's own namespace.
    pub own: Vec<PolicyRule>,
    /// On the `ConfigMap` that holds its configuration, wherever that is.
    pub configuration: Vec<PolicyRule>,
}

impl Controller {
    /// The rights it needs.
    pub fn rights(self) -> Rights {
        match self {
            Self::Hello => Rights {
                looked_at: vec![
                    // Finalizers are set by a patch of the object itself.
                    rule("demo.example.com", &["hellos"], &["get", "list", "watch", "patch"]),
                    rule("demo.example.com", &["hellos/status"], &["patch"]),
                    rule("", &["events"], &["create"]),
                ],
                ..Rights::default()
            },
            Self::Multinic => Rights {
                looked_at: vec![
                    rule("multinic.io", &["multinicnodeconfigs"], &["get", "list", "watch", "patch"]),
                    rule("multinic.io", &["multinicnodeconfigs/status"], &["patch"]),
                    rule("batch", &["jobs"], &["list", "watch", "create", "delete"]),
                    rule("", &["pods"], &["list", "watch"]),
                    rule("", &["events"], &["create"]),
                ],
                cluster: vec![rule("", &["nodes"], &["get", "list", "watch"])],
                ..Rights::default()
            },
            Self::Drain => {
                let mut looked_at = vec![
                    // Finalizers, annotations and labels are set by a patch of the Pod itself.
                    rule("", &["pods"], &["get", "list", "watch", "patch"]),
                    rule("", &["pods/status"], &["patch"]),
                    rule("", &["pods/eviction"], &["create"]),
                    rule("", &["services", "persistentvolumeclaims"], &["list"]),
                    rule("apps", &["statefulsets"], &["get"]),
                    rule("policy", &["poddisruptionbudgets"], &["list"]),
                    rule("", &["events"], &["create"]),
                ];
                looked_at.extend(connections::rules(&connections::Source::defaults()));
                Rights {
                    looked_at,
                    cluster: vec![
                        rule("", &["namespaces"], &["get", "list", "watch"]),
                        rule("storage.k8s.io", &["volumeattachments"], &["list"]),
                    ],
                    own: vec![rule("", &["events"], &["create"])],
                    configuration: vec![rule("", &["configmaps"], &["list", "watch"])],
                }
            }
        }
    }
}

impl Rights {
    /// What the operator needs whichever controllers it runs.
    pub fn of_the_manager() -> Self {
        Self {
            // A role cannot say which name may be created.
            own: vec![
                rule("coordination.k8s.io", &["leases"], &["create"]),
                named(rule("coordination.k8s.io", &["leases"], &["get", "update"]), super::rbac::NAME),
                // The certificate that replicas share.
                rule("", &["secrets"], &["create"]),
                named(rule("", &["secrets"], &["get", "update"]), super::serve::SECRET),
            ],
            // Whoever asks for metrics is looked up with the API server.
            cluster: vec![
                rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
                rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
                // They are told who vouches for the certificate.
                named(
                    rule(
                        "admissionregistration.k8s.io",
                        &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
                        &["get", "update"],
                    ),
                    super::serve::WEBHOOK_CONFIGURATION,
                ),
            ],
            ..Self::default()
        }
    }
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(texts(resources)),
        verbs: texts(verbs),
        ..PolicyRule::default()
    }
}

/// The rule for the object of this name only.
pub(super) fn named(rule: PolicyRule, name: &str) -> PolicyRule {
    PolicyRule { resource_names: Some(vec![name.to_owned()]), ..rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds that are in no namespace, of those that operators have to do with.
    const CLUSTER_SCOPED: [&str; 9] = [
        "nodes",
        "namespaces",
        "persistentvolumes",
        "volumeattachments",
        "customresourcedefinitions",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "tokenreviews",
        "subjectaccessreviews",
    ];

    fn every() -> impl Iterator<Item = Rights> {
        Controller::ALL.into_iter().map(Controller::rights).chain([Rights::of_the_manager()])
    }

    #[test]
    fn a_right_stands_where_it_is_of_use() {
        let in_none = |rule: &PolicyRule| {
            let resources = rule.resources.iter().flatten();
            resources.map(|resource| CLUSTER_SCOPED.contains(&resource.as_str())).collect::<Vec<_>>()
        };
        for Rights { looked_at, cluster, own, configuration } in every() {
            for rule in &cluster {
                assert!(in_none(rule).into_iter().all(|scoped| scoped), "{rule:?}");
            }
            for rule in looked_at.iter().chain(&own).chain(&configuration) {
                assert!(in_none(rule).into_iter().all(|scoped| !scoped), "a Role cannot grant {rule:?}");
            }
        }
    }

    #[test]
    fn nothing_is_granted_by_a_wildcard_and_nothing_that_gives_more_rights() {
        for Rights { looked_at, cluster, own, configuration } in every() {
            for rule in looked_at.iter().chain(&cluster).chain(&own).chain(&configuration) {
                let groups = rule.api_groups.iter().flatten();
                let words = rule.verbs.iter().chain(rule.resources.iter().flatten()).chain(groups);
                for word in words {
                    assert!(!["*", "escalate", "bind", "impersonate", "deletecollection"].contains(&word.as_str()));
                    assert!(!word.starts_with("serviceaccounts") && word != "rbac.authorization.k8s.io", "{rule:?}");
                }
                let resources: Vec<_> = rule.resources.iter().flatten().collect();
                let unnamed = rule.resource_names.is_none() && rule.verbs != ["create"];
                assert!(
                    !(unnamed && resources.iter().any(|it| *it == "secrets")),
                    "every Secret can be read: {rule:?}"
                );
            }
        }
    }
}
