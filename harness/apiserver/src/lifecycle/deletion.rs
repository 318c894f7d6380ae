//! How an object ends: what a deletion asks for, who still has to do his part, and when it is over.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{FOREGROUND, ORPHAN, finalizers, is_deleting, meta, metadata, set_finalizers, time_text};
use crate::field::FieldError;
use crate::resource::Resource;
use crate::status::ApiError;

/// What a deletion asks for (`DeleteOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// How long the object may take to end.
    pub grace_period_seconds: Option<i64>,
    /// The object's uid must be this.
    pub uid: Option<String>,
    /// The object's resourceVersion must be this.
    pub resource_version: Option<String>,
    /// What becomes of dependents.
    pub propagation: Option<String>,
    /// The old form of `propagation`.
    pub orphan_dependents: Option<bool>,
    /// `All`, or nothing.
    pub dry_run: Vec<String>,
}

impl DeleteOptions {
    /// From a request's body.
    pub fn from_value(options: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            grace_period_seconds: options["gracePeriodSeconds"].as_i64(),
            uid: text(&options["preconditions"]["uid"]),
            resource_version: text(&options["preconditions"]["resourceVersion"]),
            propagation: text(&options["propagationPolicy"]),
            orphan_dependents: options["orphanDependents"].as_bool(),
            dry_run: options["dryRun"]
                .as_array()
                .map(|d| d.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
        }
    }

    /// What is wrong with them.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(policy) = &self.propagation {
            if self.orphan_dependents.is_some() {
                let why = "orphanDependents and deletionPropagation cannot be both set";
                errors.push(FieldError::invalid("propagationPolicy", policy.as_str(), why));
            }
            if !["Foreground", "Background", "Orphan"].contains(&policy.as_str()) {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(FieldError::not_supported("propagationPolicy", policy.as_str(), &supported));
            }
        }
        errors.extend(validate_dry_run(&self.dry_run));
        errors
    }
}

/// What is wrong with a `dryRun` parameter.
pub fn validate_dry_run(values: &[String]) -> Option<FieldError> {
    values.iter().any(|v| v != "All").then(|| FieldError::not_supported("dryRun", json!(values), &["All"]))
}

/// What becomes of an object that is to be deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// It is removed at once.
    Remove,
    /// It is changed to this and stays until others have done their part.
    Mark(Value),
    /// It is changed to this and removed at once: its end was graceful, with no time left.
    MarkAndRemove(Value),
    /// It is being deleted already, and this request adds nothing.
    Pending,
}

/// Decides how an object is deleted.
///
/// # Errors
/// 409 when a precondition does not hold.
pub fn delete(
    object: &Value,
    resource: &Resource,
    options: &DeleteOptions,
    now: Timestamp,
) -> Result<Deletion, ApiError> {
    check_preconditions(object, resource, options)?;
    let requested = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let mut next = object.clone();
    let graceful = match shorten_or_start(&mut next, resource, requested, now) {
        Grace::Pending => return Ok(Deletion::Pending),
        Grace::None => None,
        Grace::Seconds(seconds) => Some(seconds),
    };
    let wanted = collector_finalizers(object, resource, options);
    set_finalizers(&mut next, &wanted);
    match graceful {
        Some(seconds) if wanted.is_empty() && seconds == 0 => Ok(Deletion::MarkAndRemove(next)),
        Some(_) => Ok(Deletion::Mark(next)),
        None if wanted.is_empty() => Ok(Deletion::Remove),
        None => {
            mark_deleting(&mut next, now);
            Ok(Deletion::Mark(next))
        }
    }
}

/// Refuses an object that is not the one a deletion means.
///
/// # Errors
/// 409 when its uid or revision is another.
pub fn check_preconditions(object: &Value, resource: &Resource, options: &DeleteOptions) -> Result<(), ApiError> {
    let name = meta(object, "name");
    let conflict = |why: String| ApiError::conflict(&resource.group, &resource.kind, name, &why);
    if let Some(uid) = &options.uid
        && uid != meta(object, "uid")
    {
        return Err(conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            meta(object, "uid")
        )));
    }
    if let Some(version) = &options.resource_version
        && version != meta(object, "resourceVersion")
    {
        return Err(conflict(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            meta(object, "resourceVersion")
        )));
    }
    Ok(())
}

enum Grace {
    None,
    Pending,
    Seconds(i64),
}

