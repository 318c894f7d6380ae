//! Whether a scenario can have the nodes that a cluster offers. Pure.

use serde_json::Value;

use super::agent;
use crate::cluster::embedded::node::images;
use crate::cluster::embedded::node::program::Programs;
use crate::scenario::image::Image;
use crate::scenario::node::{Isolation, NodeSpec};
use crate::scenario::operator::Which;
use crate::scenario::plan::{Action, Plan};

/// The controller whose Pods are for nodes.
const AGENTS: &str = "multinic";

/// What a scenario's nodes would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machines {
    /// Ours, with programs of ours.
    Simulated,
    /// Machines with kubelets of their own.
    Real {
        /// Whether images were brought for them.
        images: bool,
    },
    /// One or the other: it shows when the cluster has been started.
    Unknown,
}

/// Why a scenario cannot have such nodes; none where it can.
pub(super) fn misfit(plan: &Plan, machines: Machines) -> Option<String> {
    match machines {
        Machines::Unknown => None,
        Machines::Simulated => {
            let why = plan.needs.pod_access.as_ref()?;
            Some(format!("needs an API server that reaches into Pods of simulated nodes: {why}"))
        }
        Machines::Real { images } => unreal(plan, images),
    }
}

/// What a scenario asks of its nodes that only simulated ones have.
fn unreal(plan: &Plan, have_images: bool) -> Option<String> {
    let later = plan.steps.iter().filter_map(|step| match &step.action {
        Action::AddNode(spec) => Some(&**spec),
        _ => None,
    });
    let mut nodes = plan.nodes.iter().chain(later).peekable();
    if plan.isolation == Isolation::Netns && nodes.peek().is_some() {
        return Some("its nodes have network namespaces of this process, and real ones have their own".to_owned());
    }
    if let Some(NodeSpec { name, .. }) = nodes.find(|node| node.system_uuid.is_some()) {
        return Some(format!("it says which systemUUID {name} has, and that of a real node is its machine's"));
    }
    if plan.steps.iter().any(|step| matches!(step.action, Action::StartTraffic { .. })) {
        return Some("its requests go to Pods of simulated nodes, which only this process reaches".to_owned());
    }
    let operator = plan.operator.as_ref().map(|operator| &operator.which);
    if let Some(Which::BuiltIn(ours)) = operator
        && ours.controllers.iter().any(|controller| controller == AGENTS)
        && !have_images
    {
        return Some(
            "its operator runs an agent on real nodes, whose image nobody has brought: --image-archive or --image-build".to_owned(),
        );
    }
    if let Some(Image { image, .. }) = plan.images.first() {
        return Some(format!("it says what stands in for the image {image}, which only simulated nodes know"));
    }
    let simulated = images::all(Programs::new());
    let brought = agent::programs(&[]);
    let run: Vec<&str> = manifests(plan).flat_map(images_of).collect();
    if let Some(image) = run.iter().find(|image| simulated.find(image).is_some()) {
        return Some(format!("its Pods run {image}, which is a program of simulated nodes and no image"));
    }
    let image = run.iter().find(|image| !have_images && brought.find(image).is_some())?;
    Some(format!(
        "its Pods run {image} on real nodes, and nobody has brought the image: --image-archive or --image-build"
    ))
}

/// Everything that a scenario writes.
fn manifests(plan: &Plan) -> impl Iterator<Item = &Value> {
    let steps = plan.steps.iter().flat_map(|step| match &step.action {
        Action::Apply { manifests, .. } | Action::Create { manifests, .. } => manifests.iter().collect(),
        Action::Patch { patch, .. } => vec![patch],
        _ => Vec::new(),
    });
    let operator: &[Value] = match plan.operator.as_ref().map(|operator| &operator.which) {
        Some(Which::Command(program)) => &program.install,
        Some(Which::Deployed(deployed)) => &deployed.manifests,
        Some(Which::BuiltIn(_)) | None => &[],
    };
    operator.iter().chain(steps)
}

/// Every image that is named in an object, wherever its Pods are described.
fn images_of(object: &Value) -> Vec<&str> {
    match object {
        Value::Object(fields) => {
            let own = fields.get("image").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(images_of)).collect()
        }
        Value::Array(items) => items.iter().flat_map(images_of).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit::tests::plan;
    use super::*;

    #[test]
    fn what_only_simulated_nodes_have_is_not_asked_of_real_ones() {
        let pod = |image| {
            format!(
                "steps: [{{apply: {{manifest: {{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: \
                 [{{name: a, image: '{image}'}}]}}}}}}}}]"
            )
        };
        let bare = Machines::Real { images: false };
        let stocked = Machines::Real { images: true };
        let uuid = "steps: [{addNode: {name: b, systemUUID: ABCD}}]".to_owned();
        let netns = "nodes: {isolation: netns, list: [{name: a}]}\nsteps: [{advance: 1s}]".to_owned();
        let agents = "operator: {controllers: [multinic]}\nsteps: [{advance: 1s}]".to_owned();
        let inside = "needs: {podAccess: it looks inside}\nsteps: [{advance: 1s}]".to_owned();
        let stand_in = "images: [{image: '*'}]\nsteps: [{advance: 1s}]".to_owned();
        let traffic = "steps: [{traffic: {start: t, service: a}}, {traffic: {stop: t}}]".to_owned();
        let cases = [
            (pod("slipway.dev/pause:1"), stocked, Some("slipway.dev/pause:1, which is a program of simulated nodes")),
            (pod("slipway.dev/pause:1"), Machines::Simulated, None),
            (pod("slipway.dev/pause:1"), Machines::Unknown, None),
            (pod("registry.example/web:3"), bare, None),
            (pod("multinic-agent:1"), bare, Some("--image-archive")),
            (pod("multinic-agent:1"), stocked, None),
            (uuid, stocked, Some("which systemUUID b has")),
            (netns, stocked, Some("network namespaces of this process")),
            (agents.clone(), bare, Some("--image-archive")),
            (agents, stocked, None),
            (inside.clone(), stocked, None),
            (inside.clone(), Machines::Unknown, None),
            (inside, Machines::Simulated, Some("simulated nodes: it looks inside")),
            (stand_in, stocked, Some("what stands in for the image *")),
            (traffic, stocked, Some("its requests go to Pods")),
        ];
        for (text, machines, why) in cases {
            let got = misfit(&plan(&text), machines);
            match why {
                None => assert_eq!(got, None, "{text}"),
                Some(why) => assert!(got.as_ref().is_some_and(|got| got.contains(why)), "{text}: {got:?}"),
            }
        }
    }
}
