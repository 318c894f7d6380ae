//! Gives claims their volumes: a disk of the cluster for each, bound as soon as it is asked for.
//!
//! Claims of the class `standard`, or of none, are served; others wait, as they would for a provisioner that is not
//! there. The class appears with the first claim, so that a cluster without claims writes nothing. A disk goes with its
//! claim, unless its volume says that it is to be retained.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Error, ResourceExt};
use serde_json::json;

use super::super::disks::Disks;
use super::informer::{Change, Informer, Key};
use super::queue::Queue;
use super::workload::objects::Objects;
use super::workload::{answer, pods};

/// The class of claims that name none.
const CLASS: &str = "standard";

/// Who makes the volumes.
const PROVISIONER: &str = "disk.slipway.dev";

/// What waits to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    /// A claim that may lack a volume.
    Bind(Key),
    /// A volume whose claim is gone.
    Reclaim(String),
}

/// The controller.
pub(in crate::cluster::embedded) struct VolumeBinder {
    client: Client,
    claims: Objects<PersistentVolumeClaim>,
    disks: Disks,
    queue: Queue<Work>,
}

impl VolumeBinder {
    /// A controller that hears of claims from the cache, and keeps volumes on these disks.
    pub(in crate::cluster::embedded) fn new(
        client: Client,
        claims: Informer<PersistentVolumeClaim>,
        disks: Disks,
    ) -> Self {
        let queue = Queue::new();
        let work = queue.clone();
        claims.on_change(move |change| match change {
            Change::Applied { new, .. } if is_served(new) => work.add(Work::Bind(Key::of(new.as_ref()))),
            Change::Applied { .. } => {}
            Change::Deleted(claim) => work.add(Work::Reclaim(volume_name(claim))),
        });
        Self { claims: Objects::new(client.clone(), claims), client, disks, queue }
    }

    /// Works until it is dropped.
    pub(in crate::cluster::embedded) async fn run(self) {
        self.claims.cache.ready().await;
        loop {
            let work = self.queue.next().await;
            let done = match &work {
                Work::Bind(key) => self.bind(key).await,
                Work::Reclaim(volume) => self.reclaim(volume).await,
            };
            match done {
                Ok(()) => self.queue.forget(&work),
                Err(error) => {
                    tracing::debug!(%error, ?work, "the volume will be tried again");
                    self.queue.retry(work);
                }
            }
        }
    }

    async fn bind(&self, key: &Key) -> Result<(), Error> {
        let Some(claim) = self.claims.cache.get(key).filter(|claim| is_served(claim)) else { return Ok(()) };
        self.ensure_class().await?;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let name = volume_name(&claim);
        let spec = claim.spec.clone().unwrap_or_default();
        let capacity = spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
            "spec": {
                "accessModes": spec.access_modes,
                "capacity": capacity,
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": key.namespace, "name": key.name, "uid": pods::uid(claim.as_ref()),
                },
                "csi": {"driver": PROVISIONER, "volumeHandle": name},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": CLASS,
                "volumeMode": spec.volume_mode,
            },
        });
        let made = serde_json::from_value(volume).map_err(Error::SerdeError)?;
        match volumes.create(&PostParams::default(), &made).await {
            Err(error) if !answer::is_already_exists(&error) => return Err(error),
            _ => {}
        }
        let bound = Patch::Merge(json!({"status": {"phase": "Bound"}}));
        volumes.patch_status(&name, &PatchParams::default(), &bound).await?;
        let patch = json!({
            "metadata": {"uid": pods::uid(claim.as_ref()), "annotations": {
                "pv.kubernetes.io/bind-completed": "yes",
                "pv.kubernetes.io/bound-by-controller": "yes",
                "volume.kubernetes.io/storage-provisioner": PROVISIONER,
            }},
            "spec": {"volumeName": name, "storageClassName": CLASS},
        });
        self.claims.patch(key, &patch).await?;
        let status = json!({"status": {"phase": "Bound", "accessModes": spec.access_modes, "capacity": capacity}});
        let patched = self
            .claims
            .api(&key.namespace)
            .patch_status(&key.name, &PatchParams::default(), &Patch::Merge(status))
            .await;
        answer::unless_gone(patched).map(drop)
    }

    /// The volume goes with its claim, or stays behind without one.
    async fn reclaim(&self, name: &str) -> Result<(), Error> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let Some(volume) = volumes.get_opt(name).await? else { return Ok(()) };
        let policy = volume.spec.and_then(|spec| spec.persistent_volume_reclaim_policy);
        if policy.as_deref() == Some("Retain") {
            let released = Patch::Merge(json!({"status": {"phase": "Released"}}));
            let patched = volumes.patch_status(name, &PatchParams::default(), &released).await;
            return answer::unless_gone(patched).map(drop);
        }
        if let Err(error) = self.disks.remove(name) {
            tracing::debug!(%error, name, "cannot remove the disk");
        }
        answer::unless_gone(volumes.delete(name, &DeleteParams::default()).await).map(drop)
    }

    async fn ensure_class(&self) -> Result<(), Error> {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        if classes.get_opt(CLASS).await?.is_some() {
            return Ok(());
        }
        let mut class = StorageClass { provisioner: PROVISIONER.to_owned(), ..StorageClass::default() };
        class.metadata.name = Some(CLASS.to_owned());
        class.annotations_mut().insert("storageclass.kubernetes.io/is-default-class".to_owned(), "true".to_owned());
        match classes.create(&PostParams::default(), &class).await {
            Err(error) if !answer::is_already_exists(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether a claim waits for a volume of ours.
fn is_served(claim: &PersistentVolumeClaim) -> bool {
    let Some(spec) = &claim.spec else { return false };
    let class = spec.storage_class_name.as_deref().unwrap_or(CLASS);
    let bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    class == CLASS && !bound && !pods::is_deleting(claim)
}

fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", pods::uid(claim))
}
