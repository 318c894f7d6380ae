//! The way into an embedded cluster for programs of other processes, taken by a client that knows nothing but the
//! kubeconfig.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use slipway::cluster::Cluster as _;
use slipway::cluster::embedded::{Cluster, EmbeddedConfig};
use slipway_apiserver::clock::Clock;

async fn config(path: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_program_outside_reads_and_writes_the_cluster_over_tls() {
    let cluster = Cluster::start(EmbeddedConfig::new(Clock::system(), 1)).await.unwrap();
    let path = cluster.kubeconfig().await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(cluster.kubeconfig().await.unwrap(), path, "a cluster has one door");

    let config = config(&path).await;
    assert_eq!(config.cluster_url.scheme_str(), Some("https"));
    assert_eq!(config.cluster_url.host(), Some("127.0.0.1"));
    assert!(!config.accept_invalid_certs);
    let outside = Client::try_from(config).unwrap();
    let namespace = Api::<Namespace>::all(outside.clone()).get("default").await.unwrap();
    assert_eq!(namespace.metadata.name.as_deref(), Some("default"));

    let written = ConfigMap {
        data: Some([("from".to_owned(), "outside".to_owned())].into()),
        metadata: kube::core::ObjectMeta { name: Some("a".to_owned()), ..kube::core::ObjectMeta::default() },
        ..ConfigMap::default()
    };
    Api::default_namespaced(outside).create(&PostParams::default(), &written).await.unwrap();
    let read = Api::<ConfigMap>::default_namespaced(cluster.client()).get("a").await.unwrap();
    assert_eq!(read.data, written.data, "the listener serves another cluster");

    cluster.stop().await;
    assert!(!path.parent().unwrap().exists(), "the kubeconfig outlives its cluster");
}

#[tokio::test]
async fn nobody_comes_in_without_the_token_or_by_another_clusters_certificate() {
    let one = Cluster::start(EmbeddedConfig::new(Clock::system(), 1)).await.unwrap();
    let two = Cluster::start(EmbeddedConfig::new(Clock::system(), 1)).await.unwrap();
    let (to_one, to_two) =
        (config(&one.kubeconfig().await.unwrap()).await, config(&two.kubeconfig().await.unwrap()).await);
    let namespaces = |config: Config| Api::<Namespace>::all(Client::try_from(config).unwrap());

    let mut other_token = to_one.clone();
    other_token.auth_info = to_two.auth_info.clone();
    let refused = namespaces(other_token).list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 401), "{refused:?}");

    let mut other_authority = to_one.clone();
    other_authority.root_cert = to_two.root_cert;
    let refused = namespaces(other_authority).list(&ListParams::default()).await.unwrap_err();
    assert!(!matches!(refused, kube::Error::Api(_)), "{refused:?}");

    namespaces(to_one).list(&ListParams::default()).await.unwrap();
}
