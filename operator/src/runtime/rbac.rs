//! The service accounts, roles and bindings that the operator is installed with. Pure.
//!
//! | role | grants | bound |
//! | --- | --- | --- |
//! | `slipway-operator` | what the operator needs whatever it runs: its lease, its Secret, reviews of who asks for metrics | to the operator |
//! | `slipway-operator-<controller>` | what that controller needs | to the operator |
//! | `slipway-operator-<controller>-configuration` | its `ConfigMap` | to the operator |
//! | `slipway-operator-view`, `-edit` | custom resources, for people; part of `view`, `edit` and `admin` | with those |
//! | `slipway-operator-metrics-reader` | `/metrics` | to whoever scrapes, by the administrator |
//!
//! The agent's service account is bound to nothing, and its Pods get no token.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::core::ObjectMeta;
use serde::Serialize;

use super::Controller;
use super::rights::{Rights, named};
use crate::controllers::drain;

/// The name of the operator's Deployment, service account, lease and roles.
pub const NAME: &str = "slipway-operator";
/// Where the operator is installed unless told otherwise.
pub const NAMESPACE: &str = "slipway-system";
/// The service account of `MultiNIC` agents.
pub const AGENT: &str = "multinic-agent";
/// Where `MultiNIC` configurations, and so their agents, are unless told otherwise.
pub const AGENT_NAMESPACE: &str = "multinic-system";

const GROUP: &str = "rbac.authorization.k8s.io";

/// What is installed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The controllers that are to run.
    pub controllers: BTreeSet<Controller>,
    /// The only namespace that is looked at; all of them where there is none.
    pub watched: Option<String>,
    /// Where the operator runs.
    pub namespace: String,
    /// Where agents run.
    pub agent_namespace: String,
    /// The `ConfigMap` with the configuration of the drain controller: namespace and name.
    pub config_map: (String, String),
}

impl Default for Install {
    fn default() -> Self {
        Self {
            controllers: Controller::ALL.into(),
            watched: None,
            namespace: NAMESPACE.to_owned(),
            agent_namespace: AGENT_NAMESPACE.to_owned(),
            config_map: (NAMESPACE.to_owned(), drain::Settings::default().config_map_name),
        }
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each is named as its kind")]
pub enum Manifest {
    ServiceAccount(ServiceAccount),
    ClusterRole(ClusterRole),
    ClusterRoleBinding(ClusterRoleBinding),
    Role(Role),
    RoleBinding(RoleBinding),
}

/// Objects that are installed together, and the stem of the file they are in.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Like `hello`.
    pub name: String,
    /// The objects, in the order they are applied.
    pub manifests: Vec<Manifest>,
}

/// Everything that an installation needs, in parts.
pub fn parts(install: &Install) -> Vec<Part> {
    let mut manager = vec![service_account(NAME, &install.namespace)];
    manager.extend(grants(NAME, &Rights::of_the_manager(), install));
    let mut parts = vec![Part { name: "manager".to_owned(), manifests: manager }];
    for controller in &install.controllers {
        let mut manifests = grants(&format!("{NAME}-{}", controller.name()), &controller.rights(), install);
        if *controller == Controller::Multinic {
            manifests.push(service_account(AGENT, install.watched.as_ref().unwrap_or(&install.agent_namespace)));
        }
        parts.push(Part { name: controller.name().to_owned(), manifests });
    }
    parts.push(Part { name: "people".to_owned(), manifests: for_people(&install.controllers) });
    parts
}

/// The roles that grant these rights, and their bindings to the operator.
fn grants(name: &str, rights: &Rights, install: &Install) -> Vec<Manifest> {
    let Rights { looked_at, cluster, own, configuration } = rights.clone();
    let mut manifests = Vec::new();
    let everywhere = match &install.watched {
        None => [looked_at, cluster].concat(),
        Some(watched) => {
            manifests.extend(role(name, watched, looked_at, install));
            cluster
        }
    };
    if !everywhere.is_empty() {
        manifests.insert(0, cluster_role(name, everywhere, None));
        manifests.insert(1, cluster_role_binding(name, install));
    }
    // Where both are one namespace, a second role of the same name would replace the first.
    let own_name =
        if install.watched.as_ref() == Some(&install.namespace) { format!("{name}-own") } else { name.into() };
    manifests.extend(role(&own_name, &install.namespace, own, install));
    let (namespace, config_map) = &install.config_map;
    let configuration = configuration.into_iter().map(|rule| named(rule, config_map)).collect();
    manifests.extend(role(&format!("{name}-configuration"), namespace, configuration, install));
    manifests
}

fn role(name: &str, namespace: &str, rules: Vec<PolicyRule>, install: &Install) -> Vec<Manifest> {
    if rules.is_empty() {
        return Vec::new();
    }
    let metadata = metadata(name, Some(namespace));
    let binding =
        RoleBinding { metadata: metadata.clone(), role_ref: role_ref("Role", name), subjects: Some(subjects(install)) };
    vec![Manifest::Role(Role { metadata, rules: Some(rules) }), Manifest::RoleBinding(binding)]
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>, aggregate_to: Option<&[&str]>) -> Manifest {
    let mut metadata = metadata(name, None);
    for role in aggregate_to.into_iter().flatten() {
        let label = format!("{GROUP}/aggregate-to-{role}");
        metadata.labels.get_or_insert_default().insert(label, "true".to_owned());
    }
    Manifest::ClusterRole(ClusterRole { metadata, rules: Some(rules), ..ClusterRole::default() })
}

fn cluster_role_binding(name: &str, install: &Install) -> Manifest {
    Manifest::ClusterRoleBinding(ClusterRoleBinding {
        metadata: metadata(name, None),
        role_ref: role_ref("ClusterRole", name),
        subjects: Some(subjects(install)),
    })
}

/// Roles for whoever uses the custom resources, and for whoever reads the metrics.
fn for_people(controllers: &BTreeSet<Controller>) -> Vec<Manifest> {
    let mut manifests = Vec::new();
    let rules = |verbs: &[&str]| {
        let crds = controllers.iter().flat_map(|controller| controller.crds());
        let rule = crds.map(|crd| PolicyRule {
            api_groups: Some(vec![crd.spec.group]),
            resources: Some(vec![crd.spec.names.plural]),
            verbs: verbs.iter().map(ToString::to_string).collect(),
            ..PolicyRule::default()
        });
        rule.collect::<Vec<_>>()
    };
    let read = rules(&["get", "list", "watch"]);
    if !read.is_empty() {
        manifests.push(cluster_role(&format!("{NAME}-view"), read, Some(&["view", "edit", "admin"])));
        let write = rules(&["create", "update", "patch", "delete", "deletecollection"]);
        manifests.push(cluster_role(&format!("{NAME}-edit"), write, Some(&["edit", "admin"])));
    }
    let scrape = PolicyRule {
        non_resource_urls: Some(vec!["/metrics".to_owned()]),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    manifests.push(cluster_role(&format!("{NAME}-metrics-reader"), vec![scrape], None));
    manifests
}

fn service_account(name: &str, namespace: &str) -> Manifest {
    Manifest::ServiceAccount(ServiceAccount {
        metadata: metadata(name, Some(namespace)),
        // A Pod that needs its token says so itself.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

fn subjects(install: &Install) -> Vec<Subject> {
    let subject = Subject {
        kind: "ServiceAccount".to_owned(),
        name: NAME.to_owned(),
        namespace: Some(install.namespace.clone()),
        ..Subject::default()
    };
    vec![subject]
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some(GROUP.to_owned()), kind: kind.to_owned(), name: name.to_owned() }
}

fn metadata(name: &str, namespace: Option<&str>) -> ObjectMeta {
    let labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), NAME.to_owned())]);
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(install: &Install) -> Vec<Manifest> {
        parts(install).into_iter().flat_map(|part| part.manifests).collect()
    }

