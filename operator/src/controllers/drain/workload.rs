//! What a Pod belongs to, and what that means for its drain. Pure.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde::Deserialize;

use super::pod::Pod;

/// The kinds of workload that are drained in ways of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Workload {
    /// Through its `ReplicaSet`; a `ReplicaSet` on its own is one too.
    Deployment,
    /// Pods with an order and with volumes of their own.
    StatefulSet,
    /// One Pod a node.
    DaemonSet,
    /// Pods that end by themselves, a `CronJob`'s too.
    Job,
    /// A Pod that belongs to nobody.
    Pod,
    /// A Pod of a kind that is not known here.
    Other,
}

/// What is particular about the drain of a workload's Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What has to be over before the Pod may go.
    pub waits_for: WaitsFor,
    /// Whether a Pod waits until its disruption budgets allow for it before it leaves its Services.
    pub respects_budgets: bool,
    /// Whether Pods go one at a time, highest ordinal first, each when the one before is back.
    pub takes_turns: bool,
}

/// What has to be over before a Pod may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Its connections.
    Connections,
    /// Its work: all of its containers.
    Completion,
}

impl Workload {
    /// Every kind there is.
    pub const ALL: [Self; 6] =
        [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::Job, Self::Pod, Self::Other];

    /// What the Pod belongs to.
    pub fn of(pod: &Pod) -> Self {
        match owner(pod).map(|owner| (group(owner), owner.kind.as_str())) {
            None => Self::Pod,
            Some(("apps", "ReplicaSet")) => Self::Deployment,
            Some(("apps", "StatefulSet")) => Self::StatefulSet,
            Some(("apps", "DaemonSet")) => Self::DaemonSet,
            Some(("batch", "Job")) => Self::Job,
            Some(_) => Self::Other,
        }
    }

    /// How its Pods drain.
    pub fn policy(self) -> Policy {
        let common = Policy { waits_for: WaitsFor::Connections, respects_budgets: true, takes_turns: false };
        match self {
            Self::StatefulSet => Policy { takes_turns: true, ..common },
            // What a node's Pod does is of use to that node only: no other one can stand in for it meanwhile.
            Self::DaemonSet => Policy { respects_budgets: false, ..common },
            Self::Job => Policy { waits_for: WaitsFor::Completion, respects_budgets: false, ..common },
            Self::Deployment | Self::Pod | Self::Other => common,
        }
    }

    /// The word for it, in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::Pod => "Pod",
            Self::Other => "Other",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whoever controls the Pod.
pub fn owner(pod: &Pod) -> Option<&OwnerReference> {
    pod.owner_references().iter().find(|owner| owner.controller == Some(true))
}

/// The Pod's place in its `StatefulSet`: what follows the last hyphen of its name.
pub fn ordinal(pod: &Pod) -> Option<u32> {
    pod.metadata.name.as_deref()?.rsplit_once('-')?.1.parse().ok()
}

fn group(owner: &OwnerReference) -> &str {
    owner.api_version.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(name: &str, api_version: &str, kind: &str, controller: bool) -> Pod {
        serde_json::from_value(serde_json::json!({ "metadata": { "name": name, "ownerReferences": [
            { "apiVersion": api_version, "kind": kind, "name": "owner", "uid": "1", "controller": controller }
        ] } }))
        .unwrap()
    }

    #[test]
    fn a_pod_belongs_to_whoever_controls_it() {
        for (api_version, kind, workload) in [
            ("apps/v1", "ReplicaSet", Workload::Deployment),
            ("apps/v1", "StatefulSet", Workload::StatefulSet),
            ("apps/v1", "DaemonSet", Workload::DaemonSet),
            ("batch/v1", "Job", Workload::Job),
            ("argoproj.io/v1alpha1", "Rollout", Workload::Other),
            ("example.com/v1", "StatefulSet", Workload::Other),
            ("v1", "ReplicationController", Workload::Other),
        ] {
            assert_eq!(Workload::of(&owned("p-0", api_version, kind, true)), workload, "{api_version} {kind}");
        }
        assert_eq!(Workload::of(&owned("p", "apps/v1", "ReplicaSet", false)), Workload::Pod, "it is not controlled");
        assert_eq!(Workload::of(&Pod::default()), Workload::Pod);
    }

    #[test]
    fn ordinals_are_what_follows_the_last_hyphen() {
        for (name, expected) in [("web-0", Some(0)), ("my-web-12", Some(12)), ("web", None), ("web-x1", None)] {
            assert_eq!(ordinal(&owned(name, "apps/v1", "StatefulSet", true)), expected, "{name}");
        }
    }

    #[test]
    fn every_kind_can_be_named_in_the_configuration() {
        for workload in Workload::ALL {
            assert_eq!(serde_json::from_value::<Workload>(workload.to_string().into()).unwrap(), workload);
        }
    }
}
