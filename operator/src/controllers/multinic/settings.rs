//! What an administrator can choose about the `MultiNIC` controller.

use std::time::Duration;

use k8s_openapi::api::core::v1::Toleration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::agent::AgentSettings;
use crate::kit::backoff::Backoff;

/// Settings of the `MultiNIC` controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The agent's image.
    pub agent_image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub agent_image_pull_policy: String,
    /// Secrets that the image is pulled with.
    pub agent_image_pull_secrets: Vec<String>,
    /// The service account of agent Pods; it needs no permission, and its token is not mounted.
    pub agent_service_account: String,
    /// Tolerations of agent Pods.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub agent_tolerations: Vec<Toleration>,
    /// What the agent does on the node.
    pub agent: AgentSettings,
    /// How long a Job may take, from its creation, before it has failed.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub job_deadline: Duration,
    /// When the cluster removes a finished Job that this controller has not removed: a safety net.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub job_ttl: Duration,
    /// Waits between the Jobs of a node whose configuration or cleanup fails.
    pub retry: Backoff,
    /// How long a deleted object is held for its cleanup before it is released with an Event, cleaned up or not. The
    /// annotation `multinic.io/skip-cleanup: "true"` releases it at once.
    #[serde(with = "crate::kit::duration")]
    #[schemars(with = "String")]
    pub cleanup_deadline: Duration,
    /// How many nodes are reconciled at the same time.
    pub concurrency: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            agent_image: "multinic-agent:latest".to_owned(),
            agent_image_pull_policy: "IfNotPresent".to_owned(),
            agent_image_pull_secrets: Vec::new(),
            agent_service_account: "multinic-agent".to_owned(),
            agent_tolerations: control_plane_tolerations(),
            agent: AgentSettings::default(),
            // An image pull on a slow link, and then ten interfaces at a few seconds each.
            job_deadline: Duration::from_mins(5),
            job_ttl: Duration::from_mins(10),
            retry: Backoff { min: Duration::from_secs(10), max: Duration::from_mins(10) },
            // Longer than a node's maintenance, shorter than anybody's patience with a namespace that does not go.
            cleanup_deadline: Duration::from_hours(24),
            // A reconcile waits for a handful of API calls; this many keep a thousand nodes going.
            concurrency: 16,
        }
    }
}

/// Nodes of the control plane and of infrastructure have extra interfaces too.
fn control_plane_tolerations() -> Vec<Toleration> {
    let exists = |key: &str| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    };
    let infra = Toleration {
        key: Some("node".to_owned()),
        operator: Some("Equal".to_owned()),
        value: Some("infra".to_owned()),
        ..Toleration::default()
    };
    vec![exists("node-role.kubernetes.io/control-plane"), exists("node-role.kubernetes.io/master"), infra]
}
