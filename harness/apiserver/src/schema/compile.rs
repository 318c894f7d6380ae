//! From OpenAPI documents to compiled schemas: the definitions of built-in types, and the `openAPIV3Schema` of custom
//! resource definitions. Pure; what a document gets wrong is told by `structural`, not here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::builtin;
use super::node::{Bounds, ListType, PatchStrategy, Pattern, Rule, Schema, SchemaRef, Type};
use super::{cel, formats};

/// The compiled form of a definition of a built-in type.
pub fn builtin(document: &Value) -> Schema {
    node(document, &child_of_builtin)
}

/// The compiled form of a custom resource's `openAPIV3Schema`: an object with the metadata all objects have. A
/// resource without a schema accepts anything.
pub fn custom(document: Option<&Value>) -> Schema {
    let mut root = match document {
        Some(document) => plain(document),
        None => Schema { ty: Type::Object, preserve_unknown: true, ..Schema::default() },
    };
    root.embedded_resource = true;
    complete_embedded(&mut root);
    cel::compile::attach(&mut root);
    root
}

/// The compiled form of one node of a custom resource's schema, for itself: no metadata is added, no rules are compiled.
pub fn plain(document: &Value) -> Schema {
    let mut schema = node(document, &|child| plain(child).into());
    if let Some(mut bounds) = schema.bounds.take() {
        bounds.format = bounds.format.filter(|format| is_checked(schema.ty, format));
        schema.bounds = Some(bounds).filter(|b| !b.is_empty());
    }
    schema
}

/// Formats that Kubernetes does not know for a type mean nothing.
fn is_checked(ty: Type, format: &str) -> bool {
    match ty {
        Type::Any | Type::String | Type::IntOrString => formats::is_known(format),
        Type::Integer => matches!(format, "int32" | "int64"),
        Type::Number => matches!(format, "float" | "double"),
        Type::Object | Type::Array | Type::Boolean => false,
    }
}

fn child_of_builtin(document: &Value) -> SchemaRef {
    let Some(name) = builtin::referenced(document) else {
        return builtin(document).into();
    };
    let own = document.as_object().map_or(0, serde_json::Map::len);
    if own <= 1 {
        return SchemaRef::Builtin(name);
    }
    // A struct held by value: it has its own place in the schema for the sake of its default or patch strategy.
    let mut schema = builtin::definition(name).clone();
    schema.default = document.get("default").cloned();
    schema.patch_strategy = patch_strategy(document);
    schema.atomic_map |= document["x-kubernetes-map-type"] == "atomic";
    schema.into()
}

fn node(document: &Value, child: &dyn Fn(&Value) -> SchemaRef) -> Schema {
    let children = |key: &str| -> BTreeMap<String, SchemaRef> {
        let fields = document[key].as_object().into_iter().flatten();
        fields.map(|(name, field)| (name.clone(), child(field))).collect()
    };
    let additional = match &document["additionalProperties"] {
        Value::Bool(true) => Some(Schema::default().into()),
        Value::Null | Value::Bool(false) => None,
        schema => Some(child(schema)),
    };
    let rules: Vec<Rule> = document["x-kubernetes-validations"].as_array().into_iter().flatten().map(rule).collect();
    let properties = children("properties");
    let items = document.get("items").map(child);
    let below = properties.values().chain(&additional).chain(&items);
    let mut schema = Schema {
        definition: None,
        has_rules: !rules.is_empty() || below.into_iter().any(inline_has_rules),
        ty: type_of(document),
        nullable: document["nullable"] == true,
        properties,
        additional,
        items,
        required: strings(&document["required"]),
        default: document.get("default").filter(|d| !d.is_null()).cloned(),
        list_type: list_type(document),
        atomic_map: document["x-kubernetes-map-type"] == "atomic",
        patch_strategy: patch_strategy(document),
        patch_merge_key: document["x-kubernetes-patch-merge-key"].as_str().map(str::to_owned),
        preserve_unknown: document["x-kubernetes-preserve-unknown-fields"] == true,
        embedded_resource: document["x-kubernetes-embedded-resource"] == true,
        rules,
        bounds: bounds(document, child),
    };
    if schema.embedded_resource {
        complete_embedded(&mut schema);
    }
    schema
}

