//! One Pod's life on its node: volumes, init containers, containers, the end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, ContainerState, ContainerStateWaiting, ContainerStatus, EnvFromSource, EnvVar,
    PersistentVolumeClaim, Pod, PodSpec, Secret, ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use super::board::{Board, Slot, Writer, Written};
use super::container::{self, Ended};
use super::env::{Addresses, Sources};
use super::status::Facts;
use super::stop::Stop;
use super::volumes::{self, Volumes};
use super::{Kubelet, Update, has_ended};
use crate::cluster::embedded::controllers::informer::Key;
use crate::cluster::embedded::controllers::recorder::Severity;
use crate::cluster::embedded::node::network::NodeNetwork;
use crate::cluster::embedded::node::program::PodNetwork;
use crate::temporary::Directory;

/// The first and the longest wait before volumes are tried again.
const MOUNT_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(122));

/// The wait before a Pod's removal is tried again.
const DELETE_RETRY: Duration = Duration::from_secs(1);

/// What the containers of one Pod share.
pub(super) struct Sandbox {
    pub(super) kubelet: Arc<Kubelet>,
    pub(super) pod: Arc<Pod>,
    pub(super) spec: PodSpec,
    pub(super) board: Arc<Board>,
    pub(super) stop: Stop,
    pub(super) addresses: Addresses,
    /// Where the Pod keeps what goes with it.
    pub(super) home: Directory,
    pub(super) network: NodeNetwork,
}

/// Runs a Pod until it has ended or is gone.
pub(super) async fn run(kubelet: Arc<Kubelet>, pod: Arc<Pod>, mut heard: watch::Receiver<Update>) {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(kubelet.client.clone(), &pod.namespace().unwrap_or_default());
    if !has_ended(&pod) && Box::pin(live(&kubelet, &pod, &api, &mut heard)).await == Written::Gone {
        kubelet.lock_workers().remove(&uid);
        return;
    }
    loop {
        let Some(current) = heard.borrow_and_update().clone() else { break };
        if current.metadata.deletion_timestamp.is_some() {
            remove(&api, &current).await;
        } else {
            kubelet.pods.until(&Key::of(current.as_ref()), |shown| shown.is_none_or(has_ended)).await;
        }
        if kubelet.retire(&uid, &heard) {
            return;
        }
    }
    kubelet.lock_workers().remove(&uid);
}

/// Runs a Pod's containers and writes its status until they have ended.
async fn live(kubelet: &Arc<Kubelet>, pod: &Arc<Pod>, api: &Api<Pod>, heard: &mut watch::Receiver<Update>) -> Written {
    let now = kubelet.clock.now();
    let sandbox = match Sandbox::new(Arc::clone(kubelet), Arc::clone(pod), now) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            let message = format!("Failed to create pod sandbox: {error}");
            kubelet.recorder.event(pod.as_ref(), Severity::Warning, "FailedCreatePodSandBox", message).await;
            return Written::Gone;
        }
    };
    let board = Arc::clone(&sandbox.board);
    let writer = Writer { api: api.clone(), clock: kubelet.clock, board: Arc::clone(&board), pod: heard.clone() };
    let gone = tokio::select! {
        biased;
        () = follow(&sandbox, heard) => true,
        () = sandbox.run() => false,
        () = writer.run() => true,
    };
    if gone {
        return Written::Gone;
    }
    board.change(|facts| facts.ended = true);
    writer.flush().await
}

