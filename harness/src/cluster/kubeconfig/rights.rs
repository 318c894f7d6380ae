//! What a run has to be allowed to do on a cluster, asked for before anything is made: half a scenario is worse than none.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

/// How many questions are under way at a time.
const AT_ONCE: usize = 8;

/// Verbs, group and resource: namespaces and nodes of our own, what simulated kubelets do, what installs the operator,
/// and acting as it.
const NEEDED: [(&[&str], &str, &str); 18] = [
    (&["get", "list", "create", "delete"], "", "namespaces"),
    (&["get", "list", "create", "delete", "patch"], "", "nodes"),
    (&["get", "list", "watch", "create", "delete", "deletecollection"], "", "pods"),
    (&["patch"], "", "pods/status"),
    (&["create", "patch", "list"], "", "events"),
    (&["get"], "", "configmaps"),
    (&["get"], "", "secrets"),
    (&["create", "get", "list", "patch"], "", "serviceaccounts"),
    (&["create"], "", "serviceaccounts/token"),
    (&["create", "patch", "delete"], "coordination.k8s.io", "leases"),
    (&["get", "list", "watch", "create", "patch", "delete"], "apiextensions.k8s.io", "customresourcedefinitions"),
    (&["get", "create", "patch", "delete", "bind", "escalate"], "rbac.authorization.k8s.io", "clusterroles"),
    (&["get", "create", "patch", "delete"], "rbac.authorization.k8s.io", "clusterrolebindings"),
    (&["get", "create", "patch", "delete"], "rbac.authorization.k8s.io", "roles"),
    (&["get", "create", "patch", "delete"], "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    (&["get", "create", "patch", "delete"], "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    (&["impersonate"], "", "users"),
    (&["impersonate"], "", "groups"),
];

/// What the client's user may not do, each as `verb resource`.
pub(super) async fn missing(client: &Client) -> Result<Vec<String>, kube::Error> {
    if may(client, "*", "*", "*").await? {
        return Ok(Vec::new());
    }
    let questions = NEEDED.into_iter().flat_map(|(verbs, group, resource)| {
        verbs.iter().map(move |verb| async move {
            let allowed = may(client, verb, group, resource).await?;
            Ok::<_, kube::Error>((!allowed).then(|| format!("{verb} {}", full_name(group, resource))))
        })
    });
    let answers: Vec<_> = futures::stream::iter(questions).buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn may(client: &Client, verb: &str, group: &str, resource: &str) -> Result<bool, kube::Error> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviewed = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(reviewed.status.is_some_and(|status| status.allowed))
}

fn full_name(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}
