//! Any cluster that a kubeconfig leads to, if its context may be used: what runs there is not ours, and nobody should
//! find scenarios in production because a context was left selected.

mod rights;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError as Unreadable};
use thiserror::Error;

use self::rights::missing;
use super::access::{Access, Provider};
use crate::scenario::diagnostic::nearest;
use crate::scenario::forms::glob;

/// The contexts that may be used without being told: clusters that are made to be thrown away.
pub const ALLOWED: [&str; 4] = ["kind-*", "k3d-*", "tilt-study", "kind-tilt-study"];

/// How long an API server may take to say that it is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Which cluster is meant.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The kubeconfigs; the first one that has the context counts.
    pub kubeconfigs: Vec<PathBuf>,
    /// The context.
    pub context: String,
    /// Patterns of further contexts that may be used.
    pub allowed: Vec<String>,
    /// See [`Access::callback`].
    pub callback: Option<SocketAddr>,
}

/// Why a cluster cannot be used.
#[derive(Debug, Error)]
pub enum KubeconfigError {
    /// The context's name says that nobody meant it for scenarios.
    #[error(
        "the context {context} may not be used: scenarios make and delete things on its cluster. \
         Allowed are {}; if it is meant for this, say --allow-context {context}",
        allowed.join(", ")
    )]
    NotAllowed {
        /// The context.
        context: String,
        /// What may be used.
        allowed: Vec<String>,
    },
    /// There is no kubeconfig, or it cannot be read.
    #[error("cannot read the kubeconfig {}: give one with --kubeconfig FILE, or set KUBECONFIG", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<Unreadable>,
    },
    /// It has no such context.
    #[error(
        "the kubeconfig {} has no context {context}: {}",
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        advice.as_deref().unwrap_or("it has none at all")
    )]
    NoContext {
        /// Which kubeconfigs.
        paths: Vec<PathBuf>,
        /// What was asked for.
        context: String,
        /// The nearest there is, or all there are.
        advice: Option<String>,
    },
    /// What the context says makes no client.
    #[error("the context {context} of {} cannot be used", path.display())]
    Unusable {
        /// Which kubeconfig.
        path: PathBuf,
        /// Which context.
        context: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Nobody answers, or not as an API server does.
    #[error(
        "the API server of {context} at {url} does not answer: is the cluster up, and if it is behind a port forward, \
         is that?"
    )]
    Unreachable {
        /// Which context.
        context: String,
        /// Where it should be.
        url: String,
        /// What happened.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The context's user may not do what a run has to.
    #[error(
        "the user of the context {context} may not do what a run has to; missing are: {}. Have them granted, or use a \
         context whose user is an administrator of the cluster",
        missing.join("; ")
    )]
    MissingRights {
        /// Which context.
        context: String,
        /// Each verb and resource.
        missing: Vec<String>,
    },
}

/// No answer in time.
#[derive(Debug, Error)]
#[error("no answer within {0:?}")]
struct TooLate(Duration);

/// A cluster that is there already.
#[derive(Debug)]
pub struct Existing {
    access: Access,
}

/// Finds the cluster, and sees whether a run can do there what it has to.
///
/// # Errors
/// See [`KubeconfigError`].
pub async fn start(settings: &Settings) -> Result<Existing, KubeconfigError> {
    let access = find(settings).await?;
    let context = access.context.clone();
    let unusable =
        |source| KubeconfigError::Unusable { path: access.kubeconfig.clone(), context: context.clone(), source };
    let client = access.client().map_err(|error| unusable(error.into()))?;
    let unreachable = |source: Box<dyn Error + Send + Sync>| KubeconfigError::Unreachable {
        context: context.clone(),
        url: access.config.cluster_url.to_string(),
        source,
    };
    let asked = async {
        client.apiserver_version().await?;
        missing(&client).await
    };
    let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
    let missing = answer.map_err(|_| unreachable(TooLate(ANSWERS_WITHIN).into()))?;
    let missing = missing.map_err(|error| unreachable(error.into()))?;
    if missing.is_empty() { Ok(Existing { access }) } else { Err(KubeconfigError::MissingRights { context, missing }) }
}

/// The way into the cluster, if it may be used.
async fn find(settings: &Settings) -> Result<Access, KubeconfigError> {
    let context = settings.context.clone();
    let usual = ALLOWED.iter().map(|pattern| (*pattern).to_owned());
    let allowed: Vec<String> = usual.chain(settings.allowed.iter().cloned()).collect();
    if !allowed.iter().any(|pattern| glob(pattern, &context)) {
        return Err(KubeconfigError::NotAllowed { context, allowed });
    }
    let mut there = Vec::new();
    for path in &settings.kubeconfigs {
        let kubeconfig = Kubeconfig::read_from(path)
            .map_err(|source| KubeconfigError::Unreadable { path: path.clone(), source: source.into() })?;
        let has = kubeconfig.contexts.iter().any(|one| one.name == context);
        there.extend(kubeconfig.contexts.iter().map(|one| one.name.clone()));
        if has {
            let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            let config = config.map_err(|source| KubeconfigError::Unusable {
                path: path.clone(),
                context: context.clone(),
                source: source.into(),
            })?;
            return Ok(Access { kubeconfig: path.clone(), config, context, callback: settings.callback, nodes: None });
        }
    }
    let advice = nearest(&context, there.iter().map(String::as_str));
    Err(KubeconfigError::NoContext { paths: settings.kubeconfigs.clone(), context, advice })
}

impl Provider for Existing {
    fn access(&self) -> Access {
        self.access.clone()
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, Result<(), Box<dyn Error + Send + Sync>>> {
        // It was there before us.
        std::future::ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "{apiVersion: v1, kind: Config, \
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], \
        contexts: [{name: kind-here, context: {cluster: c}}, {name: production, context: {cluster: c}}]}";

    async fn error(settings: Settings) -> String {
        start(&settings).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_cluster_that_nobody_meant_for_scenarios_is_not_even_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, CONFIG).unwrap();
        let settings = |context: &str| Settings {
            kubeconfigs: vec![path.clone()],
            context: context.to_owned(),
            ..Settings::default()
        };
        let refused = error(settings("production")).await;
        assert!(refused.contains("say --allow-context production"), "{refused}");
        let allowed = Settings { allowed: vec!["prod*".to_owned()], ..settings("production") };
        assert!(error(allowed).await.contains("at http://127.0.0.1:1/ does not answer"));
        let missing = error(settings("kind-hear")).await;
        assert!(missing.contains("has no context kind-hear: did you mean `kind-here`?"), "{missing}");
        let nowhere = Settings { kubeconfigs: vec![directory.path().join("none")], ..settings("kind-here") };
        assert!(error(nowhere).await.contains("give one with --kubeconfig FILE"));
    }
}
