//! Finds what a scenario calls a resource among those that the cluster serves: kind, plural, singular or short name,
//! with or without its group, as kubectl does. Definitions that a step has just installed are found too.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResource, APIResourceList};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::scenario::diagnostic::nearest;

/// The version of the core group.
const CORE: &str = "v1";

/// Why a resource was not found.
#[derive(Debug, Error)]
pub(super) enum ResourceError {
    /// The cluster has nothing of this name.
    #[error("the cluster has no resource `{name}`{}", advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name there is.
        advice: Option<String>,
    },
    /// The cluster did not say what it has.
    #[error("cannot ask the cluster for its resources: {0}")]
    Discovery(#[from] kube::Error),
}

/// A resource, and whether it lives in namespaces.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The resource.
    pub(super) resource: ApiResource,
    /// Whether it lives in namespaces.
    pub(super) namespaced: bool,
}

impl Found {
    /// The API of the resource in a namespace, where it lives in one.
    pub(super) fn api(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        if self.namespaced {
            Api::namespaced_with(client.clone(), namespace, &self.resource)
        } else {
            Api::all_with(client.clone(), &self.resource)
        }
    }
}

/// The resources of a cluster, asked for when they are needed and remembered.
pub(super) struct Resources {
    client: Client,
    known: Mutex<BTreeMap<String, Vec<APIResource>>>,
}

impl Resources {
    /// The resources of the cluster that the client talks to.
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The resource with a kind in a version.
    pub(super) async fn of_kind(&self, api_version: &str, kind: &str) -> Result<Found, ResourceError> {
        let mut kinds = Vec::new();
        for fresh in [false, true] {
            // A version that was not served before may be now, since a step has installed its definition.
            let resources = match self.version(api_version, fresh).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
                answer => answer?,
            };
            if let Some(resource) = resources.iter().find(|resource| resource.kind == kind && is_whole(resource)) {
                return Ok(found(api_version, resource));
            }
            kinds = resources.into_iter().filter(is_whole).map(|resource| resource.kind).collect();
        }
        let advice = nearest(kind, kinds.iter().map(String::as_str));
        Err(ResourceError::Unknown { name: format!("{api_version} {kind}"), advice })
    }

    /// The resource that a person calls by this name.
    pub(super) async fn named(&self, name: &str) -> Result<Found, ResourceError> {
        let (short, group) = name.split_once('.').unwrap_or((name, ""));
        let mut names = Vec::new();
        for fresh in [false, true] {
            names.clear();
            for version in self.versions(fresh).await? {
                if !group.is_empty() && group_of(&version) != group {
                    continue;
                }
                let resources = self.version(&version, false).await?;
                if let Some(resource) =
                    resources.iter().find(|resource| is_whole(resource) && is_called(resource, short))
                {
                    return Ok(found(&version, resource));
                }
                names.extend(resources.into_iter().filter(is_whole).map(|resource| resource.name));
            }
        }
        Err(ResourceError::Unknown { name: name.to_owned(), advice: nearest(short, names.iter().map(String::as_str)) })
    }

    /// Every version of every group that the cluster prefers, the core group first.
    async fn versions(&self, fresh: bool) -> Result<Vec<String>, kube::Error> {
        if fresh {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let groups: APIGroupList = self.get("/apis").await?;
        let preferred = groups.groups.into_iter().filter_map(|group| {
            let first = group.versions.into_iter().next();
            Some(group.preferred_version.or(first)?.group_version)
        });
        Ok(std::iter::once(CORE.to_owned()).chain(preferred).collect())
    }

    /// The resources of one version.
    async fn version(&self, api_version: &str, fresh: bool) -> Result<Vec<APIResource>, kube::Error> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(api_version).cloned();
        if let Some(known) = known.filter(|_| !fresh) {
            return Ok(known);
        }
        let path = if api_version == CORE { "/api/v1".to_owned() } else { format!("/apis/{api_version}") };
        let list: APIResourceList = self.get(&path).await?;
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(api_version.to_owned(), list.resources.clone());
        Ok(list.resources)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, kube::Error> {
        let request = Request::get(path)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }
}

/// Subresources are listed beside their resources.
fn is_whole(resource: &APIResource) -> bool {
    !resource.name.contains('/')
}

fn is_called(resource: &APIResource, name: &str) -> bool {
    let short = resource.short_names.iter().flatten();
    let names = [&resource.name, &resource.singular_name, &resource.kind];
    names.into_iter().chain(short).any(|known| known.eq_ignore_ascii_case(name))
}

fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

fn found(api_version: &str, resource: &APIResource) -> Found {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let resource_type = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: resource.kind.clone(),
        plural: resource.name.clone(),
    };
    Found { resource: resource_type, namespaced: resource.namespaced }
}
