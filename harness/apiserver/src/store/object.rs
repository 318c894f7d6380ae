//! What is stored: an object as of one revision, with its bytes, and where it stands.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A stored resource: group and plural name. All versions of a resource share one collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural name.
    pub resource: String,
}

impl GroupResource {
    /// From its parts.
    pub fn new(group: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }
}

/// Where an object stands in its collection; the order is the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Empty for objects of the cluster's scope.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl Key {
    /// From its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// One object as of one revision.
#[derive(Debug)]
pub struct Stored {
    /// The revision that wrote it, which is its `metadata.resourceVersion`.
    pub revision: u64,
    /// The object.
    pub value: Value,
    bytes: Bytes,
    fields_at: usize,
}

impl Stored {
    pub(super) fn new(mut value: Value, revision: u64) -> Self {
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        let (bytes, fields_at) = encode(&value);
        Self { revision, value, bytes, fields_at }
    }

    /// The whole object as JSON.
    pub fn json(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The object's fields without `apiVersion` and `kind`, as JSON without the opening brace. Lists of built-in
    /// kinds and other versions of a kind put their own head before it.
    pub fn fields(&self) -> Bytes {
        self.bytes.slice(self.fields_at..)
    }

    /// The same state under a later revision: the last thing a watch sees of an object that leaves its selection.
    #[must_use]
    pub fn at(&self, revision: u64) -> Self {
        Self::new(self.value.clone(), revision)
    }

    /// The same state in another form, such as another version.
    #[must_use]
    pub(crate) fn with(&self, value: Value) -> Self {
        Self::new(value, self.revision)
    }

    /// The object's `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.value["metadata"]["uid"].as_str().unwrap_or_default()
    }
}

/// The object as JSON with `apiVersion` and `kind` in front, and where the other fields begin.
pub fn encode(value: &Value) -> (Bytes, usize) {
    struct Head<'a>(&'a serde_json::Map<String, Value>, bool);
    impl Serialize for Head<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let is_head = |name: &str| name == "apiVersion" || name == "kind";
            serializer.collect_map(self.0.iter().filter(|(name, _)| is_head(name) == self.1))
        }
    }
    let Value::Object(fields) = value else { return (Bytes::from(value.to_string()), 0) };
    // Values and string keys cannot fail to serialise, and neither can writing to memory.
    let mut bytes = serde_json::to_vec(&Head(fields, true)).unwrap_or_default();
    let rest = serde_json::to_vec(&Head(fields, false)).unwrap_or_default();
    bytes.pop();
    if bytes.len() > 1 && rest.len() > 2 {
        bytes.push(b',');
    }
    let at = bytes.len();
    bytes.extend_from_slice(rest.get(1..).unwrap_or_default());
    (Bytes::from(bytes), at)
}