/// Hears what becomes of the Pod: returns when it is gone, and asks its containers to stop when it is to go.
async fn follow(sandbox: &Sandbox, heard: &mut watch::Receiver<Update>) {
    let deadline = deadline(sandbox);
    let mut deadline = std::pin::pin!(deadline);
    let mut over = false;
    let gated = sandbox.spec.readiness_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    loop {
        let Some(pod) = heard.borrow_and_update().clone() else { return };
        if gated {
            // Somebody may have opened or closed a gate.
            sandbox.board.change(|_| {});
        }
        if pod.metadata.deletion_timestamp.is_some() {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            sandbox.stop.ask(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
        }
        tokio::select! {
            changed = heard.changed() => if changed.is_err() { return },
            () = &mut deadline, if !over => {
                over = true;
                let message = "Pod was active on the node longer than the specified deadline";
                sandbox.board.change(|facts| facts.stopped = Some(("DeadlineExceeded", message)));
                sandbox.kubelet.recorder.event(pod.as_ref(), Severity::Normal, "DeadlineExceeded", message).await;
                let grace = sandbox.spec.termination_grace_period_seconds.unwrap_or(30);
                sandbox.stop.ask(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
            }
        }
    }
}

/// Waits for the end of the Pod's own time limit; for ever where it has none.
async fn deadline(sandbox: &Sandbox) {
    match sandbox.spec.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

/// Tells the API server that nothing of a Pod is left on the node.
async fn remove(api: &Api<Pod>, pod: &Pod) {
    let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let params =
        DeleteParams { grace_period_seconds: Some(0), preconditions: Some(preconditions), ..DeleteParams::default() };
    loop {
        match api.delete(&pod.name_any(), &params).await {
            Ok(_) => return,
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => return,
            Err(error) => {
                tracing::debug!(%error, pod = pod.name_any(), "cannot remove the pod");
                tokio::time::sleep(DELETE_RETRY).await;
            }
        }
    }
}

impl Sandbox {
    fn new(kubelet: Arc<Kubelet>, pod: Arc<Pod>, now: Timestamp) -> std::io::Result<Self> {
        let spec = pod.spec.clone().unwrap_or_default();
        let on_host = spec.host_network == Some(true);
        let addresses =
            Addresses { host: kubelet.ip.clone(), pod: if on_host { kubelet.ip.clone() } else { kubelet.pod_ip() } };
        let network = if on_host {
            kubelet.machine.network().clone()
        } else {
            NodeNetwork::empty(kubelet.machine.os().renames_live_links())
        };
        let home = Directory::new("pod")?;
        let waits_for_inits = spec.init_containers.as_ref().is_some_and(|inits| !inits.is_empty());
        let reason = if waits_for_inits { "PodInitializing" } else { "ContainerCreating" };
        let facts = Facts {
            host_ip: kubelet.ip.clone(),
            pod_ip: on_host.then(|| addresses.pod.clone()),
            started: Some(now),
            inits: spec.init_containers.iter().flatten().map(|c| waiting(c, "PodInitializing")).collect(),
            containers: spec.containers.iter().map(|c| waiting(c, reason)).collect(),
            ..Facts::default()
        };
        let board = Arc::new(Board::new(facts));
        Ok(Self { kubelet, pod, spec, board, stop: Stop::new(), addresses, home, network })
    }

    /// Runs everything; returns when the last container has ended for good.
    async fn run(&self) {
        let Some(volumes) = self.mount().await else { return };
        self.board.change(|facts| facts.pod_ip = Some(self.addresses.pod.clone()));
        let inits = self.spec.init_containers.as_deref().unwrap_or_default();
        let mut sidecars = Vec::new();
        for (at, init) in inits.iter().enumerate() {
            if init.restart_policy.as_deref() == Some("Always") {
                sidecars.push(container::run(self, Slot::Init(at), init, &volumes));
                continue;
            }
            match container::run(self, Slot::Init(at), init, &volumes).await {
                Ended::Well => {}
                Ended::Badly | Ended::Stopped => return,
            }
        }
        let mains = self.spec.containers.iter().enumerate();
        let mains = join_all(mains.map(|(at, main)| container::run(self, Slot::Main(at), main, &volumes)));
        if sidecars.is_empty() {
            mains.await;
            return;
        }
        let mut sidecars = std::pin::pin!(join_all(sidecars));
        let mains = async {
            mains.await;
            // Sidecars end after the containers that they serve.
            let grace = self.spec.termination_grace_period_seconds.unwrap_or(30);
            self.stop.ask(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
        };
        tokio::join!(mains, &mut sidecars);
    }

    /// Mounts the volumes, however often that takes; none when the Pod is to stop before.
    async fn mount(&self) -> Option<Volumes> {
        let (mut wait, longest) = MOUNT_RETRY;
        loop {
            let sources = self.sources().await;
            let files = self.kubelet.machine.files();
            match volumes::set_up(&self.pod, self.home(), files, &sources, &self.addresses) {
                Ok(volumes) => return Some(volumes),
                Err(message) => {
                    self.event(Severity::Warning, "FailedMount", message).await;
                }
            }
            if !self.stop.sleep(wait).await {
                return None;
            }
            wait = (wait * 2).min(longest);
        }
    }

    /// Fetches the `ConfigMaps`, Secrets and claims that the Pod names, those that there are.
    pub(super) async fn sources(&self) -> Sources {
        let (maps, secrets) = references(&self.spec);
        let namespace = self.pod.namespace().unwrap_or_default();
        let client = || self.kubelet.client.clone();
        let mut sources = Sources::default();
        for name in maps {
            let api: Api<ConfigMap> = Api::namespaced(client(), &namespace);
            if let Ok(Some(map)) = api.get_opt(&name).await {
                sources.config_maps.insert(name, map);
            }
        }
        for name in secrets {
            let api: Api<Secret> = Api::namespaced(client(), &namespace);
            if let Ok(Some(secret)) = api.get_opt(&name).await {
                sources.secrets.insert(name, secret);
            }
        }
        let claims = self.spec.volumes.iter().flatten().filter_map(|volume| volume.persistent_volume_claim.as_ref());
        for name in claims.map(|claim| claim.claim_name.clone()) {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(client(), &namespace);
            let claim = api.get_opt(&name).await.ok().flatten();
            match claim.and_then(|claim| claim.spec?.volume_name).map(|volume| self.kubelet.disks.open(&volume)) {
                Some(Ok(place)) => drop(sources.claims.insert(name, place)),
                Some(Err(error)) => tracing::debug!(%error, name, "cannot open the disk"),
                None => {}
            }
        }
        for projection in tokens(&self.spec) {
            let key = volumes::token_key(projection);
            let token = self.token(&key, &namespace).await.map_err(|error| error.to_string());
            sources.tokens.insert(key, token);
        }
        sources
    }

    /// A token of the Pod's account that goes with the Pod.
    async fn token(&self, (audience, seconds): &(String, i64), namespace: &str) -> Result<String, kube::Error> {
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(self.pod.name_any()),
            uid: self.pod.uid(),
        };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(audience)
                    .filter(|audience| !audience.is_empty())
                    .map(|audience| vec![audience.clone()]),
                expiration_seconds: Some(*seconds),
                bound_object_ref: Some(bound),
            }),
            ..TokenRequest::default()
        };
        let account = self.spec.service_account_name.as_deref().unwrap_or("default");
        let api: Api<ServiceAccount> = Api::namespaced(self.kubelet.client.clone(), namespace);
        let answer = api.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(answer.status.and_then(|status| status.token).unwrap_or_default())
    }

    /// The Pod's ports and connections.
    pub(super) fn tcp(&self) -> Result<PodNetwork, String> {
        let address = &self.addresses.pod;
        let parsed = address.parse().map_err(|error| format!("{address} is no address: {error}"))?;
        Ok(PodNetwork::new(self.kubelet.tcp.clone(), parsed))
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(super) async fn event(&self, severity: Severity, reason: &'static str, message: impl Into<String>) {
        self.kubelet.recorder.event(self.pod.as_ref(), severity, reason, message).await;
    }
}

/// A container that has not started yet.
fn waiting(container: &Container, reason: &str) -> ContainerStatus {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message: None };
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        state: Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() }),
        last_state: Some(ContainerState::default()),
        ..ContainerStatus::default()
    }
}

