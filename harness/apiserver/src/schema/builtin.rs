//! The schemas of built-in types, from Kubernetes' own OpenAPI document (`data/schemas.json`, one definition a line).
//!
//! Opening the table only notes where each line starts; a definition is compiled when somebody first looks at it and
//! lives as long as the process. No lock is held while reading a compiled definition.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;

use super::compile;
use super::node::{Bounds, Schema, SchemaRef, Type};

const SCHEMAS: &str = include_str!("../../data/schemas.json");

/// Where references of the OpenAPI document point to.
const REFERENCE: &str = "#/components/schemas/";

/// The definition of every object's metadata.
pub const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The recursive type that the schemas of custom resources are written in.
const JSON_SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

struct Definition {
    text: &'static str,
    schema: OnceLock<Schema>,
}

static DEFINITIONS: LazyLock<HashMap<&'static str, Definition>> = LazyLock::new(|| lines().collect());

static BY_KIND: LazyLock<HashMap<(String, String, String), &'static str>> = LazyLock::new(|| {
    let kinds = DEFINITIONS.iter().filter(|(_, d)| d.text.contains("x-kubernetes-group-version-kind"));
    let mut index = HashMap::new();
    for (name, definition) in kinds {
        let document = parse(definition.text);
        for kind in document["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let part = |key: &str| kind[key].as_str().unwrap_or_default().to_owned();
            index.insert((part("group"), part("version"), part("kind")), *name);
        }
    }
    index
});

/// What a name stands for that no definition has: anything goes.
static ANYTHING: LazyLock<Schema> = LazyLock::new(|| Schema { preserve_unknown: true, ..Schema::default() });

/// The compiled definition of that name.
pub fn definition(name: &str) -> &'static Schema {
    let Some((name, found)) = DEFINITIONS.get_key_value(name) else { return &ANYTHING };
    found.schema.get_or_init(|| Schema { definition: Some(name), ..compiled(name, found.text) })
}

/// The definition of that name as the OpenAPI document has it.
pub fn document(name: &str) -> Option<Value> {
    DEFINITIONS.get(name).map(|found| parse(found.text))
}

/// All names of definitions, in no order.
pub fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.keys().copied()
}

/// The schema of a built-in kind; the kinds shared by all groups (`DeleteOptions`) are found in each of them.
pub fn for_kind(group: &str, version: &str, kind: &str) -> Option<SchemaRef> {
    let key = (group.to_owned(), version.to_owned(), kind.to_owned());
    BY_KIND.get(&key).map(|name| SchemaRef::Builtin(name))
}

/// The reference of a document, `{"$ref": …}` or `{"allOf": [{"$ref": …}], …}`, to a definition.
pub(super) fn referenced(document: &Value) -> Option<&'static str> {
    let reference = match &document["allOf"] {
        Value::Array(parts) if parts.len() == 1 => &parts[0]["$ref"],
        _ => &document["$ref"],
    };
    let name = reference.as_str()?.strip_prefix(REFERENCE)?;
    DEFINITIONS.get_key_value(name).map(|(name, _)| *name)
}

fn lines() -> impl Iterator<Item = (&'static str, Definition)> {
    SCHEMAS.lines().filter_map(|line| {
        let (name, text) = line.strip_prefix('"')?.split_once("\":")?;
        Some((name, Definition { text: text.trim_end_matches(','), schema: OnceLock::new() }))
    })
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Most definitions say all there is to say; a few are Go types with a JSON form of their own.
fn compiled(name: &str, text: &str) -> Schema {
    let anything = || Schema { preserve_unknown: true, ..Schema::default() };
    let formed = |ty: Type, format: &str| Schema {
        ty,
        bounds: Some(Box::new(Bounds { format: Some(format.to_owned()), ..Bounds::default() })),
        ..Schema::default()
    };
    let schemas = || definition(JSON_SCHEMA).properties.clone();
    match name.rsplit('.').next().unwrap_or_default() {
        "JSON" => Schema { nullable: true, ..anything() },
        "RawExtension" | "FieldsV1" | "Patch" => Schema { ty: Type::Object, ..anything() },
        "JSONSchemaPropsOrArray" => {
            Schema { properties: schemas(), items: Some(SchemaRef::Builtin(JSON_SCHEMA)), ..Schema::default() }
        }
        "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
            Schema { properties: schemas(), ..Schema::default() }
        }
        "IntOrString" => Schema { ty: Type::IntOrString, ..Schema::default() },
        "Quantity" => formed(Type::Any, "quantity"),
        "Time" => formed(Type::String, "date-time"),
        "MicroTime" => formed(Type::String, "micro-time"),
        _ => compile::builtin(&parse(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_compiles_and_every_reference_leads_somewhere() {
        fn walk(schema: &Schema, seen: &mut Vec<&'static str>) {
            let children = schema.properties.values().chain(&schema.additional).chain(&schema.items);
            for child in children {
                match child {
                    SchemaRef::Builtin(name) if seen.contains(name) => {}
                    SchemaRef::Builtin(name) => {
                        assert!(DEFINITIONS.contains_key(name), "{name}");
                        seen.push(name);
                        walk(definition(name), seen);
                    }
                    SchemaRef::Inline(inner) => walk(inner, seen),
                }
            }
        }
        let mut seen = Vec::new();
        for name in names() {
            walk(definition(name), &mut seen);
        }
        assert!(DEFINITIONS.len() > 500, "{}", DEFINITIONS.len());
    }

    #[test]
    fn kinds_are_found_by_group_version_and_kind() {
        for (group, version, kind) in
            [("", "v1", "Pod"), ("batch", "v1", "Job"), ("rbac.authorization.k8s.io", "v1", "Role")]
        {
            let schema = for_kind(group, version, kind).expect(kind);
            assert!(schema.get().properties.contains_key("metadata"), "{kind}");
        }
        assert!(for_kind("", "v1", "Nothing").is_none());
    }

    #[test]
    fn the_form_of_a_field_survives_compilation() {
        let container = definition("io.k8s.api.core.v1.Container");
        let ports = container.properties["ports"].get();
        assert_eq!(ports.list_type, super::super::node::ListType::Map(vec!["containerPort".into(), "protocol".into()]));
        assert_eq!(ports.patch_merge_key.as_deref(), Some("containerPort"));
        assert!(ports.patch_strategy.merge);
        assert_eq!(ports.items.as_ref().expect("items").get().properties["protocol"].get().default, Some("TCP".into()));
        assert_eq!(container.properties["resources"].get().default, Some(serde_json::json!({})));
        let strategy = definition("io.k8s.api.apps.v1.DeploymentSpec").properties["strategy"].get();
        assert!(strategy.patch_strategy.retain_keys);
    }
}
