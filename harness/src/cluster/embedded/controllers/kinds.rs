//! The kinds that are served, as controllers that look after every kind need them.

use std::collections::BTreeSet;

use kube::api::ApiResource;
use slipway_apiserver::service::ApiServer;

/// A kind that can be listed, watched and deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster::embedded) struct Kind {
    /// How it is addressed.
    pub(in crate::cluster::embedded) api: ApiResource,
    /// Whether its objects live in a namespace.
    pub(in crate::cluster::embedded) namespaced: bool,
}

/// Every kind that can be listed and deleted, each in one version.
pub(in crate::cluster::embedded) fn deletable(server: &ApiServer) -> Vec<Kind> {
    let mut seen = BTreeSet::new();
    let mut kinds = Vec::new();
    for resource in server.registry().table().all() {
        let can = |verb: &str| resource.verbs.iter().any(|known| known == verb);
        let mut fresh = || seen.insert((resource.group.clone(), resource.plural.clone()));
        if can("delete") && can("list") && can("watch") && fresh() {
            let api_version = if resource.group.is_empty() {
                resource.version.clone()
            } else {
                format!("{}/{}", resource.group, resource.version)
            };
            let api = ApiResource {
                group: resource.group.clone(),
                version: resource.version.clone(),
                api_version,
                kind: resource.kind.clone(),
                plural: resource.plural.clone(),
            };
            kinds.push(Kind { api, namespaced: resource.namespaced });
        }
    }
    kinds
}

/// The kind that an owner reference or object names, in any version.
pub(in crate::cluster::embedded) fn find(server: &ApiServer, api_version: &str, kind: &str) -> Option<Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = server.registry().find_kind(group, version, kind)?;
    let api = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: resource.plural.clone(),
    };
    Some(Kind { api, namespaced: resource.namespaced })
}
