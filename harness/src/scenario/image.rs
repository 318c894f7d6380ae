//! Images that nobody has here, and what their containers run instead, as a scenario describes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An image of somebody else, and what stands in for it on simulated nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// The image's reference, in which `*` stands for anything: `nginx:*`, `*/postgres:16`, `*`.
    #[schemars(length(min = 1))]
    pub image: String,
    /// What its containers run.
    #[serde(default)]
    pub runs: Runs,
    /// The settings of what they run, by name. The containers' own environment is the application's, and sets nothing.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// What stands in for an application; the images `slipway.dev/…` run the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// It runs until it is told to stop, then ends with code 0.
    #[default]
    Pause,
    /// It ends by itself.
    Exit,
    /// It serves HTTP/1.1.
    HttpServer,
}