    #[test]
    fn an_operator_that_looks_at_one_namespace_has_no_rights_in_others() {
        let install = Install { watched: Some("here".to_owned()), ..Install::default() };
        for manifest in of(&install) {
            match manifest {
                Manifest::Role(role) => {
                    assert!(["here", NAMESPACE].contains(&role.metadata.namespace.as_deref().unwrap()));
                }
                Manifest::ClusterRole(role) if role.metadata.name.as_deref() == Some("slipway-operator-multinic") => {
                    let resources = role.rules.iter().flatten().flat_map(|rule| rule.resources.clone().unwrap());
                    assert_eq!(resources.collect::<Vec<_>>(), ["nodes"]);
                }
                Manifest::ClusterRole(role) => {
                    assert_ne!(role.metadata.name.as_deref(), Some("slipway-operator-hello"));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn objects_of_one_kind_never_share_a_name() {
        for watched in [None, Some("here"), Some(NAMESPACE)] {
            let install = Install { watched: watched.map(str::to_owned), ..Install::default() };
            let mut seen = BTreeSet::new();
            for manifest in of(&install) {
                let value = serde_json::to_value(&manifest).unwrap();
                let key = (value["kind"].to_string(), value["metadata"]["namespace"].to_string());
                assert!(seen.insert((key, value["metadata"]["name"].to_string())), "{value}");
            }
        }
    }

    #[test]
    fn the_agent_is_bound_to_nothing_and_gets_no_token() {
        let manifests = of(&Install::default());
        let agent = manifests.iter().find_map(|manifest| match manifest {
            Manifest::ServiceAccount(account) if account.metadata.name.as_deref() == Some(AGENT) => Some(account),
            _ => None,
        });
        assert_eq!(agent.unwrap().automount_service_account_token, Some(false));
        for manifest in &manifests {
            let (Manifest::RoleBinding(RoleBinding { subjects, .. })
            | Manifest::ClusterRoleBinding(ClusterRoleBinding { subjects, .. })) = manifest
            else {
                continue;
            };
            assert!(subjects.iter().flatten().all(|subject| subject.name == NAME));
        }
    }

    #[test]
    fn only_the_chosen_controllers_get_rights() {
        let install = Install { controllers: [Controller::Hello].into(), ..Install::default() };
        let names: Vec<_> = parts(&install).into_iter().map(|part| part.name).collect();
        assert_eq!(names, ["manager", "hello", "people"]);
        let text = serde_json::to_string(&of(&install)).unwrap();
        assert!(text.contains("hellos/status") && !text.contains("multinic"), "{text}");
    }
}
