//! Which requests a webhook or policy is about: rules, selectors, equivalent versions.

use serde_json::Value;

use super::attributes::{Attributes, Kind, Operation, Plural};
use crate::lifecycle::meta;
use crate::resource::{Resource, SharedResource};
use crate::resources::value::{items, text};
use crate::selector::LabelSelector;
use crate::service::ApiServer;
use crate::status::ApiError;
use crate::store::{GroupResource, Key};

/// Operations on resources.
#[derive(Clone, Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resource and subresource, the latter empty for the resource itself.
    resources: Vec<(String, String)>,
    scope: String,
    /// Names of objects, none for all; only policies have these.
    names: Vec<String>,
}

impl Rule {
    fn from_object(rule: &Value) -> Self {
        let texts = |field: &str| items(rule, field).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let resources = items(rule, "resources").iter().filter_map(Value::as_str).map(|resource| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            (resource.to_owned(), subresource.to_owned())
        });
        Self {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: resources.collect(),
            scope: text(rule, "scope").to_owned(),
            names: texts("resourceNames"),
        }
    }

    fn matches(&self, about: &Attributes, resource: &Plural) -> bool {
        let any = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        let scope = match self.scope.as_str() {
            "Cluster" => resource.is_namespaces() || about.namespace.is_empty(),
            "Namespaced" => !resource.is_namespaces() && !about.namespace.is_empty(),
            _ => true,
        };
        scope
            && any(&self.operations, about.operation.as_str())
            && any(&self.groups, &resource.group)
            && any(&self.versions, &resource.version)
            && self.resources.iter().any(|(name, subresource)| {
                (name == "*" || *name == resource.resource) && (subresource == "*" || *subresource == about.subresource)
            })
            && (self.names.is_empty() || self.names.contains(&about.name))
    }
}

/// As what a request is admitted: as itself, or as one for the same object in another group or version.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) resource: Plural,
    pub(crate) kind: Kind,
    /// The resource into whose version objects are to be converted; none where the request's own is meant.
    pub(crate) other: Option<SharedResource>,
}

/// Which requests are meant.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Whether no rules mean every request.
    open: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
    equivalent: bool,
}

impl Matching {
    /// From a webhook, whose rules stand in `rules`.
    pub(crate) fn of_webhook(webhook: &Value) -> Self {
        Self::from_object(webhook, "rules", false)
    }

    /// From the `matchConstraints` of a policy, or from the `matchResources` of a binding, which means every request if
    /// it has no rules.
    pub(crate) fn of_policy(resources: &Value, open: bool) -> Self {
        Self::from_object(resources, "resourceRules", open)
    }

    fn from_object(object: &Value, rules: &str, open: bool) -> Self {
        let all = |field: &str| items(object, field).iter().map(Rule::from_object).collect::<Vec<_>>();
        // Validation has seen to it that selectors make sense.
        let selector = |field: &str| LabelSelector::from_object(&object[field]).unwrap_or_default();
        let rules = all(rules);
        Self {
            open: open && rules.is_empty(),
            rules,
            excluded: all("excludeResourceRules"),
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            equivalent: text(object, "matchPolicy") != "Exact",
        }
    }

    /// As what a request is meant, if it is.
    ///
    /// # Errors
    /// 404 when the request's namespace is not there, and its labels would decide.
    pub(crate) fn find(&self, server: &ApiServer, about: &Attributes) -> Result<Option<Seen>, ApiError> {
        let in_namespace = self.selects_namespace(server, about);
        if matches!(in_namespace, Ok(false)) || !self.selects_object(about) {
            return Ok(None);
        }
        let others = Others { server, about };
        if find_in(&self.excluded, about, self.equivalent, &others).is_some() {
            return Ok(None);
        }
        let seen = match find_in(&self.rules, about, self.equivalent, &others) {
            None if self.open => Some(Seen::as_itself(about)),
            seen => seen,
        };
        if seen.is_some() {
            in_namespace?;
        }
        Ok(seen)
    }

    fn selects_namespace(&self, server: &ApiServer, about: &Attributes) -> Result<bool, ApiError> {
        let is_namespace = about.resource.is_namespaces();
        if self.namespaces.is_empty() || (about.namespace.is_empty() && !is_namespace) {
            return Ok(true);
        }
        let written = matches!(about.operation, Operation::Create | Operation::Update);
        if is_namespace && about.subresource.is_empty() && written {
            // What is in the store are not the labels that it is to have.
            return Ok(about.object.as_ref().is_some_and(|object| self.namespaces.matches(object)));
        }
        let namespace = namespace(server, &about.namespace);
        let namespace = namespace.ok_or_else(|| ApiError::not_found("", "namespaces", &about.namespace))?;
        Ok(self.namespaces.matches(&namespace))
    }

    fn selects_object(&self, about: &Attributes) -> bool {
        let selects = |object: &Option<Value>| object.as_ref().is_some_and(|object| self.objects.matches(object));
        self.objects.is_empty() || selects(&about.object) || selects(&about.old)
    }
}

/// A namespace as it is stored.
pub(crate) fn namespace(server: &ApiServer, name: &str) -> Option<Value> {
    let stored = server.0.store.get(&GroupResource::new("", "namespaces"), &Key::new("", name));
    stored.map(|stored| stored.value.clone())
}

impl Seen {
    fn as_itself(about: &Attributes) -> Self {
        Self { resource: about.resource.clone(), kind: about.kind.clone(), other: None }
    }
}

fn find_in(rules: &[Rule], about: &Attributes, equivalent: bool, others: &Others<'_>) -> Option<Seen> {
    if rules.iter().any(|rule| rule.matches(about, &about.resource)) {
        return Some(Seen::as_itself(about));
    }
    if !equivalent || rules.is_empty() {
        return None;
    }
    let others = others.find();
    let matching = |rule: &Rule| others.iter().find(|other| rule.matches(about, &Plural::of(other))).cloned();
    rules.iter().find_map(matching).map(|other| {
        let own_kind = other.subresources.iter().any(|s| s.name == about.subresource && !s.version.is_empty());
        let kind = if own_kind { about.kind.clone() } else { Kind::of(&other) };
        Seen { resource: Plural::of(&other), kind, other: (!own_kind).then_some(other) }
    })
}

/// The same objects in other groups and versions, looked up only when it matters.
struct Others<'a> {
    server: &'a ApiServer,
    about: &'a Attributes,
}

impl Others<'_> {
    fn find(&self) -> Vec<SharedResource> {
        let table = self.server.0.registry.table();
        let Plural { group, version, resource } = &self.about.resource;
        let Some(own) = table.find(group, version, resource) else { return Vec::new() };
        let home = home(own);
        let same =
            |other: &&SharedResource| self::home(other) == home && (other.group != *group || other.version != *version);
        table.all().iter().filter(same).cloned().collect()
    }
}

/// Where objects are stored that may be read in more than one group and version.
fn home(resource: &Resource) -> (&str, &str) {
    resource.rules.stored_as().unwrap_or((&resource.group, &resource.plural))
}

/// The name of an object for rules about it.
pub(crate) fn described(about: &Attributes) -> String {
    let object = about.object.as_ref();
    let names = ["name", "generateName"].into_iter().filter_map(|field| Some(meta(object?, field)));
    let name = std::iter::once(about.name.as_str()).chain(names).find(|name| !name.is_empty());
    name.unwrap_or("Unknown").to_owned()
}
