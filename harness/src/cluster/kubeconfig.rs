//! Any cluster that a kubeconfig leads to, if its context may be used: what runs there is not ours, and nobody should
//! find scenarios in production because a context was left selected.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError as Unreadable};
use thiserror::Error;

use super::access::{Access, Provider};
use crate::scenario::diagnostic::nearest;
use crate::scenario::forms::glob;

/// The contexts that may be used without being told: clusters that are made to be thrown away.
pub const ALLOWED: [&str; 4] = ["kind-*", "k3d-*", "tilt-study", "kind-tilt-study"];

/// Which cluster is meant.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
    /// The context.
    pub context: String,
    /// Patterns of further contexts that may be used.
    pub allowed: Vec<String>,
    /// The address at which the cluster's API server reaches this process.
    pub callback: Option<IpAddr>,
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
        "the kubeconfig {} has no context {context}{}; it has {}",
        path.display(),
        advice.as_ref().map(|advice| format!(" ({advice})")).unwrap_or_default(),
        if there.is_empty() { "none".to_owned() } else { there.join(", ") }
    )]
    NoContext {
        /// Which kubeconfig.
        path: PathBuf,
        /// What was asked for.
        context: String,
        /// The nearest there is.
        advice: Option<String>,
        /// What there is.
        there: Vec<String>,
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
        source: Box<Unreadable>,
    },
}

/// A cluster that is there already.
#[derive(Debug)]
pub struct Existing {
    access: Access,
}

/// Finds the cluster.
///
/// # Errors
/// See [`KubeconfigError`].
pub async fn start(settings: &Settings) -> Result<Existing, KubeconfigError> {
    let context = settings.context.clone();
    let usual = ALLOWED.iter().map(|pattern| (*pattern).to_owned());
    let allowed: Vec<String> = usual.chain(settings.allowed.iter().cloned()).collect();
    if !allowed.iter().any(|pattern| glob(pattern, &context)) {
        return Err(KubeconfigError::NotAllowed { context, allowed });
    }
    let path = settings.kubeconfig.clone();
    let kubeconfig = Kubeconfig::read_from(&path)
        .map_err(|source| KubeconfigError::Unreadable { path: path.clone(), source: source.into() })?;
    let there: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    if !there.contains(&context) {
        let advice = nearest(&context, there.iter().map(String::as_str));
        return Err(KubeconfigError::NoContext { path, context, advice, there });
    }
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|source| {
        KubeconfigError::Unusable { path: path.clone(), context: context.clone(), source: source.into() }
    })?;
    Ok(Existing { access: Access { kubeconfig: path, config, context, callback: settings.callback } })
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
