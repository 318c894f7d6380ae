//! The API: one file per kind, and the contracts between the operator and its agent.

pub mod agent;
pub mod conditions;
pub mod drain;
pub mod hello;
pub mod multinic;
pub mod names;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

/// The definition of a kind, in which an explicit `null` is the same as leaving the field out.
///
/// The derive calls every optional field nullable. A null would then be stored, and rules that ask `has(…)` would find
/// it there; without the word, the API server drops it.
pub fn definition<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut crd = K::crd();
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        forbid_null(schema);
    }
    crd
}

fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(forbid_null);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        forbid_null(items);
    }
}
