//! What runs have made on a cluster, by their label, and how it is removed: in the order in which one thing holds
//! another, waiting for each, and never for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chain::chain;
use crate::cluster::access::RUN_LABEL;
use crate::sim::seed::RunId;

/// How many lists and deletions are under way at a time.
const AT_ONCE: usize = 8;

/// What the API server answers where something is not, or is not even known.
const NOT_FOUND: u16 = 404;

/// How often it is looked whether something has gone.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The order in which things are removed: what asks about others or holds them before those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Webhooks and policies: they would have a say in everything after.
    Gate,
    /// Custom resources, whose operator may have to clean up after them.
    Custom,
    /// Pods and whatever else is in no namespace of ours.
    Other,
    /// Namespaces, with all that is in them.
    Namespace,
    /// Rights.
    Rights,
    /// Definitions of custom resources.
    Definition,
    /// Nodes and their Leases.
    Node,
}

impl Rank {
    const ALL: [Self; 7] =
        [Self::Gate, Self::Custom, Self::Other, Self::Namespace, Self::Rights, Self::Definition, Self::Node];

    fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("admissionregistration.k8s.io", _) => Self::Gate,
            ("", "Namespace") => Self::Namespace,
            ("", "Node") | ("coordination.k8s.io", "Lease") => Self::Node,
            ("rbac.authorization.k8s.io", _) => Self::Rights,
            ("apiextensions.k8s.io", _) => Self::Definition,
            // Built-in groups are short, or end as Kubernetes' own do.
            (group, _) if group.contains('.') && !group.ends_with(".k8s.io") => Self::Custom,
            _ => Self::Other,
        }
    }
}

/// Something that a run has made.
#[derive(Clone, Debug)]
pub struct Made {
    /// When it is removed.
    pub rank: Rank,
    /// Its resource.
    pub resource: ApiResource,
    /// Its namespace, where it lives in one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The run; empty where only what it is an instance of is known to be a run's.
    pub run: String,
    uid: String,
}

impl Made {
    fn new(resource: &ApiResource, object: &PartialObjectMeta<DynamicObject>) -> Self {
        let rank = Rank::of(&resource.group, &resource.kind);
        Self {
            rank,
            resource: resource.clone(),
            namespace: object.namespace(),
            name: object.name_any(),
            run: object.labels().get(RUN_LABEL).cloned().unwrap_or_default(),
            uid: object.uid().unwrap_or_default(),
        }
    }

    /// Its name with its namespace.
    pub fn place(&self) -> String {
        self.namespace.as_ref().map_or_else(|| self.name.clone(), |namespace| format!("{namespace}/{}", self.name))
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }
}

/// Removes what runs have made.
#[derive(Clone)]
pub struct Sweeper {
    /// With an administrator's rights.
    pub client: Client,
    /// Whose; everybody's where there is none.
    pub run: Option<RunId>,
    /// Finalizers that may be taken off what will not go otherwise.
    pub ours: Vec<String>,
}

/// A resource that can be listed, and whether it lives in namespaces.
type Kind = (ApiResource, bool);

impl Sweeper {
    /// What there is, in the order in which it is removed.
    ///
    /// # Errors
    /// The API server does not say what it has.
    pub async fn find(&self) -> Result<Vec<Made>, kube::Error> {
        let kinds = self.kinds().await?;
        let selector = match &self.run {
            Some(run) => format!("{RUN_LABEL}={run}"),
            None => RUN_LABEL.to_owned(),
        };
        let labelled = ListParams::default().labels(&selector);
        let mut made = self.listed(&kinds, &labelled, None).await;
        // Instances of what we have defined are ours, labelled or not: they will not outlive their definition.
        let defined: BTreeSet<String> =
            made.iter().filter(|one| one.rank == Rank::Definition).map(|one| one.name.clone()).collect();
        let instances: Vec<Kind> = kinds
            .into_iter()
            .filter(|(resource, _)| defined.contains(&format!("{}.{}", resource.plural, resource.group)))
            .collect();
        made.extend(self.listed(&instances, &ListParams::default(), None).await);
        // One object may be listed in several groups; what is in a namespace of ours goes with it.
        let mut seen = BTreeSet::new();
        made.retain(|one| seen.insert(one.uid.clone()));
        let spaces: BTreeSet<String> =
            made.iter().filter(|one| one.rank == Rank::Namespace).map(|one| one.name.clone()).collect();
        made.retain(|one| {
            one.rank == Rank::Custom || one.namespace.as_ref().is_none_or(|namespace| !spaces.contains(namespace))
        });
        made.sort_by(|one, other| {
            (one.rank, &one.resource.kind, one.place()).cmp(&(other.rank, &other.resource.kind, other.place()))
        });
        Ok(made)
    }

