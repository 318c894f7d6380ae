//! Fields that a kind of write cannot set, and that nobody comes to own by it.

use super::path::Step;
use super::set::FieldSet;
use crate::resource::Resource;

/// What is reset, with all that is below, by a write to `subresource`.
pub(super) fn fields(resource: &Resource, subresource: &str) -> FieldSet {
    let paths: &[&[&str]] = match subresource {
        "" if resource.has_status => &[&["status"]],
        "" | "scale" => &[],
        "status" => match (resource.group.as_str(), resource.kind.as_str()) {
            _ if resource.definition.is_some() => &[&["metadata"], &["spec"]],
            ("apiextensions.k8s.io", "CustomResourceDefinition") => &[&["metadata"], &["spec"]],
            ("", "Pod") => &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]],
            ("apps", "Deployment") => &[&["spec"], &["metadata", "labels"]],
            _ => &[&["spec"]],
        },
        _ => &[&["status"]],
    };
    of(paths)
}

/// Type and identity of an object; its server keeps them, nobody owns them.
pub(super) fn identity() -> FieldSet {
    of(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}

fn of(paths: &[&[&str]]) -> FieldSet {
    let mut set = FieldSet::default();
    for path in paths {
        let steps: Vec<Step> = path.iter().map(|name| Step::field(name)).collect();
        set.insert(&steps);
    }
    set
}