/// Starts a graceful deletion, or shortens one that has begun.
fn shorten_or_start(object: &mut Value, resource: &Resource, requested: Option<i64>, now: Timestamp) -> Grace {
    let Some(seconds) = resource.rules.grace_seconds(object, requested) else { return Grace::None };
    if is_deleting(object) {
        let running = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
        if running == 0 {
            return Grace::None;
        }
        let Some(shorter) = requested.filter(|&seconds| seconds < running) else { return Grace::Pending };
        let deadline: Option<Timestamp> = meta(object, "deletionTimestamp").parse().ok();
        let moved = deadline.and_then(|t| t.checked_sub(SignedDuration::from_secs(running - shorter)).ok());
        let moved = moved.unwrap_or(now);
        // The time that is left cannot be negative; somebody still has to notice unless none was asked for.
        let (deadline, seconds) = if moved < now { (now, shorter.min(1)) } else { (moved, shorter) };
        set_deletion(object, deadline, seconds);
        return Grace::Seconds(shorter);
    }
    let deadline = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    set_deletion(object, deadline, seconds);
    count_deletion(object);
    Grace::Seconds(seconds)
}

fn set_deletion(object: &mut Value, deadline: Timestamp, seconds: i64) {
    let metadata = metadata(object);
    metadata.insert("deletionTimestamp".to_owned(), time_text(deadline).into());
    metadata.insert("deletionGracePeriodSeconds".to_owned(), seconds.into());
}

/// The request to delete is a change of what is wanted, so it counts as a generation.
fn count_deletion(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64().filter(|g| *g > 0) {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

/// Marks an object as being deleted without grace.
fn mark_deleting(object: &mut Value, now: Timestamp) {
    let deadline: Option<Timestamp> = meta(object, "deletionTimestamp").parse().ok();
    if deadline.is_none() {
        count_deletion(object);
    }
    set_deletion(object, deadline.filter(|d| *d <= now).unwrap_or(now), 0);
}

/// What a kind's dependents can expect when nobody says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Background,
    Orphan,
    /// The kind takes no part in garbage collection.
    Unsupported,
}

fn default_propagation(resource: &Resource) -> Propagation {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("batch", "jobs") | ("", "replicationcontrollers") => Propagation::Orphan,
        ("" | "events.k8s.io", "events") => Propagation::Unsupported,
        _ => Propagation::Background,
    }
}

/// The object's finalizers, with those of the garbage collector as the deletion asks for them.
fn collector_finalizers(object: &Value, resource: &Resource, options: &DeleteOptions) -> Vec<String> {
    let default = default_propagation(resource);
    let present = finalizers(object);
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation.as_deref()) {
        _ if default == Propagation::Unsupported => (false, false),
        (Some(orphan), _) => (orphan, false),
        (None, Some("Orphan")) => (true, false),
        (None, Some("Foreground")) => (false, true),
        (None, Some(_)) => (false, false),
        (None, None) => match present.iter().find(|f| **f == ORPHAN || **f == FOREGROUND) {
            Some(&ORPHAN) => (true, false),
            Some(_) => (false, true),
            None => (default == Propagation::Orphan, false),
        },
    };
    let kept = present.iter().filter(|f| **f != ORPHAN && **f != FOREGROUND);
    let mut wanted: Vec<String> = kept.map(|f| (*f).to_owned()).collect();
    if orphan {
        wanted.push(ORPHAN.to_owned());
    }
    if foreground {
        wanted.push(FOREGROUND.to_owned());
    }
    wanted
}

/// Whether an update took away the last finalizer of an object whose deletion waited for it.
pub fn ends_deletion(new: &Value, old: &Value) -> bool {
    finalizers(new).is_empty()
        && is_deleting(old)
        && old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
}

