//! As many nodes as objects, each with a configuration of its interfaces: it is applied, changed and taken away.

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::follow::{Sight, Standing, Task, follow};
use super::theatre::{NAMESPACE, SAMPLE_EVERY, Theatre, kind};
use super::{BenchError, Listener, Load, Outcome, refused};
use crate::scenario::node::{LinkSpec, NodeSpec};

/// The MTU at first, and after the change.
const MTU: u32 = 1450;
const MTU_CHANGED: u32 = 1400;

pub(super) async fn run(load: Load, listener: Listener<'_>) -> Result<Outcome, BenchError> {
    let nodes = (0..load.objects).map(node).collect();
    let mut theatre = Theatre::build(&["multinic".to_owned()], nodes, load.time, load.seed).await?;
    let api: Api<DynamicObject> = Api::namespaced_with(theatre.cluster.client(), NAMESPACE, &resource());
    let names: Vec<String> = (0..load.objects).map(name).collect();
    theatre.start();
    let task = |phase| Task { phase, names: &names, at_once: load.at_once, api: api.clone() };
    let phases = theatre.perform(SAMPLE_EVERY, async {
        let configure = follow(task("configure"), listener, |name| create(&api, name), |sight| configured(&sight, 1));
        let configure = configure.await?;
        let change = follow(task("change"), listener, |name| change(&api, name), |sight| configured(&sight, 2)).await?;
        let gone = |sight: Sight<'_>| match sight {
            Sight::Gone => Standing::Done,
            Sight::There(_) => Standing::Under,
        };
        let clean_up = follow(task("clean up"), listener, |name| delete(&api, name), gone).await?;
        Ok(vec![configure, change, clean_up])
    });
    let phases = phases.await?;
    Ok(theatre.outcome(phases).await)
}

fn name(number: usize) -> String {
    format!("node-{number:05}")
}

fn mac(number: usize) -> String {
    let [.., high, middle, low] = number.to_be_bytes();
    format!("fa:16:3e:{high:02x}:{middle:02x}:{low:02x}")
}

fn node(number: usize) -> NodeSpec {
    let link = LinkSpec { name: "ens4".to_owned(), mac: mac(number), mtu: 1500, ..LinkSpec::default() };
    NodeSpec { name: name(number), os: Some("ubuntu-22.04".to_owned()), links: vec![link], ..NodeSpec::default() }
}

async fn create(api: &Api<DynamicObject>, name: String) -> Result<(), BenchError> {
    let mut object = DynamicObject::new(&name, &resource());
    object.data = json!({ "spec": { "nodeName": name, "interfaces": interfaces(&name, MTU) } });
    api.create(&PostParams::default(), &object).await.map(drop).map_err(refused("create", &name))
}

async fn change(api: &Api<DynamicObject>, name: String) -> Result<(), BenchError> {
    let patch = Patch::Merge(json!({ "spec": { "interfaces": interfaces(&name, MTU_CHANGED) } }));
    api.patch(&name, &PatchParams::default(), &patch).await.map(drop).map_err(refused("change", &name))
}

fn resource() -> ApiResource {
    kind("multinic.io", "v1alpha1", "MultiNicNodeConfig", "multinicnodeconfigs")
}

fn interfaces(name: &str, mtu: u32) -> Value {
    // The name ends in the number.
    let number: usize = name.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default();
    // The network's own address is nobody's.
    let [.., high, low] = (number + 1).to_be_bytes();
    json!([{
        "id": 1,
        "macAddress": mac(number),
        "address": format!("10.20.{high}.{low}"),
        "cidr": "10.20.0.0/16",
        "mtu": mtu,
    }])
}

async fn delete(api: &Api<DynamicObject>, name: String) -> Result<(), BenchError> {
    api.delete(&name, &DeleteParams::default()).await.map(drop).map_err(refused("delete", &name))
}

/// Whether a generation has come to its end.
fn configured(sight: &Sight<'_>, generation: i64) -> Standing {
    let Sight::There(object) = sight else { return Standing::Under };
    let status = object.data.get("status").unwrap_or(&Value::Null);
    let observed = status["observedGeneration"].as_i64().unwrap_or_default();
    match status["state"].as_str() {
        Some("Configured") if observed >= generation => Standing::Done,
        Some("Failed") if observed >= generation => Standing::Failed(status.clone()),
        _ => Standing::Under,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_generation_that_was_asked_for_counts() {
        let object = |state: &str, observed: i64| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": { "name": "one" }, "status": { "state": state, "observedGeneration": observed },
            }))
            .unwrap()
        };
        let standing = |object: &DynamicObject| match configured(&Sight::There(object), 2) {
            Standing::Under => "under",
            Standing::Done => "done",
            Standing::Failed(_) => "failed",
        };
        assert_eq!(standing(&object("Configured", 1)), "under");
        assert_eq!(standing(&object("InProgress", 2)), "under");
        assert_eq!(standing(&object("Configured", 2)), "done");
        assert_eq!(standing(&object("Failed", 2)), "failed");
        assert_eq!(standing(&object("Failed", 1)), "under", "what failed before was changed");
    }

    #[test]
    fn every_node_has_a_card_of_its_own() {
        let macs: std::collections::HashSet<String> = (0..70_000).map(mac).collect();
        assert_eq!(macs.len(), 70_000);
    }
}
