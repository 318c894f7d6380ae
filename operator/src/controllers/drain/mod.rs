//! Graceful drain: Pods that a vertical autoscaler evicts leave without losing a request.

pub mod connections;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kit::admission::Reviewer;
use crate::kit::manager::Manager;

/// Settings of the drain controller: where its configuration is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {}

/// The controller, not yet running.
pub struct Drain {
    manager: Manager,
}

impl Drain {
    /// A controller with these settings.
    pub fn new(manager: Manager, _settings: Settings) -> Self {
        Self { manager }
    }

    /// What judges evictions, for the webhook server. Works on every replica, leader or not.
    pub fn reviewers(&self) -> Vec<Arc<dyn Reviewer>> {
        Vec::new()
    }

    /// Runs the controller until it is told to stop.
    pub async fn run(self) {
        self.manager.shutdown.await;
    }
}
