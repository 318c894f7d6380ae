//! Hello: the smallest complete example of the pattern that every controller here follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kit::manager::Manager;

/// Settings of the Hello controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {}

/// Runs the controller until it is told to stop.
pub async fn run(manager: Manager, _settings: Settings) {
    manager.shutdown.await;
}
