//! OpenAPI documents of built-in and custom resources.
//!
//! `/openapi/v3` lists one document per group and version; its address carries a digest, so that clients may keep what
//! they have read. A document holds the schemas of the version's kinds with all they refer to, and of each path what
//! kubectl asks about it: which kind it takes, and that it can dry-run and validate fields. Documents are made on request;
//! nobody reads them twice.

use std::collections::BTreeMap;

use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::discovery::{digest, tagged};
use crate::handle::reply::{text_response, value_response};
use crate::resource::Resource;
use crate::resources::customresourcedefinition as crd;
use crate::resources::registry::{GroupVersion, Table};
use crate::schema::builtin;
use crate::schema::node::SchemaRef;
use crate::service::ApiServer;
use crate::store::{GroupResource, Key};

const REFERENCE: &str = "#/components/schemas/";

/// The document at a path below `/openapi`; none where there is none.
pub(crate) fn answer(server: &ApiServer, table: &Table, path: &[&str], headers: &HeaderMap) -> Option<Response<Body>> {
    match path {
        ["v3"] => Some(value_response(StatusCode::OK, &index(server, table), false)),
        ["v3", rest @ ..] => {
            let (group, version) = match rest {
                ["api", version] => ("", *version),
                ["apis", group, version] => (*group, *version),
                _ => return None,
            };
            let version = table.group(group)?.versions.iter().find(|v| v.name == version)?;
            Some(tagged(&document(server, group, version), "application/json", headers))
        }
        ["v2"] => {
            let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
            let json = accepted.split(',').any(|a| matches!(a.split(';').next(), Some("application/json" | "*/*")));
            if !json {
                // Clients that would rather have it as protobuf know what to do without.
                return Some(text_response(StatusCode::NOT_ACCEPTABLE, "406: Not Acceptable\n"));
            }
            Some(tagged(&swagger(server, table), "application/json", headers))
        }
        _ => None,
    }
}

fn index(server: &ApiServer, table: &Table) -> Value {
    let mut paths = Map::new();
    for group in table.groups() {
        for version in &group.versions {
            let path = match group.name.as_str() {
                "" => format!("api/{}", version.name),
                name => format!("apis/{name}/{}", version.name),
            };
            let url = format!("/openapi/v3/{path}?hash={}", version_digest(server, &path, version));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// What a version's document depends on: built-in kinds never change, custom ones with their definition.
fn version_digest(server: &ApiServer, path: &str, version: &GroupVersion) -> String {
    let mut text = path.to_owned();
    for resource in &version.resources {
        text.push_str(&resource.plural);
        if let Some(schema) = custom_schema(server, resource) {
            text.push_str(&schema.to_string());
        }
    }
    digest(text.as_bytes())
}

fn document(server: &ApiServer, group: &str, version: &GroupVersion) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for resource in &version.resources {
        let name = schemas.add(server, resource);
        add_paths(&mut paths, resource, &name);
    }
    // Kinds that no resource stands for, such as options, belong to every version they are said to.
    for name in builtin::names().filter(|name| name.starts_with("io.k8s.apimachinery.pkg.apis.meta.v1.")) {
        if builtin::document(name).is_some_and(|d| is_of(&d, group, &version.name)) {
            schemas.add_definition(name);
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas.0},
    })
}

fn is_of(document: &Value, group: &str, version: &str) -> bool {
    let kinds = document["x-kubernetes-group-version-kind"].as_array();
    kinds.into_iter().flatten().any(|kind| kind["group"] == group && kind["version"] == version)
}

/// The older form of all schemas in one document.
fn swagger(server: &ApiServer, table: &Table) -> Value {
    let mut schemas = Schemas::default();
    for name in builtin::names() {
        schemas.add_definition(name);
    }
    for resource in table.all().iter().filter(|r| r.definition.is_some()) {
        schemas.add(server, resource);
    }
    let definitions = json!(schemas.0).to_string().replace(REFERENCE, "#/definitions/");
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": {},
        // Text that was JSON is JSON after renaming what its references point to.
        "definitions": serde_json::from_str::<Value>(&definitions).unwrap_or_default(),
    })
}

