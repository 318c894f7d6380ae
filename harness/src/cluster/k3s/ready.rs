//! Waiting for k3s: bounded, and over at once when its container has ended.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::api::ListParams;
use kube::{Api, Client, Config};
use tokio::time::Instant;

use super::engine::{Container, Inside};
use super::{K3sError, Mode};

/// How often is looked again.
const PAUSE: Duration = Duration::from_millis(250);
/// How often whoever waits is told what for.
const WORD: Duration = Duration::from_secs(10);
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(5);

/// What is left of somebody's patience.
pub(super) struct Wait<'a> {
    inside: Inside,
    patience: Duration,
    began: Instant,
    told: Instant,
    tell: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Wait<'a> {
    /// Begins to wait for a container; `tell` hears what for.
    pub(super) fn new(inside: Inside, patience: Duration, tell: &'a (dyn Fn(&str) + Sync)) -> Self {
        let now = Instant::now();
        Self { inside, patience, began: now, told: now, tell }
    }

    /// Waits for the kubeconfig that k3s writes when its certificates are made.
    ///
    /// # Errors
    /// The container has ended, or does not write it in time.
    pub(super) async fn kubeconfig(&mut self, container: &Container) -> Result<String, K3sError> {
        loop {
            let why = match container.kubeconfig().await {
                Ok(text) if !text.trim().is_empty() => return Ok(text),
                Ok(_) => "its kubeconfig is empty".to_owned(),
                Err(why) => format!("it has not written its kubeconfig: {why}"),
            };
            self.more(why).await?;
        }
    }

    /// Waits until the API server says that it is ready, and in `full` a node is.
    ///
    /// # Errors
    /// The container has ended, or is not ready in time.
    pub(super) async fn answer(&mut self, config: &Config, mode: Mode) -> Result<(), K3sError> {
        let client = Client::try_from(config.clone()).map_err(|source| K3sError::Kubeconfig(source.into()))?;
        loop {
            let asked = tokio::time::timeout(QUESTION, ask(&client, mode)).await;
            match asked.unwrap_or_else(|_| Err("the API server does not answer".to_owned())) {
                Ok(()) => return Ok(()),
                Err(why) => self.more(why).await?,
            }
        }
    }

    /// Waits until a node is ready, which its own container makes it.
    ///
    /// # Errors
    /// The container has ended, or the node is not ready in time.
    pub(super) async fn node(&mut self, nodes: &Api<Node>, name: &str) -> Result<(), K3sError> {
        loop {
            let why = match tokio::time::timeout(QUESTION, nodes.get_opt(name)).await {
                Ok(Ok(Some(node))) if is_ready(&node) => return Ok(()),
                Ok(Ok(Some(node))) => not_ready(&node),
                Ok(Ok(None)) => "its node is not registered yet".to_owned(),
                Ok(Err(error)) => format!("its node cannot be read: {error}"),
                Err(_) => "the API server does not answer".to_owned(),
            };
            self.more(why).await?;
        }
    }

    /// Waits a little more, if there is any sense in it.
    async fn more(&mut self, why: String) -> Result<(), K3sError> {
        if let Some(code) = self.inside.ended().await? {
            return Err(K3sError::Died { code, log: Vec::new() });
        }
        if self.began.elapsed() >= self.patience {
            return Err(K3sError::NotReady { after: self.patience, why, log: Vec::new() });
        }
        if self.told.elapsed() >= WORD {
            self.told = Instant::now();
            (self.tell)(&format!("k3s: waiting for {} s: {why}", self.began.elapsed().as_secs()));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

async fn ask(client: &Client, mode: Mode) -> Result<(), String> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| format!("/readyz says: {error}"))?;
    if mode == Mode::ControlPlane {
        return Ok(());
    }
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.map_err(|error| format!("its nodes cannot be listed: {error}"))?.items;
    if nodes.iter().any(is_ready) {
        return Ok(());
    }
    let there = if nodes.is_empty() { "there is no node yet" } else { "no node is ready yet" };
    Err(there.to_owned())
}

fn condition(node: &Node) -> Option<&NodeCondition> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

fn is_ready(node: &Node) -> bool {
    condition(node).is_some_and(|condition| condition.status == "True")
}

/// What a node says of why it is not ready.
fn not_ready(node: &Node) -> String {
    let message = condition(node).and_then(|condition| condition.message.as_deref()).unwrap_or_default();
    if message.is_empty() { "its node is not ready".to_owned() } else { format!("its node is not ready: {message}") }
}
