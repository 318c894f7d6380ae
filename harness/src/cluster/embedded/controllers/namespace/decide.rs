//! What a namespace that is being deleted says of its contents. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What is left in a namespace after everything in it was told to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Objects by resource, as `plural.group` with the dot kept for the core group.
    pub(super) objects: BTreeMap<String, usize>,
    /// Objects by the finalizers that hold them.
    pub(super) finalizers: BTreeMap<String, usize>,
    /// What could not be listed or deleted, in words.
    pub(super) failures: Vec<String>,
}

impl Left {
    /// Whether the namespace can go.
    pub(super) fn is_nothing(&self) -> bool {
        self.objects.is_empty() && self.failures.is_empty()
    }
}

/// The status of a namespace with this left in it; conditions keep the times of those that have not changed.
pub(super) fn status(old: Option<&NamespaceStatus>, left: &Left, now: Timestamp) -> NamespaceStatus {
    let known = old.and_then(|old| old.conditions.as_deref()).unwrap_or_default();
    let conditions = conditions(left).into_iter().map(|(kind, value, reason, message)| {
        let status = if value { "True" } else { "False" };
        let before = known.iter().find(|before| before.type_ == kind && before.status == status);
        NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: before.and_then(|before| before.last_transition_time.clone()).or(Some(Time(now))),
            reason: Some(reason.to_owned()),
            message: Some(message),
        }
    });
    NamespaceStatus { conditions: Some(conditions.collect()), phase: Some("Terminating".to_owned()) }
}

/// Type, value, reason and message.
type Condition = (&'static str, bool, &'static str, String);

fn conditions(left: &Left) -> [Condition; 5] {
    let counted = |counts: &BTreeMap<String, usize>, verb: &str, what: &str| {
        let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {verb} {count} {what}")).collect();
        parts.join(", ")
    };
    let failure = if left.failures.is_empty() {
        let message = "All content successfully deleted, may be waiting on finalization";
        ("NamespaceDeletionContentFailure", false, "ContentDeleted", message.to_owned())
    } else {
        let message = format!(
            "Failed to delete all resource types, {} remaining: {}",
            left.failures.len(),
            left.failures.join(", ")
        );
        ("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", message)
    };
    let remaining = if left.objects.is_empty() {
        ("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed".to_owned())
    } else {
        let message = format!("Some resources are remaining: {}", counted(&left.objects, "has", "resource instances"));
        ("NamespaceContentRemaining", true, "SomeResourcesRemain", message)
    };
    let finalizers = if left.finalizers.is_empty() {
        (
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        )
    } else {
        let held = counted(&left.finalizers, "in", "resource instances");
        let message = format!("Some content in the namespace has finalizers remaining: {held}");
        ("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
    };
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        ),
        failure,
        remaining,
        finalizers,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_cannot_go_says_what_holds_it() {
        let left = Left {
            objects: BTreeMap::from([("configmaps.".to_owned(), 2), ("jobs.batch".to_owned(), 1)]),
            finalizers: BTreeMap::from([("example.com/hold".to_owned(), 2)]),
            failures: Vec::new(),
        };
        let now = Timestamp::from_second(100).expect("in range");
        let messages: Vec<String> = status(None, &left, now)
            .conditions
            .into_iter()
            .flatten()
            .filter(|condition| condition.status == "True")
            .filter_map(|condition| condition.message)
            .collect();
        assert_eq!(
            messages,
            [
                "Some resources are remaining: configmaps. has 2 resource instances, jobs.batch has 1 resource instances",
                "Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances",
            ]
        );
    }

    #[test]
    fn nothing_left_means_no_condition_holds() {
        let now = Timestamp::from_second(100).expect("in range");
        let held = status(None, &Left::default(), now).conditions.into_iter().flatten().filter(|c| c.status == "True");
        assert_eq!(held.count(), 0);
    }
}
