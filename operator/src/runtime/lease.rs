//! Leader election by a Lease, as client-go does it, and on the same object: of several replicas one writes.
//!
//! Guarantees: a replica takes the lease only when it is free, released, or has not been renewed for as long as it says
//! while this replica watched. Times on the lease are for people; only this replica's own clock decides, so clocks that
//! differ do no harm. A holder whose renewals fail stops writing at the renew deadline, which is earlier than anybody
//! else can take over: the [`Fence`] closes by itself.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::kit::clock::Clock;
use crate::kit::error::{chain, is_already_exists, is_conflict, is_not_found};
use crate::kit::fence::Fence;
use crate::kit::health::Check;

/// How replicas agree on who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElection {
    /// Whether they do. Without, every replica writes: have one only.
    pub enabled: bool,
    /// The Lease's name.
    pub name: String,
    /// Its namespace; the operator's own unless told otherwise.
    pub namespace: Option<String>,
    /// What this replica is called; no two may be called the same. The program makes one up unless told otherwise.
    pub identity: Option<String>,
    /// How long others wait for a renewal before they take over. Whole seconds.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub lease_duration: Duration,
    /// How long the leader goes on without a renewal; less than `leaseDuration`, by more than a write may take.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub renew_deadline: Duration,
    /// From one try to the next.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub retry_period: Duration,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            enabled: false,
            name: super::rbac::NAME.to_owned(),
            namespace: None,
            identity: None,
            // client-go's.
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why leader election cannot work as it is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// Others would take over while the leader still writes.
    #[error("leaseDuration ({0:?}) must be longer than renewDeadline ({1:?})")]
    Deadline(Duration, Duration),
    /// The leader would give up before it has tried twice.
    #[error("renewDeadline ({0:?}) must be longer than retryPeriod ({1:?})")]
    Retry(Duration, Duration),
    /// The API server refuses less.
    #[error("leaseDuration ({0:?}) must be a second at least")]
    Duration(Duration),
    /// Nobody could tell replicas apart.
    #[error("every replica must have an identity of its own, which is not empty")]
    Identity,
}

impl LeaderElection {
    pub(super) fn check(&self) -> Result<(), Unsound> {
        let Self { lease_duration, renew_deadline, retry_period, .. } = *self;
        if lease_duration < Duration::from_secs(1) {
            Err(Unsound::Duration(lease_duration))
        } else if lease_duration <= renew_deadline {
            Err(Unsound::Deadline(lease_duration, renew_deadline))
        } else if renew_deadline <= retry_period {
            Err(Unsound::Retry(renew_deadline, retry_period))
        } else if self.enabled && self.identity.as_ref().is_none_or(String::is_empty) {
            Err(Unsound::Identity)
        } else {
            Ok(())
        }
    }
}

/// Takes part in an election.
pub(super) struct Elector {
    api: Api<Lease>,
    settings: LeaderElection,
    identity: String,
    clock: Clock,
    fence: Fence,
    check: Check,
    /// The lease as it was seen last.
    seen: Option<Seen>,
}

/// A lease, and when it was first seen like this.
struct Seen {
    lease: Lease,
    since: Instant,
}

/// What to do about the lease.
#[derive(Debug, PartialEq)]
enum Move {
    /// There is none.
    Create,
    /// It is ours, or may be taken: write it like this.
    Write(Box<Lease>),
    /// Somebody else holds it.
    Leave,
}

impl Elector {
    pub(super) fn new(client: Client, settings: LeaderElection, clock: Clock, fence: Fence, check: Check) -> Self {
        let namespace = settings.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let identity = settings.identity.clone().unwrap_or_default();
        check.waiting("nobody is known to lead");
        Self { api: Api::namespaced(client, &namespace), settings, identity, clock, fence, check, seen: None }
    }

