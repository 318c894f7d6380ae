//! Everything that is served: the built-in resources and, at run time, those of custom resource definitions.
//!
//! Readers take a [`Table`], an immutable snapshot behind an `Arc`; a writer makes a new one. A lookup therefore holds
//! a lock only while it clones a pointer. The built-in part is read once in a process.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde_json::Value;

use super::rules;
use crate::resource::{Resource, ScalePaths, SharedResource, Subresource};
use crate::schema::node::SchemaRef;

/// The aggregated discovery documents of a real server: names, verbs, order.
const DISCOVERY: &str = include_str!("../../data/discovery.json");

static BUILTIN: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(Table::new(read_builtin(DISCOVERY))));

/// The resources of one server.
#[derive(Debug)]
pub struct Registry {
    table: RwLock<Arc<Table>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Registry {
    /// The built-in resources.
    pub fn builtin() -> Self {
        Self { table: RwLock::new(Arc::clone(&BUILTIN)) }
    }

    /// What is served now. Keep it for the length of a request: it does not change.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves exactly `resources` for the definition of that name, in place of what it had before; none of them
    /// removes it. Other definitions and the built-in resources stay.
    pub fn set_definition(&self, definition: &str, resources: Vec<Resource>) {
        let mut slot = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let kept = slot.all.iter().filter(|r| r.definition.as_deref() != Some(definition)).cloned();
        let all = kept.chain(resources.into_iter().map(Arc::new)).collect();
        *slot = Arc::new(Table::new(all));
    }

    /// The resource in a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<SharedResource> {
        self.table().find(group, version, plural).cloned()
    }

    /// The resource of a kind.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<SharedResource> {
        self.table().find_kind(group, version, kind).cloned()
    }
}

/// One API group with its versions, the preferred one first.
#[derive(Debug)]
pub struct Group {
    /// Its name, empty for the core group.
    pub name: String,
    /// Its versions, in the order discovery tells.
    pub versions: Vec<GroupVersion>,
}

impl Group {
    /// The version clients are told to use.
    pub fn preferred(&self) -> &str {
        self.versions.first().map_or("", |v| v.name.as_str())
    }
}

/// One version of a group.
#[derive(Debug)]
pub struct GroupVersion {
    /// Its name, like `v1beta1`.
    pub name: String,
    /// Its resources, in the order discovery tells.
    pub resources: Vec<SharedResource>,
}

/// What is served at one moment.
#[derive(Debug)]
pub struct Table {
    all: Vec<SharedResource>,
    groups: Vec<Group>,
    by_plural: Index,
    by_kind: Index,
}

/// Group → version → plural or kind. Three short hashes spare a lookup its allocations.
type Index = HashMap<String, HashMap<String, HashMap<String, SharedResource>>>;

impl Table {
    fn new(all: Vec<SharedResource>) -> Self {
        let (mut by_plural, mut by_kind) = (Index::new(), Index::new());
        let mut groups: Vec<Group> = Vec::new();
        for resource in &all {
            for (index, key) in [(&mut by_plural, &resource.plural), (&mut by_kind, &resource.kind)] {
                let versions = index.entry(resource.group.clone()).or_default();
                let entries = versions.entry(resource.version.clone()).or_default();
                entries.entry(key.clone()).or_insert_with(|| Arc::clone(resource));
            }
            add_to_group(&mut groups, resource);
        }
        order(&mut groups);
        Self { all, groups, by_plural, by_kind }
    }

    /// The resource in a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&SharedResource> {
        self.by_plural.get(group)?.get(version)?.get(plural)
    }

    /// The resource of a kind.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&SharedResource> {
        self.by_kind.get(group)?.get(version)?.get(kind)
    }

    /// One group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.name == name)
    }

    /// All groups, the core group first, in the order discovery tells.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// All resources in all versions, in no order worth relying on.
    pub fn all(&self) -> &[SharedResource] {
        &self.all
    }

    /// One resource in all its served versions, the preferred one first.
    pub fn versions(&self, group: &str, plural: &str) -> Vec<&SharedResource> {
        let versions = self.group(group).map(|g| g.versions.as_slice()).unwrap_or_default();
        versions.iter().filter_map(|v| self.find(group, &v.name, plural)).collect()
    }
}

