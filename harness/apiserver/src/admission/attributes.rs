//! What a request is, as webhooks and policies see it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::access::User;
use crate::handle::Call;
use crate::lifecycle::{DeleteOptions, meta};
use crate::resource::Resource;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    /// Something is reached through the object, like a shell in a container.
    Connect,
}

impl Operation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A kind in a version of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) name: String,
}

impl Kind {
    pub(crate) fn to_value(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.name})
    }

    pub(crate) fn of(resource: &Resource) -> Self {
        Self { group: resource.group.clone(), version: resource.version.clone(), name: resource.kind.clone() }
    }
}

/// A resource in a version of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plural {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
}

impl Plural {
    pub(crate) fn to_value(&self) -> Value {
        json!({"group": self.group, "version": self.version, "resource": self.resource})
    }

    pub(crate) fn of(resource: &Resource) -> Self {
        Self { group: resource.group.clone(), version: resource.version.clone(), resource: resource.plural.clone() }
    }

    pub(crate) fn is_namespaces(&self) -> bool {
        self.group.is_empty() && self.resource == "namespaces"
    }
}

/// One request, with the object in the version that it was made in.
#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    pub(crate) operation: Operation,
    /// The kind of the object, which is that of the subresource where it has one.
    pub(crate) kind: Kind,
    pub(crate) resource: Plural,
    pub(crate) subresource: String,
    /// Empty for a new object whose name is to be generated, and where a collection is deleted.
    pub(crate) name: String,
    /// For namespaces, their own name.
    pub(crate) namespace: String,
    pub(crate) object: Option<Value>,
    pub(crate) old: Option<Value>,
    /// The options object, null where there are none.
    pub(crate) options: Value,
    pub(crate) dry_run: bool,
    pub(crate) user: Arc<User>,
}

impl Attributes {
    /// Of a request that creates or updates.
    pub(crate) fn of(call: &Call, operation: Operation, object: Option<Value>, old: Option<Value>) -> Self {
        let target = &call.target;
        let name = match (&object, target.name.as_str()) {
            (Some(object), "") => meta(object, "name"),
            (_, name) => name,
        };
        let resource =
            Plural { group: target.group.clone(), version: target.version.clone(), resource: target.resource.clone() };
        let namespace = if resource.is_namespaces() { name } else { target.namespace.as_str() };
        Self {
            operation,
            kind: kind(call),
            subresource: target.subresource.clone(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            object,
            old,
            options: options(call, operation),
            dry_run: call.query.all("dryRun").iter().any(|v| v == "All"),
            user: Arc::clone(&call.user),
            resource,
        }
    }

    /// Of a request that deletes `old`; a collection's objects have no name in it.
    pub(crate) fn of_deletion(call: &Call, options: &DeleteOptions, old: Value, collection: bool) -> Self {
        let mut attributes = Self::of(call, Operation::Delete, None, Some(old));
        if collection {
            attributes.name.clear();
        }
        attributes.options = delete_options(options);
        attributes.dry_run = !options.dry_run.is_empty();
        attributes
    }

    /// Whether it is about how requests are admitted, which no webhook or policy has a say in.
    pub(crate) fn is_exempt(call: &Call) -> bool {
        call.resource.group == super::GROUP
    }

    /// Whether the object is of a kind that only its subresource has.
    pub(crate) fn has_own_kind(&self, resource: &Resource) -> bool {
        self.kind.group != resource.group || self.kind.name != resource.kind
    }
}

fn kind(call: &Call) -> Kind {
    let own = Kind::of(&call.resource);
    if call.target.resource != call.resource.plural {
        // A binding may be posted to a collection of its own, and is then handled as its pod's.
        return Kind { name: "Binding".to_owned(), ..own };
    }
    let found = call.resource.subresources.iter().find(|s| s.name == call.target.subresource);
    let Some(found) = found.filter(|found| !found.kind.is_empty()) else { return own };
    if found.version.is_empty() {
        return Kind { name: found.kind.clone(), ..own };
    }
    Kind { group: found.group.clone(), version: found.version.clone(), name: found.kind.clone() }
}

fn options(call: &Call, operation: Operation) -> Value {
    let kind = match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    let dry_run = call.query.all("dryRun");
    if !dry_run.is_empty() {
        options["dryRun"] = dry_run.into();
    }
    for name in ["fieldManager", "fieldValidation"] {
        if let Some(value) = call.query.text(name) {
            options[name] = value.into();
        }
    }
    options
}

fn delete_options(options: &DeleteOptions) -> Value {
    let mut value = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
    let mut preconditions = json!({});
    let fields = [("uid", &options.uid), ("resourceVersion", &options.resource_version)];
    for (name, field) in fields.into_iter().filter_map(|(name, field)| Some((name, field.as_ref()?))) {
        preconditions[name] = field.as_str().into();
    }
    let fields = [
        ("gracePeriodSeconds", options.grace_period_seconds.map(Value::from)),
        ("preconditions", preconditions.as_object().is_some_and(|p| !p.is_empty()).then_some(preconditions)),
        ("orphanDependents", options.orphan_dependents.map(Value::from)),
        ("propagationPolicy", options.propagation.clone().map(Value::from)),
        ("dryRun", (!options.dry_run.is_empty()).then(|| options.dry_run.clone().into())),
    ];
    for (name, field) in fields.into_iter().filter_map(|(name, field)| Some((name, field?))) {
        value[name] = field;
    }
    value
}
