//! The way into a cluster that is not ours alone, and who provides such clusters. A provider makes an [`Access`], keeps
//! alive what is behind it, and removes what it made when it is stopped or dropped.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use kube::config::Kubeconfig;

use crate::temporary::Directory;

use super::Node;
use crate::scenario::node::NodeSpec;

/// The label of everything that a run makes on such a cluster; its value is the run's id.
pub const RUN_LABEL: &str = "slipway.dev/run";

/// The way into a cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// The kubeconfig it was read from.
    pub kubeconfig: PathBuf,
    /// What the kubeconfig's context says.
    pub config: kube::Config,
    /// The context.
    pub context: String,
    /// The address at which the cluster's API server reaches this process, for webhooks, with port 0 where any that is
    /// free will do; none where it does not reach it.
    pub callback: Option<SocketAddr>,
    /// Who makes scenarios' nodes real; simulated ones join where there is nobody.
    pub nodes: Option<Arc<dyn RealNodes>>,
}

impl Access {
    /// A client with the rights that the context gives, on the ambient runtime.
    ///
    /// # Errors
    /// What the context says makes no client.
    pub fn client(&self) -> Result<Client, kube::Error> {
        // What the API server says is heard at once: that it holds an eviction, for example, is an answer.
        let mut config = self.config.clone();
        config.default_retry = false;
        Client::try_from(config)
    }
}

/// Whatever went wrong.
pub type Trouble = Box<dyn Error + Send + Sync>;

/// Makes nodes of a cluster that are machines with kubelets of their own. What it made goes with it.
pub trait RealNodes: fmt::Debug + Send + Sync {
    /// Makes a node as it is described; it is registered and ready when this returns.
    fn add(self: Arc<Self>, spec: NodeSpec) -> BoxFuture<'static, Result<Arc<dyn Node>, Trouble>>;

    /// Removes a node with its machine; it need not be there any more.
    fn remove(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<(), Trouble>>;

    /// Whether images were brought for what runs on them.
    fn have_images(&self) -> bool;
}

/// What a run's cluster comes from: started once, shared by its scenarios.
pub trait Provider: Send + Sync {
    /// The way into its cluster.
    fn access(&self) -> Access;

    /// Removes what it made.
    fn stop(self: Box<Self>) -> BoxFuture<'static, Result<(), Trouble>>;
}

/// A kubeconfig for programs of other processes, with the one context that may be used. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Passage(Directory);

/// What the file is called.
const FILE: &str = "kubeconfig";

impl Passage {
    /// Copies what the context needs; only its owner can read the copy.
    ///
    /// # Errors
    /// The kubeconfig cannot be read any more, or there is no place for a copy.
    pub(super) fn open(access: &Access) -> io::Result<Self> {
        let all = Kubeconfig::read_from(&access.kubeconfig).map_err(io::Error::other)?;
        let text = serde_yaml::to_string(&restricted(all, &access.context)).map_err(io::Error::other)?;
        let directory = Directory::new("kubeconfig")?;
        directory.keep(FILE, &text)?;
        Ok(Self(directory))
    }

    /// Where it is.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.0.path().join(FILE)
    }
}

/// One context of a kubeconfig, with its cluster and its user, and nothing of the others.
fn restricted(mut all: Kubeconfig, context: &str) -> Kubeconfig {
    all.contexts.retain(|one| one.name == context);
    let used = all.contexts.first().and_then(|one| one.context.clone());
    let (cluster, user) = used.map(|used| (used.cluster, used.user)).unwrap_or_default();
    all.clusters.retain(|one| one.name == cluster);
    all.auth_infos.retain(|one| Some(&one.name) == user.as_ref());
    all.current_context = Some(context.to_owned());
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TWO: &str = "{apiVersion: v1, kind: Config, current-context: prod, \
        clusters: [{name: p, cluster: {server: 'https://prod'}}, {name: k, cluster: {server: 'https://kind'}}], \
        users: [{name: pu, user: {token: secret}}, {name: ku, user: {token: open}}], \
        contexts: [{name: prod, context: {cluster: p, user: pu}}, {name: kind-a, context: {cluster: k, user: ku}}]}";

    #[tokio::test]
    async fn programs_of_a_scenario_see_one_context_and_no_other_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, TWO).unwrap();
        let access = Access {
            kubeconfig: path,
            config: kube::Config::new("https://kind".parse().unwrap()),
            context: "kind-a".to_owned(),
            callback: None,
            nodes: None,
        };
        let passage = Passage::open(&access).unwrap();
        let copy = passage.kubeconfig();
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&copy).unwrap();
        assert!(text.contains("https://kind") && text.contains("open"), "{text}");
        assert!(!text.contains("prod") && !text.contains("secret"), "{text}");
        drop(passage);
        assert!(!copy.exists());
    }
}
