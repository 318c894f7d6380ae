//! What a controller may do on a cluster, and no more: the rules of the role that its service account is bound to.

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::Controller;

impl Controller {
    /// The rights it needs, cluster-wide unless it is told to look at one namespace only.
    pub fn rules(self) -> Vec<PolicyRule> {
        match self {
            Self::Hello => vec![
                // Finalizers are set by a patch of the object itself.
                rule("demo.example.com", &["hellos"], &["get", "list", "watch", "patch"]),
                rule("demo.example.com", &["hellos/status"], &["patch"]),
                rule("", &["events"], &["create"]),
            ],
            Self::Drain => Vec::new(),
            Self::Multinic => vec![
                // Finalizers are set by a patch of the object itself.
                rule("multinic.io", &["multinicnodeconfigs"], &["get", "list", "watch", "patch"]),
                rule("multinic.io", &["multinicnodeconfigs/status"], &["patch"]),
                rule("batch", &["jobs"], &["list", "watch", "create", "delete"]),
                rule("", &["nodes"], &["get", "list", "watch"]),
                rule("", &["pods"], &["list", "watch"]),
                rule("", &["events"], &["create"]),
            ],
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
