//! Requests to a Service, as clients behind kube-proxy send them, and what becomes of each.
//!
//! Every client is a loop: it takes a ready endpoint, connects, sends, waits for the answer, pauses. It learns of a change
//! of the endpoints a while later, as the rules of a node's kernel do; a connection that stands goes on to its Pod. In
//! virtual time and in real time the same code sends the same bytes; only what connections are made of differs.

mod client;
mod endpoints;
mod tally;

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::trouble::Trouble;
use crate::cluster::Cluster;
use crate::scenario::model::PortRef;
use crate::scenario::plan::TrafficSpec;
use client::Caller;
pub(super) use tally::Tally;

/// Traffic that is under way; it ends when this is dropped.
pub(super) struct Traffic {
    tally: Arc<Mutex<Tally>>,
    finish: CancellationToken,
    clients: JoinSet<()>,
    view: tokio::task::JoinHandle<()>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.view.abort();
    }
}

impl Traffic {
    /// Starts the clients; they begin once there is somebody to ask.
    pub(super) async fn start(
        spec: &TrafficSpec,
        namespace: &str,
        cluster: &Arc<dyn Cluster>,
        client: &Client,
    ) -> Result<Self, Trouble> {
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        let service = services
            .get(&spec.service)
            .await
            .map_err(|error| Trouble::new(format!("cannot read the Service {}: {error}", spec.service)))?;
        let port = port_name(&service, spec.port.as_ref())
            .ok_or_else(|| Trouble::new(format!("the Service {} has no such port", spec.service)))?;
        let (show, view) = watch::channel(None);
        let slices = Api::namespaced(client.clone(), namespace);
        let following = endpoints::follow(slices, spec.service.clone(), port, spec.propagation, show);
        let (tally, finish, mut clients) = (Arc::default(), CancellationToken::new(), JoinSet::new());
        for number in 0..spec.clients {
            let caller = Caller {
                number,
                spec: spec.clone(),
                cluster: Arc::clone(cluster),
                view: view.clone(),
                tally: Arc::clone(&tally),
                finish: finish.clone(),
            };
            clients.spawn(caller.run());
        }
        Ok(Self { tally, finish, clients, view: tokio::spawn(following) })
    }

    /// Lets no more requests begin, waits for the answers that are due, and counts.
    pub(super) async fn stop(mut self) -> Tally {
        self.finish.cancel();
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                tracing::warn!(%error, "a client ended before its time");
            }
        }
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What slices call a port of a Service: the one that is named or numbered so, or the only one.
fn port_name(service: &Service, port: Option<&PortRef>) -> Option<String> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let port = match (port, ports.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(PortRef::Name(name)), all) => all.iter().find(|port| port.name.as_ref() == Some(name)),
        (Some(PortRef::Number(number)), all) => all.iter().find(|port| port.port == i32::from(*number)),
    };
    port.map(|port| port.name.clone().unwrap_or_default())
}
