//! The kinds that are served, as controllers that look after every kind need them: told by the server itself where it is
//! in this process, else asked for as every client asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use kube::api::ApiResource;
use kube::discovery::{ApiCapabilities, Discovery, Scope};
use slipway_apiserver::service::ApiServer;

/// What a controller must be able to do with a kind to look after it.
const NEEDED: [&str; 3] = ["delete", "list", "watch"];

/// The subresource that says how many Pods an object wants.
const SCALE: &str = "scale";

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster::embedded) struct Kind {
    /// How it is addressed.
    pub(in crate::cluster::embedded) api: ApiResource,
    /// Whether its objects live in a namespace.
    pub(in crate::cluster::embedded) namespaced: bool,
    /// Whether its objects say how many Pods they want.
    pub(in crate::cluster::embedded) scales: bool,
}

/// Who knows the kinds; clones ask the same.
#[derive(Clone)]
pub(in crate::cluster::embedded) enum Kinds {
    /// The server, which is in this process.
    Registry(ApiServer),
    /// A server elsewhere.
    Discovery(Discovered),
}

impl Kinds {
    /// Asks a server elsewhere.
    pub(in crate::cluster::embedded) fn of(client: Client) -> Self {
        Self::Discovery(Discovered { client, known: Arc::default() })
    }

    /// Every kind that can be listed, watched and deleted, each in one version.
    pub(in crate::cluster::embedded) async fn deletable(&self) -> Result<Vec<Kind>, kube::Error> {
        match self {
            Self::Registry(server) => Ok(deletable_in(server)),
            Self::Discovery(discovered) => {
                let all = discovered.ask().await?;
                Ok(all.iter().filter(|served| served.is_deletable).map(|served| served.kind.clone()).collect())
            }
        }
    }

    /// The kind that an owner reference or object names, in any version.
    pub(in crate::cluster::embedded) async fn find(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Kind>, kube::Error> {
        match self {
            Self::Registry(server) => Ok(find_in(server, api_version, kind)),
            Self::Discovery(discovered) => discovered.find(api_version, kind).await,
        }
    }
}

/// What a server elsewhere serves, as far as it has been asked.
#[derive(Clone)]
pub(in crate::cluster::embedded) struct Discovered {
    client: Client,
    known: Arc<Mutex<Arc<[Served]>>>,
}

struct Served {
    kind: Kind,
    /// In the version that the server prefers, with all that is needed.
    is_deletable: bool,
}

impl Discovered {
    async fn ask(&self) -> Result<Arc<[Served]>, kube::Error> {
        let discovery = Discovery::new(self.client.clone()).run_aggregated().await?;
        let all = discovery.groups().flat_map(|group| {
            let preferred = group.preferred_version_or_latest();
            group.versions().flat_map(move |version| {
                let resources = group.versioned_resources(version).into_iter();
                resources.map(move |(api, can)| Served::new(api, &can, version == preferred))
            })
        });
        let all: Arc<[Served]> = all.collect();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&all);
        Ok(all)
    }

    async fn find(&self, api_version: &str, kind: &str) -> Result<Option<Kind>, kube::Error> {
        let find = |all: &[Served]| {
            let is_it = |served: &&Served| served.kind.api.api_version == api_version && served.kind.api.kind == kind;
            all.iter().find(is_it).map(|served| served.kind.clone())
        };
        let known = Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner));
        match find(&known) {
            // It may be served by now.
            None => Ok(find(&self.ask().await?)),
            found => Ok(found),
        }
    }
}

impl Served {
    fn new(api: ApiResource, can: &ApiCapabilities, is_preferred: bool) -> Self {
        let is_deletable = is_preferred && NEEDED.iter().all(|verb| can.supports_operation(verb));
        let scales = can.subresources.iter().any(|(subresource, _)| {
            subresource.plural.rsplit_once('/').map_or(subresource.plural.as_str(), |(_, name)| name) == SCALE
        });
        Self { kind: Kind { api, namespaced: can.scope == Scope::Namespaced, scales }, is_deletable }
    }
}

fn deletable_in(server: &ApiServer) -> Vec<Kind> {
    let mut seen = BTreeSet::new();
    let mut kinds = Vec::new();
    for resource in server.registry().table().all() {
        let can = |verb: &str| resource.verbs.iter().any(|known| known == verb);
        let mut fresh = || seen.insert((resource.group.clone(), resource.plural.clone()));
        if NEEDED.into_iter().all(can) && fresh() {
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
            kinds.push(Kind { api, namespaced: resource.namespaced, scales: resource.scale.is_some() });
        }
    }
    kinds
}

fn find_in(server: &ApiServer, api_version: &str, kind: &str) -> Option<Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = server.registry().find_kind(group, version, kind)?;
    let api = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: resource.plural.clone(),
    };
    Some(Kind { api, namespaced: resource.namespaced, scales: resource.scale.is_some() })
}
