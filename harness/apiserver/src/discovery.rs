//! The documents kubectl and clients use to find resources.
//!
//! `/api` and `/apis` answer in two forms: the list of groups that every client knows, and one document with all their
//! resources (aggregated discovery) for clients that ask for it. Both come from the registry as it is now.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::body::Body;
use crate::handle::reply::value_response;
use crate::openapi;
use crate::resource::{Resource, Subresource};
use crate::resources::registry::{Group, GroupVersion, Table};
use crate::service::ApiServer;

/// The media types of aggregated discovery, newest first, by the version in them.
const AGGREGATED: [(&str, &str); 2] = [
    ("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ("v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
];

/// The document at a path below `/api`, `/apis` or `/openapi`; none where there is none.
pub(crate) fn answer(server: &ApiServer, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let table = server.0.registry.table();
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let document = match segments.as_slice() {
        ["openapi", rest @ ..] => return openapi::answer(server, &table, rest, headers),
        [root @ ("api" | "apis")] => {
            if let Some((version, media)) = aggregated(headers) {
                let document = aggregated_document(&table, *root == "api", version);
                return Some(tagged(&document, media, headers));
            }
            if *root == "api" { api_versions() } else { group_list(&table) }
        }
        [""] | [] => return Some(value_response(StatusCode::OK, &paths(&table), false)),
        ["api", version] => resource_list("", table.group("")?.versions.iter().find(|v| v.name == *version)?),
        ["apis", group] => group_document(table.group(group).filter(|g| !g.name.is_empty())?, true),
        ["apis", group, version] => {
            resource_list(group, table.group(group)?.versions.iter().find(|v| v.name == *version)?)
        }
        _ => return None,
    };
    Some(value_response(StatusCode::OK, &document, false))
}

/// Whether the client prefers aggregated discovery, and which version of it.
fn aggregated(headers: &HeaderMap) -> Option<(&'static str, &'static str)> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    for clause in accepted.flat_map(|v| v.split(',')) {
        let mut parameters = clause.split(';').map(str::trim);
        let media = parameters.next().unwrap_or_default();
        let rest: Vec<&str> = parameters.collect();
        if rest.contains(&"as=APIGroupDiscoveryList") && rest.contains(&"g=apidiscovery.k8s.io") {
            let found = AGGREGATED.into_iter().find(|(version, _)| rest.contains(&format!("v={version}").as_str()));
            if found.is_some() && media == "application/json" {
                return found;
            }
        } else if matches!(media, "application/json" | "*/*") {
            return None;
        }
    }
    None
}

/// A document with the tag by which a client can ask whether it changed.
pub(crate) fn tagged(document: &Value, media: &'static str, headers: &HeaderMap) -> Response<Body> {
    let text = document.to_string();
    let tag = format!("\"{}\"", digest(text.as_bytes()));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let mut response = if known == Some(tag.as_str()) {
        let mut response = Response::new(Body::full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::full(text))
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A digest in upper-case hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02X}"))
}

fn paths(table: &Table) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for group in table.groups().iter().filter(|g| !g.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|v| format!("/apis/{}/{}", group.name, v.name)));
    }
    paths.extend(["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
    paths.sort();
    json!({"paths": paths})
}

fn api_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    })
}

fn group_list(table: &Table) -> Value {
    let groups = table.groups().iter().filter(|g| !g.name.is_empty()).map(|g| group_document(g, false));
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()})
}

fn group_document(group: &Group, alone: bool) -> Value {
    let version = |name: &str| json!({"groupVersion": format!("{}/{name}", group.name), "version": name});
    let mut document = json!({
        "name": group.name,
        "versions": group.versions.iter().map(|v| version(&v.name)).collect::<Vec<_>>(),
        "preferredVersion": version(group.preferred()),
    });
    if alone {
        document["kind"] = "APIGroup".into();
        document["apiVersion"] = "v1".into();
    }
    document
}

fn resource_list(group: &str, version: &GroupVersion) -> Value {
    let mut resources = Vec::new();
    for resource in &version.resources {
        resources.push(resource_entry(resource));
        resources.extend(resource.subresources.iter().map(|s| subresource_entry(resource, s)));
    }
    if version.resources.iter().all(|r| r.definition.is_none()) {
        resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    }
    if group.is_empty() {
        return json!({"kind": "APIResourceList", "groupVersion": version.name, "resources": resources});
    }
    let group_version = format!("{group}/{}", version.name);
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": resource.verbs,
    });
    for (key, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !list.is_empty() {
            entry[key] = json!(list);
        }
    }
    // What is stored can be watched.
    if resource.verbs.iter().any(|v| v == "watch") {
        entry["storageVersionHash"] = storage_hash(resource).into();
    }
    entry
}