/// Gives a resource the fields that every resource has. What its own schema says of `metadata` (bounds of the name)
/// is kept.
fn complete_embedded(schema: &mut Schema) {
    let text = || SchemaRef::from(Schema { ty: Type::String, ..Schema::default() });
    schema.properties.entry("apiVersion".to_owned()).or_insert_with(text);
    schema.properties.entry("kind".to_owned()).or_insert_with(text);
    let own = schema.properties.remove("metadata");
    let metadata = match own.as_ref().map(SchemaRef::get) {
        Some(own) if !own.properties.is_empty() => {
            let mut metadata = builtin::definition(builtin::OBJECT_META).clone();
            metadata.properties.extend(own.properties.iter().map(|(name, field)| (name.clone(), field.clone())));
            metadata.into()
        }
        _ => SchemaRef::Builtin(builtin::OBJECT_META),
    };
    schema.properties.insert("metadata".to_owned(), metadata);
}

fn type_of(document: &Value) -> Type {
    if document["x-kubernetes-int-or-string"] == true {
        return Type::IntOrString;
    }
    match document["type"].as_str() {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn list_type(document: &Value) -> ListType {
    match document["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(strings(&document["x-kubernetes-list-map-keys"])),
        _ => ListType::Atomic,
    }
}

fn patch_strategy(document: &Value) -> PatchStrategy {
    let text = document["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
    let has = |word: &str| text.split(',').any(|part| part == word);
    PatchStrategy { merge: has("merge"), retain_keys: has("retainKeys"), replace: has("replace") }
}

fn rule(document: &Value) -> Rule {
    let text = |key: &str| document[key].as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    Rule {
        rule: text("rule").unwrap_or_default(),
        message: text("message"),
        message_expression: text("messageExpression"),
        reason: text("reason"),
        field_path: text("fieldPath"),
        optional_old_self: document["optionalOldSelf"] == true,
        program: None,
        message_program: None,
    }
}

fn bounds(document: &Value, child: &dyn Fn(&Value) -> SchemaRef) -> Option<Box<Bounds>> {
    let schemas = |key: &str| -> Vec<Arc<Schema>> {
        document[key].as_array().into_iter().flatten().filter_map(|s| inline(child(s))).collect()
    };
    let count = |key: &str| document[key].as_u64();
    let bounds = Bounds {
        maximum: document["maximum"].as_f64(),
        minimum: document["minimum"].as_f64(),
        exclusive_maximum: document["exclusiveMaximum"] == true,
        exclusive_minimum: document["exclusiveMinimum"] == true,
        multiple_of: document["multipleOf"].as_f64(),
        max_length: count("maxLength"),
        min_length: count("minLength"),
        pattern: document["pattern"].as_str().filter(|p| !p.is_empty()).map(Pattern::new),
        max_items: count("maxItems"),
        min_items: count("minItems"),
        unique_items: document["uniqueItems"] == true,
        max_properties: count("maxProperties"),
        min_properties: count("minProperties"),
        format: document["format"].as_str().filter(|f| !f.is_empty()).map(str::to_owned),
        enumeration: document["enum"].as_array().cloned(),
        all_of: schemas("allOf"),
        any_of: schemas("anyOf"),
        one_of: schemas("oneOf"),
        not: document.get("not").and_then(|s| inline(child(s))),
    };
    (!bounds.is_empty()).then(|| Box::new(bounds))
}

fn inline_has_rules(schema: &SchemaRef) -> bool {
    matches!(schema, SchemaRef::Inline(schema) if schema.has_rules)
}

fn inline(schema: SchemaRef) -> Option<Arc<Schema>> {
    match schema {
        SchemaRef::Inline(schema) => Some(schema),
        SchemaRef::Builtin(_) => None,
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
}