/// The tokens that a Pod's volumes hold.
fn tokens(spec: &PodSpec) -> impl Iterator<Item = &ServiceAccountTokenProjection> {
    let projected = spec.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref());
    let parts = projected.flat_map(|projected| projected.sources.iter().flatten());
    parts.filter_map(|part| part.service_account_token.as_ref())
}

/// The names of the `ConfigMaps` and Secrets that a Pod's environment and volumes come from.
fn references(spec: &PodSpec) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        for EnvFromSource { config_map_ref, secret_ref, .. } in container.env_from.iter().flatten() {
            maps.extend(config_map_ref.iter().map(|reference| reference.name.clone()));
            secrets.extend(secret_ref.iter().map(|reference| reference.name.clone()));
        }
        for EnvVar { value_from, .. } in container.env.iter().flatten() {
            let Some(from) = value_from else { continue };
            maps.extend(from.config_map_key_ref.iter().map(|reference| reference.name.clone()));
            secrets.extend(from.secret_key_ref.iter().map(|reference| reference.name.clone()));
        }
    }
    for Volume { config_map, secret, projected, .. } in spec.volumes.iter().flatten() {
        maps.extend(config_map.iter().map(|source| source.name.clone()));
        secrets.extend(secret.iter().filter_map(|source| source.secret_name.clone()));
        for part in projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            maps.extend(part.config_map.iter().map(|source| source.name.clone()));
            secrets.extend(part.secret.iter().map(|source| source.name.clone()));
        }
    }
    (maps, secrets)
}
