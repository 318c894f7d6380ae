//! Whose turn it is in a `StatefulSet`. Pure.
//!
//! One Pod at a time, the highest ordinal first, and the next when the one before is back: ready, and with its volumes
//! where it runs. A Pod that is not ready serves nobody and goes before its turn, as long as no other is on its way: a
//! new size may be the very thing it needs.

use kube::ResourceExt;

use crate::api::drain::{FINALIZERS, Hold};

use super::pod::Pod;
use super::ready::unready_since;
use super::workload::{self, owner};

/// Another Pod of the same set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) ordinal: u32,
    /// The node it runs on.
    pub(super) node: String,
    /// It is being deleted.
    pub(super) leaving: bool,
    /// Its object is kept by our finalizer.
    pub(super) guarded: bool,
    /// Its eviction is held, and it has not left its Services yet.
    pub(super) asked: bool,
    /// It has left its Services, and is drained or may go.
    pub(super) draining: bool,
    pub(super) ready: bool,
}

/// What is to be known about the set itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// How many Pods it is to have.
    pub(super) replicas: usize,
    /// A volume of another Pod that is attached where that Pod is not, in words.
    pub(super) stray_volume: Option<String>,
}

impl Peer {
    pub(super) fn of(pod: &Pod) -> Self {
        let hold = Hold::of(pod.annotations());
        let begun = |hold: &Hold| hold.isolated_at.is_some() || hold.released.is_some();
        Self {
            name: pod.name_any(),
            ordinal: workload::ordinal(pod).unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            leaving: pod.metadata.deletion_timestamp.is_some(),
            guarded: pod.finalizers().iter().any(|finalizer| FINALIZERS.contains(&finalizer.as_str())),
            asked: hold.as_ref().is_some_and(|hold| !begun(hold)),
            draining: hold.as_ref().is_some_and(begun),
            ready: unready_since(pod).is_none(),
        }
    }
}

/// Whether both belong to the same set, and are not the same.
pub(super) fn are_peers(one: &Pod, other: &Pod) -> bool {
    let set = |pod: &Pod| owner(pod).map(|owner| owner.uid.clone());
    one.namespace() == other.namespace() && one.uid() != other.uid() && set(one).is_some() && set(one) == set(other)
}

/// Why an eviction of this Pod has to wait for other Pods of its set.
pub(super) fn before_eviction(pod: &Pod, peers: &[Peer], set: &Set) -> Option<String> {
    let me = Peer::of(pod);
    if let Some(peer) = peers.iter().find(|peer| peer.leaving || peer.draining) {
        return Some(format!("{} is on its way", peer.name));
    }
    if !me.ready {
        return None;
    }
    if let Some(peer) = peers.iter().find(|peer| !peer.ready) {
        return Some(format!("{} is not ready", peer.name));
    }
    if peers.len() + 1 < set.replicas {
        return Some(format!("{} of {} Pods are there", peers.len() + 1, set.replicas));
    }
    if let Some(peer) = peers.iter().filter(|peer| peer.asked && peer.ordinal > me.ordinal).max_by_key(|it| it.ordinal)
    {
        return Some(format!("{} comes first", peer.name));
    }
    set.stray_volume.clone()
}

/// Why a deleted Pod's object has to wait for other Pods of its set.
pub(super) fn before_release(pod: &Pod, peers: &[Peer], set: &Set) -> Option<String> {
    let me = Peer::of(pod);
    let higher = peers.iter().filter(|peer| peer.leaving && peer.guarded && peer.ordinal > me.ordinal);
    let first = higher.max_by_key(|peer| peer.ordinal).map(|peer| format!("{} comes first", peer.name));
    first.or_else(|| set.stray_volume.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn web(ordinal: u32, ready: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": format!("web-{ordinal}"), "namespace": "shop", "uid": format!("uid-{ordinal}"),
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "set", "controller": true
                }] },
            "status": { "conditions": [{
                "type": "Ready", "status": if ready { "True" } else { "False" },
                "lastTransitionTime": "2026-01-02T03:04:05Z"
            }] },
        }))
        .unwrap()
    }

    fn peer(ordinal: u32) -> Peer {
        Peer::of(&web(ordinal, true))
    }

    #[test]
    fn evictions_go_one_at_a_time_and_from_the_top() {
        let whole = Set { replicas: 3, stray_volume: None };
        let asked = |ordinal| Peer { asked: true, ..peer(ordinal) };
        for (what, peers, set, expected) in [
            ("alone", vec![], Set { replicas: 1, stray_volume: None }, None),
            ("nobody else is asked", vec![peer(0), peer(2)], whole.clone(), None),
            ("a lower one is asked", vec![asked(0), peer(2)], whole.clone(), None),
            ("a higher one is asked", vec![peer(0), asked(2)], whole.clone(), Some("web-2 comes first")),
            (
                "another is draining",
                vec![Peer { draining: true, ..peer(0) }, peer(2)],
                whole.clone(),
                Some("web-0 is on its way"),
            ),
            (
                "another is being deleted",
                vec![peer(0), Peer { leaving: true, ..peer(2) }],
                whole.clone(),
                Some("web-2 is on its way"),
            ),
            ("another is not made again yet", vec![peer(0)], whole.clone(), Some("2 of 3 Pods are there")),
            (
                "another is not ready",
                vec![Peer { ready: false, ..peer(0) }, peer(2)],
                whole.clone(),
                Some("web-0 is not ready"),
            ),
            (
                "a volume is still where the one before was",
                vec![peer(0), peer(2)],
                Set { stray_volume: Some("volume v of web-2 is still attached to node n".to_owned()), ..whole.clone() },
                Some("volume v of web-2 is still attached to node n"),
            ),
        ] {
            assert_eq!(before_eviction(&web(1, true), &peers, &set).as_deref(), expected, "{what}");
        }
    }

    #[test]
    fn a_pod_that_serves_nobody_waits_only_for_those_on_their_way() {
        let whole = Set { replicas: 3, stray_volume: None };
        let broken = web(1, false);
        let asked = Peer { asked: true, ..peer(2) };
        assert_eq!(before_eviction(&broken, &[peer(0), asked], &whole), None);
        let draining = Peer { draining: true, ..peer(2) };
        assert!(before_eviction(&broken, &[peer(0), draining], &whole).is_some());
    }

    #[test]
    fn deleted_pods_are_released_from_the_top() {
        let set = Set { replicas: 3, stray_volume: None };
        let leaving = |ordinal| Peer { leaving: true, guarded: true, ..peer(ordinal) };
        assert_eq!(
            before_release(&web(1, true), &[leaving(0), leaving(2)], &set).as_deref(),
            Some("web-2 comes first")
        );
        assert_eq!(before_release(&web(1, true), &[leaving(0), peer(2)], &set), None);
        let free = Peer { guarded: false, ..leaving(2) };
        assert_eq!(before_release(&web(1, true), &[free], &set), None, "nobody holds that one");
        let stray = Set { stray_volume: Some("volume v".to_owned()), ..set };
        assert_eq!(before_release(&web(1, true), &[], &stray).as_deref(), Some("volume v"));
    }

    #[test]
    fn peers_share_an_owner() {
        assert!(are_peers(&web(0, true), &web(1, true)));
        assert!(!are_peers(&web(0, true), &web(0, true)), "nobody is its own peer");
        let mut other = web(1, true);
        other.metadata.namespace = Some("other".to_owned());
        assert!(!are_peers(&web(0, true), &other));
        assert!(!are_peers(&Pod::default(), &Pod::default()));
    }
}
