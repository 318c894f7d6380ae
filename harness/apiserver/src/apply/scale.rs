//! Ownership across the `scale` subresource.
//!
//! Whoever writes a scale owns one field of the object it belongs to. While a scale is written, the object's managed
//! fields are lent to it in its own terms (`spec.replicas`), and taken back afterwards.

use serde_json::{Value, json};

use super::managed::{Ownership, decode, encode};
use super::path::Step;
use super::set::FieldSet;
use super::update::Owned;
use super::{Manager, Operation, api_version};
use crate::resource::Resource;
use crate::schema::node::SchemaRef;

/// The version scales are written in.
pub const API_VERSION: &str = "autoscaling/v1";

/// The scales of `parent` as a resource of their own.
pub fn resource(parent: &Resource) -> Resource {
    Resource {
        group: "autoscaling".to_owned(),
        version: "v1".to_owned(),
        kind: "Scale".to_owned(),
        schema: SchemaRef::Builtin("io.k8s.api.autoscaling.v1.Scale"),
        has_status: false,
        definition: None,
        ..parent.clone()
    }
}

/// The managed fields of an object while its scale is written.
#[derive(Debug)]
pub struct Lent {
    parent: Ownership,
    api_version: String,
    /// Where the object has its replicas.
    path: Vec<Step>,
}

impl Lent {
    /// Lends the managed fields of `parent`, whose replicas are at `path` (like `.spec.replicas`), to `scale`.
    pub fn to(scale: &mut Value, parent: &Value, resource: &Resource, path: &str) -> Self {
        let path = path.split('.').filter(|name| !name.is_empty()).map(Step::field).collect();
        // Managed fields that cannot be read are lost by every other write as well.
        let ownership = decode(&parent["metadata"]["managedFields"]).unwrap_or_default();
        let lent = Self { parent: ownership, api_version: api_version(resource), path };
        let mut owners = Ownership::default();
        for (manager, _) in lent.owners() {
            let owned = Owned { set: replicas(), api_version: API_VERSION.to_owned() };
            let there = in_version(manager, API_VERSION);
            owners.times.extend(lent.parent.times.get(manager).map(|time| (there.clone(), *time)));
            owners.managers.insert(there, owned);
        }
        encode(&owners, scale);
        lent
    }

    /// Takes them back from the written scale and puts them into `parent`.
    pub fn back(mut self, scale: &Value, parent: &mut Value) {
        let mut owners = decode(&scale["metadata"]["managedFields"]).unwrap_or_default().managers;
        owners.retain(|_, owned| owned.set.has(&[Step::field("spec"), Step::field("replicas")]));
        let field = FieldSet::of(&[&self.path]);
        let before: Vec<Manager> = self.owners().map(|(manager, _)| manager.clone()).collect();
        for manager in before {
            let kept = owners.remove(&in_version(&manager, API_VERSION)).is_some();
            if let Some(owned) = self.parent.managers.get_mut(&manager).filter(|_| !kept) {
                owned.set = owned.set.difference(&field);
            }
        }
        self.parent.managers.retain(|_, owned| !owned.set.is_empty());
        // Who came to own the field by its scale has no time, as in Kubernetes.
        for manager in owners.into_keys() {
            let here = in_version(&manager, &self.api_version);
            self.parent.times.remove(&here);
            let owned = Owned { set: field.clone(), api_version: self.api_version.clone() };
            self.parent.managers.insert(here, owned);
        }
        encode(&self.parent, parent);
    }

    /// Who owns the replicas.
    fn owners(&self) -> impl Iterator<Item = (&Manager, &Owned)> {
        let ours = |owned: &Owned| owned.api_version == self.api_version && owned.set.has(&self.path);
        self.parent.managers.iter().filter(move |(_, owned)| ours(owned))
    }
}

fn replicas() -> FieldSet {
    FieldSet::of(&[&[Step::field("spec"), Step::field("replicas")]])
}

/// The same manager in another version; appliers have none.
fn in_version(manager: &Manager, version: &str) -> Manager {
    match manager.operation {
        Operation::Apply => manager.clone(),
        Operation::Update => Manager { api_version: version.to_owned(), ..manager.clone() },
    }
}

/// A scale as it is compared: no replicas and none of them are the same.
pub fn normalised(mut scale: Value) -> Value {
    if scale["spec"]["replicas"] == json!(0)
        && let Some(Value::Object(spec)) = scale.get_mut("spec")
    {
        spec.remove("replicas");
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::super::managed::record_update;
    use super::*;
    use crate::resources::registry::Registry;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn deployments() -> Resource {
        (*Registry::builtin().find("apps", "v1", "deployments").expect("deployments")).clone()
    }

    fn manager(name: &str, operation: Operation, subresource: &str) -> Manager {
        let api_version = if subresource.is_empty() { "apps/v1" } else { API_VERSION };
        Manager { name: name.into(), operation, api_version: api_version.into(), subresource: subresource.into() }
    }

    fn scale(replicas: i64) -> Value {
        json!({"kind": "Scale", "apiVersion": API_VERSION, "metadata": {"name": "d"}, "spec": {"replicas": replicas}})
    }

    fn deployment() -> Value {
        let mut object = json!({
            "kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d"},
            "spec": {"replicas": 1, "paused": true},
        });
        record_update(&manager("creator", Operation::Update, ""), None, &mut object, &deployments(), NOW);
        object
    }

    fn owners(object: &Value) -> Vec<String> {
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or("-").to_owned();
        let line = |e: &Value| format!("{} {} {}", text(e, "manager"), text(e, "subresource"), e["fieldsV1"]["f:spec"]);
        entries.iter().map(line).collect()
    }

    #[test]
    fn who_scales_takes_the_replicas_from_whoever_had_them() {
        let mut object = deployment();
        let mut live = scale(1);
        let lent = Lent::to(&mut live, &object, &deployments(), ".spec.replicas");
        let mut new = live.clone();
        new["spec"]["replicas"] = json!(3);
        record_update(
            &manager("hpa", Operation::Update, "scale"),
            Some(&live),
            &mut new,
            &resource(&deployments()),
            NOW,
        );
        lent.back(&new, &mut object);
        assert_eq!(owners(&object), [r#"hpa scale {"f:replicas":{}}"#, r#"creator - {"f:paused":{}}"#]);
        let scaled = &object["metadata"]["managedFields"][0];
        assert_eq!((&scaled["apiVersion"], scaled.get("time")), (&json!("apps/v1"), None));
    }

    #[test]
    fn scaling_to_the_same_number_changes_no_owner() {
        let mut object = deployment();
        let before = object.clone();
        let mut live = scale(1);
        let lent = Lent::to(&mut live, &object, &deployments(), ".spec.replicas");
        let mut new = live.clone();
        record_update(
            &manager("hpa", Operation::Update, "scale"),
            Some(&live),
            &mut new,
            &resource(&deployments()),
            NOW,
        );
        lent.back(&new, &mut object);
        assert_eq!(object, before);
    }

    #[test]
    fn an_applied_scale_conflicts_with_whoever_set_the_replicas() {
        let object = deployment();
        let mut live = scale(1);
        Lent::to(&mut live, &object, &deployments(), ".spec.replicas");
        let who = manager("applier", Operation::Apply, "scale");
        let error = super::super::apply(Some(&live), &scale(5), &who, false, &resource(&deployments()), NOW)
            .expect_err("conflict");
        assert_eq!(
            error.message,
            r#"Apply failed with 1 conflict: conflict with "creator" using autoscaling/v1: .spec.replicas"#
        );
    }
}