    /// Resolves when this replica leads.
    pub(super) async fn acquire(&mut self) {
        let name = self.settings.name.clone();
        tracing::info!(lease = name, identity = self.identity, "attempting to acquire leader lease");
        loop {
            let began = Instant::now();
            match tokio::time::timeout(self.settings.renew_deadline, self.attempt()).await {
                Ok(Ok(true)) => {
                    self.fence.open_until(began + self.settings.renew_deadline);
                    tracing::info!(lease = name, identity = self.identity, "successfully acquired lease");
                    return;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(lease = name, error = %chain(&error), "failed to acquire lease"),
                Err(_) => tracing::warn!(lease = name, "failed to acquire lease: no answer"),
            }
            tokio::time::sleep(self.settings.retry_period).await;
        }
    }

    /// Renews the lease until it is lost. The fence is closed by then.
    pub(super) async fn keep(&mut self) {
        let mut deadline = Instant::now() + self.settings.renew_deadline;
        loop {
            tokio::time::sleep(self.settings.retry_period).await;
            let began = Instant::now();
            match tokio::time::timeout_at(deadline, self.attempt()).await {
                Ok(Ok(true)) => {
                    deadline = began + self.settings.renew_deadline;
                    self.fence.open_until(deadline);
                }
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!(error = %chain(&error), "failed to renew lease"),
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        self.fence.close();
        self.check.waiting("the lease is lost");
        tracing::error!(lease = self.settings.name, "leader election lost");
    }

    /// Gives the lease away, so that nobody has to wait for it. A courtesy: it may fail.
    pub(super) async fn release(&mut self) {
        self.fence.close();
        let Some(Seen { lease, .. }) = self.seen.take() else { return };
        if holder(&lease) != Some(&self.identity) {
            return;
        }
        let mut lease = lease;
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(self.clock.now()));
        let params = PostParams::default();
        let write = self.api.replace(&self.settings.name, &params, &lease);
        match tokio::time::timeout(self.settings.retry_period, write).await {
            Ok(Ok(_)) => tracing::info!(lease = self.settings.name, "released lease"),
            Ok(Err(error)) if is_conflict(&error) => {
                tracing::info!(lease = self.settings.name, "somebody else has the lease");
            }
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "failed to release lease"),
            Err(_) => tracing::warn!("failed to release lease: no answer"),
        }
    }

    /// One try to take or renew the lease. Says whether it is ours.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let name = self.settings.name.clone();
        self.look(self.api.get_opt(&name).await?);
        let written = match self.decide() {
            Move::Leave => {
                self.check.ready();
                return Ok(false);
            }
            Move::Create => self.api.create(&PostParams::default(), &self.first()).await,
            Move::Write(lease) => self.api.replace(&name, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                self.look(Some(lease));
                self.check.ready();
                Ok(true)
            }
            // Somebody was faster; the next look shows who.
            Err(error) if is_conflict(&error) || is_already_exists(&error) || is_not_found(&error) => {
                self.look(self.api.get_opt(&name).await?);
                Ok(self.is_ours())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes note of the lease as it is now.
    fn look(&mut self, lease: Option<Lease>) {
        let Some(lease) = lease else {
            self.seen = None;
            return;
        };
        let same = self.seen.as_ref().filter(|seen| seen.lease.spec == lease.spec);
        let since = same.map_or_else(Instant::now, |seen| seen.since);
        self.seen = Some(Seen { lease, since });
    }

    fn is_ours(&self) -> bool {
        self.seen.as_ref().and_then(|seen| holder(&seen.lease)) == Some(&self.identity)
    }

    fn decide(&self) -> Move {
        let Some(Seen { lease, since }) = &self.seen else { return Move::Create };
        let spec = lease.spec.clone().unwrap_or_default();
        let ours = self.is_ours();
        let held = holder(lease).is_some_and(|holder| !holder.is_empty());
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
        if held && !ours && since.elapsed() < Duration::from_secs(seconds) {
            return Move::Leave;
        }
        let now = MicroTime(self.clock.now());
        let transitions = spec.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.seconds()),
            acquire_time: if ours { spec.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
            ..spec
        };
        Move::Write(Box::new(Lease { metadata: lease.metadata.clone(), spec: Some(spec) }))
    }

    fn first(&self) -> Lease {
        let now = MicroTime(self.clock.now());
        let mut lease = Lease::default();
        lease.metadata.name = Some(self.settings.name.clone());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.seconds()),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        });
        lease
    }

    /// The lease's own unit. Rounded up, for others must not take over early.
    fn seconds(&self) -> i32 {
        let whole = SignedDuration::try_from(self.settings.lease_duration).unwrap_or(SignedDuration::MAX);
        let up = i64::from(whole.subsec_nanos() > 0);
        i32::try_from(whole.as_secs().saturating_add(up)).unwrap_or(i32::MAX)
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref()
}

#[cfg(test)]
mod tests;