/// Whether a deletion answers with the object it removed instead of a Status.
pub fn returns_deleted(resource: &Resource) -> bool {
    const KINDS: [&str; 7] = [
        "pods",
        "services",
        "serviceaccounts",
        "podtemplates",
        "resourcequotas",
        "persistentvolumes",
        "persistentvolumeclaims",
    ];
    resource.group.is_empty() && KINDS.contains(&resource.plural.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Registry;

    const NOW: &str = "2030-01-01T00:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn resource(plural: &str) -> crate::resource::SharedResource {
        Registry::builtin().find("", "v1", plural).unwrap()
    }

    fn deleted(plural: &str, object: &Value, options: &Value) -> Deletion {
        delete(object, &resource(plural), &DeleteOptions::from_value(options), now()).unwrap()
    }

    fn pod(metadata: &Value) -> Value {
        json!({"metadata": metadata, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {}})
    }

    #[test]
    fn what_nobody_holds_goes_at_once() {
        let map = json!({"metadata": {"name": "a"}});
        for options in [json!({}), json!({"propagationPolicy": "Background"}), json!({"gracePeriodSeconds": 9})] {
            assert_eq!(deleted("configmaps", &map, &options), Deletion::Remove, "{options}");
        }
    }

    #[test]
    fn a_finalizer_holds_an_object_and_the_propagation_policy_adds_one() {
        let held = |finalizers: Value, options: Value| {
            let map = json!({"metadata": {"name": "a", "finalizers": finalizers}});
            match deleted("configmaps", &map, &options) {
                Deletion::Mark(next) => {
                    assert_eq!(next["metadata"]["deletionTimestamp"], NOW);
                    assert_eq!(next["metadata"]["deletionGracePeriodSeconds"], 0);
                    finalizers_of(&next)
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(held(json!(["x/y"]), json!({})), ["x/y"]);
        assert_eq!(held(json!([]), json!({"propagationPolicy": "Foreground"})), [FOREGROUND]);
        assert_eq!(held(json!(["x/y"]), json!({"propagationPolicy": "Orphan"})), ["x/y", ORPHAN]);
        assert_eq!(held(json!([ORPHAN, "x/y"]), json!({"propagationPolicy": "Background"})), ["x/y"]);
        assert_eq!(held(json!([FOREGROUND]), json!({})), [FOREGROUND]);
    }

    fn finalizers_of(object: &Value) -> Vec<String> {
        finalizers(object).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_running_pod_gets_its_grace_period_and_it_can_only_be_shortened() {
        let Deletion::Mark(first) = deleted("pods", &pod(&json!({"name": "p", "generation": 1})), &json!({})) else {
            panic!("the pod should end gracefully");
        };
        let metadata = &first["metadata"];
        assert_eq!((&metadata["deletionGracePeriodSeconds"], &metadata["generation"]), (&json!(30), &json!(2)));
        assert_eq!(metadata["deletionTimestamp"], "2030-01-01T00:00:30Z");
        assert_eq!(deleted("pods", &first, &json!({})), Deletion::Pending);
        assert_eq!(deleted("pods", &first, &json!({"gracePeriodSeconds": 60})), Deletion::Pending);
        let Deletion::Mark(shorter) = deleted("pods", &first, &json!({"gracePeriodSeconds": 5})) else {
            panic!("the grace period should be shortened");
        };
        assert_eq!(shorter["metadata"]["deletionTimestamp"], "2030-01-01T00:00:05Z");
        assert_eq!(shorter["metadata"]["generation"], 2, "a second request is no new generation");
        assert!(matches!(deleted("pods", &first, &json!({"gracePeriodSeconds": 0})), Deletion::MarkAndRemove(_)));
    }

    #[test]
    fn a_deletion_that_waited_for_finalizers_ends_with_the_last_one() {
        let object = |finalizers: Value, seconds: i64| {
            json!({"metadata": {
                "finalizers": finalizers, "deletionTimestamp": NOW, "deletionGracePeriodSeconds": seconds,
            }})
        };
        let old = object(json!(["a/b"]), 0);
        assert!(ends_deletion(&object(json!([]), 0), &old));
        assert!(!ends_deletion(&old, &old));
        assert!(!ends_deletion(&object(json!([]), 30), &object(json!(["a/b"]), 30)), "a kubelet still has to answer");
        assert!(!ends_deletion(&json!({"metadata": {}}), &json!({"metadata": {"finalizers": ["a/b"]}})));
    }

    #[test]
    fn a_deletion_is_refused_when_its_precondition_does_not_hold() {
        let map = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}});
        for (options, holds) in [
            (json!({"preconditions": {"uid": "u", "resourceVersion": "7"}}), true),
            (json!({"preconditions": {"uid": "v"}}), false),
            (json!({"preconditions": {"resourceVersion": "8"}}), false),
        ] {
            let result = delete(&map, &resource("configmaps"), &DeleteOptions::from_value(&options), now());
            assert_eq!(result.is_ok(), holds, "{options}");
        }
    }
}