    /// Removes these, rank by rank. What still stays after `patience` in its rank is returned, with what holds it.
    pub async fn remove(&self, made: &[Made], patience: Duration) -> Vec<String> {
        let mut stays = Vec::new();
        for rank in Rank::ALL {
            let those: Vec<Made> = made.iter().filter(|one| one.rank == rank).cloned().collect();
            let until = Instant::now() + patience;
            let removed = futures::stream::iter(those.into_iter().map(|one| self.remove_one(one, until)));
            let held: Vec<String> = removed.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
            stays.extend(held);
        }
        stays.sort();
        stays
    }

    /// Removes one thing; what holds it where it stays.
    async fn remove_one(&self, one: Made, until: Instant) -> Option<String> {
        let api = one.api(&self.client);
        let is_namespace = one.rank == Rank::Namespace;
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            grace_period_seconds: (one.resource.kind == "Pod").then_some(0),
            ..DeleteParams::default()
        };
        let named = || format!("{} {}", one.resource.kind, one.place());
        match api.delete(&one.name, &params).await {
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => return None,
            Err(error) => return Some(format!("{}: {}", named(), chain(&error))),
            Ok(_) => {}
        }
        if is_namespace {
            // Only now: nobody can put others in their place any more.
            self.kill_pods(&one.name).await;
        }
        let now = Instant::now();
        // Half of the patience is for those whose finalizers they are.
        let half = now + until.saturating_duration_since(now) / 2;
        match self.is_gone(&one, &api, half).await {
            Ok(()) => return None,
            Err(_) if self.ours.is_empty() => {}
            Err(_) if is_namespace => {
                for inside in self.inside(&one.name).await {
                    self.let_go(&inside).await;
                }
            }
            Err(_) => self.let_go(&one).await,
        }
        match self.is_gone(&one, &api, until).await {
            Ok(()) => None,
            Err(why) => Some(format!("{}: {why}", named())),
        }
    }

    /// Waits until something is gone; what holds it where it is not.
    async fn is_gone(&self, one: &Made, api: &Api<DynamicObject>, until: Instant) -> Result<(), String> {
        loop {
            let why = match api.get_opt(&one.name).await {
                Ok(None) => return Ok(()),
                Ok(Some(there)) if there.uid().as_ref() != Some(&one.uid) => return Ok(()),
                Ok(Some(there)) => held_by(&there),
                // Its definition is gone too.
                Err(kube::Error::Api(status)) if status.code == NOT_FOUND => return Ok(()),
                Err(error) => chain(&error),
            };
            if Instant::now() >= until {
                return Err(why);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes our finalizers off.
    async fn let_go(&self, one: &Made) {
        let api = one.api(&self.client);
        let Ok(Some(there)) = api.get_opt(&one.name).await else { return };
        let kept: Vec<&String> = there.finalizers().iter().filter(|one| !self.is_ours(one)).collect();
        if kept.len() == there.finalizers().len() {
            return;
        }
        let version = there.resource_version();
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": kept}});
        if let Err(error) = api.patch(&one.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            tracing::debug!(%error, name = one.name, "cannot take our finalizers off");
        }
    }

    fn is_ours(&self, finalizer: &str) -> bool {
        self.ours.iter().any(|ours| ours == finalizer || ours == "*")
    }

    /// Everything in a namespace.
    async fn inside(&self, namespace: &str) -> Vec<Made> {
        let kinds = self.kinds().await.unwrap_or_default();
        let kinds: Vec<Kind> = kinds.into_iter().filter(|(_, namespaced)| *namespaced).collect();
        self.listed(&kinds, &ListParams::default(), Some(namespace)).await
    }

    /// Ends the Pods of a namespace at once: their nodes may be gone already.
    async fn kill_pods(&self, namespace: &str) {
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(self.client.clone(), namespace);
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        if let Err(error) = pods.delete_collection(&now, &ListParams::default()).await {
            tracing::debug!(%error, namespace, "cannot end the pods");
        }
    }

    /// The objects of these kinds; a kind that cannot be listed has none.
    async fn listed(&self, kinds: &[Kind], params: &ListParams, namespace: Option<&str>) -> Vec<Made> {
        let lists = kinds.iter().cloned().map(|(resource, _)| async move {
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            match api.list_metadata(params).await {
                Ok(list) => list.items.iter().map(|object| Made::new(&resource, object)).collect(),
                Err(error) => {
                    tracing::debug!(%error, kind = resource.kind, "cannot list");
                    Vec::new()
                }
            }
        });
        futures::stream::iter(lists).buffer_unordered(AT_ONCE).concat().await
    }

    /// Every resource that can be listed and deleted. A group that does not answer has none: whoever serves it is away.
    async fn kinds(&self) -> Result<Vec<Kind>, kube::Error> {
        let mut versions = vec![(String::new(), "v1".to_owned())];
        for group in self.client.list_api_groups().await?.groups {
            let version = group.preferred_version.or_else(|| group.versions.first().cloned());
            versions.extend(version.map(|version| (group.name.clone(), version.version)));
        }
        let lists = versions.into_iter().map(|(group, version)| async move {
            let list = if group.is_empty() {
                self.client.list_core_api_resources(&version).await
            } else {
                self.client.list_api_group_resources(&format!("{group}/{version}")).await
            };
            let resources = list.map(|list| list.resources).unwrap_or_default();
            resources.iter().filter_map(|resource| kind(&group, &version, resource)).collect::<Vec<Kind>>()
        });
        Ok(futures::stream::iter(lists).buffer_unordered(AT_ONCE).concat().await)
    }

    /// The names of definitions that are there and not this run's, of those in question.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn instances_of_others(&self, definition: &CustomResourceDefinition) -> Result<Vec<String>, kube::Error> {
        let Some(version) = definition.spec.versions.iter().find(|version| version.storage) else {
            return Ok(Vec::new());
        };
        let names = &definition.spec.names;
        let resource = ApiResource {
            group: definition.spec.group.clone(),
            version: version.name.clone(),
            api_version: format!("{}/{}", definition.spec.group, version.name),
            kind: names.kind.clone(),
            plural: names.plural.clone(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let list = match api.list_metadata(&ListParams::default()).await {
            // Not even the path is known where the kind is not defined.
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => return Ok(Vec::new()),
            answer => answer?,
        };
        let mine = self.run.as_ref().map(|run| &run.0);
        let others = list.items.iter().filter(|object| object.labels().get(RUN_LABEL) != mine);
        Ok(others.map(|object| Made::new(&resource, object).place()).collect())
    }
}

/// A resource as something to list; none where that is not possible, and for Events, which go by themselves.
fn kind(group: &str, version: &str, resource: &APIResource) -> Option<Kind> {
    let can = |verb: &str| resource.verbs.iter().any(|known| known == verb);
    if resource.name.contains('/') || !can("list") || !can("delete") || resource.kind == "Event" {
        return None;
    }
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let described = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: resource.kind.clone(),
        plural: resource.name.clone(),
    };
    Some((described, resource.namespaced))
}

/// Why an object is still there, as far as it says.
fn held_by(there: &DynamicObject) -> String {
    let mut why = Vec::new();
    if !there.finalizers().is_empty() {
        why.push(format!("held by the finalizer {}", there.finalizers().join(", ")));
    }
    let conditions = there.data.pointer("/status/conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
        // What a namespace says when something in it stays.
        if text("status") == "True" && text("type").starts_with("Namespace") {
            why.push(text("message").to_owned());
        }
    }
    if why.is_empty() { "it does not go".to_owned() } else { why.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_say_goes_first_and_what_others_stand_on_last() {
        let ranks = [
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", Rank::Gate),
            ("multinic.io", "MultiNicNodeConfig", Rank::Custom),
            ("", "Pod", Rank::Other),
            ("apps", "Deployment", Rank::Other),
            ("networking.k8s.io", "NetworkPolicy", Rank::Other),
            ("", "Namespace", Rank::Namespace),
            ("rbac.authorization.k8s.io", "ClusterRole", Rank::Rights),
            ("apiextensions.k8s.io", "CustomResourceDefinition", Rank::Definition),
            ("", "Node", Rank::Node),
            ("coordination.k8s.io", "Lease", Rank::Node),
        ];
        for (group, kind, expected) in ranks {
            assert_eq!(Rank::of(group, kind), expected, "{group} {kind}");
        }
        assert!(ranks.windows(2).all(|pair| pair[0].2 <= pair[1].2));
    }

    #[test]
    fn what_stays_says_what_holds_it() {
        let namespace: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"},
            "status": {"conditions": [
                {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "x/y in 1 resource instances"},
                {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "all well"},
            ]},
        }))
        .unwrap();
        assert_eq!(held_by(&namespace), "x/y in 1 resource instances");
        let custom: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "a.b/v1", "kind": "C", "metadata": {"name": "a", "finalizers": ["d.e/f"]},
        }))
        .unwrap();
        assert_eq!(held_by(&custom), "held by the finalizer d.e/f");
    }
}