fn subresource_entry(resource: &Resource, subresource: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, subresource.name), "singularName": "",
        "namespaced": resource.namespaced, "kind": subresource.kind, "verbs": subresource.verbs,
    });
    let own = subresource.group == resource.group && subresource.version == resource.version;
    if !subresource.version.is_empty() && !own {
        entry["group"] = subresource.group.as_str().into();
        entry["version"] = subresource.version.as_str().into();
    }
    entry
}

/// By which clients tell that objects are stored in another form than before.
fn storage_hash(resource: &Resource) -> String {
    let stored = resource.storage_version.as_deref().unwrap_or(&resource.version);
    let (group, version) = match (resource.group.as_str(), resource.plural.as_str()) {
        ("events.k8s.io", "events") => ("", "v1"),
        ("autoscaling", "horizontalpodautoscalers") => ("autoscaling", "v2"),
        ("apiextensions.k8s.io", "customresourcedefinitions") => ("apiextensions.k8s.io", "v1beta1"),
        (group, _) => (group, stored),
    };
    STANDARD.encode(&Sha256::digest(format!("{group}/{version}/{}", resource.kind))[..8])
}

fn aggregated_document(table: &Table, core: bool, version: &str) -> Value {
    let groups = table.groups().iter().filter(|g| g.name.is_empty() == core);
    let items = groups.map(|group| {
        let versions = group.versions.iter().map(|v| {
            let resources: Vec<Value> = v.resources.iter().map(|r| aggregated_resource(r)).collect();
            json!({"version": v.name, "resources": resources, "freshness": "Current"})
        });
        let metadata = if core { json!({}) } else { json!({"name": group.name}) };
        json!({"metadata": metadata, "versions": versions.collect::<Vec<_>>()})
    });
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn aggregated_resource(resource: &Resource) -> Value {
    // Built-in kinds leave out the group and version that they are found in.
    let own = |kind: &str| match resource.definition {
        Some(_) => json!({"group": resource.group, "version": resource.version, "kind": kind}),
        None => json!({"group": "", "version": "", "kind": kind}),
    };
    let mut entry = json!({
        "resource": resource.plural, "responseKind": own(&resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs,
    });
    for (key, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !list.is_empty() {
            entry[key] = json!(list);
        }
    }
    let subresources = resource.subresources.iter().map(|s| {
        let kind = if s.version.is_empty() {
            own(&s.kind)
        } else {
            json!({"group": s.group, "version": s.version, "kind": s.kind})
        };
        json!({"subresource": s.name, "responseKind": kind, "verbs": s.verbs})
    });
    let subresources: Vec<Value> = subresources.collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Registry;

    const RECORDED: &str = include_str!("../data/discovery.json");

    #[test]
    fn aggregated_discovery_is_as_recorded() {
        let recorded: Value = serde_json::from_str(RECORDED).expect("JSON");
        let table = Registry::builtin().table();
        assert_eq!(aggregated_document(&table, true, "v2"), recorded["/api"]);
        assert_eq!(aggregated_document(&table, false, "v2"), recorded["/apis"]);
    }

    #[test]
    fn a_client_gets_the_aggregated_form_only_if_it_asks_first() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            aggregated(&headers).map(|(version, _)| version)
        };
        assert_eq!(asked(AGGREGATED[0].1), Some("v2"));
        assert_eq!(
            asked("application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io,application/json"),
            Some("v2beta1")
        );
        assert_eq!(asked("application/json"), None);
        assert_eq!(
            asked("application/json,application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io"),
            None
        );
    }

    #[test]
    fn lists_of_resources_carry_hashes_of_how_they_are_stored() {
        let table = Registry::builtin().table();
        let jobs = table.find("batch", "v1", "jobs").expect("jobs");
        assert_eq!(storage_hash(jobs), "mudhfqk/qZY=");
        let core = resource_list("", &table.group("").expect("core").versions[0]);
        assert_eq!(core.get("apiVersion"), None);
        let eviction = core["resources"].as_array().and_then(|l| l.iter().find(|r| r["name"] == "pods/eviction"));
        assert_eq!(eviction.expect("eviction")["group"], "policy");
    }
}