fn add_to_group(groups: &mut Vec<Group>, resource: &SharedResource) {
    let at = groups.iter().position(|g| g.name == resource.group).unwrap_or_else(|| {
        groups.push(Group { name: resource.group.clone(), versions: Vec::new() });
        groups.len() - 1
    });
    let versions = &mut groups[at].versions;
    let at = versions.iter().position(|v| v.name == resource.version).unwrap_or_else(|| {
        versions.push(GroupVersion { name: resource.version.clone(), resources: Vec::new() });
        versions.len() - 1
    });
    versions[at].resources.push(Arc::clone(resource));
}

/// Built-in groups keep their place; groups of custom resources follow by name, their versions by age and maturity.
fn order(groups: &mut [Group]) {
    let custom = |group: &Group| group.versions.iter().flat_map(|v| &v.resources).all(|r| r.definition.is_some());
    groups.sort_by(|a, b| match (custom(a), custom(b)) {
        (true, true) => a.name.cmp(&b.name),
        (a, b) => a.cmp(&b),
    });
    for group in groups.iter_mut().filter(|g| custom(g)) {
        group.versions.sort_by(|a, b| compare_versions(&a.name, &b.name));
        for version in &mut group.versions {
            version.resources.sort_by(|a, b| a.plural.cmp(&b.plural));
        }
    }
}

/// Orders versions as Kubernetes prefers them: `v2`, `v1`, `v1beta2`, `v1beta1`, `v1alpha1`, then other names.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Maturity (2 for stable, 1 for beta, 0 for alpha), major and minor version.
fn parse_version(name: &str) -> Option<(u8, u64, u64)> {
    let rest = name.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(digits);
    let number = |text: &str| if text.starts_with('+') { None } else { text.parse::<u64>().ok() };
    let major = number(major)?;
    if rest.is_empty() {
        return Some((2, major, 0));
    }
    if let Some(minor) = rest.strip_prefix("beta") {
        return Some((1, major, number(minor)?));
    }
    Some((0, major, number(rest.strip_prefix("alpha")?)?))
}

fn read_builtin(text: &'static str) -> Vec<SharedResource> {
    let documents: Value = serde_json::from_str(text).unwrap_or_default();
    let mut all = Vec::new();
    for group in ["/api", "/apis"].iter().flat_map(|path| list(&documents[path]["items"])) {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in list(&group["versions"]) {
            let version_name = string(&version["version"]);
            let resources = list(&version["resources"]).iter();
            all.extend(resources.map(|r| Arc::new(read_resource(name, &version_name, r))));
        }
    }
    all
}

fn read_resource(group: &str, version: &str, document: &Value) -> Resource {
    let kind = string(&document["responseKind"]["kind"]);
    let subresources: Vec<Subresource> = list(&document["subresources"]).iter().map(read_subresource).collect();
    let has = |name: &str| subresources.iter().any(|s| s.name == name);
    let rules = rules(group, &kind);
    let schema: &'static str = Box::leak(schema_name(group, version, &kind).into_boxed_str());
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: string(&document["resource"]),
        singular: string(&document["singularResource"]),
        list_kind: format!("{kind}List"),
        short_names: strings(&document["shortNames"]),
        categories: strings(&document["categories"]),
        namespaced: document["scope"] == "Namespaced",
        verbs: strings(&document["verbs"]),
        schema: SchemaRef::Builtin(schema),
        has_status: has("status"),
        scale: has("scale").then(|| ScalePaths {
            spec_replicas: ".spec.replicas".to_owned(),
            status_replicas: ".status.replicas".to_owned(),
            label_selector: Some(".spec.selector".to_owned()),
        }),
        columns: Vec::new(),
        selectable_fields: rules.fields().iter().map(|field| (*field).to_owned()).collect(),
        definition: None,
        deprecation: None,
        storage_version: None,
        conversion: None,
        rules,
        subresources,
        kind,
    }
}

