//! Who owns whom, and what follows from it when an owner goes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// The finalizer of an object whose dependents go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// The finalizer of an object whose dependents stay.
pub(super) const ORPHAN: &str = "orphan";

/// Which object: its kind and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    /// `group/version`, or the version alone in the core group.
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Empty at cluster scope.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// What the graph knows of an object.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) finalizers: Vec<String>,
    pub(super) deleting: bool,
}

impl Member {
    pub(super) fn new(api_version: &str, kind: &str, meta: &ObjectMeta) -> Self {
        Self {
            identity: Identity {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
                uid: meta.uid.clone().unwrap_or_default(),
            },
            owners: meta.owner_references.clone().unwrap_or_default(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    /// Whether it waits for its dependents to go.
    pub(super) fn deletes_dependents(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|finalizer| finalizer == FOREGROUND)
    }

    /// Whether it waits for its dependents to be let go.
    pub(super) fn orphans_dependents(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|finalizer| finalizer == ORPHAN)
    }

    fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|reference| reference.uid == owner && reference.block_owner_deletion == Some(true))
    }
}

/// The objects of a cluster, by uid.
#[derive(Debug, Default)]
pub(super) struct Graph {
    members: BTreeMap<String, Member>,
    /// Owner to dependents, whether or not the owner is there.
    dependents: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Takes in an object as it is now, and returns the uids to look at because of it.
    pub(super) fn apply(&mut self, member: Member) -> Vec<String> {
        let uid = member.identity.uid.clone();
        let mut affected = Vec::new();
        let before = self.members.remove(&uid);
        for owner in before.iter().flat_map(|before| &before.owners).map(|owner| &owner.uid) {
            if !member.owners.iter().any(|reference| reference.uid == *owner) {
                self.unlink(owner, &uid);
                // An owner that waits for this one need not do so any more.
                affected.push(owner.clone());
            }
        }
        for owner in &member.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        let began = |waits: fn(&Member) -> bool| waits(&member) && !before.as_ref().is_some_and(waits);
        if began(Member::deletes_dependents) {
            affected.extend(self.dependents_of(&uid));
        }
        if !member.owners.is_empty() || member.deleting {
            affected.push(uid.clone());
        }
        // Whether it blocks an owner may have changed.
        affected.extend(member.owners.iter().map(|owner| owner.uid.clone()).filter(|owner| self.waits(owner)));
        self.members.insert(uid, member);
        affected
    }

    /// Forgets an object that is gone, and returns the uids to look at because of it.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(member) = self.members.remove(uid) else { return Vec::new() };
        let mut affected: Vec<String> = self.dependents_of(uid).collect();
        for owner in &member.owners {
            self.unlink(&owner.uid, uid);
            if self.waits(&owner.uid) {
                affected.push(owner.uid.clone());
            }
        }
        affected
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Member> {
        self.members.get(uid)
    }

    /// The dependents of an object.
    pub(super) fn dependents(&self, uid: &str) -> Vec<Member> {
        self.dependents_of(uid).filter_map(|dependent| self.members.get(&dependent).cloned()).collect()
    }

    /// Whether an object that goes in the foreground has to wait for a dependent.
    pub(super) fn is_blocked(&self, uid: &str) -> bool {
        self.dependents(uid).iter().any(|dependent| dependent.blocks(uid))
    }

    fn waits(&self, uid: &str) -> bool {
        self.members.get(uid).is_some_and(|member| member.deletes_dependents() || member.orphans_dependents())
    }

    fn dependents_of(&self, uid: &str) -> impl Iterator<Item = String> + use<> {
        self.dependents.get(uid).cloned().unwrap_or_default().into_iter()
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

/// What is known of an owner that a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It is there.
    Present,
    /// It is not, or another object has its name.
    Absent,
    /// It is there and waits for its dependents to go.
    Waiting,
}

/// What becomes of an object with owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Stays,
    /// It stays and loses the references to these uids.
    Loses(Vec<String>),
    /// It goes, with its own dependents after it.
    GoesInBackground,
    /// It goes, with its own dependents before it.
    GoesInForeground,
    /// It goes, and its own dependents stay.
    GoesAlone,
}

