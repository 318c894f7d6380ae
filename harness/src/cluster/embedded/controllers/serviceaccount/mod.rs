//! What every namespace has: the account `default`, and the certificate by which its Pods know the API server.
//!
//! Both come back when somebody deletes them, and stay away from a namespace that is on its way out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::task::JoinSet;

use super::informer::{Change, Informer, Key};
use super::queue::Queue;

/// The account of Pods that name none.
const ACCOUNT: &str = "default";
/// The `ConfigMap` with the certificate.
const ROOT: &str = "kube-root-ca.crt";

const CERTIFICATE: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const USAGE: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such \
                     as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
                     distributions of Kubernetes clusters.";

/// Starts the controller with its caches.
pub(in crate::cluster::embedded) fn start(
    tasks: &mut JoinSet<()>,
    client: &Client,
    certificate: String,
    namespaces: Informer<Namespace>,
) {
    let (accounts, roots) = (Informer::new(|_| None), Informer::new(|_| None));
    let controller =
        ServiceAccountController::new(client.clone(), certificate, namespaces, accounts.clone(), roots.clone());
    tasks.spawn(controller.run());
    tasks.spawn(accounts.run_named(Api::all(client.clone()), ACCOUNT));
    tasks.spawn(roots.run_named(Api::all(client.clone()), ROOT));
}

/// The controller.
struct ServiceAccountController {
    client: Client,
    certificate: String,
    namespaces: Informer<Namespace>,
    /// Those that are called [`ACCOUNT`].
    accounts: Informer<ServiceAccount>,
    /// Those that are called [`ROOT`].
    roots: Informer<ConfigMap>,
    /// Names of namespaces.
    queue: Queue<String>,
}

impl ServiceAccountController {
    /// A controller that hears of namespaces and what is in them from the caches.
    fn new(
        client: Client,
        certificate: String,
        namespaces: Informer<Namespace>,
        accounts: Informer<ServiceAccount>,
        roots: Informer<ConfigMap>,
    ) -> Self {
        let queue = Queue::new();
        let heard = queue.clone();
        namespaces.on_change(move |change| {
            if let Change::Applied { new, .. } = change {
                heard.add(Key::of(new.as_ref()).name);
            }
        });
        let heard = queue.clone();
        accounts.on_change(move |change| {
            if let Change::Deleted(gone) = change {
                heard.add(Key::of(gone.as_ref()).namespace);
            }
        });
        let heard = queue.clone();
        roots.on_change(move |change| heard.add(Key::of(change.object().as_ref()).namespace));
        Self { client, certificate, namespaces, accounts, roots, queue }
    }

    /// Works until it is dropped.
    async fn run(self) {
        self.namespaces.ready().await;
        self.accounts.ready().await;
        self.roots.ready().await;
        loop {
            let namespace = self.queue.next().await;
            match self.sync(&namespace).await {
                Ok(()) => self.queue.forget(&namespace),
                Err(error) => {
                    tracing::debug!(%error, namespace, "will be furnished later");
                    self.queue.retry(namespace);
                }
            }
        }
    }

    async fn sync(&self, namespace: &str) -> Result<(), kube::Error> {
        let known = self.namespaces.get(&Key { namespace: String::new(), name: namespace.to_owned() });
        if known.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
            return Ok(());
        }
        let key = |name: &str| Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let metadata = |name: &str| ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        if self.accounts.get(&key(ACCOUNT)).is_none() {
            let account = ServiceAccount { metadata: metadata(ACCOUNT), ..ServiceAccount::default() };
            self.create(&account, namespace).await?;
        }
        let wanted = ConfigMap {
            metadata: ObjectMeta {
                annotations: Some(BTreeMap::from([(DESCRIPTION.to_owned(), USAGE.to_owned())])),
                ..metadata(ROOT)
            },
            data: Some(BTreeMap::from([(CERTIFICATE.to_owned(), self.certificate.clone())])),
            ..ConfigMap::default()
        };
        match self.roots.get(&key(ROOT)) {
            None => self.create(&wanted, namespace).await,
            Some(root) if root.data == wanted.data => Ok(()),
            Some(root) => {
                let mut next = root.as_ref().clone();
                next.metadata.managed_fields = None;
                next.data = wanted.data;
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                api.replace(ROOT, &PostParams::default(), &next).await.map(drop)
            }
        }
    }

    /// Makes an object, unless it is there or its namespace is going.
    async fn create<K>(&self, object: &K, namespace: &str) -> Result<(), kube::Error>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), object).await {
            Err(kube::Error::Api(status))
                if status.is_already_exists() || status.is_not_found() || status.is_forbidden() =>
            {
                Ok(())
            }
            answer => answer.map(drop),
        }
    }
}
