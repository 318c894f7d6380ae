//! What the server knows of one served resource: its names, its schema and its kind's own rules.

use std::sync::Arc;

use serde_json::Value;

use crate::convert::Webhook;
use crate::field::FieldError;
use crate::schema::node::SchemaRef;
use crate::table::Column;

/// Names and shape of one served resource in one version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The API group, empty for the core group.
    pub group: String,
    /// The version, like `v1`.
    pub version: String,
    /// The plural name in paths, like `configmaps`.
    pub plural: String,
    /// The singular name.
    pub singular: String,
    /// The kind, like `ConfigMap`.
    pub kind: String,
    /// The kind of a list of these.
    pub list_kind: String,
    /// What people type.
    pub short_names: Vec<String>,
    /// Groups of resources, like `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What may be done with it, in the order discovery tells.
    pub verbs: Vec<String>,
    /// What hangs below an object's path, in the order discovery tells.
    pub subresources: Vec<Subresource>,
    /// The structure of an object.
    pub schema: SchemaRef,
    /// Whether `status` is a subresource, split from the rest.
    pub has_status: bool,
    /// Where the `scale` subresource reads and writes.
    pub scale: Option<ScalePaths>,
    /// Columns beyond name and age, for custom resources; built-in kinds print through their [`Rules`].
    pub columns: Vec<Column>,
    /// Field selectors beyond `metadata.name` and `metadata.namespace`: JSON paths like `spec.nodeName`.
    pub selectable_fields: Vec<String>,
    /// Custom resources come from a definition (by name), built-in kinds from the server.
    pub definition: Option<String>,
    /// What clients are warned of who use this version.
    pub deprecation: Option<String>,
    /// The version objects are stored in, for custom resources.
    pub storage_version: Option<String>,
    /// Who converts objects between versions, for custom resources whose versions are not just names.
    pub conversion: Option<Arc<Webhook>>,
    /// What the kind adds to its schema.
    pub rules: &'static dyn Rules,
}

/// One subresource, like `pods/eviction`.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// The last segment of its path, like `eviction`.
    pub name: String,
    /// The group of its kind; empty together with the version where it is the resource's own.
    pub group: String,
    /// The version of its kind; empty where it is the resource's own.
    pub version: String,
    /// Its kind, like `Eviction`.
    pub kind: String,
    /// What may be done with it.
    pub verbs: Vec<String>,
}

/// JSON paths (with a leading dot, as in a definition) of the `scale` subresource.
#[derive(Clone, Debug)]
pub struct ScalePaths {
    /// Like `.spec.replicas`.
    pub spec_replicas: String,
    /// Like `.status.replicas`.
    pub status_replicas: String,
    /// Like `.status.labelSelector`.
    pub label_selector: Option<String>,
}

/// What a kind does beyond its schema. Every method is pure: no clock, no randomness, no store; `uid` and `now` are
/// already on the object (`metadata.uid`, `metadata.creationTimestamp`) when it is called.
///
/// The order of a write is: decode → prune → default (schema, then [`Rules::default`]) → [`Rules::prepare_create`] or
/// [`Rules::prepare_update`] → admission → validate (metadata, schema, then the rules') → store.
pub trait Rules: Send + Sync + std::fmt::Debug {
    /// Fills in what the schema cannot: defaults that depend on other fields.
    fn default(&self, _object: &mut Value) {}

    /// Drops what a client may not set on create (status), sets what the server sets.
    fn prepare_create(&self, _object: &mut Value) {}

    /// Keeps what a client may not change on update.
    fn prepare_update(&self, _new: &mut Value, _old: &Value) {}

    /// As [`Rules::prepare_update`], for the `status` subresource; all but status and managed fields is already kept.
    fn prepare_status_update(&self, _new: &mut Value, _old: &Value) {}

    /// Whether `metadata.generation` is kept for this kind (it is for most kinds with a spec, and for all custom ones).
    fn has_generation(&self) -> bool {
        true
    }

    /// Whether [`Rules::allocate`] is to be called with the other objects of the kind.
    fn needs_peers(&self) -> bool {
        false
    }

    /// Gives a new or changed object what no other object of its kind may have, like a service's address.
    fn allocate(&self, _object: &mut Value, _peers: &[&Value]) {}

    /// What is wrong with a new object's own fields (its metadata is checked elsewhere).
    fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with a change.
    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    /// What is wrong with a change of status.
    fn validate_status_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// The rule that object names of this kind follow.
    fn name_rule(&self) -> NameRule {
        NameRule::Subdomain
    }

    /// Seconds of grace a deletion gets when the caller asked for `requested`; none means at once.
    fn grace_seconds(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// The group and plural name under which objects are stored that more than one group serves; none for most kinds.
    fn stored_as(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Gives an object that was written through another group or version the fields that this one knows.
    fn convert(&self, _object: &mut Value) {}

    /// The fields that objects can be selected by, besides name and namespace.
    fn fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The value of a selectable field that is not simply at its path; the outer none means the field is unknown.
    fn field(&self, _object: &Value, _path: &str) -> Option<String> {
        None
    }

    /// The columns kubectl prints.
    fn columns(&self) -> Vec<Column> {
        crate::table::name_and_age()
    }

    /// One row of them; `now` is given for ages.
    fn row(&self, object: &Value, now: jiff::Timestamp) -> Vec<Value> {
        crate::table::name_and_age_row(object, now)
    }

    /// What kubectl is to know of the row besides its cells: a pod that is done is `Completed`.
    fn row_conditions(&self, _object: &Value) -> Vec<Value> {
        Vec::new()
    }
}

/// Which names a kind accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain (most kinds).
    Subdomain,
    /// RFC 1123 label (namespaces).
    Label,
    /// RFC 1035 label (services).
    Rfc1035Label,
    /// A path segment (RBAC).
    PathSegment,
}

/// A kind with no rules of its own.
#[derive(Debug)]
pub struct NoRules;

impl Rules for NoRules {
    fn has_generation(&self) -> bool {
        false
    }
}

/// Resources are shared between requests.
pub type SharedResource = Arc<Resource>;
