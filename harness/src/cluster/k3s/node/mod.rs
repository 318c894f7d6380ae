//! Nodes of scenarios as agents of k3s: each a privileged container of its own, with a real kubelet and a real network.
//!
//! `wire` and `read` decide and touch nothing; `machine` answers what scenarios ask of a node. What is done here is done on
//! the runtime that the engine is spoken to on, whoever waits for it: a scenario that is cut short does not leave a container
//! behind that nobody can name.

mod error;
mod machine;
mod read;
mod wire;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use self::error::AgentError;
use self::machine::AgentMachine;
use super::engine::{Container, Engine, Inside};
use super::ready::Wait;
use super::{K3sError, Settings};
use crate::cluster::access::{RealNodes, Trouble};
use crate::cluster::embedded::node::machine::{MachineError, system};
use crate::scenario::node::NodeSpec;
use crate::sim::seed::RunId;

/// A node on its way into the cluster.
pub(super) struct Joining<'a> {
    /// Where its server is.
    pub(super) server: IpAddr,
    /// By what that knows it.
    pub(super) token: &'a str,
    /// How it is described.
    pub(super) spec: &'a NodeSpec,
    /// What it says of its operating system.
    pub(super) release: &'a str,
}

/// What it takes to make nodes.
pub(super) struct AgentsConfig {
    pub(super) engine: Engine,
    pub(super) settings: Settings,
    pub(super) run: RunId,
    pub(super) token: String,
    /// The server's address in its network.
    pub(super) server: IpAddr,
    /// The way to its API server.
    pub(super) config: Config,
    /// What the engine is spoken to on.
    pub(super) runtime: Handle,
}

/// The real nodes of a k3s. Those that are left are removed when this is closed or dropped.
pub(super) struct Agents {
    config: AgentsConfig,
    /// None once there may be no more. Held while a container is made: then it can be named.
    there: Mutex<Option<BTreeMap<String, Container>>>,
}

impl Agents {
    /// No nodes yet.
    pub(super) fn new(config: AgentsConfig) -> Self {
        Self { config, there: Mutex::new(Some(BTreeMap::new())) }
    }

    /// Removes every node, and lets no others come.
    pub(super) async fn close(&self) -> Result<(), K3sError> {
        let there = self.there.lock().await.take().unwrap_or_default();
        let mut removed = Ok(());
        for container in there.into_values() {
            removed = removed.and(container.remove().await);
        }
        removed
    }

    async fn join(&self, spec: NodeSpec) -> Result<AgentMachine, AgentError> {
        // What is written wrong is found before anything is started.
        let (_, release) = system(&spec)?;
        let commands = wire::commands(&spec)?;
        let client = Client::try_from(self.config.config.clone()).map_err(AgentError::api("be reached"))?;
        let nodes: Api<Node> = Api::all(client);
        let inside = self.launch(&spec, &release, &nodes).await?;
        match self.furnish(&inside, &spec, commands, &nodes).await {
            Ok(()) => Ok(AgentMachine::new(inside, self.config.runtime.clone())),
            Err(error) => {
                let error = error.with_log(inside.tail().await);
                self.leave(&spec.name).await?;
                Err(error)
            }
        }
    }

    async fn launch(&self, spec: &NodeSpec, release: &str, nodes: &Api<Node>) -> Result<Inside, AgentError> {
        let AgentsConfig { engine, settings, run, token, server, .. } = &self.config;
        let mut there = self.there.lock().await;
        let there = there.as_mut().ok_or(AgentError::Over)?;
        let known = nodes.get_opt(&spec.name).await.map_err(AgentError::api("say which nodes there are"))?;
        if known.is_some() || there.contains_key(&spec.name) {
            return Err(AgentError::Taken(spec.name.clone()));
        }
        let joining = Joining { server: *server, token, spec, release };
        match engine.launch_node(settings, run, &joining).await {
            Ok(container) => {
                let inside = container.inside();
                there.insert(spec.name.clone(), container);
                Ok(inside)
            }
            Err(error) => {
                engine.sweep(run, Some(&spec.name)).await?;
                Err(error.into())
            }
        }
    }

    /// Makes true what the scenario says of a node, and waits until it is ready for Pods.
    async fn furnish(
        &self,
        inside: &Inside,
        spec: &NodeSpec,
        commands: Vec<wire::Command>,
        nodes: &Api<Node>,
    ) -> Result<(), AgentError> {
        let files = spec.files.iter().map(|(path, content)| wire::write_file(path, content));
        for command in commands.into_iter().chain(files) {
            match inside.run(&command).await {
                Ok(done) if done.code == 0 => {}
                Ok(done) => return Err(AgentError::refused(&command, done)),
                // Nothing can be run in a container that has ended, and that it has is what matters.
                Err(error) => {
                    return Err(match inside.ended().await {
                        Ok(Some(code)) => K3sError::Died { code, log: Vec::new() }.into(),
                        _ => error.into(),
                    });
                }
            }
        }
        let tell = |text: &str| tracing::info!(node = spec.name, "{text}");
        Wait::new(inside.clone(), self.config.settings.patience, &tell).node(nodes, &spec.name).await?;
        for (number, path) in self.config.settings.archives.iter().enumerate() {
            inside.import(number, path).await?;
        }
        // Last: what leads Pods to it is among the labels.
        let mut patch = json!({"metadata": {"labels": spec.labels}});
        if spec.unschedulable {
            patch["spec"]["unschedulable"] = true.into();
        }
        let patched = nodes.patch(&spec.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(AgentError::api("label the node"))
    }

    /// Removes a node's container and its Node object; neither need be there.
    async fn leave(&self, name: &str) -> Result<(), AgentError> {
        let container = self.there.lock().await.as_mut().and_then(|there| there.remove(name));
        let Some(container) = container else { return Ok(()) };
        container.remove().await?;
        let client = Client::try_from(self.config.config.clone()).map_err(AgentError::api("be reached"))?;
        match Api::<Node>::all(client).delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            deleted => deleted.map(drop).map_err(AgentError::api("remove the node")),
        }
    }
}

impl RealNodes for Agents {
    fn add(self: Arc<Self>, spec: NodeSpec) -> BoxFuture<'static, Result<Arc<dyn crate::cluster::Node>, Trouble>> {
        let runtime = self.config.runtime.clone();
        let joining = runtime.spawn(async move { self.join(spec).await });
        async move { Ok(Arc::new(joining.await??) as Arc<dyn crate::cluster::Node>) }.boxed()
    }

    fn remove(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<(), Trouble>> {
        let runtime = self.config.runtime.clone();
        let leaving = runtime.spawn(async move { self.leave(&name).await });
        async move { Ok(leaving.await??) }.boxed()
    }

    fn have_images(&self) -> bool {
        !self.config.settings.archives.is_empty()
    }
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agents").field("run", &self.config.run).finish_non_exhaustive()
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        // Containers remove themselves when they are dropped, and need a runtime for that.
        let _runtime = self.config.runtime.enter();
        drop(self.there.get_mut().take());
    }
}