fn read_subresource(document: &Value) -> Subresource {
    let kind = &document["responseKind"];
    Subresource {
        name: string(&document["subresource"]),
        group: string(&kind["group"]),
        version: string(&kind["version"]),
        kind: string(&kind["kind"]),
        verbs: strings(&document["verbs"]),
    }
}

/// The definition's name in `schemas.json`: built-in kinds live in packages named after the group's first word, but
/// for two that come from servers of their own.
fn schema_name(group: &str, version: &str, kind: &str) -> String {
    let package = match group {
        "" => "api.core",
        "apiextensions.k8s.io" => "apiextensions-apiserver.pkg.apis.apiextensions",
        "apiregistration.k8s.io" => "kube-aggregator.pkg.apis.apiregistration",
        other => &format!("api.{}", other.split('.').next().unwrap_or_default()),
    };
    format!("io.k8s.{package}.{version}.{kind}")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    list(value).iter().map(string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(group: &str, version: &str, plural: &str) -> Resource {
        let model = Registry::builtin().find("", "v1", "configmaps").unwrap();
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            kind: plural.to_owned(),
            definition: Some(format!("{plural}.{group}")),
            ..(*model).clone()
        }
    }

    #[test]
    fn every_builtin_kind_has_a_schema() {
        let schemas: Value = serde_json::from_str(include_str!("../../data/schemas.json")).unwrap();
        for resource in Registry::builtin().table().all() {
            let SchemaRef::Builtin(name) = resource.schema else { panic!("{}", resource.kind) };
            // ComponentStatus and the review kinds are served without storage, but have a schema all the same.
            assert!(schemas["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn a_builtin_resource_is_found_by_path_and_by_kind() {
        let registry = Registry::builtin();
        let pods = registry.find("", "v1", "pods").unwrap();
        assert_eq!((pods.kind.as_str(), pods.list_kind.as_str(), pods.namespaced), ("Pod", "PodList", true));
        assert_eq!(pods.short_names, ["po"]);
        assert!(pods.has_status && pods.scale.is_none());
        assert!(registry.find_kind("apps", "v1", "Deployment").unwrap().scale.is_some());
        assert!(registry.find("", "v1", "nosuch").is_none());
    }

    #[test]
    fn groups_keep_the_order_of_a_real_server_and_custom_groups_follow_by_name() {
        let registry = Registry::builtin();
        registry.set_definition("b.z.example.com", vec![custom("z.example.com", "v1", "b")]);
        registry.set_definition("b.a.example.com", vec![custom("a.example.com", "v1", "b")]);
        let table = registry.table();
        let names: Vec<&str> = table.groups().iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names[..3], ["", "apiregistration.k8s.io", "apps"]);
        assert_eq!(names[names.len() - 3..], ["flowcontrol.apiserver.k8s.io", "a.example.com", "z.example.com"]);
        assert_eq!(table.group("autoscaling").unwrap().preferred(), "v2");
    }

    #[test]
    fn a_definition_is_replaced_as_a_whole_and_removed_by_none() {
        let registry = Registry::builtin();
        let before = registry.table();
        registry.set_definition(
            "w.e.com",
            vec![custom("e.com", "v1beta1", "w"), custom("e.com", "v1", "w")]
                .into_iter()
                .map(|r| Resource { definition: Some("w.e.com".to_owned()), ..r })
                .collect(),
        );
        let versions: Vec<String> = registry.table().versions("e.com", "w").iter().map(|r| r.version.clone()).collect();
        assert_eq!(versions, ["v1", "v1beta1"]);
        assert!(before.find("e.com", "v1", "w").is_none(), "a snapshot does not change");
        registry.set_definition("w.e.com", vec![]);
        assert!(registry.find("e.com", "v1", "w").is_none());
        assert!(registry.table().group("e.com").is_none());
    }

    #[test]
    fn versions_are_ordered_as_kubectl_prefers_them() {
        let mut versions = ["foo", "v1alpha1", "v10", "v2", "v1beta2", "v1", "v11beta2", "v0", "bar"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["v10", "v2", "v1", "v0", "v11beta2", "v1beta2", "v1alpha1", "bar", "foo"]);
    }
}
