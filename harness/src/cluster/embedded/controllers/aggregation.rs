//! Cluster roles that collect the rules of others by label, like `admin`, `edit` and `view`.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Patch, PatchParams};
use kube::core::{Selector, SelectorExt};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::informer::{Informer, Key};
use super::queue::Queue;

/// Who owns the collected rules.
const MANAGER: &str = "clusterrole-aggregation-controller";

/// The controller.
pub(in crate::cluster::embedded) struct AggregationController {
    client: Client,
    roles: Informer<ClusterRole>,
    /// Any role may be collected by any other, so there is one thing to do.
    queue: Queue<()>,
}

impl AggregationController {
    /// A controller that hears of cluster roles from the cache.
    pub(in crate::cluster::embedded) fn new(client: Client, roles: Informer<ClusterRole>) -> Self {
        let queue = Queue::new();
        let heard = queue.clone();
        roles.on_change(move |_| heard.add(()));
        Self { client, roles, queue }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.roles.ready().await;
        loop {
            self.queue.next().await;
            match self.sync().await {
                Ok(()) => self.queue.forget(&()),
                Err(error) => {
                    tracing::debug!(%error, "will be collected later");
                    self.queue.retry(());
                }
            }
        }
    }

    async fn sync(&self) -> Result<(), kube::Error> {
        let all = self.roles.all();
        for role in &all {
            let Some(rules) = collected(role, &all).filter(|rules| *rules != role.rules.clone().unwrap_or_default())
            else {
                continue;
            };
            let name = role.name_any();
            let patch = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
                "rules": rules,
            });
            let api: Api<ClusterRole> = Api::all(self.client.clone());
            match api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch)).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => continue,
                answer => drop(answer?),
            }
            let (key, before) = (Key { namespace: String::new(), name }, role.resource_version());
            self.roles.until(&key, |shown| shown.is_none_or(|shown| shown.resource_version() != before)).await;
        }
        Ok(())
    }
}

/// The rules of the roles that a role collects, each once; none for a role that collects nothing.
fn collected(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let selectors = role.aggregation_rule.as_ref()?.cluster_role_selectors.iter().flatten();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors.filter_map(|selector| Selector::try_from(selector.clone()).ok()) {
        for other in all.iter().filter(|other| other.name_any() != role.name_any() && selector.matches(other.labels()))
        {
            for rule in other.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn role(name: &str, labels: &Value, verbs: &[&str]) -> Arc<ClusterRole> {
        let rules: Vec<Value> =
            verbs.iter().map(|verb| json!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]})).collect();
        let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
        Arc::new(serde_json::from_value(role).expect("a role"))
    }

    #[test]
    fn a_role_collects_each_rule_of_the_roles_it_selects_once() {
        let mut collector = role("all", &json!({"collect": "yes"}), &["old"]).as_ref().clone();
        let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {"collect": "yes"}}]});
        collector.aggregation_rule = serde_json::from_value(selectors).expect("a rule");
        let collector = Arc::new(collector);
        let all = [
            role("a", &json!({"collect": "yes"}), &["get", "list"]),
            Arc::clone(&collector),
            role("b", &json!({"collect": "no"}), &["delete"]),
            role("c", &json!({"collect": "yes"}), &["list", "watch"]),
        ];
        let verbs: Vec<String> =
            collected(&collector, &all).expect("it collects").into_iter().flat_map(|rule| rule.verbs).collect();
        assert_eq!(verbs, ["get", "list", "watch"]);
        assert_eq!(collected(&all[0], &all), None);
    }
}
