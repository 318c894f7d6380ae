//! What the API server knows about a drain under way. Client required; reads only, but for a disruption that is counted
//! against its budget.
//!
//! The Pod itself comes from the watch: every write is tied to the version that was looked at, so one that is behind
//! costs a conflict and nothing else.

use k8s_openapi::api::apps::v1::StatefulSet;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::core::{Selector, SelectorExt};
use kube::{Api, ResourceExt};

use super::configuration::Configuration;
use super::intent::Drain;
use super::isolate::{self, Eviction};
use super::measures::By;
use super::plan::{Facts, Questions};
use super::pod::Pod;
use super::turn::{self, Peer, Set};
use super::workload::owner;
use super::{Ctx, connections};

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read namespace {name}")]
    Namespace {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to read StatefulSet {name}")]
    Set {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to list the volume claims of StatefulSet {name}")]
    Claims {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("failed to list volume attachments")]
    Attachments(#[source] kube::Error),
    #[error("failed to list disruption budgets")]
    Budgets(#[source] kube::Error),
    #[error("failed to ask whether the Pod may leave")]
    MayLeave(#[source] kube::Error),
    #[error("failed to list Services")]
    Services(#[source] kube::Error),
}

/// The labels of a Pod's namespace. The watch may not know of the namespace yet.
pub(super) async fn labels(
    ctx: &Ctx,
    pod: &Pod,
    configuration: &Configuration,
) -> Result<BTreeMap<String, String>, Error> {
    if let Some(labels) = super::labels(&ctx.namespaces, pod) {
        return Ok(labels);
    }
    if !configuration.namespaces.goes_by_labels() {
        return Ok(BTreeMap::new());
    }
    let name = pod.namespace().unwrap_or_default();
    match Api::<Namespace>::all(ctx.client.clone()).get_metadata_opt(&name).await {
        Ok(found) => Ok(found.and_then(|namespace| namespace.metadata.labels).unwrap_or_default()),
        // Nobody is held because of a namespace that cannot be read.
        Err(_) if pod.metadata.deletion_timestamp.is_some() => Ok(BTreeMap::new()),
        Err(source) => Err(Error::Namespace { name, source }),
    }
}

/// Answers the questions about a drain.
pub(super) async fn observe(
    ctx: &Ctx,
    drain: &Drain,
    pod: &Pod,
    peers: &[Peer],
    questions: Questions,
    now: Timestamp,
) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    if questions.set {
        facts.set = set(ctx, pod, peers).await?;
    }
    if questions.way {
        let services = Api::<Service>::namespaced(ctx.client.clone(), &pod.namespace().unwrap_or_default());
        let services = services.list(&ListParams::default()).await.map_err(Error::Services)?;
        facts.way = Some(isolate::way(pod, &services.items));
    }
    let (uid, set_uid) = (pod.uid().unwrap_or_default(), owner(pod).map(|owner| owner.uid.clone()).unwrap_or_default());
    let may_begin = drain.by == By::EvictionGate && drain.isolated.is_none();
    let mut is_next = true;
    if let (true, Some(set)) = (may_begin, &facts.set) {
        is_next = turn::before_eviction(pod, peers, set).is_none();
        // The watch may not know yet that another one has just begun.
        if is_next && !ctx.memory.claim(&set_uid, &uid, 1, now) {
            facts.refused = Some("another Pod of the set has just begun".to_owned());
        }
    }
    // Who waits for its turn must not claim the disruption that the one before it needs.
    if questions.budgets && is_next && facts.refused.is_none() {
        facts.refused = refusal(ctx, pod, now).await?;
        if facts.refused.is_some() {
            ctx.memory.forgo(&set_uid, &uid);
        }
    }
    if questions.reading {
        facts.reading = Some(connections::read(&ctx.client, pod, &drain.terms.sources).await);
    }
    Ok(facts)
}

/// The set that a Pod belongs to; `None` where it is gone, and with it any order.
async fn set(ctx: &Ctx, pod: &Pod, peers: &[Peer]) -> Result<Option<Set>, Error> {
    let Some(owner) = owner(pod) else { return Ok(None) };
    let namespace = pod.namespace().unwrap_or_default();
    let sets = Api::<StatefulSet>::namespaced(ctx.client.clone(), &namespace);
    let found = sets.get_opt(&owner.name).await;
    let found = found.map_err(|source| Error::Set { name: owner.name.clone(), source })?;
    let Some(spec) = found.filter(|set| set.uid().as_ref() == Some(&owner.uid)).and_then(|set| set.spec) else {
        return Ok(None);
    };
    let templates: Vec<_> = spec.volume_claim_templates.iter().flatten().map(ResourceExt::name_any).collect();
    let stray_volume = if templates.is_empty() { None } else { stray_volume(ctx, pod, peers, &templates).await? };
    Ok(Some(Set { replicas: usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default(), stray_volume }))
}

/// A volume of another Pod of the set that is attached to a node where that Pod does not run.
async fn stray_volume(ctx: &Ctx, pod: &Pod, peers: &[Peer], templates: &[String]) -> Result<Option<String>, Error> {
    let Some(owner) = owner(pod) else { return Ok(None) };
    let namespace = pod.namespace().unwrap_or_default();
    let claims = Api::<PersistentVolumeClaim>::namespaced(ctx.client.clone(), &namespace);
    let claims = claims.list(&ListParams::default()).await;
    let claims = claims.map_err(|source| Error::Claims { name: owner.name.clone(), source })?;
    let attachments = Api::<VolumeAttachment>::all(ctx.client.clone());
    let attachments = attachments.list(&ListParams::default()).await.map_err(Error::Attachments)?;
    Ok(stray(&pod.name_any(), &owner.name, templates, peers, &claims.items, &attachments.items))
}

/// The decision in [`stray_volume`]. Pure.
fn stray(
    own: &str,
    set: &str,
    templates: &[String],
    peers: &[Peer],
    claims: &[PersistentVolumeClaim],
    attachments: &[VolumeAttachment],
) -> Option<String> {
    let other_pod = |claim: &PersistentVolumeClaim| {
        let name = claim.name_any();
        let ordinal = templates.iter().find_map(|template| {
            name.strip_prefix(&format!("{template}-{set}-")).filter(|ordinal| ordinal.parse::<u32>().is_ok())
        });
        ordinal.map(|ordinal| format!("{set}-{ordinal}")).filter(|pod| pod != own)
    };
    claims.iter().find_map(|claim| {
        let pod = other_pod(claim)?;
        let volume = claim.spec.as_ref()?.volume_name.as_ref()?;
        let runs_on = peers.iter().find(|peer| peer.name == pod && !peer.leaving).map(|peer| peer.node.as_str());
        let attached = attachments.iter().find(|attachment| {
            attachment.spec.source.persistent_volume_name.as_ref() == Some(volume)
                && Some(attachment.spec.node_name.as_str()) != runs_on
        })?;
        Some(format!("volume {volume} of {pod} is still attached to node {}", attached.spec.node_name))
    })
}

/// Why the Pod's disruption budgets do not allow for it to leave its Services. Where they do, this counts as one
/// disruption until they know of it themselves.
async fn refusal(ctx: &Ctx, pod: &Pod, now: Timestamp) -> Result<Option<String>, Error> {
    let budgets = Api::<PodDisruptionBudget>::namespaced(ctx.client.clone(), &pod.namespace().unwrap_or_default());
    let budgets = budgets.list(&ListParams::default()).await.map_err(Error::Budgets)?;
    let about: Vec<_> = budgets.iter().filter(|budget| is_about(budget, pod)).collect();
    if about.is_empty() {
        return Ok(None);
    }
    match isolate::may_leave(&ctx.client, pod).await.map_err(Error::MayLeave)? {
        Eviction::Refused(why) => return Ok(Some(why)),
        Eviction::Gone | Eviction::Granted => {}
    }
    let uid = pod.uid().unwrap_or_default();
    let taken = about.into_iter().find(|budget| {
        let allowed = budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0);
        !ctx.memory.claim(&budget.uid().unwrap_or_default(), &uid, usize::try_from(allowed).unwrap_or_default(), now)
    });
    Ok(taken.map(|budget| format!("budget {} is taken by others", budget.name_any())))
}

fn is_about(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    // One that cannot be read is the API server's business, and it will say so.
    Selector::try_from(selector).is_ok_and(|selector| selector.matches(pod.labels()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(name: &str, volume: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({ "metadata": { "name": name }, "spec": { "volumeName": volume } })).unwrap()
    }

    fn attachment(volume: &str, node: &str) -> VolumeAttachment {
        let spec = json!({ "attacher": "a", "nodeName": node, "source": { "persistentVolumeName": volume } });
        serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()
    }

    #[test]
    fn a_volume_is_stray_where_its_pod_does_not_run() {
        let on = |name: &str, node: &str| Peer { name: name.to_owned(), node: node.to_owned(), ..Peer::default() };
        let claims = [claim("data-web-1", "v1"), claim("data-web-2", "v2"), claim("data-other-2", "v3")];
        let find = |peers: &[Peer], attachments: &[VolumeAttachment]| {
            stray("web-1", "web", &["data".to_owned()], peers, &claims, attachments)
        };
        let here = [attachment("v2", "a")];
        assert_eq!(find(&[on("web-2", "a")], &here), None);
        let moved = find(&[on("web-2", "b")], &here);
        assert_eq!(moved.as_deref(), Some("volume v2 of web-2 is still attached to node a"));
        assert!(find(&[], &here).is_some(), "its Pod is gone");
        let leaving = Peer { leaving: true, ..on("web-2", "a") };
        assert!(find(&[leaving], &here).is_some(), "its Pod goes");
        assert_eq!(find(&[], &[]), None, "it is detached");
        assert_eq!(find(&[], &[attachment("v1", "z"), attachment("v3", "z")]), None, "its own, and another set's");
    }
}
