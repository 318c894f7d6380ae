//! Graceful drain: Pods that a vertical autoscaler evicts leave without losing a request.

pub mod configuration;
pub mod configured;
pub mod connections;
pub mod gate;
mod isolate;
mod measures;
#[cfg(test)]
mod mock;
pub mod namespaces;
mod notices;
pub mod overrides;
pub mod pattern;
pub mod selection;
mod sizes;
pub mod workload;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::configured::{Configured, Standing};
use self::measures::Measures;
use crate::kit::admission::Reviewer;
use crate::kit::manager::Manager;

/// The name in logs, Events and metrics.
const CONTROLLER: &str = "drain";

/// Settings of the drain controller: where its configuration is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The `ConfigMap` with the configuration.
    pub config_map_name: String,
    /// The namespace it is in.
    pub config_map_namespace: String,
    /// How many Pods are looked at at the same time.
    pub concurrency: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config_map_name: "vpa-graceful-drain-config".to_owned(),
            config_map_namespace: "kube-system".to_owned(),
            // A look that asks every source in vain takes twenty seconds, and a thousand Pods may be evicted at once.
            concurrency: 64,
        }
    }
}

/// The controller, not yet running.
pub struct Drain {
    manager: Manager,
    settings: Settings,
    measures: Measures,
    configured: Configured,
    configure: watch::Sender<Option<Standing>>,
}

impl Drain {
    /// A controller with these settings.
    pub fn new(manager: Manager, settings: Settings) -> Self {
        let (configure, configured) = Configured::channel();
        Self { measures: Measures::new(manager.metrics.registry()), manager, settings, configured, configure }
    }

    /// What judges evictions, for the webhook server. Works on every replica, leader or not.
    pub fn reviewers(&self) -> Vec<Arc<dyn Reviewer>> {
        gate::reviewers(&self.manager, &self.configured, &self.measures)
    }

    /// Runs the controller until it is told to stop.
    pub async fn run(self) {
        let Self { manager, settings, measures, configured: _, configure } = self;
        let shutdown = manager.shutdown.clone();
        tokio::select! {
            () = configured::follow(manager, settings, measures, configure) => {}
            () = shutdown => {}
        }
    }
}
