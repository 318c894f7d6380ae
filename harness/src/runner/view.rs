//! What most steps do to the cluster, or expect of it: nothing of the scene changes.

use std::ffi::OsStr;
use std::sync::Arc;

use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::Value;

use super::answer::{Answer, judge};
use super::assertion::{self, Subject};
use super::resources::{Found, Resources};
use super::script::Surroundings;
use super::trouble::Trouble;
use super::{chain, events, evict, nodes, script};
use crate::cluster::{Cluster, Node};
use crate::event::Output;
use crate::scenario::expression::Bindings;
use crate::scenario::model::{PatchType, Propagation, Regarding};
use crate::scenario::plan::{Action, Condition, Target};
use crate::scenario::template::fill_value;

/// The scene as most steps see it: nothing of it changes.
pub(super) struct View<'a> {
    pub(super) resources: &'a Resources,
    pub(super) client: &'a Client,
    pub(super) bindings: &'a Bindings,
    pub(super) cluster: &'a Arc<dyn Cluster>,
    pub(super) namespace: &'a str,
    pub(super) path: Option<&'a OsStr>,
}

impl View<'_> {
    /// Does a step that changes nothing of the scene. What a script has written, where it is one.
    pub(super) async fn perform(&self, action: &Action) -> Result<Option<Output>, Trouble> {
        match action {
            Action::Apply { manifests, field_manager, force, expect_error } => {
                for manifest in manifests {
                    let answer = self.apply(manifest, field_manager, *force).await;
                    judge(answer, expect_error.as_ref())?;
                }
            }
            Action::Create { manifests, expect_error } => {
                for manifest in manifests {
                    judge(self.create(manifest).await, expect_error.as_ref())?;
                }
            }
            Action::Patch { target, strategy, subresource, patch, expect_error } => {
                let answer = self.patch(target, *strategy, subresource.as_deref(), patch).await;
                judge(answer, expect_error.as_ref())?;
            }
            Action::Delete { target, propagation, grace_period_seconds, expect_error } => {
                judge(self.delete(target, *propagation, *grace_period_seconds).await, expect_error.as_ref())?;
            }
            Action::Evict { target, eviction } => {
                let target = self.target(target);
                let client = match &eviction.user {
                    Some(user) => self.cluster.client_as(&self.text(user), &evict::groups(user, &eviction.groups)),
                    None => self.client.clone(),
                };
                let namespace = target.namespace.as_deref().unwrap_or(self.namespace);
                evict::evict(&client, &self.found(&target).await?, namespace, &target, eviction).await?;
            }
            Action::Never { target, condition, count, duration } => {
                let (target, condition) = (self.target(target), self.condition(condition));
                assertion::never(&self.subject(&target, &condition).await?, *count, *duration).await?;
            }
            Action::Consistently { target, condition, count, duration } => {
                let (target, condition) = (self.target(target), self.condition(condition));
                assertion::consistently(&self.subject(&target, &condition).await?, *count, *duration).await?;
            }
            Action::ExpectGone { target, within } => {
                let target = self.target(target);
                assertion::expect_gone(self.found(&target).await?, &target, *within).await?;
            }
            Action::ExpectFile { file, within } => {
                nodes::expect_file(self.node(&file.node)?, file, *within).await?;
            }
            Action::ExpectLink { link, within } => {
                nodes::expect_link(self.node(&link.node)?, link, *within).await?;
            }
            Action::ExpectEvents { regarding, events, within } => {
                let name = regarding.name.as_deref().map(|name| self.text(name));
                let regarding = Regarding { name, ..regarding.clone() };
                let namespace = regarding.namespace.as_deref().unwrap_or(self.namespace);
                events::expect(self.client, namespace, &regarding, events, *within).await?;
            }
            Action::Advance(duration) => tokio::time::sleep(*duration).await,
            Action::Script { script, timeout } => {
                let cluster = self.cluster.as_ref();
                let within = Surroundings { cluster, namespace: self.namespace, path: self.path };
                let text = script::run(script, *timeout, &within).await?;
                return Ok(Some(Output { text, counters: None }));
            }
            Action::AddNode(spec) => {
                self.cluster.add_node((**spec).clone()).await.map_err(|error| Trouble::new(chain(&error)))?;
            }
            Action::RemoveNode(name) => {
                self.cluster.remove_node(name).await.map_err(|error| Trouble::new(chain(&error)))?;
            }
            // The scene's own: they change it.
            Action::Expect { .. }
            | Action::ExpectMetric { .. }
            | Action::Operator(_)
            | Action::StartTraffic { .. }
            | Action::StopTraffic { .. } => {}
        }
        Ok(None)
    }

    fn node(&self, name: &str) -> Result<Arc<dyn Node>, Trouble> {
        let name = self.text(name);
        self.cluster.node(&name).ok_or_else(|| Trouble::new(format!("the cluster has no simulated node {name}")))
    }

    /// A text with the names that steps have bound filled in.
    fn text(&self, text: &str) -> String {
        match fill_value(&Value::String(text.to_owned()), self.bindings) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    pub(super) fn target(&self, target: &Target) -> Target {
        Target {
            resource: target.resource.clone(),
            name: target.name.as_deref().map(|name| self.text(name)),
            labels: target.labels.iter().map(|(key, value)| (key.clone(), self.text(value))).collect(),
            namespace: target.namespace.as_deref().map(|namespace| self.text(namespace)),
        }
    }

    pub(super) fn condition(&self, condition: &Condition) -> Condition {
        Condition { object: condition.object_filled(self.bindings), that: condition.that.clone() }
    }

    pub(super) async fn subject<'s>(
        &'s self,
        target: &'s Target,
        condition: &'s Condition,
    ) -> Result<Subject<'s>, Trouble> {
        Ok(Subject { api: self.found(target).await?, target, condition, bindings: self.bindings })
    }

    pub(super) async fn found(&self, target: &Target) -> Result<kube::Api<DynamicObject>, Trouble> {
        let found = self.resources.named(&target.resource).await.map_err(|error| Trouble::new(chain(&error)))?;
        Ok(found.api(self.client, target.namespace.as_deref().unwrap_or(self.namespace)))
    }

    async fn of(&self, manifest: &Value) -> Result<(Found, kube::Api<DynamicObject>), Trouble> {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let found = self
            .resources
            .of_kind(text("/apiVersion"), text("/kind"))
            .await
            .map_err(|error| Trouble::new(chain(&error)))?;
        let namespace = manifest.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or(self.namespace);
        let api = found.api(self.client, namespace);
        Ok((found, api))
    }

    async fn apply(&self, manifest: &Value, field_manager: &str, force: bool) -> Result<Answer, Trouble> {
        let mut manifest = fill_value(manifest, self.bindings);
        let (_, api) = self.of(&manifest).await?;
        self.cluster.claim(&mut manifest, &api).await.map_err(Trouble::new)?;
        let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let params = PatchParams { force, ..PatchParams::apply(field_manager) };
        Ok(Answer::of("apply", &manifest, api.patch(name, &params, &Patch::Apply(&manifest)).await))
    }

    async fn create(&self, manifest: &Value) -> Result<Answer, Trouble> {
        let mut manifest = fill_value(manifest, self.bindings);
        let (_, api) = self.of(&manifest).await?;
        self.cluster.claim(&mut manifest, &api).await.map_err(Trouble::new)?;
        let object: DynamicObject = serde_json::from_value(manifest.clone())
            .map_err(|error| Trouble::new(format!("the manifest is no Kubernetes object: {error}")))?;
        Ok(Answer::of("create", &manifest, api.create(&PostParams::default(), &object).await))
    }

    async fn patch(
        &self,
        target: &Target,
        strategy: PatchType,
        subresource: Option<&str>,
        patch: &Value,
    ) -> Result<Answer, Trouble> {
        let target = self.target(target);
        let api = self.found(&target).await?;
        let value = fill_value(patch, self.bindings);
        let patch = match strategy {
            PatchType::Merge => Patch::Merge(value),
            PatchType::Strategic => Patch::Strategic(value),
            PatchType::Json => Patch::Json(
                serde_json::from_value(value)
                    .map_err(|error| Trouble::new(format!("this is no list of JSON patch operations: {error}")))?,
            ),
        };
        let (params, name) = (PatchParams::default(), target.name.clone().unwrap_or_default());
        let answer = match subresource {
            Some(subresource) => api.patch_subresource(subresource, &name, &params, &patch).await,
            None => api.patch(&name, &params, &patch).await,
        };
        Ok(Answer { what: format!("patch {target}"), error: answer.err() })
    }

    async fn delete(
        &self,
        target: &Target,
        propagation: Option<Propagation>,
        grace_period_seconds: Option<u32>,
    ) -> Result<Answer, Trouble> {
        let target = self.target(target);
        let api = self.found(&target).await?;
        let params = DeleteParams {
            propagation_policy: propagation.map(|propagation| match propagation {
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Foreground => PropagationPolicy::Foreground,
                Propagation::Orphan => PropagationPolicy::Orphan,
            }),
            grace_period_seconds,
            ..DeleteParams::default()
        };
        let error = if let Some(name) = &target.name {
            api.delete(name, &params).await.err()
        } else {
            let labels: Vec<_> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            api.delete_collection(&params, &ListParams::default().labels(&labels.join(","))).await.err()
        };
        Ok(Answer { what: format!("delete {target}"), error })
    }
}
