//! One configuration, one node, and everything that can be around them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::api::agent::{AgentAction, AgentSummary, InterfaceOutcome, InterfaceResult, Reason};
use crate::api::multinic::{MultiNicNodeConfig, MultiNicNodeConfigStatus, State};
use crate::controllers::multinic::Settings;
use crate::controllers::multinic::labels;
use crate::controllers::multinic::observe::{AgentJob, AgentPod, JobPhase, NodeFacts, Observed, Termination};
use crate::controllers::multinic::plan::{Plan, plan};
use crate::controllers::multinic::validate::validate;

pub(super) const NODE: &str = "worker-1";
pub(super) const UID: &str = "11111111-1111-4111-8111-111111111111";
pub(super) const MACHINE: &str = "b4975c7c-4b8a-4e8c-9f3e-0123456789ab";
pub(super) const OTHER_MACHINE: &str = "00000000-4b8a-4e8c-9f3e-0123456789ab";

/// The moment every test happens at.
pub(in super::super) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(super) fn seconds_later(seconds: i64) -> Timestamp {
    now().saturating_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A configuration of three interfaces, at its first generation.
pub(in super::super) fn config() -> MultiNicNodeConfig {
    serde_json::from_value(json!({
        "apiVersion": "multinic.io/v1alpha1",
        "kind": "MultiNicNodeConfig",
        "metadata": {
            "name": NODE, "namespace": "multinic-system", "uid": UID, "generation": 1, "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T03:00:00Z",
        },
        "spec": { "nodeName": NODE, "instanceId": MACHINE.to_uppercase(), "interfaces": [
            { "id": 1, "macAddress": "FA:16:3E:F3:B0:3F", "address": "11.11.11.33", "cidr": "11.11.11.0/24", "mtu": 1450 },
            { "id": 2, "macAddress": "fa:16:3e:1e:b2:5f", "address": "11.11.11.26", "cidr": "11.11.11.0/24", "mtu": 1450 },
            { "id": 3, "macAddress": "fa:16:3e:96:27:ff", "name": "multinic7" },
        ] },
    }))
    .unwrap()
}

/// The configuration on an Ubuntu node, with nothing done yet.
pub(super) fn observed() -> Observed {
    Observed { config: config(), node: Some(node()), jobs: Vec::new(), pods: Vec::new(), rival: None }
}

pub(super) fn node() -> NodeFacts {
    NodeFacts {
        name: NODE.to_owned(),
        uid: "node-uid".to_owned(),
        os_image: "Ubuntu 22.04.3 LTS".to_owned(),
        system_uuid: MACHINE.to_owned(),
    }
}

/// A Job of the configuration as it stands, on its first try.
pub(super) fn job(phase: JobPhase) -> AgentJob {
    numbered_job(AgentAction::Apply, 1, 1, phase)
}

pub(super) fn numbered_job(action: AgentAction, generation: i64, attempt: i32, phase: JobPhase) -> AgentJob {
    let name = labels::job_name(action, NODE, MACHINE, UID, generation, attempt);
    AgentJob {
        namespace: "multinic-system".to_owned(),
        uid: format!("uid-of-{name}"),
        name,
        config_uid: UID.to_owned(),
        generation,
        system_uuid: MACHINE.to_owned(),
        action,
        attempt,
        phase,
        leaving: false,
    }
}

pub(super) fn failed() -> JobPhase {
    JobPhase::Failed {
        reason: "BackoffLimitExceeded".to_owned(),
        message: "Job has reached the specified backoff limit".to_owned(),
    }
}

pub(super) fn deadline_exceeded() -> JobPhase {
    JobPhase::Failed {
        reason: "DeadlineExceeded".to_owned(),
        message: "Job was active longer than specified deadline".to_owned(),
    }
}

/// A Pod of a Job that is still there.
pub(super) fn running_pod(job: &AgentJob) -> AgentPod {
    AgentPod { name: format!("{}-x", job.name), job_uid: job.uid.clone(), ..AgentPod::default() }
}

/// A Pod of a Job that has ended and said this.
pub(super) fn ended_pod(job: &AgentJob, exit_code: i32, message: &str) -> AgentPod {
    let termination = Termination {
        exit_code,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: message.to_owned(),
        finished: Some(now()),
    };
    AgentPod { ended: true, termination: Some(termination), ..running_pod(job) }
}

/// What an agent says of the interfaces of [`config`].
pub(super) fn report(results: &[(u8, InterfaceOutcome, Reason, &str)]) -> AgentSummary {
    let interfaces = results.iter().map(|(id, status, reason, message)| InterfaceResult {
        id: *id,
        name: format!("multinic{id}"),
        status: *status,
        changed: true,
        reason: *reason,
        message: (*message).to_owned(),
    });
    AgentSummary {
        action: AgentAction::Apply,
        node: NODE.to_owned(),
        config_uid: UID.to_owned(),
        generation: 1,
        interfaces: interfaces.collect(),
        removed: Vec::new(),
        error: None,
    }
}

pub(super) fn all_configured() -> AgentSummary {
    report(&[1, 2, 3].map(|id| (id, InterfaceOutcome::Configured, Reason::Applied, "configured")))
}

pub(super) fn text(summary: &AgentSummary) -> String {
    serde_json::to_string(summary).unwrap()
}

impl Observed {
    pub(super) fn with_job(mut self, job: AgentJob) -> Self {
        self.jobs.push(job);
        self
    }

    pub(super) fn with_pod(mut self, pod: AgentPod) -> Self {
        self.pods.push(pod);
        self
    }

    pub(super) fn held(mut self) -> Self {
        self.config.metadata.finalizers = Some(vec![labels::FINALIZER.to_owned()]);
        self
    }

    pub(super) fn at_generation(mut self, generation: i64) -> Self {
        self.config.metadata.generation = Some(generation);
        self
    }

    /// Deleted now, which makes a generation of its own.
    pub(super) fn deleted(self) -> Self {
        let mut deleted = self.held().at_generation(2);
        deleted.config.metadata.deletion_timestamp = Some(Time(now()));
        deleted
    }

    /// With a status that tells of this Job.
    pub(super) fn told(mut self, state: State, job: &AgentJob, retry: Option<Timestamp>) -> Self {
        self.config.status = Some(MultiNicNodeConfigStatus {
            state: Some(state),
            observed_generation: Some(job.generation),
            last_job_name: Some(job.name.clone()),
            attempts: Some(job.attempt),
            next_retry_time: retry.map(Time),
            system_uuid: Some(job.system_uuid.clone()),
            ..MultiNicNodeConfigStatus::default()
        });
        self
    }

    pub(super) fn plan(&self) -> Plan {
        plan(self, validate(self), &Settings::default(), now())
    }
}