/// Schemas by name, with everything they refer to.
#[derive(Default)]
struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// The schema of a resource and of its list; returns the name of the first.
    fn add(&mut self, server: &ApiServer, resource: &Resource) -> String {
        if let SchemaRef::Builtin(name) = resource.schema {
            self.add_definition(name);
            if let Some(SchemaRef::Builtin(list)) =
                builtin::for_kind(&resource.group, &resource.version, &resource.list_kind)
            {
                self.add_definition(list);
            }
            return name.to_owned();
        }
        let name = public_name(&resource.group, &resource.version, &resource.kind);
        let mut schema = custom_schema(server, resource).unwrap_or_else(|| json!({"type": "object"}));
        complete(&mut schema, resource);
        self.add_definition(builtin::OBJECT_META);
        let list_meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
        self.add_definition(list_meta);
        let list = json!({
            "type": "object", "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "metadata": reference(list_meta),
                "items": {"type": "array", "items": reference(&name)},
            },
            "x-kubernetes-group-version-kind": [kind_of(resource, &resource.list_kind)],
        });
        self.0.insert(public_name(&resource.group, &resource.version, &resource.list_kind), list);
        self.0.insert(name.clone(), schema);
        name
    }

    fn add_definition(&mut self, name: &str) {
        if self.0.contains_key(name) {
            return;
        }
        let Some(document) = builtin::document(name) else { return };
        let mut references = Vec::new();
        find_references(&document, &mut references);
        self.0.insert(name.to_owned(), document);
        for name in references {
            self.add_definition(&name);
        }
    }
}

fn find_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match (key.as_str(), field.as_str()) {
                    ("$ref", Some(target)) => found.extend(target.strip_prefix(REFERENCE).map(str::to_owned)),
                    _ => find_references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_references(item, found)),
        _ => {}
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{REFERENCE}{name}")})
}

fn kind_of(resource: &Resource, kind: &str) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": kind})
}

/// The schema of a custom resource as its definition has it.
fn custom_schema(server: &ApiServer, resource: &Resource) -> Option<Value> {
    let key = Key::new("", resource.definition.as_deref()?);
    let definition = server.0.store.get(&GroupResource::new(crd::GROUP, crd::PLURAL), &key)?;
    let versions = definition.value["spec"]["versions"].as_array()?;
    versions.iter().find(|v| v["name"] == resource.version)?.pointer("/schema/openAPIV3Schema").cloned()
}

/// Adds the fields that every object has.
fn complete(schema: &mut Value, resource: &Resource) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string"});
    properties["kind"] = json!({"type": "string"});
    properties["metadata"] = json!({"allOf": [reference(builtin::OBJECT_META)]});
    schema["x-kubernetes-group-version-kind"] = json!([kind_of(resource, &resource.kind)]);
}

/// `com.example.v1.Widget` for `Widget` in `example.com/v1`.
fn public_name(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

fn add_paths(paths: &mut Map<String, Value>, resource: &Resource, schema: &str) {
    let root = match resource.group.as_str() {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    };
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{scope}/{}", resource.plural);
    let has = |verb: &str| resource.verbs.iter().any(|v| v == verb);
    let operation = |action: &str| {
        json!({
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference(schema)}}}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind_of(resource, &resource.kind),
        })
    };
    let write = |action: &str, media: &[&str]| {
        let mut operation = operation(action);
        let content = media.iter().map(|media| ((*media).to_owned(), json!({"schema": reference(schema)})));
        operation["requestBody"] = json!({"content": content.collect::<Map<_, _>>(), "required": true});
        operation["parameters"] = parameters(&["dryRun", "fieldManager", "fieldValidation"]);
        operation
    };
    let patches = [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ];
    let mut of_collection = Map::new();
    let mut of_object = Map::new();
    for (verb, method, at_object) in [
        ("list", "get", false),
        ("create", "post", false),
        ("deletecollection", "delete", false),
        ("get", "get", true),
        ("update", "put", true),
        ("patch", "patch", true),
        ("delete", "delete", true),
    ] {
        if !has(verb) {
            continue;
        }
        let document = match verb {
            "create" => write("post", &["*/*"]),
            "update" => write("put", &["*/*"]),
            // What kubectl finds here decides how it patches.
            "patch" if resource.definition.is_some() => write("patch", &[patches[0], patches[1], patches[3]]),
            "patch" => write("patch", &patches),
            action => operation(action),
        };
        let target = if at_object { &mut of_object } else { &mut of_collection };
        target.insert(method.to_owned(), document);
    }
    paths.insert(format!("{collection}/{{name}}"), of_object.into());
    paths.insert(collection, of_collection.into());
}

fn parameters(names: &[&str]) -> Value {
    let parameter =
        |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    names.iter().map(parameter).collect()
}