/// Decides what becomes of an object, from what is known of each of its owners.
pub(super) fn fate(member: &Member, owners: &[(OwnerReference, OwnerState)], has_dependents: bool) -> Fate {
    if member.deleting || owners.is_empty() {
        return Fate::Stays;
    }
    let in_state = |wanted: OwnerState| owners.iter().filter(move |(_, state)| *state == wanted);
    let waiting = in_state(OwnerState::Waiting).count();
    if in_state(OwnerState::Present).count() > 0 {
        let lost: Vec<String> = owners
            .iter()
            .filter(|(_, state)| *state != OwnerState::Present)
            .map(|(owner, _)| owner.uid.clone())
            .collect();
        return if lost.is_empty() { Fate::Stays } else { Fate::Loses(lost) };
    }
    if waiting > 0 && has_dependents {
        return Fate::GoesInForeground;
    }
    let has = |wanted: &str| member.finalizers.iter().any(|finalizer| finalizer == wanted);
    if has(ORPHAN) {
        Fate::GoesAlone
    } else if has(FOREGROUND) {
        Fate::GoesInForeground
    } else {
        Fate::GoesInBackground
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_goes_when_its_last_owner_does() {
        use OwnerState::{Absent, Present, Waiting};
        let cases = [
            (vec![], false, Fate::Stays),
            (vec![Present], false, Fate::Stays),
            (vec![Absent], false, Fate::GoesInBackground),
            (vec![Absent, Absent], true, Fate::GoesInBackground),
            (vec![Present, Absent], false, Fate::Loses(vec!["uid-1".to_owned()])),
            (vec![Waiting, Present], true, Fate::Loses(vec!["uid-0".to_owned()])),
            (vec![Waiting], false, Fate::GoesInBackground),
            (vec![Waiting], true, Fate::GoesInForeground),
        ];
        for (states, has_dependents, expected) in cases {
            let owners: Vec<_> =
                states.iter().enumerate().map(|(at, state)| (owner(&format!("uid-{at}")), *state)).collect();
            let references = owners.iter().map(|(owner, _)| owner.clone()).collect();
            let decided = fate(&member("x", references), &owners, has_dependents);
            assert_eq!(decided, expected, "{states:?}, dependents: {has_dependents}");
        }
    }

    #[test]
    fn the_end_of_an_owner_leads_to_its_dependents_and_the_end_of_the_last_one_to_an_owner_that_waits() {
        let mut graph = Graph::default();
        graph.apply(member("owner", vec![]));
        graph.apply(member("a", vec![owner("owner")]));
        let mut waiting = member("owner", vec![]);
        (waiting.deleting, waiting.finalizers) = (true, vec![FOREGROUND.to_owned()]);
        assert_eq!(graph.apply(waiting), ["a", "owner"]);
        assert!(graph.is_blocked("owner"));
        assert_eq!(graph.remove("a"), ["owner"]);
        assert!(!graph.is_blocked("owner"));
    }

    #[test]
    fn a_dependent_may_be_seen_before_its_owner() {
        let mut graph = Graph::default();
        assert_eq!(graph.apply(member("a", vec![owner("owner")])), ["a"]);
        graph.apply(member("owner", vec![]));
        assert_eq!(graph.remove("owner"), ["a"]);
    }

    fn member(uid: &str, owners: Vec<OwnerReference>) -> Member {
        let uid = Some(uid.to_owned());
        Member::new("v1", "ConfigMap", &ObjectMeta { uid, owner_references: Some(owners), ..ObjectMeta::default() })
    }

    fn owner(uid: &str) -> OwnerReference {
        OwnerReference { uid: uid.to_owned(), block_owner_deletion: Some(true), ..OwnerReference::default() }
    }
}
