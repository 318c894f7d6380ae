//! What makes a Pod a member of a StatefulSet: its ordinal, name, labels and claims. Pure.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

use super::super::workload::{ownership, pods, revisions, template};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal of a Pod that a set's member has the name of.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, ordinal) = pod.metadata.name.as_deref()?.rsplit_once('-')?;
    (Some(parent) == set.metadata.name.as_deref() && ordinal.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| ordinal.parse().ok())?
}

/// The revision a Pod is of.
pub(super) fn revision(pod: &Pod) -> &str {
    pod.labels().get(revisions::HASH_LABEL).map_or("", String::as_str)
}

/// The labels by which a member can be told.
fn labels(set: &StatefulSet, ordinal: i32) -> [(&'static str, String); 2] {
    [(POD_NAME, format!("{}-{ordinal}", set.name_any())), (POD_INDEX, ordinal.to_string())]
}

/// The labels that a member lacks.
pub(super) fn missing_labels(set: &StatefulSet, pod: &Pod, ordinal: i32) -> Vec<(&'static str, String)> {
    let lacks = |(key, value): &(&'static str, String)| pod.labels().get(*key) != Some(value);
    labels(set, ordinal).into_iter().filter(lacks).collect()
}

/// A member to make.
pub(super) fn member(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let default = StatefulSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&default);
    let mut pod = template::pod(set, template);
    let name = format!("{}-{ordinal}", set.name_any());
    pod.metadata.name = Some(name.clone());
    for (key, value) in labels(set, ordinal) {
        pod.labels_mut().insert(key.to_owned(), value);
    }
    pod.labels_mut().insert(revisions::HASH_LABEL.to_owned(), revision.to_owned());
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(name);
    pod_spec.subdomain = spec.service_name.clone().filter(|service| !service.is_empty());
    let volume = |claim: &PersistentVolumeClaim| Volume {
        name: claim.name_any(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(set, claim, ordinal),
            read_only: None,
        }),
        ..Volume::default()
    };
    let mut volumes: Vec<Volume> = spec.volume_claim_templates.iter().flatten().map(volume).collect();
    let claimed = |volume: &Volume| volumes.iter().any(|claim| claim.name == volume.name);
    let rest: Vec<Volume> = pod_spec.volumes.take().unwrap_or_default().into_iter().filter(|v| !claimed(v)).collect();
    volumes.extend(rest);
    pod_spec.volumes = (!volumes.is_empty()).then_some(volumes);
    pod
}

fn claim_name(set: &StatefulSet, claim: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", claim.name_any(), set.name_any())
}

/// The claims of a member.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let claim = |template: &PersistentVolumeClaim| {
        let mut claim = template.clone();
        claim.metadata.name = Some(claim_name(set, template, ordinal));
        claim.metadata.namespace = set.namespace();
        claim.labels_mut().extend(spec.selector.match_labels.clone().unwrap_or_default());
        claim.metadata.owner_references = Some(owners(set, None)).filter(|owners| !owners.is_empty());
        claim.status = None;
        claim
    };
    spec.volume_claim_templates.iter().flatten().map(claim).collect()
}

/// Whether a claim has the name of one of the set's.
pub(super) fn is_claim_of(set: &StatefulSet, claim: &PersistentVolumeClaim) -> bool {
    let templates = set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten());
    let name = claim.name_any();
    let mut prefixes = templates.map(|template| format!("{}-{}-", template.name_any(), set.name_any()));
    prefixes.any(|prefix| name.strip_prefix(&prefix).is_some_and(|rest| rest.parse::<u32>().is_ok()))
}

/// What a claim is to go with: the set where claims go with it, a member (`surplus`) where claims go with those that
/// are too many.
pub(super) fn owners(set: &StatefulSet, surplus: Option<&Pod>) -> Vec<OwnerReference> {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    let deletes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
    let when_deleted = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let when_scaled = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    match surplus.filter(|_| when_scaled) {
        Some(pod) => vec![ownership::reference(pod)],
        None if when_deleted => vec![ownership::reference(set)],
        None => Vec::new(),
    }
}

/// A claim's owners as they are to be; none where they are.
pub(super) fn new_owners(
    set: &StatefulSet,
    claim: &PersistentVolumeClaim,
    pod: &Pod,
    is_surplus: bool,
) -> Option<Vec<OwnerReference>> {
    let ours = |owner: &&OwnerReference| {
        (owner.kind == "StatefulSet" && owner.uid == pods::uid(set))
            || (owner.kind == "Pod" && owner.uid == pods::uid(pod))
    };
    let now = claim.owner_references();
    let present: Vec<&str> = now.iter().filter(ours).map(|owner| owner.uid.as_str()).collect();
    let wanted = owners(set, is_surplus.then_some(pod));
    if present.iter().eq(wanted.iter().map(|owner| &owner.uid)) {
        return None;
    }
    Some(now.iter().filter(|owner| !ours(owner)).cloned().chain(wanted).collect())
}

/// Whether a claim still belongs to a former Pod of a member's name, with which it is about to go.
pub(super) fn is_stale(claim: &PersistentVolumeClaim, name: &str) -> bool {
    pods::is_deleting(claim) || claim.owner_references().iter().any(|owner| owner.kind == "Pod" && owner.name == name)
}
