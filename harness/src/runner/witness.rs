//! Looks at what a scenario leaves on its cluster, once nothing changes there any more. It reads, and changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::discovery::{ApiGroup, Discovery, Scope};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::parity::{Names, Witness};
use crate::scenario::plan::Plan;

/// How long nothing may change before it counts as the end.
const CALM: Duration = Duration::from_millis(500);
/// How often that is waited for: a program that writes all the time is a difference of its own.
const LOOKS_MAX: usize = 20;

/// Where Events about objects of cluster scope are.
const DEFAULT: &str = "default";

/// Kinds that tell of a cluster and not of a scenario: records, elections, measurements.
const OF_THE_CLUSTER: [&str; 3] = ["events", "leases", "pods.metrics.k8s.io"];
/// What every namespace has.
const OF_EVERY_NAMESPACE: [(&str, &str); 2] = [("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")];

/// What there is in the end.
pub(super) async fn witness(client: &Client, plan: &Plan, namespace: &str) -> Result<Witness, kube::Error> {
    let mut last = look(client, plan, namespace).await?;
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(CALM).await;
        let now = look(client, plan, namespace).await?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

async fn look(client: &Client, plan: &Plan, namespace: &str) -> Result<Witness, kube::Error> {
    let names = Names::new(namespace);
    let (mut witness, mut uids) = (Witness::default(), BTreeSet::new());
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let kinds = discovery.groups().flat_map(ApiGroup::recommended_resources);
    for (kind, can) in kinds.filter(|(_, can)| can.supports_operation("list")) {
        if OF_THE_CLUSTER.contains(&kind.plural.as_str()) || OF_THE_CLUSTER.contains(&full(&kind).as_str()) {
            continue;
        }
        let is_namespaced = can.scope == Scope::Namespaced;
        let api: Api<DynamicObject> = if is_namespaced {
            Api::namespaced_with(client.clone(), namespace, &kind)
        } else if is_custom(&kind) || kind.kind == "Node" {
            Api::all_with(client.clone(), &kind)
        } else {
            continue;
        };
        for object in api.list(&ListParams::default()).await?.items {
            let name = object.name_any();
            let is_foreign_node = kind.kind == "Node" && !plan.nodes.iter().any(|node| node.name == name);
            if is_foreign_node || OF_EVERY_NAMESPACE.contains(&(kind.kind.as_str(), name.as_str())) {
                continue;
            }
            uids.extend(object.uid());
            let mut value = serde_json::to_value(&object).map_err(kube::Error::SerdeError)?;
            // The items of a list do not say what they are.
            value["apiVersion"] = kind.api_version.as_str().into();
            value["kind"] = kind.kind.as_str().into();
            witness.saw(&value, &names);
        }
    }
    for event in events(client, namespace, &uids).await? {
        let about = json!({"kind": event.involved_object.kind, "name": event.involved_object.name});
        witness.heard(&about, event.reason.as_deref().unwrap_or_default(), &names);
    }
    Ok(witness)
}

/// The Events of the namespace, and those about objects of cluster scope, in the order in which they came.
async fn events(client: &Client, namespace: &str, uids: &BTreeSet<String>) -> Result<Vec<Event>, kube::Error> {
    let list = |namespace: &str| {
        let api: Api<Event> = Api::namespaced(client.clone(), namespace);
        async move { api.list(&ListParams::default()).await.map(|events| events.items) }
    };
    let mut events = list(namespace).await?;
    if namespace != DEFAULT {
        let ours = |event: &Event| event.involved_object.uid.as_ref().is_some_and(|uid| uids.contains(uid));
        events.extend(list(DEFAULT).await?.into_iter().filter(ours));
    }
    events.sort_by_key(|event| {
        let first = event.event_time.as_ref().map(|time| time.0);
        let first = first.or_else(|| event.first_timestamp.as_ref().map(|time| time.0));
        let version = event.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
        // Both clocks may be coarser than what they tell of.
        (first.map(Timestamp::as_second), version)
    });
    Ok(events)
}

fn full(kind: &ApiResource) -> String {
    format!("{}.{}", kind.plural, kind.group)
}

/// Kinds of Kubernetes itself have a group without a dot, or one of `k8s.io`.
fn is_custom(kind: &ApiResource) -> bool {
    kind.group.contains('.') && !kind.group.ends_with(".k8s.io")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_definition_brought_is_looked_at_across_the_cluster() {
        let kind = |group: &str| ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "K".to_owned(),
            plural: "ks".to_owned(),
        };
        for (group, custom) in
            [("", false), ("apps", false), ("rbac.authorization.k8s.io", false), ("multinic.io", true)]
        {
            assert_eq!(is_custom(&kind(group)), custom, "{group}");
        }
    }
}
